//! Enrollment at the bank (protocol section 8): is the new FIDO key one that an authenticator made for this offer?

use crate::authenticator_data::AuthenticatorData;
use crate::error::Refusal;
use crate::signature;
use fwp::enrollment::{Attestation, Offer};
use fwp_cose::cbor::{Value, decode};
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
}

/// Checks the attestation of a key that was made for `offer`: packed self attestation (WebAuthn section 8.2) over the
/// enrollment's client data hash, by a user who was present and verified.
///
/// # Errors
/// [`Refusal::Challenge`], [`Refusal::RpId`], [`Refusal::AttestationForm`], [`Refusal::AttestationFormat`],
/// [`Refusal::AuthenticatorData`], [`Refusal::UserNotPresent`], [`Refusal::UserNotVerified`],
/// [`Refusal::AttestedCredential`], [`Refusal::AttestedAlgorithm`], [`Refusal::Signature`].
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
    // WebAuthn section 8.2, self attestation: alg is the key's, and the key itself signs.
    if object.algorithm != key.algorithm.id() {
        return Err(SignatureError::KeyMismatch.into());
    }
    let mut message = object.auth_data;
    message.extend_from_slice(&offer.client_data_hash());
    signature::verify(key.algorithm, &key.public_key, &message, &object.signature)?;
    Ok(AttestedKey {
        public_key: key.public_key,
        algorithm: key.algorithm,
        aaguid: key.aaguid,
        sign_count: stated.sign_count,
    })
}

/// The parts of a packed self attestation.
struct AttestationObject {
    auth_data: Vec<u8>,
    algorithm: i64,
    signature: Vec<u8>,
}

impl AttestationObject {
    fn parse(cbor: &[u8]) -> Result<Self, Refusal> {
        let mut object = Members::of(decode(cbor).map_err(|_| Refusal::AttestationForm)?)?;
        let format = object.take("fmt")?;
        let mut statement = Members::of(object.take("attStmt")?)?;
        let Value::Bytes(auth_data) = object.take("authData")? else { return Err(Refusal::AttestationForm) };
        object.finish(Refusal::AttestationForm)?;
        if format != Value::from("packed") {
            return Err(Refusal::AttestationFormat);
        }
        let algorithm = statement.take("alg")?.as_i64().ok_or(Refusal::AttestationForm)?;
        let Value::Bytes(signature) = statement.take("sig")? else { return Err(Refusal::AttestationForm) };
        // x5c would make it another kind of attestation.
        statement.finish(Refusal::AttestationFormat)?;
        Ok(Self { auth_data, algorithm, signature })
    }
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
        self.0.remove(&Value::from(name)).ok_or(Refusal::AttestationForm)
    }

    fn finish(self, refusal: Refusal) -> Result<(), Refusal> {
        if self.0.is_empty() { Ok(()) } else { Err(refusal) }
    }
}
