//! A user's store, opened when it is first needed, made when there is first something to keep. Everything that waits for
//! the disk or for a keyring runs on another thread than the bus.
//!
//! Whoever comes first has the store first, and only who has it takes a thread: so what is committed later is newer, and
//! calls that wait for a locked keyring cost no threads.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fwp_dbus::{Error, ErrorName};
use fwp_store::slot::{KeyFile, KeySlot, SecretServiceSlot, SlotError};
use fwp_store::{Found, Store, StoreError};
use tokio::sync::Mutex;

use crate::clock;
use crate::config::KeySlotChoice;
use crate::context::Bus;

/// How long the keyring may take; a prompt of its own may wait for the user. Below the 25 s that callers usually wait.
const KEYRING_DEADLINE: Duration = Duration::from_secs(20);

/// A user's store.
#[derive(Debug, Clone)]
pub(crate) struct Vault(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    key_file: PathBuf,
    bus: Bus,
    key_slot: KeySlotChoice,
    /// A thread that panicked has left a transaction that SQLite rolls back, or a store that says it is broken.
    open: Arc<Mutex<Option<Store>>>,
}

impl Vault {
    /// The store in `directory`; a key file, where one is used, is `key_file`. A new one is guarded by `key_slot`.
    pub(crate) fn new(directory: PathBuf, key_file: PathBuf, bus: Bus, key_slot: KeySlotChoice) -> Self {
        Self(Arc::new(Inner { directory, key_file, bus, key_slot, open: Arc::default() }))
    }

    /// Reads; `None` where nothing was ever stored.
    ///
    /// # Errors
    /// `StoreLocked`, `StoreUnusable`.
    pub(crate) async fn read<R: Send + 'static>(
        &self,
        reader: impl FnOnce(Option<&Store>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, Error> {
        // An open store reads from memory mostly; that is not worth another thread.
        if let Ok(open) = self.0.open.try_lock()
            && let Some(store) = &*open
        {
            return reader(Some(store)).map_err(|error| refusal(&error));
        }
        self.elsewhere(move |inner, open| {
            inner.open_existing(open)?;
            reader(open.as_ref())
        })
        .await
    }

    /// Writes; the store is made if there is none.
    ///
    /// # Errors
    /// `StoreLocked`, `StoreUnusable`.
    pub(crate) async fn write<R: Send + 'static>(
        &self,
        writer: impl FnOnce(&mut Store) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, Error> {
        self.elsewhere(move |inner, open| inner.write(open, writer)).await
    }

    /// Writes if there is a store; what is of no interest in an empty wallet makes none.
    ///
    /// # Errors
    /// `StoreLocked`, `StoreUnusable`.
    pub(crate) async fn write_existing<R: Send + 'static>(
        &self,
        writer: impl FnOnce(&mut Store) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<Option<R>, Error> {
        self.elsewhere(move |inner, open| match inner.has_store() {
            true => inner.write(open, writer).map(Some),
            false => Ok(None),
        })
        .await
    }

    /// As [`Vault::write`], for threads that may wait.
    ///
    /// # Errors
    /// `StoreLocked`, `StoreUnusable`.
    pub(crate) fn write_here<R>(
        &self,
        writer: impl FnOnce(&mut Store) -> Result<R, StoreError>,
    ) -> Result<R, Error> {
        self.0.write(&mut self.0.open.blocking_lock(), writer).map_err(|error| refusal(&error))
    }

    /// As [`Vault::read`], for threads that may wait.
    ///
    /// # Errors
    /// `StoreLocked`, `StoreUnusable`.
    pub(crate) fn read_here<R>(
        &self,
        reader: impl FnOnce(Option<&Store>) -> Result<R, StoreError>,
    ) -> Result<R, Error> {
        let mut open = self.0.open.blocking_lock();
        self.0.open_existing(&mut open).and_then(|()| reader(open.as_ref())).map_err(|error| refusal(&error))
    }

    async fn elsewhere<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &mut Option<Store>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, Error> {
        let inner = Arc::clone(&self.0);
        let mut open = Arc::clone(&inner.open).lock_owned().await;
        match tokio::task::spawn_blocking(move || work(&inner, &mut open)).await {
            Ok(result) => result.map_err(|error| refusal(&error)),
            Err(error) => {
                tracing::error!(%error, "work on the store ended abruptly");
                Err(Error::new(ErrorName::Internal, "the wallet's store failed; the wallet's log tells more"))
            }
        }
    }
}

impl Inner {
    fn has_store(&self) -> bool {
        self.directory.join("wallet.db").exists()
    }

