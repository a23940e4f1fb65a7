//! A user's store, opened when it is first needed, made when there is first something to keep. Everything that waits for
//! the disk, for a keyring or for a TPM runs on another thread than the bus.
//!
//! Whoever comes first has the store first, and only who has it takes a thread: so what is committed later is newer, and
//! calls that wait for a locked keyring cost no threads.
//!
//! * [`guards`](Guards): which key slots and counters there are here. `refusal`: what a failing store means to a caller.

mod guards;
mod refusal;

use std::path::PathBuf;
use std::sync::Arc;

use fwp_dbus::{Error, ErrorName};
use fwp_store::slot::{KeySlot, Passphrase, SlotKind};
use fwp_store::{Found, Store, StoreError};
use fwp_store_tpm::Pcrs;
use tokio::sync::Mutex;

use crate::call::Uid;
use crate::{clock, journal};

pub(crate) use guards::Guards;
pub(crate) use refusal::{refusal, slot_refusal};

/// A user's store.
#[derive(Debug, Clone)]
pub(crate) struct Vault(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    guards: Guards,
    /// Whose it is, for the log.
    uid: Option<Uid>,
    /// A thread that panicked has left a transaction that SQLite rolls back, or a store that says it is broken.
    open: Arc<Mutex<Option<Store>>>,
}

/// What came of opening a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Nothing was ever stored.
    NoStore,
    /// It was open already, whatever was typed.
    WasOpen,
    /// It is open by this.
    Opened,
}

/// Recovery passphrases that the user typed.
pub(crate) type Typed = Vec<Arc<Passphrase>>;

impl Vault {
    /// The store in `directory`, guarded by what `guards` have.
    #[cfg(test)]
    pub(crate) fn new(directory: PathBuf, guards: Guards) -> Self {
        Self(Arc::new(Inner { directory, guards, uid: None, open: Arc::default() }))
    }

    /// As [`Vault::new`], this user's.
    pub(crate) fn of_user(uid: Uid, directory: PathBuf, guards: Guards) -> Self {
        Self(Arc::new(Inner { directory, guards, uid: Some(uid), open: Arc::default() }))
    }

    /// Whether closing it, or ending, costs nobody anything: not while something is done with it, nor where only a passphrase
    /// opened it.
    pub(crate) fn opens_again(&self) -> bool {
        match self.0.open.try_lock() {
            Ok(open) => {
                let opened_by = open.as_ref().and_then(Store::opened_by);
                !matches!(opened_by, Some((_, SlotKind::Passphrase)))
            }
            Err(_) => false,
        }
    }

    /// Whether anything was ever stored.
    pub(crate) fn is_stored(&self) -> bool {
        self.0.has_store()
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
        let written = self.0.write(&mut self.0.open.blocking_lock(), writer);
        journal::of_user_here(self.0.uid, || written.map_err(|error| refusal(&error)))
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
        let read = self.0.open_existing(&mut open).and_then(|()| reader(open.as_ref()));
        journal::of_user_here(self.0.uid, || read.map_err(|error| refusal(&error)))
    }

    /// Works on the store with every slot that is at hand, the passphrases that were `typed` among them. `None` where nothing was ever stored; what the work itself fails with is told apart from
    /// a store that can't be opened.
    ///
    /// # Errors
    /// `StoreLocked`, `StoreRolledBack`, `StoreUnusable`.
    pub(crate) async fn with_slots<R: Send + 'static>(
        &self,
        typed: Typed,
        work: impl FnOnce(&mut Store, &[&dyn KeySlot]) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<Option<Result<R, StoreError>>, Error> {
        self.elsewhere(move |inner, open| {
            inner.open_existing(open)?;
            let Some(store) = &mut *open else { return Ok(None) };
            let own = inner.guards.at_hand();
            let result = work(store, &all(&own, &typed));
            if matches!(result, Err(StoreError::Broken)) {
                *open = None;
            }
            Ok(Some(result))
        })
        .await
    }

    /// The slot of this kind that is at hand; in the TPM, for these PCRs.
    ///
    /// # Errors
    /// `SlotUnusable`: why there is none, and what to do.
    pub(crate) fn slot(&self, kind: SlotKind, pcrs: Option<Pcrs>) -> Result<guards::Slot, Error> {
        self.0
            .guards
            .slot(kind, pcrs)
            .map_err(|error| Error::new(ErrorName::SlotUnusable, format!("{kind}: {error}")))
    }

