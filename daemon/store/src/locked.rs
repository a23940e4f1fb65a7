//! Before the store is unlocked.

use crate::counter::OutsideCounter;
use crate::counting::ask;
use crate::error::StoreError;
use crate::files::{WalletDirectory, exists, file_error, make_private, remove_if_there};
use crate::head::Head;
use crate::migrate::migrate;
use crate::record::{AuditEvent, AuditKind};
use crate::schema::{self, MIGRATIONS};
use crate::seal::{DataKey, Keys, WalletId};
use crate::slot::{KeySlot, SlotError, SlotKind};
use crate::slots::{SlotId, SlotRow, fill, split};
use crate::store::{Parts, Store};
use crate::table::Table;
use crate::verify::{for_each_row, verify};
use crate::writer::Writer;
use rusqlite::Connection;
use std::fmt;
use std::path::Path;

/// What is in a wallet's directory.
#[derive(Debug)]
pub enum Found {
    /// No wallet yet.
    Nothing(Vacant),
    /// A wallet, locked.
    Wallet(Locked),
}

/// A directory without a wallet, held by this process.
#[derive(Debug)]
pub struct Vacant {
    directory: WalletDirectory,
}

/// A wallet whose data key is not known yet.
pub struct Locked {
    connection: Connection,
    schema: u32,
    wallet: WalletId,
    slots: Vec<SlotRow>,
    directory: WalletDirectory,
}

/// A wallet that was not unlocked, and why.
#[derive(Debug)]
pub struct Refusal {
    /// Still locked; another slot may open it.
    pub locked: Locked,
    /// Why it was not.
    pub error: StoreError,
}

/// Takes the wallet's directory (it is made if it is not there) for this process and looks at what is in it.
///
/// # Errors
/// [`StoreError::InUse`], [`StoreError::File`], [`StoreError::NotAWallet`], [`StoreError::DatabaseMissing`],
/// [`StoreError::Newer`], [`StoreError::Corrupt`], [`StoreError::Altered`].
pub fn open(directory: &Path) -> Result<Found, StoreError> {
    let directory = WalletDirectory::take(directory)?;
    if exists(&directory.database()) {
        return Locked::open(directory).map(Found::Wallet);
    }
    // A log would be taken for the new database's, and is all that is left of the old one.
    let log = directory.log();
    if exists(&log) {
        Err(StoreError::DatabaseMissing { log })
    } else {
        Ok(Found::Nothing(Vacant { directory }))
    }
}

impl Vacant {
    /// Makes a wallet whose data key each of `slots` gives, and opens it. It is there as a whole or not at all, whenever
    /// the process ends.
    ///
    /// # Errors
    /// [`StoreError::Slot`] if one of them can't be filled, [`StoreError::LastSlot`] if there is none,
    /// [`StoreError::File`], [`StoreError::Database`].
    pub fn create(self, slots: &[&dyn KeySlot], at_unix_ms: i64) -> Result<Store, StoreError> {
        // 1. A data key, and a way to it.
        let wallet = WalletId::generate()?;
        let data_key = DataKey::generate()?;
        let filled =
            slots.iter().map(|slot| fill(*slot, &wallet, &data_key, None)).collect::<Result<Vec<_>, _>>()?;
        if filled.is_empty() {
            return Err(StoreError::LastSlot);
        }
        // 2. A whole database under another name; one left over from a process that ended in the middle goes.
        let unfinished = self.directory.unfinished();
        for left_over in [unfinished.with_extension("new-journal"), unfinished.clone()] {
            remove_if_there(&left_over)?;
        }
        let connection = schema::create(&unfinished)?;
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {}", schema::ddl()))?;
        connection.execute("INSERT INTO wallet (id, wallet_id) VALUES (1, ?1)", [wallet.as_bytes()])?;
        let keys = Keys::derive(&wallet, &data_key);
        let mut writer = Writer::after(&connection, &keys, &Head::default());
        for stored in &filled {
            writer.put_stored(Table::Slot, writer.next_row(Table::Slot), stored)?;
        }
        writer.append_audit(&AuditEvent::new(at_unix_ms, AuditKind::WalletCreated))?;
        writer.finish()?;
        connection.execute_batch("COMMIT")?;
        connection.close().map_err(|(_, error)| error)?;
        // 3. Its name. A link fails where a rename would replace.
        let path = self.directory.database();
        std::fs::hard_link(&unfinished, &path).map_err(file_error(&path))?;
        std::fs::remove_file(&unfinished).map_err(file_error(&unfinished))?;
        self.directory.sync()?;
        let unlocked = Locked::open(self.directory)?.open_with(data_key, None, None, None);
        unlocked.map_err(|refusal| refusal.error)
    }
}

