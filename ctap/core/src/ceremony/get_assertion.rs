//! "Get an assertion": sign a hash with one key, the user verified (CTAP 2.1 section 6.2).

use super::exchange::expect;
use super::verified::{Authorization, Operation, Verified};
use super::{Ceremony, Input, Output};
use crate::authenticator_data::{AuthenticatorData, Flags};
use crate::messages::{
    CommandCode, CredentialId, GetAssertionRequest, GetAssertionResponse, GetInfo, Request,
};
use crate::pin_uv_auth::Permissions;
use crate::{Error, Mismatch, Random};
use fwp_cose::{PublicKey, SignatureAlgorithm, signature};
use sha2::{Digest, Sha256};

/// What to sign, and with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionRequest {
    /// Whose key.
    pub rp_id: String,
    /// What is signed: for payments SHA-256(AD).
    pub client_data_hash: [u8; 32],
    /// Which key.
    pub credential_id: CredentialId,
    /// Its public key, as it was enrolled: the signature must be by it.
    pub public_key: PublicKey,
    /// Its algorithm.
    pub algorithm: SignatureAlgorithm,
}

/// A verified assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// authenticatorData, as it was signed.
    pub authenticator_data: Vec<u8>,
    /// Over `authenticatorData || clientDataHash`, in the algorithm's form (DER for ES256).
    pub signature: Vec<u8>,
    /// The signature counter; 0 where the authenticator has none.
    pub sign_count: u32,
}

/// The ceremony. Its result has been verified: rpIdHash, UP and UV, the credential, the signature.
pub struct GetAssertion(Verified<AssertionRequest>);

impl GetAssertion {
    /// The ceremony for `request`.
    pub fn new(request: AssertionRequest) -> Self {
        Self(Verified::new(request))
    }
}

impl Ceremony for GetAssertion {
    type Outcome = Assertion;

    fn step(&mut self, input: Input<'_>, random: &mut dyn Random) -> Result<Output<Assertion>, Error> {
        self.0.step(input, random)
    }
}

impl Operation for AssertionRequest {
    type Outcome = Assertion;
    const COMMAND: CommandCode = GetAssertionRequest::COMMAND;
    const PERMISSION: Permissions = Permissions::GET_ASSERTION;

    fn rp_id(&self) -> &str {
        &self.rp_id
    }

    fn client_data_hash(&self) -> &[u8; 32] {
        &self.client_data_hash
    }

    fn check(&self, _info: &GetInfo) -> Result<(), Error> {
        Ok(())
    }

    fn request(&self, _info: &GetInfo, authorization: Authorization) -> Request {
        let (user_verification, pin_uv_auth) = match authorization {
            Authorization::Param(param) => (None, Some(param)),
            Authorization::BuiltInUv => (Some(true), None),
        };
        Request::GetAssertion(GetAssertionRequest {
            rp_id: self.rp_id.clone(),
            client_data_hash: self.client_data_hash,
            allow: vec![self.credential_id.clone()],
            user_presence: None, // true by default, and some keys refuse to be told
            user_verification,
            pin_uv_auth,
        })
    }

    fn conclude(&self, response: &[u8]) -> Result<Assertion, Error> {
        let response: GetAssertionResponse = expect(GetAssertionRequest::COMMAND, response)?;
        // 1. The credential: it may be left out, since the allowList had one.
        if response.credential.is_some_and(|credential| credential != self.credential_id) {
            return Err(Mismatch::CredentialId.into());
        }
        // 2. authenticatorData.
        let data = AuthenticatorData::parse(&response.auth_data)
            .map_err(|error| Error::Response { command: GetAssertionRequest::COMMAND, error })?;
        check_data(&data, &self.rp_id)?;
        if data.attested.is_some() {
            return Err(Mismatch::AttestedCredential.into());
        }
        // 3. The signature, by the key that was enrolled.
        let message = [response.auth_data.as_slice(), &self.client_data_hash].concat();
        signature::verify(self.algorithm, &self.public_key, &message, &response.signature)
            .map_err(Mismatch::Signature)?;
        Ok(Assertion {
            authenticator_data: response.auth_data,
            signature: response.signature,
            sign_count: data.sign_count,
        })
    }
}

/// rpIdHash, UP and UV.
pub(super) fn check_data(data: &AuthenticatorData, rp_id: &str) -> Result<(), Mismatch> {
    if data.rp_id_hash != <[u8; 32]>::from(Sha256::digest(rp_id.as_bytes())) {
        return Err(Mismatch::RpIdHash);
    }
    if !data.flags.contains(Flags::USER_PRESENT) {
        return Err(Mismatch::UserPresence);
    }
    if !data.flags.contains(Flags::USER_VERIFIED) {
        return Err(Mismatch::UserVerification);
    }
    Ok(())
}
