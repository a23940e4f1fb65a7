//! Encrypted Signed Authorization Data (ESAD): `1010(["https://fido-web-pay.github.io/ns/p1", {...}])` (protocol section 4).
//! Reading, writing and the AAD are here; decryption is for banks (`issuer/verifier`).

use crate::encryption_algorithm::{ContentEncryption, KeyEncryption};
use fwp_cose::cbor::{DecodeError, Fields, Map, SchemaError, Value, decode};
use fwp_cose::{KeyError, PublicKey};

/// Which of its keys the issuer is to decrypt with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyReference {
    /// keyId (3): any value, compared by its encoding.
    Id(Value),
    /// publicKey (4).
    PublicKey(PublicKey),
}

/// Why bytes are no ESAD.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EsadError {
    /// Not deterministic CBOR.
    #[error("ESAD: {0}")]
    Cbor(#[from] DecodeError),
    /// Not an object of [`crate::ASSERTION_VERSION`].
    #[error("ESAD: not a COTX object (tag 1010) with the identifier {:?}", crate::ASSERTION_VERSION)]
    Version,
    /// Labels or types are off.
    #[error("ESAD: {0}")]
    Schema(#[from] SchemaError),
    /// An algorithm is none of ours.
    #[error("ESAD: {field} {id} is not supported")]
    Algorithm {
        /// Which one.
        field: &'static str,
        /// The identifier.
        id: i64,
    },
    /// keyId (3) and publicKey (4): not exactly one of them.
    #[error("ESAD: keyEncryption must have exactly one of keyId (3) and publicKey (4)")]
    KeyReference,
    /// A COSE key is none, or no key agreement key.
    #[error("ESAD: {field}: {source}")]
    Key {
        /// Which one.
        field: &'static str,
        /// What is wrong.
        source: KeyError,
    },
    /// The ephemeral key is no key agreement key.
    #[error("ESAD: ephemeralKey (7) must be a P-256 or X25519 key")]
    EphemeralKey,
    /// The wrapped key is missing, or there though the algorithm wraps none, or of the wrong length.
    #[error("ESAD: the wrapped key (10 of keyEncryption) does not fit the algorithms")]
    WrappedKey,
}

/// An ESAD of the right shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedSad {
    /// algorithm (1): content encryption.
    pub content_encryption: ContentEncryption,
    /// keyEncryption (2), algorithm (1).
    pub key_encryption: KeyEncryption,
    /// keyEncryption (2), keyId (3) or publicKey (4).
    pub key_reference: KeyReference,
    /// keyEncryption (2), ephemeralKey (7).
    pub ephemeral_key: PublicKey,
    /// keyEncryption (2), cipherText (10); there if and only if the algorithm wraps.
    pub wrapped_key: Option<Vec<u8>>,
    /// tag (8).
    pub tag: [u8; 16],
    /// iv (9).
    pub iv: [u8; 12],
    /// cipherText (10).
    pub cipher_text: Vec<u8>,
}

impl EncryptedSad {
    /// Reads an ESAD: strict in encoding, labels, types and lengths.
    ///
    /// # Errors
    /// [`EsadError`].
    pub fn decode(cbor: &[u8]) -> Result<Self, EsadError> {
        let object = match decode(cbor)? {
            Value::Cotx(id, object) if id == crate::ASSERTION_VERSION => *object,
            _ => return Err(EsadError::Version),
        };
        let mut main = Fields::of("ESAD", object)?;
        let content = main.int(1)?;
        let content_encryption = ContentEncryption::from_id(content)
            .ok_or(EsadError::Algorithm { field: "content encryption algorithm (1)", id: content })?;
        let mut sub = Fields::of("ESAD keyEncryption (2)", main.required(2)?)?;
        let tag = main.byte_array(8)?;
        let iv = main.byte_array(9)?;
        let cipher_text = main.bytes(10)?;
        main.finish()?;

        let key = sub.int(1)?;
        let key_encryption = KeyEncryption::from_id(key)
            .ok_or(EsadError::Algorithm { field: "key encryption algorithm (1 of 2)", id: key })?;
        let key_reference = match (sub.optional(3), sub.optional(4)) {
            (Some(id), None) => KeyReference::Id(id),
            (None, Some(key)) => KeyReference::PublicKey(
                PublicKey::from_value(key)
                    .map_err(|source| EsadError::Key { field: "publicKey (4)", source })?,
            ),
            _ => return Err(EsadError::KeyReference),
        };
        let ephemeral_key = PublicKey::from_value(sub.required(7)?)
            .map_err(|source| EsadError::Key { field: "ephemeralKey (7)", source })?;
        if !matches!(ephemeral_key, PublicKey::P256(_) | PublicKey::X25519(_)) {
            return Err(EsadError::EphemeralKey);
        }
        let wrapped_key = if key_encryption.wraps() { Some(sub.bytes(10)?) } else { None };
        if wrapped_key.as_ref().is_some_and(|wrapped| wrapped.len() != content_encryption.key_bytes() + 8) {
            return Err(EsadError::WrappedKey);
        }
        sub.finish()?;
        Ok(Self {
            content_encryption,
            key_encryption,
            key_reference,
            ephemeral_key,
            wrapped_key,
            tag,
            iv,
            cipher_text,
        })
    }

    /// The deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let main = self
            .unencrypted()
            .with(8, self.tag.as_slice())
            .with(9, self.iv.as_slice())
            .with(10, self.cipher_text.as_slice());
        cotx(main).encode()
    }

    /// The additional authenticated data: the encoded, COTX-wrapped object without tag, iv and cipherText.
    pub fn aad(&self) -> Vec<u8> {
        cotx(self.unencrypted()).encode()
    }

    fn unencrypted(&self) -> Map {
        let mut sub = Map::new().with(1, self.key_encryption.id()).with(7, self.ephemeral_key.to_value());
        sub = match &self.key_reference {
            KeyReference::Id(id) => sub.with(3, id.clone()),
            KeyReference::PublicKey(key) => sub.with(4, key.to_value()),
        };
        if let Some(wrapped) = &self.wrapped_key {
            sub = sub.with(10, wrapped.as_slice());
        }
        Map::new().with(1, self.content_encryption.id()).with(2, sub)
    }
}

fn cotx(main: Map) -> Value {
    Value::Cotx(crate::ASSERTION_VERSION.to_owned(), Box::new(Value::Map(main)))
}
