//! What the authenticator needs of the place where its keys live, cut so that a TPM can be one: the PIN is the
//! authorization of an object there, checked and counted there; keys are bound to it.

use ctap_core::messages::CredentialId;
use ctap_core::{PinHash, RandomError};
use fwp_cose::key::P256Key;
use fwp_cose::tpm::TpmStatement;

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
    /// The hardware that keeps the keys cannot be used.
    #[error(transparent)]
    Hardware(#[from] HardwareError),
    /// Whatever keeps the keys failed in another way.
    #[error("the keys cannot be used: {0}")]
    Backend(String),
}

/// Why the hardware that keeps the keys, a TPM, cannot be used. The texts can be shown to the user: each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HardwareError {
    /// There is none.
    #[error(
        "no TPM answers at {address} ({cause}): switch it on in the firmware's settings, or use a security key"
    )]
    Missing {
        /// Where it was looked for.
        address: String,
        /// The operating system's words.
        cause: String,
    },
    /// It may not be opened.
    #[error(
        "no permission to use the TPM at {address}: the program's user has to be in the group \"tss\" (log in again afterwards)"
    )]
    NoPermission {
        /// Where it is.
        address: String,
    },
    /// It is there, but has no room for what this needs, or no time.
    #[error("the TPM is busy with other programs ({cause}): try again in a moment")]
    Busy {
        /// What there was too little of.
        cause: String,
    },
    /// It stopped answering in the middle.
    #[error("the TPM stopped answering: try again, and restart the computer if that does not help")]
    Gone,
    /// It refuses every PIN, right ones too, those of other users and programs as well, after too many wrong ones.
    #[error(
        "the TPM is locked after too many wrong PINs, for all users of this computer and for the right PIN too: it takes one again in at most {seconds} seconds of being switched on"
    )]
    LockedOut {
        /// At most so long, in seconds.
        seconds: u32,
    },
    /// One more wrong PIN could lock it for all users, or half of all attempts were this user's wrong ones: whoever was wrong may
    /// not try now.
    #[error(
        "another wrong PIN could lock the TPM for all users of this computer: try again in at most {seconds} seconds"
    )]
    NearLockout {
        /// At most so long, in seconds.
        seconds: u32,
    },
    /// It is the same one, but its owner's keys were deleted.
    #[error(
        "the TPM was cleared, which deleted the keys in it: reset the authenticator and enroll your cards again"
    )]
    Cleared,
    /// It is another one.
    #[error(
        "this is not the TPM that made the keys: put the disk back into its computer, or reset the authenticator and enroll your cards again"
    )]
    Replaced,
    /// One of both, it can't be told which.
    #[error(
        "the TPM was cleared, or is not the one that made the keys: put the disk back into its computer, or reset the authenticator and enroll your cards again"
    )]
    ClearedOrReplaced,
    /// The PIN's object was deleted or put there anew by somebody who has the owner's rights.
    #[error(
        "the PIN was deleted from the TPM, which made the keys useless: reset the authenticator and enroll your cards again"
    )]
    PinDeleted,
    /// The key that vouches for new ones is of before the TPM was cleared, or of another one.
    #[error(
        "the TPM no longer has the key that vouches for new ones: have it certified again (fwpctl authenticators certify)"
    )]
    AttestationKeyLost,
    /// Something of another program is where the counter should be.
    #[error("the TPM's NV index 0x{index:08x} belongs to another program: delete it there first")]
    IndexTaken {
        /// The NV index.
        index: u32,
    },
    /// Its owner hierarchy has a password.
    #[error(
        "the TPM's owner hierarchy has a password: take it away (tpm2_changeauth -c owner -p OLD) while this is set up"
    )]
    OwnerPassword,
    /// No room in its non-volatile memory.
    #[error("the TPM's memory is full: delete NV indices that nobody needs (tpm2_nvundefine)")]
    NoRoom,
    /// It can't do what is needed, or anything else went wrong.
    #[error("the TPM's {command} failed: {cause}")]
    Failed {
        /// The command, as the TPM library specification calls it.
        command: &'static str,
        /// The response code, or what else went wrong.
        cause: String,
    },
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
    /// compared, so that pulling the plug between the two gives no free guess; a right PIN restores all attempts. (Where
    /// hardware counts it that way by itself, what this store counts besides may follow.)
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

    /// Has something that a bank may trust vouch for the key of an unlocked store, over a SHA-256 of what is attested (WebAuthn
    /// Level 2 section 8.3). `None`: there is nothing of the kind, the key vouches for itself.
    ///
    /// # Errors
    /// [`KeyStoreError`].
    fn attest(
        &mut self,
        _rp_id_hash: &[u8; 32],
        _credential_id: &CredentialId,
        _digest: &[u8; 32],
    ) -> Result<Option<TpmStatement>, KeyStoreError> {
        Ok(None)
    }

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
