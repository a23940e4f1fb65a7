//! Everything that can go wrong with a store, each with what to do about it.

use crate::counter::{CounterError, CounterKind};
use crate::slot::{SlotError, SlotKind};
use crate::slots::SlotId;
use crate::table::Table;
use std::path::PathBuf;

/// Why a store is not opened, not read or not changed. None of these changes what is on disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has this wallet open.
    #[error("the wallet in {} is in use by another process; stop that one first", directory.display())]
    InUse {
        /// The wallet's directory.
        directory: PathBuf,
    },
    /// A file or directory can't be read, written or given the right mode.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database file itself is damaged.
    #[error("wallet damaged: {0}; restore a backup, the file was left as it is")]
    Corrupt(#[source] rusqlite::Error),
    /// SQLite refuses.
    #[error("database: {0}")]
    Database(#[source] rusqlite::Error),
    /// The disk is full.
    #[error("there is no room left on the disk for the wallet; nothing was changed, make room and try again")]
    NoRoom,
    /// The system gives no random numbers.
    #[error("no random numbers from the system: {0}")]
    Random(getrandom::Error),
    /// The file is no wallet of ours.
    #[error("{} is not a wallet of fwpd; it was left as it is", path.display())]
    NotAWallet {
        /// The file.
        path: PathBuf,
    },
    /// The database is gone and its log is still there.
    #[error("there is {} without the database that it belongs to; restore that, or move the log away to begin anew", log.display())]
    DatabaseMissing {
        /// The log.
        log: PathBuf,
    },
    /// A newer version wrote the store.
    #[error(
        "the wallet has schema version {found}, this program knows up to {known}; use the newer program, nothing was changed"
    )]
    Newer {
        /// The store's version.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// No key slot gave the data key.
    #[error("no key slot opens the wallet: {}; it was left as it is", list(tried))]
    NoSlotOpens {
        /// What was tried, with the reason for each; slots for which nothing was given are [`SlotError::NotAtHand`].
        tried: Vec<(SlotKind, SlotError)>,
    },
    /// A key slot can't be filled.
    #[error("{kind}: {source}")]
    Slot {
        /// Which kind.
        kind: SlotKind,
        /// Why.
        source: SlotError,
    },
    /// The last key slot can't be removed: the wallet could never be opened again.
    #[error("this is the last key slot of the wallet; add another one first")]
    LastSlot,
    /// The last usable key slot can't be removed.
    #[error("no other key slot opens the wallet now: {}; nothing was changed", list(unusable))]
    LastUsableSlot {
        /// The other slots, and why each does not open it.
        unusable: Vec<(SlotKind, SlotError)>,
    },
    /// A wallet has a limited number of key slots.
    #[error("a wallet has at most {most} key slots; remove one first")]
    TooManySlots {
        /// The limit.
        most: usize,
    },
    /// Slots that would still hold the old key.
    #[error(
        "not every key slot can be filled anew: {}; nothing was changed, make them usable or remove them first",
        list_named(slots)
    )]
    SlotsNotAtHand {
        /// Which, and why.
        slots: Vec<(SlotId, SlotKind, SlotError)>,
    },
    /// A record was changed, or moved from another place.
    #[error(
        "wallet damaged: row {row} of {table} is not what was stored there; restore a backup, the file was left as it is"
    )]
    Altered {
        /// The table.
        table: Table,
        /// The row; 1 for the head.
        row: i64,
    },
    /// Records are missing, added or replaced by earlier ones.
    #[error("wallet damaged: {table} {}; restore a backup, the file was left as it is", set_problem(*expected, *found))]
    Set {
        /// The table.
        table: Table,
        /// Rows that the head vouches for.
        expected: u64,
        /// Rows that are there.
        found: u64,
    },
    /// The audit log's chain does not hold.
    #[error("wallet damaged: the audit log does not hold at entry {sequence}; the file was left as it is")]
    AuditChain {
        /// The first entry that does not follow from the one before it.
        sequence: i64,
    },
    /// A record is authentic but can't be read: written by a program with an error.
    #[error("row {row} of {table} can't be read: {source}")]
    Record {
        /// The table.
        table: Table,
        /// The row.
        row: i64,
        /// Why.
        source: crate::record::RecordError,
    },
    /// The whole store is older than the outside counter says.
    #[error(
        "the wallet was rolled back: it is at {found}, the outside counter at {counter}; restore the newest copy, or say that this one is meant"
    )]
    RolledBack {
        /// Where the store is; 0 if it is from before the counter.
        found: u64,
        /// Where the counter is.
        counter: u64,
    },
    /// The outside counter is gone or another one.
    #[error(
        "the wallet's counter in the {kind} should be at {expected} and {}; whether this copy is the newest can't be told, say so if it is",
        found.map_or_else(|| "is gone".to_owned(), |found| format!("is at {found}"))
    )]
    CounterLost {
        /// What it stood in.
        kind: CounterKind,
        /// Where the store is.
        expected: u64,
        /// Where the counter is.
        found: Option<u64>,
    },
    /// The outside counter says nothing that can be used.
    #[error("the wallet's outside counter: {0}")]
    Counter(CounterError),
    /// An earlier commit failed so that memory and disk may differ.
    #[error("an earlier change failed half-way; open the wallet again")]
    Broken,
    /// Another record has the name that was drawn for this one: draw again.
    #[error("row {row} of {table} is taken; try again")]
    RowTaken {
        /// The table.
        table: Table,
        /// The row.
        row: i64,
    },
    /// There is no such row.
    #[error("there is no row {row} in {table}")]
    NoSuchRow {
        /// The table.
        table: Table,
        /// The row.
        row: i64,
    },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
        /// SQLITE_ERROR: a table or column is not there. Our statements are fixed, so the schema is not ours.
        const SCHEMA_IS_OTHER: i32 = 1;
        match &error {
            rusqlite::Error::SqliteFailure(failure, _) if failure.code == DiskFull => Self::NoRoom,
            rusqlite::Error::SqliteFailure(failure, _)
                if matches!(failure.code, DatabaseCorrupt | NotADatabase)
                    || failure.extended_code == SCHEMA_IS_OTHER =>
            {
                Self::Corrupt(error)
            }
            // A value that no wallet has there, or a row that every wallet has.
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::QueryReturnedNoRows
            | rusqlite::Error::SqlInputError { .. } => Self::Corrupt(error),
            _ => Self::Database(error),
        }
    }
}

fn list(tried: &[(SlotKind, SlotError)]) -> String {
    if tried.is_empty() {
        return "it has none".to_owned();
    }
    tried.iter().map(|(kind, error)| format!("{kind}: {error}")).collect::<Vec<_>>().join("; ")
}

fn list_named(slots: &[(SlotId, SlotKind, SlotError)]) -> String {
    slots.iter().map(|(id, kind, error)| format!("{id} ({kind}): {error}")).collect::<Vec<_>>().join("; ")
}

fn set_problem(expected: u64, found: u64) -> String {
    match found.cmp(&expected) {
        std::cmp::Ordering::Less => format!("has {found} rows of {expected}: some were removed"),
        std::cmp::Ordering::Greater => format!("has {found} rows instead of {expected}: some were put back"),
        std::cmp::Ordering::Equal => "has a row of an earlier time".to_owned(),
    }
}
