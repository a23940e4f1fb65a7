//! States that are on no disk.

use super::{Durability, StateStorage, StorageError};
use zeroize::Zeroizing;

/// A state that is gone with this value: for tests, and for looking at what an authenticator does.
#[derive(Clone, Default)]
pub struct InMemory(Option<Zeroizing<Vec<u8>>>);

impl StateStorage for InMemory {
    fn load(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, StorageError> {
        Ok(self.0.clone())
    }

    fn save(&mut self, state: &[u8], _: Durability) -> Result<(), StorageError> {
        self.0 = Some(Zeroizing::new(state.to_vec()));
        Ok(())
    }
}

/// A state that is only looked at: every save is refused.
pub struct ReadOnly(pub Option<Zeroizing<Vec<u8>>>);

impl StateStorage for ReadOnly {
    fn load(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, StorageError> {
        Ok(self.0.clone())
    }

    fn save(&mut self, _: &[u8], _: Durability) -> Result<(), StorageError> {
        Err(StorageError("it is only looked at".to_owned()))
    }
}
