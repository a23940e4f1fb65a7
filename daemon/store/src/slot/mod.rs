//! Key slots: the ways to the data key. A wallet has one data key and one or more slots, each of which holds the data
//! key wrapped in its own manner; any one of them opens the wallet. Losing all of them loses the cards.

mod credential;
mod key_file;
mod passphrase;
#[cfg(feature = "secret-service")]
mod secret_service;
mod tpm;
mod wrap;

pub use credential::SystemdCredential;
pub use key_file::KeyFile;
pub use passphrase::{Cost, LEAST_CHARACTERS, Passphrase, PassphraseRecord};
#[cfg(feature = "secret-service")]
pub use secret_service::SecretServiceSlot;
pub use tpm::TpmProblem;
pub use wrap::{WRAPPED_BYTES, WrappingKey};

use crate::seal::{DataKey, WalletId};
use std::fmt;
use std::path::PathBuf;

/// Most bytes that a slot may keep in the store.
pub const MAX_WRAPPED_BYTES: usize = 16 * 1024;

/// The kinds of slots. The number stands in the store: never change or reuse one. A store may have slots of kinds that
/// this program does not know, and is opened with one that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotKind {
    /// A file that only its owner can read: as safe as the disk is. The last resort.
    KeyFile,
    /// The desktop's keyring, through the Secret Service interface.
    SecretService,
    /// A credential of systemd, bound to host and TPM.
    SystemdCredential,
    /// Sealed by the TPM. Its driver needs the TPM's library and so lives elsewhere; a wallet that has such a slot says
    /// [`SlotError::NotAtHand`] where no driver is given.
    Tpm,
    /// A passphrase, for recovery.
    Passphrase,
    /// One that this version does not know.
    Unknown(i64),
}

/// A way to the data key. Drivers may live in other crates: what they return from [`KeySlot::wrap`] is theirs to lay out,
/// at most [`MAX_WRAPPED_BYTES`] long, and they must take any bytes in [`KeySlot::unwrap`], since whoever can write the file
/// chooses them.
pub trait KeySlot {
    /// Its kind.
    fn kind(&self) -> SlotKind;

    /// Wraps `key` for `wallet`. What is returned stands in the store, readable for anyone who has the file.
    ///
    /// # Errors
    /// [`SlotError`].
    fn wrap(&self, wallet: &WalletId, key: &DataKey) -> Result<Vec<u8>, SlotError>;

    /// The data key that [`KeySlot::wrap`] wrapped. May wait for the user, so call it where waiting is no harm.
    ///
    /// # Errors
    /// [`SlotError`].
    fn unwrap(&self, wallet: &WalletId, wrapped: &[u8]) -> Result<DataKey, SlotError>;

    /// Wraps `key` in place of `before`, which [`KeySlot::wrap`] returned once and this driver unwraps: on the terms that
    /// `before` has, where a driver can have several.
    ///
    /// # Errors
    /// [`SlotError`].
    fn wrap_again(&self, wallet: &WalletId, key: &DataKey, _before: &[u8]) -> Result<Vec<u8>, SlotError> {
        self.wrap(wallet, key)
    }

    /// Deletes what the slot keeps outside of the store for `wallet`, if it keeps anything of its own there. To be called after
    /// its last slot was removed ([`crate::Store::remove_slot`]); what it once wrapped is not opened by it any more, in no
    /// copy.
    ///
    /// # Errors
    /// [`SlotError`].
    fn discard(&self, _wallet: &WalletId) -> Result<(), SlotError> {
        Ok(())
    }
}

/// Why a slot does not give or take the data key.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// There is no Secret Service on the session bus, or no session bus.
    #[error("there is no such service in this session: {0}")]
    NoService(String),
    /// The keyring is locked and the user did not unlock it.
    #[error("the keyring is locked and was not unlocked: {0}")]
    Locked(String),
    /// The service did not answer in time; most likely a prompt waits for the user.
    #[error("no answer within {seconds} s; a prompt may be waiting")]
    TimedOut {
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The slot's own key is gone.
    #[error("its key is missing: {0}")]
    Missing(String),
    /// The slot's own key is another one than the one that wrapped the data key.
    #[error("it has the key of another wallet or of another time")]
    OtherKey,
    /// The wrapped key was changed.
    #[error("what the store has for it was altered")]
    Altered,
    /// The slot's own key has the wrong form.
    #[error("its key is malformed: {0}")]
    Malformed(String),
    /// Others can read the key file.
    #[error("{} has mode {mode:o}, others may have read it; make it 0600 if they have not", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The wallet has a slot of this kind, and nothing was given that could open it.
    #[error("nothing that could open it is at hand here")]
    NotAtHand,
    /// The passphrase is another one.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The passphrase has too few characters to stand against guessing.
    #[error("a passphrase needs at least {least} characters")]
    PassphraseTooShort {
        /// The fewest, in characters of normal form C.
        least: usize,
    },
    /// The cost of the passphrase is beyond what this program takes upon itself, or below what the standard allows.
    #[error("a passphrase of {memory_kib} KiB, {passes} passes and {lanes} lanes is outside of the limits")]
    Cost {
        /// Memory in KiB.
        memory_kib: i64,
        /// Passes over it.
        passes: i64,
        /// Lanes.
        lanes: i64,
    },
    /// There is not enough memory to try the passphrase.
    #[error("trying the passphrase takes {kib} KiB of memory, which are not there now")]
    NoMemory {
        /// How much is needed, in KiB.
        kib: u32,
    },
    /// The slot was filled and did not give the same key back, so it was not used.
    #[error("it does not give back the key that it was given")]
    Unsound,
    /// More than [`MAX_WRAPPED_BYTES`].
    #[error("it wants to keep {bytes} bytes in the store, more than {MAX_WRAPPED_BYTES}")]
    TooLong {
        /// How many bytes.
        bytes: usize,
    },
    /// The system gives no random numbers.
    #[error("no random numbers from the system")]
    Random,
    /// The TPM does not take or give its key.
    #[error(transparent)]
    Tpm(#[from] TpmProblem),
    /// Anything else that the slot's other side says.
    #[error("{0}")]
    Other(String),
}

impl SlotKind {
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::KeyFile => 1,
            Self::SecretService => 2,
            Self::SystemdCredential => 3,
            Self::Tpm => 4,
            Self::Passphrase => 5,
            Self::Unknown(code) => code,
        }
    }

    pub(crate) fn from_code(code: i64) -> Self {
        match code {
            1 => Self::KeyFile,
            2 => Self::SecretService,
            3 => Self::SystemdCredential,
            4 => Self::Tpm,
            5 => Self::Passphrase,
            code => Self::Unknown(code),
        }
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile => f.write_str("key file"),
            Self::SecretService => f.write_str("Secret Service"),
            Self::SystemdCredential => f.write_str("systemd credential"),
            Self::Tpm => f.write_str("TPM"),
            Self::Passphrase => f.write_str("passphrase"),
            Self::Unknown(code) => write!(f, "slot of unknown kind {code}"),
        }
    }
}
