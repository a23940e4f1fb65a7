//! Wrapping of the data key under a 32-byte key of the slot's own, for slots that have one.

use super::{SlotError, SlotKind};
use crate::seal::{DataKey, WalletId, open_with, seal_with};
use crate::secret::Secret;
use aes_gcm::{Aes256Gcm, KeyInit};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

const FINGERPRINT_BYTES: usize = 8;

/// What [`WrappingKey::wrap`] gives, in bytes: fingerprint, nonce, the key, tag.
pub const WRAPPED_BYTES: usize = FINGERPRINT_BYTES + 12 + 32 + 16;

/// A slot's own key, 32 bytes: drivers keep it where they keep keys, and wrap the data key under it (AES-256-GCM, bound to the
/// wallet and the kind of slot). Overwritten when it is dropped.
pub struct WrappingKey(Secret);

impl WrappingKey {
    /// A random one.
    ///
    /// # Errors
    /// [`SlotError::Random`].
    pub fn generate() -> Result<Self, SlotError> {
        Secret::generate().map(Self).map_err(|_| SlotError::Random)
    }

    pub(crate) fn from_secret(secret: Secret) -> Self {
        Self(secret)
    }

    /// The one with these bytes.
    ///
    /// # Errors
    /// [`SlotError::Malformed`] if they are not 32.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, SlotError> {
        let secret = Secret::from_slice(bytes);
        secret.map(Self).ok_or_else(|| SlotError::Malformed("it must have 32 bytes".to_owned()))
    }

    /// Its bytes, for a driver to keep.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Fingerprint of this key, then nonce, cipher text and tag: [`WRAPPED_BYTES`].
    ///
    /// # Errors
    /// [`SlotError::Random`].
    pub fn wrap(&self, kind: SlotKind, wallet: &WalletId, key: &DataKey) -> Result<Vec<u8>, SlotError> {
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(|_| SlotError::Random)?;
        let sealed = seal_with(&self.cipher(), nonce, &context(kind, wallet), key.expose());
        let mut out = self.fingerprint().to_vec();
        out.extend(sealed.ok_or(SlotError::Altered)?);
        Ok(out)
    }

    /// The data key that [`WrappingKey::wrap`] wrapped for this wallet and kind.
    ///
    /// # Errors
    /// [`SlotError::OtherKey`], [`SlotError::Altered`].
    pub fn unwrap(&self, kind: SlotKind, wallet: &WalletId, wrapped: &[u8]) -> Result<DataKey, SlotError> {
        let (fingerprint, sealed) =
            wrapped.split_first_chunk::<FINGERPRINT_BYTES>().ok_or(SlotError::Altered)?;
        if !bool::from(fingerprint.ct_eq(&self.fingerprint())) {
            return Err(SlotError::OtherKey);
        }
        let plain = open_with(&self.cipher(), &context(kind, wallet), sealed).ok_or(SlotError::Altered)?;
        DataKey::from_slice(&plain).ok_or(SlotError::Altered)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.as_bytes().into())
    }

    /// Tells keys apart, so that "another key" and "altered" are two errors. Says nothing about the key: it has 256
    /// random bits.
    fn fingerprint(&self) -> [u8; FINGERPRINT_BYTES] {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(b"fwpd slot fingerprint")
            .chain_update(self.as_bytes())
            .finalize()
            .into();
        digest.first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappingKey(..)")
    }
}

fn context(kind: SlotKind, wallet: &WalletId) -> Vec<u8> {
    let mut aad = b"fwpd slot".to_vec();
    aad.extend(kind.code().to_be_bytes());
    aad.extend(wallet.as_bytes());
    aad
}
