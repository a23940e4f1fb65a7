//! Signed Authorization Data (SAD): AD and what the authenticator made of it (FIDO Web Pay section 4.3).

use super::authorization_data::{AuthorizationData, Location, PlatformData};
use crate::credential::AccountId;
use crate::host::PayeeHost;
use crate::payment_request::{Prcd, PrcdError};
use crate::time_stamp::TimeStamp;
use fwp_cose::cbor::{DecodeError, Fields, SchemaError, Value, decode};
use fwp_cose::{KeyError, PublicKey, SignatureAlgorithm, SignatureError};
use sha2::{Digest, Sha256};

/// rpIdHash, flags and signature counter (WebAuthn section 6.1): an assertion's authenticatorData without extensions.
pub const AUTHENTICATOR_DATA_BYTES: usize = 37;
/// Most bytes of authenticatorData with extension data. A limit of ours.
const MAX_AUTHENTICATOR_DATA_BYTES: usize = 1024;
/// Most bytes of a signature: RSA with 4096 bits.
const MAX_SIGNATURE_BYTES: usize = 512;

/// Why bytes are no SAD.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SadError {
    /// Not deterministic CBOR.
    #[error("SAD: {0}")]
    Cbor(#[from] DecodeError),
    /// Labels or types are off.
    #[error("SAD: {0}")]
    Schema(#[from] SchemaError),
    /// paymentRequest (1) is no PRCD.
    #[error("SAD: {0}")]
    PaymentRequest(#[from] PrcdError),
    /// payeeHost (2) is no host.
    #[error("SAD: payeeHost (2): {0}")]
    PayeeHost(#[from] crate::host::HostError),
    /// networkOptions (6) has a float, which only location and keyId may.
    #[error("SAD: networkOptions (6) must not have floating point numbers")]
    NetworkOptions,
    /// location (8) is not two finite floats in range.
    #[error("SAD: location (8) is not two floats, latitude -90 to 90 and longitude -180 to 180")]
    Location,
    /// timeStamp (9) is none.
    #[error("SAD: timeStamp (9): {0}")]
    TimeStamp(#[from] crate::time_stamp::TimeStampError),
    /// The signature algorithm is none of the three, or not the key's.
    #[error(
        "SAD: signatureAlgorithm {0} is not ES256 (-7), Ed25519 (-8) or RS256 (-257), or does not fit the public key"
    )]
    Algorithm(i64),
    /// The public key is none.
    #[error("SAD: publicKey: {0}")]
    PublicKey(#[from] KeyError),
    /// clientDataJSON (label 5 of signature) is there: a WebAuthn signature, which FIDO Web Pay does not take.
    #[error("SAD: a signature with clientDataJSON (WebAuthn) is not taken")]
    ClientDataJson,
    /// authenticatorData has a length that none can have.
    #[error(
        "SAD: authenticatorData must have {AUTHENTICATOR_DATA_BYTES} to {MAX_AUTHENTICATOR_DATA_BYTES} bytes"
    )]
    AuthenticatorData,
    /// signatureValue is empty or longer than any signature.
    #[error("SAD: signatureValue must have 1 to {MAX_SIGNATURE_BYTES} bytes")]
    SignatureLength,
}

/// Signed Authorization Data: of the right shape; [`SignedAuthorizationData::verify`] tells whether the signature is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedAuthorizationData {
    authorization_data: AuthorizationData,
    authenticator_data: Vec<u8>,
    signature: Vec<u8>,
}

