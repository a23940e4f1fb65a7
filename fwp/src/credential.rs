//! FWP credentials, "virtual cards" (FIDO Web Pay section 4): CBOR maps with labels 1 to 14.

use crate::encryption_algorithm::{ContentEncryption, KeyEncryption};
use crate::host::RpId;
use crate::text::{TextError, check_shown};
use fwp_cose::cbor::{DecodeError, Fields, Map, SchemaError, Value};
use fwp_cose::{KeyError, PublicKey, SignatureAlgorithm};
use std::fmt;

/// Most bytes of a credential ID. CTAP has no limit; keys in the field stay below.
pub const MAX_CREDENTIAL_ID_BYTES: usize = 1023;
/// Most UTF-16 code units of accountId, paymentNetworkId, issuerId and serialNumber each.
pub const MAX_CARD_TEXT: usize = 1024;
/// Most bytes of a card image.
pub const MAX_CARD_IMAGE_BYTES: usize = 256 * 1024;
/// Most bytes of a keyId in its encoding.
pub const MAX_KEY_ID_BYTES: usize = 1024;

/// Identifier of a FIDO key, 1 to 1023 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(Vec<u8>);

/// The user's account, known to user and bank only. Not in `Debug`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AccountId(String);

/// Why a credential record or card data is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Not deterministic CBOR.
    #[error("credential: {0}")]
    Cbor(#[from] DecodeError),
    /// Labels or types are off.
    #[error("credential: {0}")]
    Schema(#[from] SchemaError),
    /// Another version than [`crate::CREDENTIAL_VERSION`].
    #[error("credential: version (1) is not {:?}; a newer wallet may know it", crate::CREDENTIAL_VERSION)]
    Version,
    /// A COSE key is none, or of the wrong kind.
    #[error("credential: {field}: {source}")]
    Key {
        /// Name of the field.
        field: &'static str,
        /// What is wrong.
        source: KeyError,
    },
    /// signatureAlgorithm (5) is none of ours or does not fit publicKey (4).
    #[error(
        "credential: signatureAlgorithm (5) {0} is not ES256 (-7), Ed25519 (-8) or RS256 (-257), or does not fit publicKey (4)"
    )]
    SignatureAlgorithm(i64),
    /// encryptionKey (6) is no key agreement key.
    #[error("credential: encryptionKey (6) must be a P-256 or X25519 key")]
    EncryptionKey,
    /// contentEncryptionAlgorithm (8) or keyEncryptionAlgorithm (9) is none of ours.
    #[error("credential: {field} {id} is not supported")]
    EncryptionAlgorithm {
        /// Name of the field.
        field: &'static str,
        /// The identifier.
        id: i64,
    },
    /// Text that is shown breaks a rule.
    #[error("credential: {field} {source}")]
    Text {
        /// Name of the field.
        field: &'static str,
        /// The rule.
        source: TextError,
    },
    /// A length is out of bounds.
    #[error("credential: {field} must have 1 to {max} bytes")]
    Length {
        /// Name of the field.
        field: &'static str,
        /// The limit in bytes.
        max: usize,
    },
    /// rpId (3) is no domain.
    #[error("credential: rpId (3): {0}")]
    RpId(#[from] crate::host::HostError),
    /// cardImage (14) is not UTF-8.
    #[error("credential: cardImage (14) is not UTF-8 text")]
    CardImage,
}

impl CredentialId {
    /// The credential ID with these bytes.
    ///
    /// # Errors
    /// [`CredentialError::Length`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, CredentialError> {
        if (1..=MAX_CREDENTIAL_ID_BYTES).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(CredentialError::Length { field: "credentialId (2)", max: MAX_CREDENTIAL_ID_BYTES })
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AccountId {
    /// The account with this identifier.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The identifier. Not for logs or errors.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a bank issues: labels 6 to 14.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardData {
    /// encryptionKey (6), shared by the issuer's clients: P-256 or X25519.
    pub encryption_key: PublicKey,
    /// encryptionKeyId (7), any CBOR value.
    pub encryption_key_id: Option<Value>,
    /// contentEncryptionAlgorithm (8).
    pub content_encryption: ContentEncryption,
    /// keyEncryptionAlgorithm (9).
    pub key_encryption: KeyEncryption,
    /// accountId (10).
    pub account_id: AccountId,
    /// paymentNetworkId (11).
    pub payment_network_id: String,
    /// issuerId (12).
    pub issuer_id: String,
    /// serialNumber (13), unique at the issuer.
    pub serial_number: String,
    /// cardImage (14): SVG from outside, UTF-8; not yet known to be harmless.
    pub card_image: String,
}

/// A virtual card tied to its FIDO key: labels 1 to 14.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// credentialId (2).
    pub credential_id: CredentialId,
    /// rpId (3).
    pub rp_id: RpId,
    /// publicKey (4).
    pub public_key: PublicKey,
    /// signatureAlgorithm (5); fits the key.
    pub signature_algorithm: SignatureAlgorithm,
    /// Labels 6 to 14.
    pub card: CardData,
}

