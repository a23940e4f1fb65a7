//! Before the store is unlocked.

use crate::counter::OutsideCounter;
use crate::error::StoreError;
use crate::files::{WalletDirectory, exists, file_error, make_private, remove_if_there};
use crate::head::Head;
use crate::migrate::migrate;
use crate::record::{AuditEvent, AuditKind};
use crate::schema::{self, MIGRATIONS};
use crate::seal::{DataKey, Keys, WalletId};
use crate::slot::{KeySlot, SlotKind};
use crate::store::{Parts, Store, split_slot, wrap_for_slot};
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
    /// Row, kind, what the slot wants.
    slots: Vec<(i64, SlotKind, Vec<u8>)>,
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
        let filled = slots
            .iter()
            .map(|slot| wrap_for_slot(*slot, &wallet, &data_key))
            .collect::<Result<Vec<_>, _>>()?;
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
        Locked::open(self.directory)?.open_with(data_key, None).map_err(|refusal| refusal.error)
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
            let (kind, wrapped) = split_slot(row.row, &row.stored)?;
            slots.push((row.row, kind, wrapped.to_vec()));
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
        self.slots.iter().map(|(_, kind, _)| *kind)
    }

    /// Opens the wallet with the first of `slots` that gives its data key, and checks every record. A store of an earlier
    /// schema version is carried over in one commit.
    ///
    /// # Errors
    /// [`Refusal`] with [`StoreError::NoSlotOpens`], or with what is wrong with the store: [`StoreError::Altered`],
    /// [`StoreError::Set`], [`StoreError::AuditChain`], [`StoreError::Corrupt`], [`StoreError::Record`],
    /// [`StoreError::RolledBack`], [`StoreError::Counter`].
    pub fn unlock(
        self,
        slots: &[&dyn KeySlot],
        counter: Option<Box<dyn OutsideCounter>>,
    ) -> Result<Store, Box<Refusal>> {
        let mut tried = Vec::new();
        for slot in slots {
            for (_, _, wrapped) in self.slots.iter().filter(|(_, kind, _)| *kind == slot.kind()) {
                match slot.unwrap(&self.wallet, wrapped) {
                    Ok(data_key) => return self.open_with(data_key, counter),
                    Err(error) => tried.push((slot.kind(), error)),
                }
            }
        }
        Err(Box::new(Refusal { locked: self, error: StoreError::NoSlotOpens { tried } }))
    }

    fn open_with(
        mut self,
        data_key: DataKey,
        counter: Option<Box<dyn OutsideCounter>>,
    ) -> Result<Store, Box<Refusal>> {
        let keys = Keys::derive(&self.wallet, &data_key);
        let checked = verify(&self.connection, &keys, self.schema).and_then(|verified| {
            not_rolled_back(&verified.head, counter.as_deref())?;
            migrate(&self.connection, &keys, &mut self.schema, verified, MIGRATIONS)
        });
        match checked {
            Ok(verified) => Ok(Store::new(Parts {
                connection: self.connection,
                directory: self.directory,
                wallet: self.wallet,
                data_key,
                keys,
                verified,
                counter,
            })),
            Err(error) => Err(Box::new(Refusal { locked: self, error })),
        }
    }
}

fn not_rolled_back(head: &Head, counter: Option<&dyn OutsideCounter>) -> Result<(), StoreError> {
    let Some(counter) = counter else { return Ok(()) };
    let counter = counter.value().map_err(StoreError::Counter)?;
    match head.generation < counter {
        true => Err(StoreError::RolledBack { found: head.generation, counter }),
        false => Ok(()),
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