    fn open_existing(&self, open: &mut Option<Store>) -> Result<(), StoreError> {
        if open.is_some() || !self.has_store() {
            return Ok(());
        }
        if let Found::Wallet(locked) = fwp_store::open(&self.directory)? {
            let (keyring, key_file) =
                (SecretServiceSlot::new(KEYRING_DEADLINE), KeyFile::new(&self.key_file));
            let slots: &[&dyn KeySlot] = match self.bus {
                Bus::Session => &[&key_file, &keyring],
                Bus::System => &[&key_file],
            };
            *open = Some(locked.unlock(slots, None).map_err(|refusal| refusal.error)?);
        }
        Ok(())
    }

    fn write<R>(
        &self,
        open: &mut Option<Store>,
        writer: impl FnOnce(&mut Store) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.open_existing(open)?;
        let store = match &mut *open {
            Some(store) => store,
            none => none.insert(self.create()?),
        };
        let result = writer(store);
        if matches!(result, Err(StoreError::Broken)) {
            *open = None;
        }
        result
    }

    /// On a session's bus the desktop's keyring guards the key; where there is none, and on the system's bus, a file does.
    fn create(&self) -> Result<Store, StoreError> {
        if self.bus == Bus::Session && self.key_slot == KeySlotChoice::Keyring {
            let keyring = SecretServiceSlot::new(KEYRING_DEADLINE);
            match self.create_with(&keyring) {
                // Only where there is none; one that is locked is worth waiting for.
                Err(StoreError::Slot {
                    source: source @ (SlotError::NoService(_) | SlotError::Missing(_)),
                    ..
                }) => {
                    tracing::warn!(%source, "no keyring guards the wallet's key: it stands in a file");
                }
                created_or_failed => return created_or_failed,
            }
        }
        self.create_with(&KeyFile::new(&self.key_file))
    }

    fn create_with(&self, slot: &dyn KeySlot) -> Result<Store, StoreError> {
        match fwp_store::open(&self.directory)? {
            Found::Nothing(vacant) => vacant.create(&[slot], clock::now_ms()),
            Found::Wallet(locked) => locked.unlock(&[slot], None).map_err(|refusal| refusal.error),
        }
    }
}

/// What a failing store means to a caller. The store's texts name files and records, never what is in them.
fn refusal(error: &StoreError) -> Error {
    tracing::warn!(%error, "the store refuses");
    let may_open_later = |tried: &SlotError| {
        matches!(tried, SlotError::NoService(_) | SlotError::Locked(_) | SlotError::TimedOut { .. })
    };
    match error {
        StoreError::NoSlotOpens { tried } if tried.iter().any(|(_, error)| may_open_later(error)) => {
            Error::new(ErrorName::StoreLocked, error.to_string())
        }
        StoreError::Slot { source, .. } if may_open_later(source) => {
            Error::new(ErrorName::StoreLocked, error.to_string())
        }
        error => Error::new(ErrorName::StoreUnusable, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwp_store::record::{AuditEvent, AuditKind};
    use fwp_store::{Changes, Durability};

    /// A ceremony leaves a state of the authenticator and ledger entries to a commit that is made after the floor was given
    /// back. One that was asked for later must not come before it: an older state would give back attempts at the PIN, an
    /// older removal would untie a request.
    #[test]
    fn what_is_written_first_is_committed_first() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name| directory.path().join(name);
        let vault = Vault::new(at("wallet"), at("wallet.key"), Bus::System, KeySlotChoice::File);
        let commit = |store: &mut Store, n: i64| {
            let mut changes = Changes::new();
            changes.audit(AuditEvent::new(n, AuditKind::PinSet));
            store.commit(changes, Durability::Lazy)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            vault.write(move |store| commit(store, 0)).await.unwrap();
            // Something holds the store while these are asked for, and another one after the other.
            let (go, wait) = std::sync::mpsc::channel::<()>();
            let (begun, begins) = tokio::sync::oneshot::channel();
            let busy = tokio::spawn({
                let vault = vault.clone();
                async move {
                    vault
                        .write(move |_| {
                            begun.send(()).unwrap();
                            Ok(wait.recv())
                        })
                        .await
                }
            });
            begins.await.unwrap();
            let writes: Vec<_> = (1..=100)
                .map(|n| {
                    let vault = vault.clone();
                    tokio::spawn(async move { vault.write(move |store| commit(store, n)).await })
                })
                .collect();
            // All of them wait.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            go.send(()).unwrap();
            busy.await.unwrap().unwrap().unwrap();
            for write in writes {
                write.await.unwrap().unwrap();
            }
        });
        let log = vault.read_here(|store| store.unwrap().audit(0, 1000)).unwrap();
        let order: Vec<_> = log
            .iter()
            .filter(|entry| entry.event.kind == AuditKind::PinSet)
            .map(|e| e.event.at_unix_ms)
            .collect();
        assert_eq!(order, (0..=100).collect::<Vec<_>>());
    }
}
