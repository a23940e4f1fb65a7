//! Rotation: every slot is filled anew, and if asked with a new data key, under which every record is sealed anew. One
//! transaction: whenever the process ends, the store is as before or as after, and opens by the same slots.
//!
//! Filling the slots anew (another salt, today's cost, another TPM) keeps the data key. Whoever once had the key, by an old
//! copy of the file and a slot that was removed since, has it still: against that only a new one helps, and a new one that
//! left the records under the old would not. So there are these two, and nothing between them. What the slots keep
//! elsewhere (the key in a file or keyring) stays either way: who wants that replaced adds another slot, removes the old one
//! and discards it.

use crate::changes::Durability;
use crate::error::StoreError;
use crate::head::{AuditState, Head, SetState};
use crate::record::{AuditEvent, AuditKind, LedgerRecord, decode_audit_row};
use crate::seal::{DataKey, Keys};
use crate::slot::KeySlot;
use crate::slots::{SlotId, SlotRow, fill};
use crate::store::Store;
use crate::table::{SCHEMA_VERSION, Table};
use crate::verify::{for_each_row, verify};
use crate::writer::Writer;
use rusqlite::Connection;
use zeroize::Zeroizing;

/// What is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// What the slots hold: the same data key, wrapped again.
    Slots,
    /// The data key, and every record under it.
    DataKey,
}

/// A slot's row as it will be.
type Filled = (SlotId, Vec<u8>);

impl Store {
    /// Fills every slot anew, and with [`Rotation::DataKey`] seals every record under a new key. Every slot of the wallet
    /// must be at hand and give the key that it holds: remove those first that can't. May wait for the user as often as
    /// there are slots.
    ///
    /// The links of the audit chain are made anew with the key; its entries stay.
    ///
    /// # Errors
    /// [`StoreError::SlotsNotAtHand`], [`StoreError::Slot`], [`StoreError::NoRoom`] (with a new key the disk needs room for
    /// the store once more), and those of [`Store::commit`]. Nothing was changed then.
    pub fn rotate(
        &mut self,
        at_hand: &[&dyn KeySlot],
        rotation: Rotation,
        at_unix_ms: i64,
    ) -> Result<(), StoreError> {
        let new_key = match rotation {
            Rotation::Slots => None,
            Rotation::DataKey => Some(DataKey::generate()?),
        };
        let filled = self.fill_all(at_hand, new_key.as_ref().unwrap_or(&self.data_key))?;
        let what = match rotation {
            Rotation::Slots => "slots",
            Rotation::DataKey => "data key",
        };
        let event = AuditEvent::new(at_unix_ms, AuditKind::KeyRotated).reason(what);
        match new_key {
            None => self.write(Durability::Durable, |writer| {
                put_slots(writer, &filled)?;
                writer.append_audit(&event)
            })?,
            Some(key) => self.seal_all_under(key, &filled, &event)?,
        }
        self.scrub_due = true;
        self.scrub();
        Ok(())
    }

    /// Every slot's row for `key`.
    fn fill_all(&self, at_hand: &[&dyn KeySlot], key: &DataKey) -> Result<Vec<Filled>, StoreError> {
        let (mut drivers, mut absent) = (Vec::new(), Vec::new());
        for row in self.slot_rows()? {
            match self.driver_of(&row, at_hand) {
                Ok(slot) => drivers.push((row, slot)),
                Err(error) => absent.push((row.id, row.kind, error)),
            }
        }
        if !absent.is_empty() {
            return Err(StoreError::SlotsNotAtHand { slots: absent });
        }
        let filled = |(row, slot): (SlotRow, &dyn KeySlot)| {
            Ok((row.id, fill(slot, &self.wallet, key, Some(&row.wrapped))?))
        };
        drivers.into_iter().map(filled).collect()
    }

    fn seal_all_under(
        &mut self,
        key: DataKey,
        filled: &[Filled],
        event: &AuditEvent,
    ) -> Result<(), StoreError> {
        let new = Keys::derive(&self.wallet, &key);
        let before = self.counted_head(Durability::Durable);
        let head = self.transaction(Durability::Durable, |connection, old| {
            let mut writer = carry_over(connection, old, &new, &before)?;
            put_slots(&mut writer, filled)?;
            writer.append_audit(event)?;
            writer.finish()?;
            // What is not right is not committed.
            verify(connection, &new, SCHEMA_VERSION).map(|verified| verified.head)
        })?;
        (self.keys, self.data_key) = (new, key);
        self.committed(head);
        Ok(())
    }
}

fn put_slots(writer: &mut Writer<'_>, filled: &[Filled]) -> Result<(), StoreError> {
    filled.iter().try_for_each(|(id, stored)| writer.put_stored(Table::Slot, id.0, stored))
}

/// Seals every record of every table but the slots under `new`, and empties the table of slots.
fn carry_over<'a>(
    connection: &'a Connection,
    old: &Keys,
    new: &'a Keys,
    head: &Head,
) -> Result<Writer<'a>, StoreError> {
    let mut records: Vec<(Table, i64, Zeroizing<Vec<u8>>)> = Vec::new();
    for table in Table::LISTED.into_iter().filter(|table| *table != Table::Slot) {
        for_each_row(connection, table, |row| {
            records.push((table, row.row, old.open(row.place(SCHEMA_VERSION, table), &row.stored)?));
            Ok(())
        })?;
    }
    for table in Table::LISTED {
        connection.execute(&format!("DELETE FROM {table}"), [])?;
    }
    let mut writer = Writer::after(connection, new, &emptied(head));
    for (table, row, content) in records {
        let bad = |source| StoreError::Record { table, row, source };
        match table {
            Table::Audit => {
                let (event, _) = decode_audit_row(&content).map_err(bad)?;
                writer.append_link(&event)?;
            }
            // Its row number is made from what it is found by and a key.
            Table::Ledger => {
                let record = LedgerRecord::decode(&content).map_err(bad)?;
                let row = writer.ledger_row(&record.payee_host, &record.request_id);
                writer.put_new(table, row, &content)?;
            }
            _ => writer.put(table, row, &content)?,
        }
    }
    Ok(writer)
}

/// The head of the same store before its first record: numbers go on where they were.
fn emptied(head: &Head) -> Head {
    let AuditState { dropped_up_to, dropped_link, .. } = head.audit;
    Head {
        sets: head.sets.map(|set| SetState { rows: 0, sum: [0; 32], next_row: set.next_row }),
        audit: AuditState { dropped_up_to, dropped_link, last: dropped_up_to, last_link: dropped_link },
        ..head.clone()
    }
}
