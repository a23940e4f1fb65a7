//! The database: how it is opened, its tables, and the steps from each schema version to the next.

use crate::error::StoreError;
use crate::files::create_private;
use crate::table::{SCHEMA_VERSION, Table};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;

/// "FWPW", so that `file` and we can tell a wallet from other databases.
const APPLICATION_ID: i32 = 0x4657_5057;

/// One step of the schema: from the version that is its index plus 1 to the next.
pub(crate) struct Migration {
    /// What changes in SQL; empty if nothing does.
    pub(crate) sql: &'static str,
    /// A record in the old form (table, row, content), turned into the new one. Every record is sealed anew anyway,
    /// since its seal names the schema version.
    pub(crate) record: CarryOver,
}

pub(crate) type CarryOver = fn(Table, i64, &[u8]) -> Result<Vec<u8>, StoreError>;

/// All steps so far; a store of each version is among the tests' fixtures.
pub(crate) const MIGRATIONS: &[Migration] = &[
    // 2: the head may say where an outside counter is, and slots of more kinds stand in the store.
    Migration { sql: "", record: |_, _, content| Ok(content.to_vec()) },
];

pub(crate) fn ddl() -> String {
    let mut sql = "CREATE TABLE wallet (id INTEGER PRIMARY KEY CHECK (id = 1), wallet_id BLOB NOT NULL) STRICT;
        CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), generation INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT;"
        .to_owned();
    for table in Table::LISTED {
        sql.push_str(&format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT;"
        ));
    }
    sql.push_str(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
    ));
    sql
}

/// Makes a new database, which must not be there, and opens it. Its journal is SQLite's rollback journal until it has
/// its final name.
pub(crate) fn create(path: &Path) -> Result<Connection, StoreError> {
    create_private(path)?;
    let connection = connect(path)?;
    connection.pragma_update(None, "synchronous", "EXTRA")?;
    Ok(connection)
}

/// Opens the database at `path`, which must be a wallet of a version that this program knows, and returns the version.
pub(crate) fn open(path: &Path) -> Result<(Connection, u32), StoreError> {
    let not_a_wallet = || StoreError::NotAWallet { path: path.to_owned() };
    let header = |connection: &Connection| {
        let application: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok::<_, StoreError>((application, version))
    };
    let read = connect(path).and_then(|connection| Ok((header(&connection)?, connection)));
    let ((application, version), connection) = read.map_err(|error| match &error {
        StoreError::Corrupt(cause) if cause.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            not_a_wallet()
        }
        _ => error,
    })?;
    if application != APPLICATION_ID || version == 0 {
        return Err(not_a_wallet());
    }
    if version > SCHEMA_VERSION {
        return Err(StoreError::Newer { found: version, known: SCHEMA_VERSION });
    }
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    Ok((connection, version))
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    // The lock file keeps our own kind out; this keeps everything else out, and needs no shared memory for the WAL.
    connection.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))?;
    // What is deleted is overwritten with zeros.
    connection.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))?;
    // Content comes from us alone, yet a crafted file should find as little as possible to play with.
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "cell_size_check", "ON")?;
    // In KiB: many wallets may be open at once, and each is small.
    connection.pragma_update(None, "cache_size", -256)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}
