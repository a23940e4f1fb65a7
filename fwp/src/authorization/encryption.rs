//! Encryption for the bank (protocol section 4). Randomness comes from the caller.

use super::encrypted::{EncryptedSad, KeyReference};
use super::signed::SignedAuthorizationData;
use crate::credential::Credential;
use crate::encryption_algorithm::{ContentEncryption, KeyEncryption};
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_kw::{KwAes128, KwAes192, KwAes256};
use fwp_cose::PublicKey;
use fwp_cose::key::{P256Key, X25519Key};
use hkdf::Hkdf;
use p256::elliptic_curve::sec1::ToSec1Point;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The KDF (not COSE's): HKDF-SHA256 without salt, `info` the key encryption algorithm identifier as a 4-byte signed
/// big-endian integer, output as long as the derived key.
pub fn derive_key(
    shared_secret: &[u8],
    key: KeyEncryption,
    content: ContentEncryption,
) -> Zeroizing<Vec<u8>> {
    let mut derived = Zeroizing::new(vec![0; key.derived_key_bytes(content)]);
    let info = (key.id() as i32).to_be_bytes();
    // At most 32 bytes are asked for, of the 8160 that HKDF-SHA256 can give, so expansion cannot fail.
    let _ = Hkdf::<Sha256>::new(None, shared_secret).expand(&info, &mut derived);
    derived
}

/// What encryption needs of chance: fresh for every message, from the operating system.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Randomness {
    /// Secret of the ephemeral key.
    pub ephemeral_secret: [u8; 32],
    /// The content key; of it as many bytes as the algorithm takes. Not used with ECDH-ES.
    pub content_key: [u8; 32],
    /// The initialisation vector.
    pub iv: [u8; 12],
}

impl std::fmt::Debug for Randomness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Randomness(..)")
    }
}

/// Why a SAD was not encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncryptError {
    /// The random bytes are no P-256 secret (one case in 2^32). Draw again.
    #[error("these random bytes are no P-256 key; draw again")]
    UnusableRandomness,
    /// The card's encryption key gives no shared secret: its issuer made a mistake.
    #[error("the card's encryption key is not usable; the issuer must issue the card again")]
    EncryptionKey,
    /// AES refused the lengths that the algorithm itself prescribes.
    #[error("the content cannot be encrypted")]
    Content,
}

impl SignedAuthorizationData {
    /// Encrypts for the issuer of `card`.
    ///
    /// # Errors
    /// [`EncryptError`].
    pub fn encrypt(&self, card: &Credential, randomness: &Randomness) -> Result<EncryptedSad, EncryptError> {
        let card = &card.card;
        let (content, key) = (card.content_encryption, card.key_encryption);
        let (ephemeral_key, shared_secret) = agree(&card.encryption_key, &randomness.ephemeral_secret)?;
        let derived = derive_key(shared_secret.as_slice(), key, content);
        let (content_key, wrapped_key) = if key.wraps() {
            let content_key =
                randomness.content_key.get(..content.key_bytes()).ok_or(EncryptError::Content)?;
            (Zeroizing::new(content_key.to_vec()), Some(wrap(&derived, content_key)?))
        } else {
            (derived, None)
        };
        let mut esad = EncryptedSad {
            content_encryption: content,
            key_encryption: key,
            key_reference: match &card.encryption_key_id {
                Some(id) => KeyReference::Id(id.clone()),
                None => KeyReference::PublicKey(card.encryption_key.clone()),
            },
            ephemeral_key,
            wrapped_key,
            tag: [0; 16],
            iv: randomness.iv,
            cipher_text: Vec::new(),
        };
        let mut buffer = self.encode();
        esad.tag = seal(content, &content_key, &esad.iv, &esad.aad(), &mut buffer)?;
        esad.cipher_text = buffer;
        Ok(esad)
    }
}

/// The ephemeral public key of `secret`, and the secret shared with `theirs`.
fn agree(theirs: &PublicKey, secret: &[u8; 32]) -> Result<(PublicKey, Zeroizing<[u8; 32]>), EncryptError> {
    match theirs {
        PublicKey::X25519(theirs) => {
            let secret = x25519_dalek::StaticSecret::from(*secret);
            let ours = X25519Key::new(x25519_dalek::PublicKey::from(&secret).to_bytes());
            let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(*theirs.as_bytes()));
            // An all-zero result means a key of small order (RFC 7748 section 6.1).
            if !shared.was_contributory() {
                return Err(EncryptError::EncryptionKey);
            }
            Ok((PublicKey::X25519(ours), Zeroizing::new(shared.to_bytes())))
        }
        PublicKey::P256(theirs) => {
            let secret = p256::SecretKey::from_slice(secret).map_err(|_| EncryptError::UnusableRandomness)?;
            let theirs = p256::PublicKey::from_sec1_bytes(&theirs.to_sec1())
                .map_err(|_| EncryptError::EncryptionKey)?;
            let ours = P256Key::from_sec1(secret.public_key().to_sec1_point(false).as_bytes())
                .map_err(|_| EncryptError::UnusableRandomness)?;
            let shared = p256::ecdh::diffie_hellman(secret.to_nonzero_scalar(), theirs.as_affine());
            let mut bytes = Zeroizing::new([0; 32]);
            bytes.copy_from_slice(shared.raw_secret_bytes());
            Ok((PublicKey::P256(ours), bytes))
        }
        PublicKey::Ed25519(_) | PublicKey::Rsa(_) => Err(EncryptError::EncryptionKey),
    }
}

/// AES key wrap (RFC 3394) of `content_key` under `derived`.
fn wrap(derived: &[u8], content_key: &[u8]) -> Result<Vec<u8>, EncryptError> {
    let mut wrapped = vec![0; content_key.len() + 8];
    let result = match derived.len() {
        16 => KwAes128::new_from_slice(derived).map(|kw| kw.wrap_key(content_key, &mut wrapped).map(|_| ())),
        24 => KwAes192::new_from_slice(derived).map(|kw| kw.wrap_key(content_key, &mut wrapped).map(|_| ())),
        _ => KwAes256::new_from_slice(derived).map(|kw| kw.wrap_key(content_key, &mut wrapped).map(|_| ())),
    };
    match result {
        Ok(Ok(())) => Ok(wrapped),
        _ => Err(EncryptError::Content),
    }
}

/// Encrypts `buffer` in place and returns the tag.
fn seal(
    content: ContentEncryption,
    key: &[u8],
    iv: &[u8; 12],
    aad: &[u8],
    buffer: &mut [u8],
) -> Result<[u8; 16], EncryptError> {
    fn with<
        C: AeadInOut<NonceSize = aes_gcm::aead::consts::U12, TagSize = aes_gcm::aead::consts::U16> + KeyInit,
    >(
        key: &[u8],
        iv: &[u8; 12],
        aad: &[u8],
        buffer: &mut [u8],
    ) -> Option<[u8; 16]> {
        let cipher = C::new_from_slice(key).ok()?;
        cipher.encrypt_inout_detached(&(*iv).into(), aad, buffer.into()).ok().map(Into::into)
    }
    match content {
        ContentEncryption::A128Gcm => with::<aes_gcm::Aes128Gcm>(key, iv, aad, buffer),
        ContentEncryption::A192Gcm => {
            with::<aes_gcm::AesGcm<aes_gcm::aes::Aes192, aes_gcm::aead::consts::U12>>(key, iv, aad, buffer)
        }
        ContentEncryption::A256Gcm => with::<aes_gcm::Aes256Gcm>(key, iv, aad, buffer),
    }
    .ok_or(EncryptError::Content)
}
