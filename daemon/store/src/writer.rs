//! Writing records within one transaction, while keeping the new head's sums true.

use crate::counter::Recorded;
use crate::error::StoreError;
use crate::head::Head;
use crate::record::{AuditEvent, decode_audit_row, encode_audit_row};
use crate::seal::Keys;
use crate::table::{Place, SCHEMA_VERSION, Table};
use crate::verify::{ONLY_ROW, open_row, read_row};
use fwp::PayeeHost;
use rusqlite::{Connection, params};

/// One commit in the making: the head as it will be, and the place to write to. The caller holds the transaction.
pub(crate) struct Writer<'a> {
    connection: &'a Connection,
    keys: &'a Keys,
    head: Head,
}

impl<'a> Writer<'a> {
    /// Begins with the generation after that of `head`.
    pub(crate) fn after(connection: &'a Connection, keys: &'a Keys, head: &Head) -> Self {
        let mut head = head.clone();
        head.generation += 1;
        Self { connection, keys, head }
    }

    fn place(&self, table: Table, row: i64) -> Place {
        Place { schema: SCHEMA_VERSION, table, row, generation: self.head.generation }
    }

    /// Seals `content` into `row`, in place of what may be there.
    pub(crate) fn put(&mut self, table: Table, row: i64, content: &[u8]) -> Result<(), StoreError> {
        let stored = self.keys.seal(self.place(table, row), content)?;
        self.put_stored(table, row, &stored)
    }

    /// Seals `content` into a row that must be free.
    pub(crate) fn put_new(&mut self, table: Table, row: i64, content: &[u8]) -> Result<(), StoreError> {
        match read_row(self.connection, table, row)? {
            None => self.put(table, row, content),
            Some(_) => Err(StoreError::RowTaken { table, row }),
        }
    }

    /// Writes a row that is not sealed (a slot's).
    pub(crate) fn put_stored(&mut self, table: Table, row: i64, stored: &[u8]) -> Result<(), StoreError> {
        self.forget(table, row)?;
        let place = self.place(table, row);
        self.connection
            .prepare_cached(&format!(
                "INSERT OR REPLACE INTO {table} (id, generation, sealed) VALUES (?1, ?2, ?3)"
            ))?
            .execute(params![row, as_integer(place.generation), stored])?;
        if let Some(set) = self.head.set_mut(table) {
            set.enter(&self.keys.element(place, stored));
            if matches!(table, Table::Slot | Table::History | Table::Audit) {
                set.next_row = set.next_row.max(row.saturating_add(1));
            }
        }
        Ok(())
    }

    /// Puts `content` into the table's next row.
    pub(crate) fn append(&mut self, table: Table, content: &[u8]) -> Result<i64, StoreError> {
        let row = self.next_row(table);
        self.put(table, row, content)?;
        Ok(row)
    }

    pub(crate) fn next_row(&self, table: Table) -> i64 {
        self.head.set(table).next_row.max(1)
    }

    /// Appends to the audit chain.
    pub(crate) fn append_audit(&mut self, event: &AuditEvent) -> Result<(), StoreError> {
        self.append_link(&event.encode())
    }

    /// Appends an encoded event to the audit chain.
    pub(crate) fn append_link(&mut self, event: &[u8]) -> Result<(), StoreError> {
        let sequence = self.head.audit.last.saturating_add(1);
        let link = self.keys.audit_link(&self.head.audit.last_link, sequence, event);
        self.put(Table::Audit, sequence, &encode_audit_row(event, &link))?;
        self.head.audit.last = sequence;
        self.head.audit.last_link = link;
        Ok(())
    }

    /// Removes a row. Returns whether there was one.
    pub(crate) fn remove(&mut self, table: Table, row: i64) -> Result<bool, StoreError> {
        let there = self.forget(table, row)?;
        if there {
            self.connection.prepare_cached(&format!("DELETE FROM {table} WHERE id = ?1"))?.execute([row])?;
        }
        Ok(there)
    }

    /// Removes a row that must be there.
    pub(crate) fn must_remove(&mut self, table: Table, row: i64) -> Result<(), StoreError> {
        if self.remove(table, row)? { Ok(()) } else { Err(StoreError::NoSuchRow { table, row }) }
    }

    /// The row of a ledger entry, found by its key.
    pub(crate) fn ledger_row(&self, payee_host: &PayeeHost, request_id: &str) -> i64 {
        self.keys.row_of(Table::Ledger, &[payee_host.as_str().as_bytes(), request_id.as_bytes()])
    }

    /// Removes the oldest rows of a counted table until at most `newest` are left.
    pub(crate) fn keep_newest(&mut self, table: Table, newest: u64) -> Result<(), StoreError> {
        while self.head.set(table).rows > newest {
            let oldest: i64 = self
                .connection
                .prepare_cached(&format!("SELECT min(id) FROM {table}"))?
                .query_row([], |columns| columns.get(0))?;
            if table == Table::Audit {
                self.drop_link(oldest)?;
            }
            if !self.remove(table, oldest)? {
                return Err(StoreError::NoSuchRow { table, row: oldest });
            }
        }
        Ok(())
    }

    /// Lets the audit chain begin after `sequence`.
    fn drop_link(&mut self, sequence: i64) -> Result<(), StoreError> {
        let row = open_row(self.connection, self.keys, SCHEMA_VERSION, Table::Audit, sequence)?
            .ok_or(StoreError::NoSuchRow { table: Table::Audit, row: sequence })?;
        let (_, link) = decode_audit_row(&row).map_err(|source| StoreError::Record {
            table: Table::Audit,
            row: sequence,
            source,
        })?;
        self.head.audit.dropped_up_to = sequence;
        self.head.audit.dropped_link = link;
        Ok(())
    }

    /// Lets the head say where the outside counter is.
    pub(crate) fn record_counter(&mut self, recorded: Recorded) {
        self.head.counter = Some(recorded);
    }

    /// Takes what stands in `row` out of its set.
    fn forget(&mut self, table: Table, row: i64) -> Result<bool, StoreError> {
        let Some(old) = read_row(self.connection, table, row)? else { return Ok(false) };
        let element = self.keys.element(old.place(SCHEMA_VERSION, table), &old.stored);
        if let Some(set) = self.head.set_mut(table) {
            set.leave(&element);
        }
        Ok(true)
    }

    /// Writes the head, which makes everything before it valid.
    pub(crate) fn finish(self) -> Result<Head, StoreError> {
        let sealed = self.keys.seal(self.place(Table::Head, ONLY_ROW), &self.head.encode())?;
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO head (id, generation, sealed) VALUES (?1, ?2, ?3)")?
            .execute(params![ONLY_ROW, as_integer(self.head.generation), sealed])?;
        Ok(self.head)
    }
}

/// Generations count commits: 2^63 of them are out of reach.
fn as_integer(generation: u64) -> i64 {
    i64::try_from(generation).unwrap_or(i64::MAX)
}
