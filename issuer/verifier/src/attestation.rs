//! Enrollment at the bank (protocol section 8): is the new FIDO key one that an authenticator made for this offer?

use crate::authenticator_data::{AttestedCredential, AuthenticatorData};
use crate::certificate::{self, CertificateError, check_certificates};
use crate::error::Refusal;
use crate::maker::{MakerChain, Vouched};
use crate::signature;
use crate::tpm_certificate::check_tpm_certificates;
use fwp::enrollment::{Attestation, Offer};
use fwp_cose::cbor::{Value, decode};
use fwp_cose::tpm::TpmStatement;
use fwp_cose::{PublicKey, SignatureAlgorithm, SignatureError};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A FIDO key that may get cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedKey {
    /// The key.
    pub public_key: PublicKey,
    /// The algorithm that it signs with.
    pub algorithm: SignatureAlgorithm,
    /// Model of the authenticator.
    pub aaguid: [u8; 16],
    /// The signature counter at the start.
    pub sign_count: u32,
    /// Who vouches for all this.
    pub vouched: Vouched,
}

/// Checks the attestation of a key that was made for `offer`: packed (WebAuthn section 8.2), with certificates or without, or a
/// TPM's (section 8.3), over the enrollment's client data hash, by a user who was present and verified. Whether a maker, or an
/// authority for TPMs, that the bank knows is behind the certificates, [`AttestedKey::check_maker`] says; without that call, a key
/// with certificates has shown no more than one without.
///
/// # Errors
/// [`Refusal::Challenge`], [`Refusal::RpId`], [`Refusal::AttestationForm`], [`Refusal::AttestationFormat`],
/// [`Refusal::AuthenticatorData`], [`Refusal::UserNotPresent`], [`Refusal::UserNotVerified`],
/// [`Refusal::AttestedCredential`], [`Refusal::AttestedAlgorithm`], [`Refusal::Certificate`], [`Refusal::Signature`],
/// [`Refusal::TpmStatement`], [`Refusal::TpmAlgorithm`].
pub fn verify_attestation(attestation: &Attestation, offer: &Offer) -> Result<AttestedKey, Refusal> {
    if !bool::from(attestation.challenge.ct_eq(&offer.challenge)) {
        return Err(Refusal::Challenge);
    }
    if attestation.rp_id != offer.rp_id {
        return Err(Refusal::RpId);
    }
    let object = AttestationObject::parse(&attestation.attestation_object)?;
    let stated = AuthenticatorData::parse(&object.auth_data).ok_or(Refusal::AuthenticatorData)?;
    if stated.rp_id_hash != <[u8; 32]>::from(Sha256::digest(offer.rp_id.as_str())) {
        return Err(Refusal::RpId);
    }
    if !stated.user_present {
        return Err(Refusal::UserNotPresent);
    }
    if !stated.user_verified {
        return Err(Refusal::UserNotVerified);
    }
    let key = stated.attested_credential.ok_or(Refusal::AuthenticatorData)?;
    if key.credential_id != attestation.credential_id.as_bytes() {
        return Err(Refusal::AttestedCredential);
    }
    if !offer.algorithms.contains(&key.algorithm) {
        return Err(Refusal::AttestedAlgorithm);
    }
    let hash = offer.client_data_hash();
    let vouched = object.statement.verify(&key, &[&object.auth_data, hash.as_slice()].concat())?;
    Ok(AttestedKey {
        public_key: key.public_key,
        algorithm: key.algorithm,
        aaguid: key.aaguid,
        sign_count: stated.sign_count,
        vouched,
    })
}

/// An attestation object (section 6.5.4).
struct AttestationObject {
    auth_data: Vec<u8>,
    statement: Statement,
}

impl AttestationObject {
    fn parse(cbor: &[u8]) -> Result<Self, Refusal> {
        let mut object = Members::of(decode(cbor).map_err(|_| Refusal::AttestationForm)?)?;
        let format = object.take("fmt")?;
        let statement = Members::of(object.take("attStmt")?)?;
        let Value::Bytes(auth_data) = object.take("authData")? else { return Err(Refusal::AttestationForm) };
        object.finish(Refusal::AttestationForm)?;
        let statement = match format {
            Value::Text(format) if format == "packed" => Statement::Packed(PackedStatement::read(statement)?),
            Value::Text(format) if format == "tpm" => Statement::Tpm(TpmStatement::from_map(&statement.0)?),
            _ => return Err(Refusal::AttestationFormat),
        };
        Ok(Self { auth_data, statement })
    }
}

