//! Checking a whole store against its head, once, when it is opened.

use crate::error::StoreError;
use crate::head::{AuditState, Head, SetState};
use crate::record::{CardId, CardRecord, NewCard, Settings, decode_audit_row};
use crate::seal::Keys;
use crate::table::{Place, Table};
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The row of the head and of the settings, which are one each.
pub(crate) const ONLY_ROW: i64 = 1;

/// A row as it stands in the database.
pub(crate) struct StoredRow {
    pub(crate) row: i64,
    pub(crate) generation: u64,
    pub(crate) stored: Vec<u8>,
}

/// What is kept in memory of a store that holds.
pub(crate) struct Verified {
    pub(crate) head: Head,
    pub(crate) cards: BTreeMap<CardId, Arc<CardRecord>>,
    pub(crate) settings: Settings,
}

impl StoredRow {
    pub(crate) fn place(&self, schema: u32, table: Table) -> Place {
        Place { schema, table, row: self.row, generation: self.generation }
    }
}

/// Reads one row.
pub(crate) fn read_row(
    connection: &Connection,
    table: Table,
    row: i64,
) -> Result<Option<StoredRow>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT generation, sealed FROM {table} WHERE id = ?1"))?;
    let found = statement
        .query_row([row], |columns| {
            Ok(StoredRow { row, generation: generation(columns, 0)?, stored: columns.get(1)? })
        })
        .optional()?;
    Ok(found)
}

/// Calls `each` with every row of `table`, by row number.
pub(crate) fn for_each_row(
    connection: &Connection,
    table: Table,
    mut each: impl FnMut(StoredRow) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare(&format!("SELECT id, generation, sealed FROM {table} ORDER BY id"))?;
    let mut rows = statement.query([])?;
    while let Some(columns) = rows.next()? {
        each(StoredRow {
            row: columns.get(0)?,
            generation: generation(columns, 1)?,
            stored: columns.get(2)?,
        })?;
    }
    Ok(())
}

/// Generations count commits and so are never negative; a negative one is no wallet's.
fn generation(columns: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let number: i64 = columns.get(index)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, number))
}

/// Opens the head.
pub(crate) fn read_head(connection: &Connection, keys: &Keys, schema: u32) -> Result<Head, StoreError> {
    let altered = StoreError::Altered { table: Table::Head, row: ONLY_ROW };
    let Some(row) = read_row(connection, Table::Head, ONLY_ROW)? else { return Err(altered) };
    let plain = keys.open(row.place(schema, Table::Head), &row.stored)?;
    let head = Head::decode(&plain).map_err(|source| StoreError::Record {
        table: Table::Head,
        row: ONLY_ROW,
        source,
    })?;
    if head.generation == row.generation { Ok(head) } else { Err(altered) }
}

/// Checks every record of the store, every table's set, and the audit chain.
pub(crate) fn verify(connection: &Connection, keys: &Keys, schema: u32) -> Result<Verified, StoreError> {
    let head = read_head(connection, keys, schema)?;
    let mut cards = BTreeMap::new();
    let mut settings = Settings::default();
    let mut chain = Chain::after(&head.audit);
    for table in Table::LISTED {
        let expected = head.set(table);
        let mut found = SetState::default();
        for_each_row(connection, table, |row| {
            let place = row.place(schema, table);
            let bad = |source| StoreError::Record { table, row: row.row, source };
            found.enter(&keys.element(place, &row.stored));
            if table == Table::Slot {
                return Ok(());
            }
            let plain = keys.open(place, &row.stored)?;
            match table {
                Table::Card => {
                    let id = CardId(row.row);
                    let card = NewCard::decode(&plain).map_err(bad)?;
                    cards.insert(id, Arc::new(CardRecord { id, card }));
                }
                Table::Setting => settings = Settings::decode(&plain).map_err(bad)?,
                Table::Audit => chain.follow(keys, row.row, &plain)?,
                _ => {}
            }
            Ok(())
        })?;
        if (found.rows, found.sum) != (expected.rows, expected.sum) {
            return Err(StoreError::Set { table, expected: expected.rows, found: found.rows });
        }
    }
    chain.ends_at(&head.audit)?;
    Ok(Verified { head, cards, settings })
}

/// The audit chain, followed link by link.
pub(crate) struct Chain {
    sequence: i64,
    link: [u8; 32],
}

impl Chain {
    pub(crate) fn after(audit: &AuditState) -> Self {
        Self { sequence: audit.dropped_up_to, link: audit.dropped_link }
    }

    pub(crate) fn follow(&mut self, keys: &Keys, row: i64, plain: &[u8]) -> Result<(), StoreError> {
        let (event, link) = decode_audit_row(plain).map_err(|source| StoreError::Record {
            table: Table::Audit,
            row,
            source,
        })?;
        let sequence = self.sequence.saturating_add(1);
        if row != sequence || keys.audit_link(&self.link, sequence, &event) != link {
            return Err(StoreError::AuditChain { sequence });
        }
        *self = Self { sequence, link };
        Ok(())
    }

    /// Entries missing at the end show here: the head knows the last link.
    pub(crate) fn ends_at(&self, audit: &AuditState) -> Result<(), StoreError> {
        if (self.sequence, self.link) == (audit.last, audit.last_link) {
            Ok(())
        } else {
            Err(StoreError::AuditChain { sequence: self.sequence.saturating_add(1) })
        }
    }
}

/// Reads and opens one record.
pub(crate) fn open_row(
    connection: &Connection,
    keys: &Keys,
    schema: u32,
    table: Table,
    row: i64,
) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    match read_row(connection, table, row)? {
        None => Ok(None),
        Some(found) => keys.open(found.place(schema, table), &found.stored).map(Some),
    }
}