    /// Opens the store, if there is one and it isn't open.
    ///
    /// # Errors
    /// What the store itself says, or `Internal`.
    pub(crate) async fn unlock(
        &self,
        typed: Typed,
        accepted_at: Option<i64>,
    ) -> Result<Result<Opening, StoreError>, Error> {
        self.elsewhere(move |inner, open| {
            if open.is_some() {
                return Ok(Ok(Opening::WasOpen));
            }
            if inner.has_store() {
                match inner.unlock(&typed, accepted_at) {
                    Ok(store) => *open = store,
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(if open.is_some() { Opening::Opened } else { Opening::NoStore }))
        })
        .await
    }

    /// Closes the store and forgets its key. Who comes after this opens it anew.
    pub(crate) async fn lock(&self) {
        // Closing may carry SQLite's log over.
        let closed = self.elsewhere(|_, open| {
            drop(open.take());
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::error!(%error, "the store did not close as it should");
        }
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
        if open.is_none() && self.has_store() {
            *open = self.unlock(&[], None)?;
        }
        Ok(())
    }

    /// Opens the store with what is at hand and what was `typed`, and asks the counter outside. `accepted_at`: the user said at
    /// that time that this copy is meant, whatever the counter says.
    fn unlock(
        &self,
        typed: &[Arc<Passphrase>],
        accepted_at: Option<i64>,
    ) -> Result<Option<Store>, StoreError> {
        let own = self.guards.at_hand();
        let slots = all(&own, typed);
        let locked = || match fwp_store::open(&self.directory)? {
            Found::Wallet(locked) => Ok::<_, StoreError>(Some(locked)),
            Found::Nothing(_) => Ok(None),
        };
        let Some(found) = locked()? else { return Ok(None) };
        // Which counter is asked depends on what the store says of it.
        let mut store = found.unlock(&slots, None).map_err(|refusal| refusal.error)?;
        let Some(counter) = self.guards.counter_of(&store) else { return Ok(Some(store)) };
        let refused = match store.attach_counter(counter.open()) {
            Ok(()) => return Ok(Some(store)),
            Err(error) => error,
        };
        let is_against_it = matches!(
            refused,
            StoreError::RolledBack { .. } | StoreError::CounterLost { .. } | StoreError::Counter(_)
        );
        drop(store);
        let Some(found) = (match (is_against_it, accepted_at) {
            (true, None) => return Err(refused),
            _ => locked()?,
        }) else {
            return Ok(None);
        };
        let opened = match accepted_at {
            Some(at) => found.unlock_as_newest(&slots, counter.open(), at),
            // What can't be written is no reason to keep the store shut; it says so itself.
            None => found.unlock(&slots, Some(counter.open())),
        };
        opened.map(Some).map_err(|refusal| refusal.error)
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

    /// A new store, guarded by the first slot that is there.
    fn create(&self) -> Result<Store, StoreError> {
        let mut store = self.create_with(&self.guards.for_new()?)?;
        if let Some(counter) = self.guards.counter_of(&store)
            && let Err(error) = store.attach_counter(counter.open())
        {
            // The next opening tries again, and says what is wrong.
            tracing::warn!(%error, "nothing counts outside of the new store");
        }
        Ok(store)
    }

    fn create_with(&self, candidates: &[guards::Candidate]) -> Result<Store, StoreError> {
        let mut refused = StoreError::LastSlot;
        for candidate in candidates {
            let slot = &*candidate.slot;
            let created = match fwp_store::open(&self.directory)? {
                Found::Nothing(vacant) => vacant.create(&[slot], clock::now_ms()),
                Found::Wallet(locked) => locked.unlock(&[slot], None).map_err(|refusal| refusal.error),
            };
            match created {
                Ok(store) => {
                    if slot.kind() == SlotKind::KeyFile {
                        tracing::warn!("nothing better guards the wallet's key: it stands in a file");
                    }
                    return Ok(store);
                }
                Err(error) if candidate.gives_way(&error) => {
                    tracing::info!(%error, "another slot guards the wallet's key");
                    refused = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }
}

/// The slots of both sorts.
fn all<'a>(own: &'a [guards::Slot], typed: &'a [Arc<Passphrase>]) -> Vec<&'a dyn KeySlot> {
    own.iter()
        .map(|slot| &**slot as &dyn KeySlot)
        .chain(typed.iter().map(|typed| &**typed as &dyn KeySlot))
        .collect()
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
        let vault = Vault::new(at("wallet"), Guards::file(at("wallet.key")));
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