/// An attestation statement of a format that is verified here.
enum Statement {
    Packed(PackedStatement),
    Tpm(TpmStatement),
}

impl Statement {
    /// Verifies that the statement is about `key` and over `message`: authData and the client data hash.
    fn verify(self, key: &AttestedCredential, message: &[u8]) -> Result<Vouched, Refusal> {
        match self {
            Self::Packed(statement) => statement.verify(key, message),
            Self::Tpm(statement) => verify_tpm(statement, key, message),
        }
    }
}

/// Verifies a TPM's statement (section 8.3), and that its certificates are as they have to be (section 8.3.1).
fn verify_tpm(statement: TpmStatement, key: &AttestedCredential, message: &[u8]) -> Result<Vouched, Refusal> {
    if statement.alg != SignatureAlgorithm::Es256.id() {
        return Err(Refusal::TpmAlgorithm(statement.alg));
    }
    let (attestation_key, _) = check_tpm_certificates(&statement.certificates, &key.aaguid)?;
    statement.verify(&attestation_key, &key.public_key, message)?;
    Ok(Vouched::ByTpm(MakerChain::new(statement.certificates)))
}

/// A packed attestation statement (section 8.2).
struct PackedStatement {
    algorithm: i64,
    signature: Vec<u8>,
    /// None in a self attestation.
    x5c: Option<Vec<Vec<u8>>>,
}

impl PackedStatement {
    fn read(mut members: Members) -> Result<Self, Refusal> {
        let algorithm = members.take("alg")?.as_i64().ok_or(Refusal::AttestationForm)?;
        let Value::Bytes(signature) = members.take("sig")? else { return Err(Refusal::AttestationForm) };
        let x5c = members.take_optional("x5c").map(certificates).transpose()?;
        // ecdaaKeyId would make it another kind of attestation, which WebAuthn has given up.
        members.finish(Refusal::AttestationFormat)?;
        Ok(Self { algorithm, signature, x5c })
    }

    /// Verifies the signature over authData and the client data hash, by the new key or by the attestation key.
    fn verify(self, key: &AttestedCredential, message: &[u8]) -> Result<Vouched, Refusal> {
        let Some(x5c) = self.x5c else {
            if self.algorithm != key.algorithm.id() {
                return Err(SignatureError::KeyMismatch.into());
            }
            signature::verify(key.algorithm, &key.public_key, message, &self.signature)?;
            return Ok(Vouched::ByItself);
        };
        check_certificates(&x5c, &key.aaguid)?;
        let chain = MakerChain::new(x5c);
        let leaf = chain.leaf().ok_or(CertificateError::Count { found: 0 })?;
        certificate::verify_signature(leaf, self.algorithm, message, &self.signature)?;
        Ok(Vouched::ByMaker(chain))
    }
}

fn certificates(x5c: Value) -> Result<Vec<Vec<u8>>, Refusal> {
    let Value::Array(certificates) = x5c else { return Err(Refusal::AttestationForm) };
    let bytes = |value| match value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(Refusal::AttestationForm),
    };
    certificates.into_iter().map(bytes).collect()
}

/// The members of a map with text keys, taken out one by one.
struct Members(fwp_cose::cbor::Map);

impl Members {
    fn of(value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Map(map) => Ok(Self(map)),
            _ => Err(Refusal::AttestationForm),
        }
    }

    fn take(&mut self, name: &str) -> Result<Value, Refusal> {
        self.take_optional(name).ok_or(Refusal::AttestationForm)
    }

    fn take_optional(&mut self, name: &str) -> Option<Value> {
        self.0.remove(&Value::from(name))
    }

    fn finish(self, refusal: Refusal) -> Result<(), Refusal> {
        if self.0.is_empty() { Ok(()) } else { Err(refusal) }
    }
}
