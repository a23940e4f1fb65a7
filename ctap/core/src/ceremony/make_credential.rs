//! "Make a credential": a new key for a relying party, the user verified (CTAP 2.1 section 6.1).

use super::exchange::expect;
use super::get_assertion::check_data;
use super::verified::{Authorization, Operation, Verified};
use super::{Ceremony, Input, Output};
use crate::attestation::{Attestation, AttestationObject};
use crate::authenticator_data::AuthenticatorData;
use crate::messages::{
    CredentialId, GetInfo, MakeCredentialRequest, MakeCredentialResponse, RelyingParty, Request, UserAccount,
};
use crate::pin_uv_auth::Permissions;
use crate::{Error, Mismatch, Random};
use fwp_cose::{PublicKey, SignatureAlgorithm};

/// Which key to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRequest {
    /// For whom.
    pub rp: RelyingParty,
    /// For which account.
    pub user: UserAccount,
    /// What the attestation signs.
    pub client_data_hash: [u8; 32],
    /// What the key may sign with, most wanted first.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Not on an authenticator that has one of these.
    pub exclude: Vec<CredentialId>,
}

/// A new key, verified as far as it can be without the manufacturer's roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCredential {
    /// By which the authenticator knows the key again.
    pub credential_id: CredentialId,
    /// The public key.
    pub public_key: PublicKey,
    /// What it signs with.
    pub algorithm: SignatureAlgorithm,
    /// The authenticator's model.
    pub aaguid: [u8; 16],
    /// For the bank, in the WebAuthn form.
    pub attestation_object: AttestationObject,
    /// What the attestation shows by itself.
    pub attestation: Attestation,
}

/// The ceremony. Its result has been verified: rpIdHash, UP, UV, the algorithm, the form of the attestation and, where
/// it is a self attestation, its signature.
pub struct MakeCredential(Verified<CredentialRequest>);

impl MakeCredential {
    /// The ceremony for `request`.
    pub fn new(request: CredentialRequest) -> Self {
        Self(Verified::new(request))
    }
}

impl Ceremony for MakeCredential {
    type Outcome = NewCredential;

    fn step(&mut self, input: Input<'_>, random: &mut dyn Random) -> Result<Output<NewCredential>, Error> {
        self.0.step(input, random)
    }
}

impl Operation for CredentialRequest {
    type Outcome = NewCredential;
    const PERMISSION: Permissions = Permissions::MAKE_CREDENTIAL;

    fn rp_id(&self) -> &str {
        &self.rp.id
    }

    fn client_data_hash(&self) -> &[u8; 32] {
        &self.client_data_hash
    }

    /// Before the user is asked for anything: an authenticator that says what it can sign with must have one of ours.
    fn check(&self, info: &GetInfo) -> Result<(), Error> {
        let fits = info.algorithms.is_empty()
            || self.algorithms.iter().any(|algorithm| info.algorithms.contains(&algorithm.id()));
        if fits { Ok(()) } else { Err(Error::UnsupportedAlgorithm) }
    }

    fn request(&self, authorization: Authorization) -> Request {
        let (user_verification, pin_uv_auth) = match authorization {
            Authorization::Param(param) => (None, Some(param)),
            Authorization::BuiltInUv => (Some(true), None),
        };
        Request::MakeCredential(MakeCredentialRequest {
            client_data_hash: self.client_data_hash,
            rp: self.rp.clone(),
            user: self.user.clone(),
            algorithms: self.algorithms.iter().map(|algorithm| algorithm.id()).collect(),
            exclude: self.exclude.clone(),
            resident_key: None, // false by default: the wallet keeps the credential ID, not the key
            user_presence: None,
            user_verification,
            pin_uv_auth,
        })
    }

    fn conclude(&self, response: &[u8]) -> Result<NewCredential, Error> {
        let command = MakeCredentialRequest::COMMAND;
        let response: MakeCredentialResponse = expect(command, response)?;
        let object = response.attestation;
        // 1. authenticatorData.
        let data = AuthenticatorData::parse(&object.auth_data)
            .map_err(|error| Error::Response { command, error })?;
        check_data(&data, &self.rp.id)?;
        // 2. The new key, of an algorithm that was asked for.
        let credential = data.attested.ok_or(Mismatch::AttestedCredential)?;
        if !self.algorithms.contains(&credential.algorithm) {
            return Err(Mismatch::Algorithm.into());
        }
        // A key that was to be excluded is no new one.
        if self.exclude.contains(&credential.credential_id) {
            return Err(Mismatch::CredentialId.into());
        }
        // 3. The attestation.
        let attestation = object.verify(&self.client_data_hash)?;
        Ok(NewCredential {
            credential_id: credential.credential_id,
            public_key: credential.public_key,
            algorithm: credential.algorithm,
            aaguid: credential.aaguid,
            attestation_object: object,
            attestation,
        })
    }
}