impl AuthorizationData {
    /// This AD with what the authenticator answered. Whether the signature is good is for a verifier.
    ///
    /// # Errors
    /// [`SadError::AuthenticatorData`], [`SadError::SignatureLength`] for what can be none.
    pub fn signed(
        self,
        authenticator_data: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<SignedAuthorizationData, SadError> {
        SignedAuthorizationData::new(self, authenticator_data, signature)
    }
}

impl SignedAuthorizationData {
    fn new(
        authorization_data: AuthorizationData,
        authenticator_data: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<Self, SadError> {
        if !(AUTHENTICATOR_DATA_BYTES..=MAX_AUTHENTICATOR_DATA_BYTES).contains(&authenticator_data.len()) {
            return Err(SadError::AuthenticatorData);
        }
        if !(1..=MAX_SIGNATURE_BYTES).contains(&signature.len()) {
            return Err(SadError::SignatureLength);
        }
        Ok(Self { authorization_data, authenticator_data, signature })
    }

    /// Reads a SAD: strict in encoding, labels and types.
    ///
    /// # Errors
    /// [`SadError`].
    pub fn decode(cbor: &[u8]) -> Result<Self, SadError> {
        let mut fields = Fields::of("SAD", decode(cbor)?)?;
        let payment_request = Prcd::from_value(fields.required(1)?)?;
        let payee_host = PayeeHost::parse(&fields.text(2)?)?;
        let account_id = AccountId::new(fields.text(3)?);
        let payment_network_id = fields.text(4)?;
        let serial_number = fields.text(5)?;
        let network_options = fields.optional(6);
        if network_options.as_ref().is_some_and(|options| options.any(&|v| matches!(v, Value::Float(_)))) {
            return Err(SadError::NetworkOptions);
        }
        let platform_data = PlatformData::from_value(fields.required(7)?)?;
        let location = match fields.optional(8) {
            Some(value) => Some(Location::from_value(value).ok_or(SadError::Location)?),
            None => None,
        };
        let time_stamp = TimeStamp::parse(&fields.text(9)?)?;
        let mut signature = Fields::of("SAD signature (-1)", fields.required(-1)?)?;
        fields.finish()?;

        if signature.optional(5).is_some() {
            return Err(SadError::ClientDataJson);
        }
        let algorithm = signature.int(1)?;
        let public_key = PublicKey::from_value(signature.required(2)?)?;
        let signature_algorithm = SignatureAlgorithm::from_id(algorithm)
            .filter(|algorithm| algorithm.fits(&public_key))
            .ok_or(SadError::Algorithm(algorithm))?;
        let authenticator_data = signature.bytes(3)?;
        let signature_value = signature.bytes(4)?;
        signature.finish()?;

        let authorization_data = AuthorizationData {
            payment_request,
            payee_host,
            account_id,
            payment_network_id,
            serial_number,
            network_options,
            platform_data,
            location,
            time_stamp,
            signature_algorithm,
            public_key,
        };
        Self::new(authorization_data, authenticator_data, signature_value)
    }

    /// The deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let signature = self
            .authorization_data
            .signature_map()
            .with(3, self.authenticator_data.as_slice())
            .with(4, self.signature.as_slice());
        self.authorization_data.to_value(signature).encode()
    }

    /// What was authorized.
    pub fn authorization_data(&self) -> &AuthorizationData {
        &self.authorization_data
    }

    /// authenticatorData (WebAuthn section 6.1), as the authenticator gave it.
    pub fn authenticator_data(&self) -> &[u8] {
        &self.authenticator_data
    }

    /// signatureValue, in the algorithm's own form.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// What the authenticator signed: `authenticatorData || SHA-256(AD)`. Its SHA-256 is the replay key, since signatures
    /// have twins and messages don't.
    pub fn signed_message(&self) -> Vec<u8> {
        let mut message = self.authenticator_data.clone();
        message.extend_from_slice(&self.authorization_data.client_data_hash());
        message
    }

    /// SHA-256 of [`Self::signed_message`].
    pub fn replay_key(&self) -> [u8; 32] {
        Sha256::digest(self.signed_message()).into()
    }

    /// Verifies the signature with the public key within.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self) -> Result<(), SignatureError> {
        let ad = &self.authorization_data;
        fwp_cose::signature::verify(
            ad.signature_algorithm,
            &ad.public_key,
            &self.signed_message(),
            &self.signature,
        )
    }
}
