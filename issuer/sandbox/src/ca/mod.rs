//! A certification authority for TPMs' attestation keys (a "privacy CA", TPM 2.0 Library, Part 1, section 9.5.3.3): it makes sure that a
//! key is in a TPM by a maker whom it knows, and gives it a certificate (WebAuthn Level 2 section 8.3.1) that a bank can verify.
//!
//! | module | what |
//! |---|---|
//! | [`make_credential`](mod@make_credential) | a secret that one TPM alone can open, for one key alone |
//! | [`exchanges`] | what has begun |
//! | [`issuer`] | the authority's key and root, and the certificates |
//! | [`refusal`] | why it says no |
//! | [`routes`] | the HTTP interface |
//!
//! # What it gets to know, and keeps
//! The endorsement certificate tells one TPM from all others, and for good. It is looked at and dropped: it is not written down, not
//! logged, and not in the certificate, which names the model of the TPM and the attestation key. For ten minutes the memory has
//! an exchange: attestation key, model, secret. Afterwards nothing is left, and nothing ever says which TPM has which
//! account; enrollment is another connection, to the bank, which sees the certificate alone.

pub mod exchanges;
pub mod issuer;
pub mod make_credential;
pub mod refusal;
pub mod routes;

use crate::error::SandboxError;
use exchanges::{Applicant, CHALLENGE_BYTES, Exchanges, SECRET_BYTES};
use fwp::certification::{
    ActivatedCredential, CertificationQuestion, CertificationRequest, CredentialChallenge, IssuedCertificates,
};
use fwp_cose::tpm::PublicArea;
use fwp_verifier::AttestationRoots;
use fwp_verifier::endorsement::check_endorsement;
use issuer::CaIssuer;
use make_credential::make_credential;
pub use refusal::CaRefusal;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// The authority.
#[derive(Debug)]
pub struct CertificationAuthority {
    issuer: CaIssuer,
    makers: AttestationRoots,
    open: Mutex<Exchanges>,
}

/// What the authority answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaAnswer {
    /// To the first question.
    Challenge(CredentialChallenge),
    /// To the second.
    Certificates(IssuedCertificates),
}

impl CaAnswer {
    /// The answer as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Challenge(challenge) => challenge.to_json(),
            Self::Certificates(certificates) => certificates.to_json(),
        }
    }
}

impl CertificationAuthority {
    /// An authority that certifies keys in TPMs by `makers`.
    pub fn new(issuer: CaIssuer, makers: AttestationRoots) -> Self {
        Self { issuer, makers, open: Mutex::default() }
    }

    /// Answers a question at `now_ms`.
    ///
    /// # Errors
    /// [`SandboxError`]. The inner error is why the answer is no.
    pub fn answer(&self, question: &str, now_ms: i64) -> Result<Result<CaAnswer, CaRefusal>, SandboxError> {
        match CertificationQuestion::parse(question) {
            Err(error) => Ok(Err(error.into())),
            Ok(CertificationQuestion::Request(request)) => {
                Ok(self.challenge(&request, now_ms)?.map(CaAnswer::Challenge))
            }
            Ok(CertificationQuestion::Activated(activated)) => {
                Ok(self.certify(&activated, now_ms)?.map(CaAnswer::Certificates))
            }
        }
    }

    fn challenge(
        &self,
        request: &CertificationRequest,
        now_ms: i64,
    ) -> Result<Result<CredentialChallenge, CaRefusal>, SandboxError> {
        // A TPM by a maker that is known.
        let endorsement = match check_endorsement(&request.endorsement_certificate, &self.makers, now_ms) {
            Ok(endorsement) => endorsement,
            Err(error) => return Ok(Err(error.into())),
        };
        // A key that signs nothing but what its TPM says, if it is in one: the TPM will not open the credential otherwise.
        let Ok(attestation_key) = PublicArea::parse(&request.attestation_key) else {
            return Ok(Err(CaRefusal::AttestationKeyForm));
        };
        if !attestation_key.is_attestation_key() {
            return Ok(Err(CaRefusal::AttestationKeyAttributes));
        }
        let (mut challenge, mut secret) = ([0; CHALLENGE_BYTES], Zeroizing::new([0; SECRET_BYTES]));
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut challenge)?;
        getrandom::fill(&mut secret[..])?;
        getrandom::fill(&mut seed[..])?;
        let made = make_credential(&endorsement, attestation_key.name(), &secret[..], &seed);
        // A modulus that nobody can encrypt with, such as an even one.
        let Some(made) = made else {
            return Ok(Err(fwp_verifier::endorsement::EndorsementError::Key.into()));
        };
        let applicant = Applicant { attestation_key: attestation_key.key().clone(), tpm: endorsement.tpm };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.open(challenge, secret, applicant, now_ms) {
            return Ok(Err(CaRefusal::Busy));
        }
        Ok(Ok(CredentialChallenge {
            challenge: challenge.to_vec(),
            credential_blob: made.id_object,
            encrypted_secret: made.encrypted_secret,
        }))
    }

    fn certify(
        &self,
        activated: &ActivatedCredential,
        now_ms: i64,
    ) -> Result<Result<IssuedCertificates, CaRefusal>, SandboxError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.close(&activated.challenge, &activated.secret, now_ms) {
            None => Ok(Err(CaRefusal::Challenge)),
            Some(None) => Ok(Err(CaRefusal::Secret)),
            Some(Some(applicant)) => {
                drop(open);
                let certificate = self.issuer.issue(&applicant, now_ms)?;
                Ok(Ok(IssuedCertificates { certificates: vec![certificate] }))
            }
        }
    }
}
