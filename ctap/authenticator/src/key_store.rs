//! What the authenticator needs of the place where its keys live, cut so that a TPM can be one: the PIN is the
//! authorization of an object there, checked and counted there; keys are bound to it.

use ctap_core::messages::CredentialId;
use ctap_core::{PinHash, RandomError};
use fwp_cose::key::P256Key;

/// Why the key store could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyStoreError {
    /// The state could not be read or written durably.
    #[error("the authenticator's state cannot be kept: {0}")]
    Storage(String),
    /// The state is there but not one of ours.
    #[error(
        "the authenticator's state is damaged: {0}; restore it from a backup, or reset the authenticator"
    )]
    Damaged(&'static str),
    /// The state was written by a later version.
    #[error("the authenticator's state is of version {0}, which is newer than this program: update it")]
    Newer(u8),
    /// The credential ID is not one of ours, or for another rpId.
    #[error("the credential is not of this authenticator")]
    NotOurs,
    /// [`KeyStore::unlock`] has not been called, or [`KeyStore::lock`] since.
    #[error("the keys are locked: the PIN comes first")]
    Locked,
    /// There is no PIN yet.
    #[error("no PIN is set")]
    PinNotSet,
    /// No attempts are left.
    #[error("the PIN is blocked")]
    PinBlocked,
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The TPM or whatever keeps the keys failed.
    #[error("the keys cannot be used: {0}")]
    Backend(String),
}

/// Whether there is a PIN, and how many attempts are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinState {
    /// A PIN is set.
    pub set: bool,
    /// Wrong PINs in a row until it is blocked for good.
    pub retries: u8,
}

/// What [`KeyStore::unlock`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlock {
    /// The right PIN: the keys can be used until [`KeyStore::lock`].
    Unlocked,
    /// A wrong one: an attempt less is left.
    Wrong,
}

/// A new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedKey {
    /// By which the store finds the key again; whatever it needs for that is in it.
    pub credential_id: CredentialId,
    /// The public key, for ES256.
    pub public_key: P256Key,
}

/// Where keys live.
pub trait KeyStore: Send {
    /// The model that attestations name: one for each kind of store.
    fn aaguid(&self) -> [u8; 16];

    /// The longest credential ID that it makes, in bytes.
    fn max_credential_id_length(&self) -> usize;

    /// About the PIN.
    ///
    /// # Errors
    /// [`KeyStoreError`].
    fn pin_state(&mut self) -> Result<PinState, KeyStoreError>;

    /// Sets the first PIN. Durable when it returns.
    ///
    /// # Errors
    /// [`KeyStoreError`].
    fn set_pin(&mut self, pin: &PinHash) -> Result<(), KeyStoreError>;

    /// Checks the PIN, and unlocks the keys if it is right. The attempt is counted durably *before* the PIN is
    /// compared, so that pulling the plug between the two gives no free guess; a right PIN restores all attempts.
    /// A store may keep what it needs of the PIN, in memory only, until [`KeyStore::lock`].
    ///
    /// # Errors
    /// [`KeyStoreError::PinNotSet`], [`KeyStoreError::PinBlocked`] and others.
    fn unlock(&mut self, pin: &PinHash) -> Result<Unlock, KeyStoreError>;

    /// Locks the keys.
    fn lock(&mut self);

    /// Changes the PIN of the unlocked store, which is locked afterwards. Durable when it returns. Keys and their
    /// credential IDs stay what they are.
    ///
    /// # Errors
    /// [`KeyStoreError::Locked`] and others.
    fn change_pin(&mut self, new: &PinHash) -> Result<(), KeyStoreError>;

    /// Makes an ES256 key that is bound to the SHA-256 of the rpId.
    ///
    /// # Errors
    /// [`KeyStoreError`].
    fn create_key(&mut self, rp_id_hash: &[u8; 32]) -> Result<CreatedKey, KeyStoreError>;

    /// Whether the credential is of this store and for this rpId.
    ///
    /// # Errors
    /// [`KeyStoreError`], but `false` for whatever is just not ours.
    fn owns(&mut self, rp_id_hash: &[u8; 32], credential_id: &CredentialId) -> Result<bool, KeyStoreError>;

    /// Signs a SHA-256 digest with the key of an unlocked store: ECDSA in ASN.1 DER.
    ///
    /// # Errors
    /// [`KeyStoreError::NotOurs`], [`KeyStoreError::Locked`] and others.
    fn sign(
        &mut self,
        rp_id_hash: &[u8; 32],
        credential_id: &CredentialId,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, KeyStoreError>;

    /// The next value of the signature counter, higher than every one given before, also after a crash.
    ///
    /// # Errors
    /// [`KeyStoreError`].
    fn next_counter(&mut self) -> Result<u32, KeyStoreError>;

    /// Forgets the PIN, and all keys: no credential ID made before is ours afterwards. Durable when it returns.
    ///
    /// # Errors
    /// [`KeyStoreError`].
    fn reset(&mut self) -> Result<(), KeyStoreError>;
}
