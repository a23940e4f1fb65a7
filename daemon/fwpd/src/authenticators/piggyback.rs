//! The state of this computer's own authenticators, kept in the user's store, and what is committed along with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ctap_authenticator::HardwareError;
use ctap_authenticator::software::{self, StateStorage, StorageError};
use fwp_dbus::Error;
use fwp_store::record::AuthenticatorState;
use fwp_store::{Changes, Durability};
use zeroize::Zeroizing;

use super::tpm;
use crate::vault::Vault;

/// What is to be committed along with the state of an authenticator, so that a payment costs no commits of its own: with the
/// durable save that precedes every signature in software, and with the lazy one after it. And why it failed, in more words
/// than an authenticator has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Piggyback(Arc<Mutex<Pending>>);

#[derive(Default)]
struct Pending {
    /// Goes with the next durable save.
    changes: Option<Changes>,
    /// A state that waits for the next commit.
    lazy: Option<(AuthenticatorState, Zeroizing<Vec<u8>>)>,
    /// Why the store could not be read or written, or the hardware not be used: the authenticator itself can't tell.
    failure: Option<Error>,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("changes", &self.changes).finish_non_exhaustive()
    }
}

impl Piggyback {
    /// These changes go with the next durable save.
    pub(crate) fn with(changes: Changes) -> Self {
        Self(Arc::new(Mutex::new(Pending { changes: Some(changes), ..Pending::default() })))
    }

    /// Adds the state that waits to the changes of a commit that is made anyway.
    pub(crate) fn add_lazy(&self, changes: &mut Changes) {
        if let Some((which, state)) = self.lock().lazy.take() {
            changes.put_authenticator_state(which, state);
        }
    }

    /// The error of the store or the hardware, where that is why the authenticator failed.
    pub(crate) fn explain<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        outcome.map_err(|error| self.lock().failure.take().unwrap_or(error))
    }

    /// Whether the changes have been committed.
    pub(crate) fn is_committed(&self) -> bool {
        self.lock().changes.is_none()
    }

    /// The hardware that keeps the keys failed.
    pub(super) fn hardware_fails(&self, error: &HardwareError) {
        tracing::warn!(%error, "the TPM fails");
        self.lock().failure = Some(tpm::refusal(error));
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn fails(&mut self, error: Error) -> StorageError {
        let text = StorageError(error.message.clone());
        self.failure = Some(error);
        text
    }
}

/// The state of one of this computer's own authenticators, in the user's store. For threads that may wait.
pub(super) struct VaultStorage {
    pub(super) vault: Vault,
    pub(super) which: AuthenticatorState,
    pub(super) piggyback: Piggyback,
}

impl StateStorage for VaultStorage {
    fn load(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, StorageError> {
        let which = self.which;
        let read =
            self.vault.read_here(|store| store.map_or(Ok(None), |store| store.authenticator_state(which)));
        read.map_err(|error| self.piggyback.lock().fails(error))
    }

    fn save(&mut self, state: &[u8], durability: software::Durability) -> Result<(), StorageError> {
        let state = Zeroizing::new(state.to_vec());
        if durability == software::Durability::Lazy {
            self.piggyback.lock().lazy = Some((self.which, state));
            return Ok(());
        }
        let mut pending = self.piggyback.lock();
        let mut changes = pending.changes.take().unwrap_or_default();
        changes.put_authenticator_state(self.which, state);
        pending.lazy = None;
        let saved = self.vault.write_here(|store| store.commit(changes, Durability::Durable));
        saved.map(|_| ()).map_err(|error| pending.fails(error))
    }
}

/// Saves what a ceremony left to be saved with a later commit, where there is none.
pub(crate) async fn settle(vault: &Vault, piggyback: &Piggyback) {
    let mut changes = Changes::new();
    piggyback.add_lazy(&mut changes);
    if !changes.is_empty() {
        // What is lost if this fails are attempts at the PIN, never gained ones.
        let _ = vault.write(|store| store.commit(changes, Durability::Lazy)).await;
    }
}
