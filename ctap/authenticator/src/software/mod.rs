//! The key store without a TPM.
//!
//! A credential ID *is* its private key, sealed with AES-256-GCM under the store's master key and bound to the rpId. The
//! master key, the PIN's salted hash, the attempts left and the counter are one [state](StateStorage) of less than 200
//! bytes, which the caller keeps sealed and durable: who reads it can use the keys, who rolls it back gets back attempts.
//! One store at a time has it open: two would count attempts apart.
//!
//! # How often it saves
//! An assertion costs one durable save and a lazy one: before a PIN is compared, the attempt is counted and the counter
//! of the signature that may follow is reserved in the same save; a right PIN gives the attempts back lazily. If that
//! one is lost, attempts are lost, never gained.

mod memory;
mod seal;
mod state;
mod store;

pub use memory::{InMemory, ReadOnly};
pub use store::{AAGUID, SoftwareKeyStore};

use zeroize::Zeroizing;

/// When a save has to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before [`StateStorage::save`] returns, a power failure after it included.
    Durable,
    /// Some time: with a later save, or never. What is lost then harms nobody.
    Lazy,
}

/// The state could not be loaded or saved; the text says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(pub String);

/// Where the state of a [`SoftwareKeyStore`] is kept. It holds the master key: seal it.
pub trait StateStorage: Send {
    /// The state that was saved last, or `None` if none was ever.
    ///
    /// # Errors
    /// [`StorageError`]; also if there may be one that can't be read: `None` would make a new authenticator.
    fn load(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, StorageError>;

    /// Replaces the state, as a whole or not at all.
    ///
    /// # Errors
    /// [`StorageError`].
    fn save(&mut self, state: &[u8], durability: Durability) -> Result<(), StorageError>;
}