impl Locked {
    fn open(directory: WalletDirectory) -> Result<Self, StoreError> {
        let path = directory.database();
        make_private(&path, 0o600)?;
        // The second name of a database whose creation was interrupted between its last two steps.
        remove_if_there(&directory.unfinished())?;
        let (connection, schema) = schema::open(&path)?;
        let wallet: Vec<u8> =
            connection.query_row("SELECT wallet_id FROM wallet WHERE id = 1", [], |row| row.get(0))?;
        let wallet = wallet.try_into().map_err(|_| StoreError::NotAWallet { path })?;
        let mut slots = Vec::new();
        for_each_row(&connection, Table::Slot, |row| {
            slots.push(split(row.row, &row.stored)?);
            Ok(())
        })?;
        Ok(Self { connection, schema, wallet: WalletId::from_bytes(wallet), slots, directory })
    }

    /// The wallet's name, not secret.
    pub fn wallet_id(&self) -> WalletId {
        self.wallet
    }

    /// The kinds of its slots; not authenticated yet.
    pub fn slot_kinds(&self) -> impl Iterator<Item = SlotKind> {
        self.slots.iter().map(|slot| slot.kind)
    }

    /// Its slots; not authenticated yet.
    pub fn slots(&self) -> impl Iterator<Item = (SlotId, SlotKind)> {
        self.slots.iter().map(|slot| (slot.id, slot.kind))
    }

    /// Opens the wallet with the first of `slots` that gives its data key, in their order, and checks every record. A store
    /// of an earlier schema version is carried over in one commit. With a `counter`, the store must be the newest that it
    /// knows of; one that can't be asked now does not hinder, and [`Store::counter_problem`] says so.
    ///
    /// # Errors
    /// [`Refusal`] with [`StoreError::NoSlotOpens`], or with what is wrong with the store: [`StoreError::Altered`],
    /// [`StoreError::Set`], [`StoreError::AuditChain`], [`StoreError::Corrupt`], [`StoreError::Record`],
    /// [`StoreError::RolledBack`], [`StoreError::CounterLost`], [`StoreError::Counter`].
    pub fn unlock(
        self,
        slots: &[&dyn KeySlot],
        counter: Option<Box<dyn OutsideCounter>>,
    ) -> Result<Store, Box<Refusal>> {
        self.unlock_with(slots, counter, None)
    }

    /// Opens the wallet as [`Locked::unlock`] does, even if the counter says that it was rolled back, or is not the counter
    /// that it knew: the user has said that this copy is meant. The audit log keeps that, and the counter begins again.
    ///
    /// # Errors
    /// Those of [`Locked::unlock`] that are not about the counter.
    pub fn unlock_as_newest(
        self,
        slots: &[&dyn KeySlot],
        counter: Box<dyn OutsideCounter>,
        at_unix_ms: i64,
    ) -> Result<Store, Box<Refusal>> {
        self.unlock_with(slots, Some(counter), Some(at_unix_ms))
    }

    fn unlock_with(
        self,
        slots: &[&dyn KeySlot],
        counter: Option<Box<dyn OutsideCounter>>,
        accepted_at: Option<i64>,
    ) -> Result<Store, Box<Refusal>> {
        let mut tried = Vec::new();
        for slot in slots {
            for row in self.slots.iter().filter(|row| row.kind == slot.kind()) {
                match slot.unwrap(&self.wallet, &row.wrapped) {
                    Ok(data_key) => {
                        let opened_by = Some((row.id, row.kind));
                        return self.open_with(data_key, opened_by, counter, accepted_at);
                    }
                    Err(error) => tried.push((slot.kind(), error)),
                }
            }
        }
        let kinds = self.slot_kinds().filter(|kind| slots.iter().all(|slot| slot.kind() != *kind));
        tried.extend(kinds.map(|kind| (kind, SlotError::NotAtHand)));
        Err(Box::new(Refusal { locked: self, error: StoreError::NoSlotOpens { tried } }))
    }

    fn open_with(
        mut self,
        data_key: DataKey,
        opened_by: Option<(SlotId, SlotKind)>,
        counter: Option<Box<dyn OutsideCounter>>,
        accepted_at: Option<i64>,
    ) -> Result<Store, Box<Refusal>> {
        let keys = Keys::derive(&self.wallet, &data_key);
        let checked = verify(&self.connection, &keys, self.schema).and_then(|verified| {
            let advice = ask(&verified.head, &self.wallet, counter, accepted_at.is_some())?;
            let verified = migrate(&self.connection, &keys, &mut self.schema, verified, MIGRATIONS)?;
            Ok((verified, advice))
        });
        let (verified, advice) = match checked {
            Ok(checked) => checked,
            Err(error) => return Err(Box::new(Refusal { locked: self, error })),
        };
        let Self { connection, wallet, directory, .. } = self;
        let mut store =
            Store::new(Parts { connection, directory, wallet, data_key, keys, verified, opened_by });
        // What can't be written here is no reason to keep the wallet shut; it is said.
        store.take_up(advice, accepted_at);
        Ok(store)
    }
}

impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked")
            .field("wallet", &self.wallet)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}