impl CardData {
    /// Reads card data as a bank sends it: a CBOR map with labels 6 to 14.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn decode(cbor: &[u8]) -> Result<Self, CredentialError> {
        let mut fields = Fields::of("cardData", fwp_cose::cbor::decode(cbor)?)?;
        let card = Self::read(&mut fields)?;
        fields.finish()?;
        Ok(card)
    }

    /// The CBOR map with labels 6 to 14.
    pub fn encode(&self) -> Vec<u8> {
        Value::Map(self.write(Map::new())).encode()
    }

    fn read(fields: &mut Fields) -> Result<Self, CredentialError> {
        let encryption_key = PublicKey::from_value(fields.required(6)?)
            .map_err(|source| CredentialError::Key { field: "encryptionKey (6)", source })?;
        if !matches!(encryption_key, PublicKey::P256(_) | PublicKey::X25519(_)) {
            return Err(CredentialError::EncryptionKey);
        }
        let encryption_key_id = fields.optional(7);
        if encryption_key_id.as_ref().is_some_and(|id| id.encode().len() > MAX_KEY_ID_BYTES) {
            return Err(CredentialError::Length { field: "encryptionKeyId (7)", max: MAX_KEY_ID_BYTES });
        }
        let content = fields.int(8)?;
        let key = fields.int(9)?;
        let text = |fields: &mut Fields, label: i64, field: &'static str| {
            let text = fields.text(label)?;
            check_shown(&text, MAX_CARD_TEXT).map_err(|source| CredentialError::Text { field, source })?;
            Ok::<_, CredentialError>(text)
        };
        Ok(Self {
            encryption_key,
            encryption_key_id,
            content_encryption: ContentEncryption::from_id(content).ok_or(
                CredentialError::EncryptionAlgorithm { field: "contentEncryptionAlgorithm (8)", id: content },
            )?,
            key_encryption: KeyEncryption::from_id(key).ok_or(CredentialError::EncryptionAlgorithm {
                field: "keyEncryptionAlgorithm (9)",
                id: key,
            })?,
            account_id: AccountId(text(fields, 10, "accountId (10)")?),
            payment_network_id: text(fields, 11, "paymentNetworkId (11)")?,
            issuer_id: text(fields, 12, "issuerId (12)")?,
            serial_number: text(fields, 13, "serialNumber (13)")?,
            card_image: read_image(fields.bytes(14)?)?,
        })
    }

    fn write(&self, map: Map) -> Map {
        let mut map = map
            .with(6, self.encryption_key.to_value())
            .with(8, self.content_encryption.id())
            .with(9, self.key_encryption.id())
            .with(10, self.account_id.as_str())
            .with(11, self.payment_network_id.as_str())
            .with(12, self.issuer_id.as_str())
            .with(13, self.serial_number.as_str())
            .with(14, self.card_image.as_bytes());
        if let Some(id) = &self.encryption_key_id {
            map = map.with(7, id.clone());
        }
        map
    }
}

impl Credential {
    /// Reads a credential record.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn decode(cbor: &[u8]) -> Result<Self, CredentialError> {
        let mut fields = Fields::of("credential", fwp_cose::cbor::decode(cbor)?)?;
        if fields.text(1)? != crate::CREDENTIAL_VERSION {
            return Err(CredentialError::Version);
        }
        let credential_id = CredentialId::new(fields.bytes(2)?)?;
        let rp_id = RpId::parse(&fields.text(3)?)?;
        let public_key = PublicKey::from_value(fields.required(4)?)
            .map_err(|source| CredentialError::Key { field: "publicKey (4)", source })?;
        let algorithm = fields.int(5)?;
        let signature_algorithm = SignatureAlgorithm::from_id(algorithm)
            .filter(|algorithm| algorithm.fits(&public_key))
            .ok_or(CredentialError::SignatureAlgorithm(algorithm))?;
        let card = CardData::read(&mut fields)?;
        fields.finish()?;
        Ok(Self { credential_id, rp_id, public_key, signature_algorithm, card })
    }

    /// The credential record in deterministic CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let map = Map::new()
            .with(1, crate::CREDENTIAL_VERSION)
            .with(2, self.credential_id.as_bytes())
            .with(3, self.rp_id.as_str())
            .with(4, self.public_key.to_value())
            .with(5, self.signature_algorithm.id());
        Value::Map(self.card.write(map)).encode()
    }
}

fn read_image(bytes: Vec<u8>) -> Result<String, CredentialError> {
    if !(1..=MAX_CARD_IMAGE_BYTES).contains(&bytes.len()) {
        return Err(CredentialError::Length { field: "cardImage (14)", max: MAX_CARD_IMAGE_BYTES });
    }
    String::from_utf8(bytes).map_err(|_| CredentialError::CardImage)
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialId({} bytes)", self.0.len())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountId(..)")
    }
}
