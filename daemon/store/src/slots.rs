//! Key slots of an open store: list, check, add, remove.

use crate::changes::Durability;
use crate::error::StoreError;
use crate::record::{AuditEvent, AuditKind};
use crate::seal::{DataKey, WalletId};
use crate::slot::{KeySlot, MAX_WRAPPED_BYTES, SlotError, SlotKind};
use crate::store::Store;
use crate::table::Table;
use crate::verify::for_each_row;
use std::fmt;

/// Most key slots of a wallet.
pub const MAX_SLOTS: usize = 16;

/// Names a key slot of this wallet: counted from 1, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub(crate) i64);

impl SlotId {
    /// The number, positive.
    pub fn as_i64(self) -> i64 {
        self.0
    }

    /// The slot with this number; whether there is one, the store knows.
    pub fn from_i64(id: i64) -> Self {
        Self(id)
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What [`Store::check_slots`] found of one slot.
#[derive(Debug)]
pub struct SlotCheck {
    /// Its name.
    pub id: SlotId,
    /// Its kind.
    pub kind: SlotKind,
    /// Whether it opens the wallet, and if not, why.
    pub usable: Result<(), SlotError>,
}

/// A slot's row.
pub(crate) struct SlotRow {
    pub(crate) id: SlotId,
    pub(crate) kind: SlotKind,
    /// What the slot keeps in the store.
    pub(crate) wrapped: Vec<u8>,
}

impl Store {
    /// The key slots.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn slots(&self) -> Result<Vec<(SlotId, SlotKind)>, StoreError> {
        Ok(self.slot_rows()?.into_iter().map(|row| (row.id, row.kind)).collect())
    }

    /// The slot that opened the wallet; `None` where it was just made, by all of its slots.
    pub fn opened_by(&self) -> Option<(SlotId, SlotKind)> {
        self.opened_by
    }

    /// The key slots, and for each whether one of `at_hand` opens the wallet through it now. May wait for the user as often
    /// as there are slots.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn check_slots(&self, at_hand: &[&dyn KeySlot]) -> Result<Vec<SlotCheck>, StoreError> {
        let check = |row: SlotRow| SlotCheck {
            id: row.id,
            kind: row.kind,
            usable: self.driver_of(&row, at_hand).map(|_| ()),
        };
        Ok(self.slot_rows()?.into_iter().map(check).collect())
    }

    /// Adds another way to the data key, durably, once it has given the key back.
    ///
    /// # Errors
    /// [`StoreError::Slot`] if it can't be filled or does not give back what it got, [`StoreError::TooManySlots`], and
    /// those of [`Store::commit`].
    pub fn add_slot(&mut self, slot: &dyn KeySlot, at_unix_ms: i64) -> Result<SlotId, StoreError> {
        if self.slots()?.len() >= MAX_SLOTS {
            return Err(StoreError::TooManySlots { most: MAX_SLOTS });
        }
        let stored = fill(slot, &self.wallet, &self.data_key, None)?;
        let event = AuditEvent::new(at_unix_ms, AuditKind::SlotAdded).reason(&slot.kind().to_string());
        self.write(Durability::Durable, |writer| {
            let row = writer.next_row(Table::Slot);
            writer.put_stored(Table::Slot, row, &stored)?;
            writer.append_audit(&event)?;
            Ok(SlotId(row))
        })
    }

    /// Removes a way to the data key, durably, if one of the others is usable: one of `at_hand` has to open the wallet through
    /// it here and now. What the removed slot keeps elsewhere (file, keyring) stays until [`KeySlot::discard`]; together with
    /// an old copy of the store it opens that copy, and what is sealed under the same data key: [`Store::rotate`] ends
    /// that.
    ///
    /// # Errors
    /// [`StoreError::LastSlot`] if there is no other, [`StoreError::LastUsableSlot`], [`StoreError::NoSuchRow`], and those
    /// of [`Store::commit`].
    pub fn remove_slot(
        &mut self,
        id: SlotId,
        at_hand: &[&dyn KeySlot],
        at_unix_ms: i64,
    ) -> Result<(), StoreError> {
        let (removed, others): (Vec<_>, Vec<_>) = self.slot_rows()?.into_iter().partition(|row| row.id == id);
        let Some(removed) = removed.first() else {
            return Err(StoreError::NoSuchRow { table: Table::Slot, row: id.0 });
        };
        if others.is_empty() {
            return Err(StoreError::LastSlot);
        }
        let mut unusable = Vec::new();
        for other in &others {
            match self.driver_of(other, at_hand) {
                Ok(_) => {
                    let event = AuditEvent::new(at_unix_ms, AuditKind::SlotRemoved);
                    let event = event.reason(&removed.kind.to_string());
                    self.write(Durability::Durable, |writer| {
                        writer.must_remove(Table::Slot, id.0)?;
                        writer.append_audit(&event)
                    })?;
                    self.scrub_due = true;
                    self.scrub();
                    return Ok(());
                }
                Err(error) => unusable.push((other.kind, error)),
            }
        }
        Err(StoreError::LastUsableSlot { unusable })
    }

    pub(crate) fn slot_rows(&self) -> Result<Vec<SlotRow>, StoreError> {
        let mut slots = Vec::new();
        for_each_row(&self.connection, Table::Slot, |row| {
            slots.push(split(row.row, &row.stored)?);
            Ok(())
        })?;
        Ok(slots)
    }

    /// The one of `at_hand` that gives this store's data key for `row`.
    pub(crate) fn driver_of<'a>(
        &self,
        row: &SlotRow,
        at_hand: &[&'a dyn KeySlot],
    ) -> Result<&'a dyn KeySlot, SlotError> {
        let mut problem = SlotError::NotAtHand;
        for slot in at_hand.iter().filter(|slot| slot.kind() == row.kind) {
            match slot.unwrap(&self.wallet, &row.wrapped) {
                Ok(key) if key.is(&self.data_key) => return Ok(*slot),
                Ok(_) => problem = SlotError::Altered,
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }
}

/// What stands in a slot's row: the kind's number, then what the slot wants. Nothing is stored that does not give the key
/// back. `before` is what stood there.
pub(crate) fn fill(
    slot: &dyn KeySlot,
    wallet: &WalletId,
    key: &DataKey,
    before: Option<&[u8]>,
) -> Result<Vec<u8>, StoreError> {
    let kind = slot.kind();
    let wrap = || {
        let wrapped = match before {
            None => slot.wrap(wallet, key)?,
            Some(before) => slot.wrap_again(wallet, key, before)?,
        };
        if wrapped.len() > MAX_WRAPPED_BYTES {
            return Err(SlotError::TooLong { bytes: wrapped.len() });
        }
        if slot.unwrap(wallet, &wrapped)?.is(key) { Ok(wrapped) } else { Err(SlotError::Unsound) }
    };
    let mut stored = kind.code().to_be_bytes().to_vec();
    stored.extend(wrap().map_err(|source| StoreError::Slot { kind, source })?);
    Ok(stored)
}

/// Kind and content of a slot's row.
pub(crate) fn split(row: i64, stored: &[u8]) -> Result<SlotRow, StoreError> {
    match stored.split_first_chunk::<8>() {
        Some((kind, wrapped)) if wrapped.len() <= MAX_WRAPPED_BYTES => Ok(SlotRow {
            id: SlotId(row),
            kind: SlotKind::from_code(i64::from_be_bytes(*kind)),
            wrapped: wrapped.to_vec(),
        }),
        _ => Err(StoreError::Altered { table: Table::Slot, row }),
    }
}
