//! The platform authenticator, this computer itself, with keys in software. Its state is kept in the store.

use std::sync::{Arc, Mutex, PoisonError};

use ctap_authenticator::software::{self, SoftwareKeyStore, StateStorage, StorageError};
use ctap_authenticator::{Authenticator, ImpliedPresence, PlatformDevice};
use ctap_core::transport::Device;
use fwp_dbus::interfaces::AUTHENTICATOR_PREFIX;
use fwp_dbus::types::AuthenticatorInfo;
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuthenticatorKind, AuthenticatorState};
use fwp_store::{Changes, Durability};
use zeroize::Zeroizing;

use super::{Os, PLATFORM, Shown, uuid};
use crate::vault::Vault;

/// Which of this computer's own authenticators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// The one with keys in software.
    Software,
}

impl Platform {
    /// All that there are.
    pub(crate) const ALL: [Self; 1] = [Self::Software];

    /// As it stands in dictionaries and paths.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Software => "software",
        }
    }

    /// For people. That keys are in software is said wherever the authenticator is shown.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Software => "this computer, keys in software",
        }
    }

    /// The model.
    pub(crate) fn aaguid(self) -> [u8; 16] {
        match self {
            Self::Software => software::AAGUID,
        }
    }

    /// Its object's path.
    pub(crate) fn path(self) -> String {
        format!("{AUTHENTICATOR_PREFIX}/{}", self.as_str())
    }

    /// As the store has it.
    pub(crate) fn in_store(self) -> AuthenticatorKind {
        match self {
            Self::Software => AuthenticatorKind::Software,
        }
    }

    /// As the user is shown it.
    pub(crate) fn shown(self) -> Shown {
        Shown { kind: self.as_str().to_owned(), name: self.name().to_owned() }
    }

    /// Its properties.
    pub(crate) fn info(self) -> AuthenticatorInfo {
        AuthenticatorInfo {
            kind: self.as_str().to_owned(),
            attachment: PLATFORM.to_owned(),
            name: self.name().to_owned(),
            aaguid: uuid(self.aaguid()),
            versions: ["FIDO_2_0", "FIDO_2_1"].map(str::to_owned).into(),
            usable: true,
            problem: String::new(),
        }
    }

    /// Opens it, on a thread that may wait. Each ceremony powers it up anew, and nothing of it stays in memory in between.
    ///
    /// # Errors
    /// `AuthenticatorFailed`.
    pub(crate) fn open(self, vault: &Vault, piggyback: &Piggyback) -> Result<Box<dyn Device>, Error> {
        let storage = VaultStorage { vault: vault.clone(), piggyback: piggyback.clone() };
        match self {
            Self::Software => {
                let failed = |error: ctap_authenticator::KeyStoreError| {
                    Error::new(ErrorName::AuthenticatorFailed, error.to_string())
                };
                let keys = SoftwareKeyStore::open(storage, Os::default()).map_err(failed)?;
                let authenticator = Authenticator::new(keys, Os::default()).map_err(failed)?;
                Ok(Box::new(PlatformDevice::new(authenticator, ImpliedPresence)))
            }
        }
    }
}

/// What is to be committed along with the state of the software authenticator, so that a payment costs no commits of its
/// own: with the durable save that precedes every signature, and with the lazy one after it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Piggyback(Arc<Mutex<Pending>>);

#[derive(Default)]
struct Pending {
    /// Goes with the next durable save.
    changes: Option<Changes>,
    /// A state that waits for the next commit.
    lazy: Option<Zeroizing<Vec<u8>>>,
    /// Why the store could not be read or written: the authenticator itself can't tell.
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
        if let Some(state) = self.lock().lazy.take() {
            changes.put_authenticator_state(AuthenticatorState::Software, state);
        }
    }

    /// The error of the store, where that is why the authenticator failed.
    pub(crate) fn explain<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        outcome.map_err(|error| self.lock().failure.take().unwrap_or(error))
    }

    /// Whether the changes have been committed.
    pub(crate) fn is_committed(&self) -> bool {
        self.lock().changes.is_none()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
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

/// The state of the software authenticator, in the user's store.
struct VaultStorage {
    vault: Vault,
    piggyback: Piggyback,
}

impl StateStorage for VaultStorage {
    fn load(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, StorageError> {
        let state = self.vault.read_here(|store| {
            store.map_or(Ok(None), |store| store.authenticator_state(AuthenticatorState::Software))
        });
        state.map_err(|error| self.piggyback.lock().fails(error))
    }

    fn save(&mut self, state: &[u8], durability: software::Durability) -> Result<(), StorageError> {
        let state = Zeroizing::new(state.to_vec());
        if durability == software::Durability::Lazy {
            self.piggyback.lock().lazy = Some(state);
            return Ok(());
        }
        let mut pending = self.piggyback.lock();
        let mut changes = pending.changes.take().unwrap_or_default();
        changes.put_authenticator_state(AuthenticatorState::Software, state);
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
