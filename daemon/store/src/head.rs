//! The head: one sealed record that vouches for the set of all others.
//!
//! For each table it holds the number of rows and the XOR of their elements, an element being a PRF (HMAC-SHA256 under
//! a key of its own) of place, generation and tag. A record that enters or leaves costs one element, however many there
//! are. XOR is safe here because the elements are secret and the sum stands in a sealed record: who wants to make a set
//! with the same sum has to guess 256 bits, and every guess is a refused wallet. A row dropped, put back, moved or
//! replaced by an earlier one of the same place changes the sum.

use crate::counter::{CounterKind, Recorded};
use crate::record::RecordError;
use crate::table::Table;
use fwp_cose::cbor::{self, Fields, Map, Value};

/// What the head says of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetState {
    pub(crate) rows: u64,
    pub(crate) sum: [u8; 32],
    /// The next row number of tables that count theirs; never used twice.
    pub(crate) next_row: i64,
}

/// Where the audit log stands: the entry before the first that is kept, and the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuditState {
    pub(crate) dropped_up_to: i64,
    pub(crate) dropped_link: [u8; 32],
    pub(crate) last: i64,
    pub(crate) last_link: [u8; 32],
}

/// The head's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Number of commits so far.
    pub(crate) generation: u64,
    pub(crate) sets: [SetState; Table::LISTED.len()],
    pub(crate) audit: AuditState,
    /// Where the outside counter is, if there ever was one (since schema version 2).
    pub(crate) counter: Option<Recorded>,
}

impl SetState {
    pub(crate) fn enter(&mut self, element: &[u8; 32]) {
        self.rows += 1;
        self.toggle(element);
    }

    pub(crate) fn leave(&mut self, element: &[u8; 32]) {
        self.rows = self.rows.saturating_sub(1);
        self.toggle(element);
    }

    fn toggle(&mut self, element: &[u8; 32]) {
        for (sum, byte) in self.sum.iter_mut().zip(element) {
            *sum ^= byte;
        }
    }
}

impl Head {
    /// The state of `table`; `None` for the head itself, which is in no set.
    pub(crate) fn set_mut(&mut self, table: Table) -> Option<&mut SetState> {
        (table as usize).checked_sub(1).and_then(|index| self.sets.get_mut(index))
    }

    pub(crate) fn set(&self, table: Table) -> SetState {
        (table as usize).checked_sub(1).and_then(|index| self.sets.get(index).copied()).unwrap_or_default()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let sets = self.sets.iter().map(|set| {
            let map = Map::new()
                .with(1, Value::Unsigned(set.rows))
                .with(2, set.sum.as_slice())
                .with(3, set.next_row);
            Value::Map(map)
        });
        let audit = Map::new()
            .with(1, self.audit.dropped_up_to)
            .with(2, self.audit.dropped_link.as_slice())
            .with(3, self.audit.last)
            .with(4, self.audit.last_link.as_slice());
        let mut map = Map::new()
            .with(1, Value::Unsigned(self.generation))
            .with(2, sets.collect::<Vec<_>>())
            .with(3, audit);
        if let Some(Recorded { kind, value }) = self.counter {
            let mut counter = Map::new().with(1, kind.code());
            if let Some(value) = value {
                counter = counter.with(2, Value::Unsigned(value));
            }
            map = map.with(4, counter);
        }
        Value::Map(map).encode()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut fields = Fields::of("head", cbor::decode(bytes)?)?;
        let generation = unsigned(&mut fields, 1)?;
        let Value::Array(listed) = fields.required(2)? else {
            return Err(fields.wrong_type(2, "an array").into());
        };
        let mut sets = [SetState::default(); Table::LISTED.len()];
        if listed.len() != sets.len() {
            return Err(fields.wrong_type(2, "an array with one entry for each table").into());
        }
        for (set, value) in sets.iter_mut().zip(listed) {
            let mut fields = Fields::of("head of a table", value)?;
            *set = SetState {
                rows: unsigned(&mut fields, 1)?,
                sum: fields.byte_array(2)?,
                next_row: fields.int(3)?,
            };
            fields.finish()?;
        }
        let mut of_audit = Fields::of("head of the audit log", fields.required(3)?)?;
        let audit = AuditState {
            dropped_up_to: of_audit.int(1)?,
            dropped_link: of_audit.byte_array(2)?,
            last: of_audit.int(3)?,
            last_link: of_audit.byte_array(4)?,
        };
        of_audit.finish()?;
        let counter = fields.optional(4).map(recorded).transpose()?;
        fields.finish()?;
        Ok(Self { generation, sets, audit, counter })
    }
}

fn recorded(value: Value) -> Result<Recorded, RecordError> {
    let mut fields = Fields::of("outside counter", value)?;
    let kind = CounterKind::from_code(fields.int(1)?);
    let value = match fields.optional(2) {
        None => None,
        Some(Value::Unsigned(value)) => Some(value),
        Some(_) => return Err(fields.wrong_type(2, "an unsigned integer").into()),
    };
    fields.finish()?;
    Ok(Recorded { kind, value })
}

fn unsigned(fields: &mut Fields, label: i64) -> Result<u64, RecordError> {
    match fields.required(label)? {
        Value::Unsigned(n) => Ok(n),
        _ => Err(fields.wrong_type(label, "an unsigned integer").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_head_is_read_back_with_and_without_a_counter() {
        let counters = [
            None,
            Some(Recorded { kind: CounterKind::Tpm, value: None }),
            Some(Recorded { kind: CounterKind::SecretService, value: Some(u64::MAX) }),
        ];
        for counter in counters {
            let head = Head { generation: 7, counter, ..Head::default() };
            assert_eq!(Head::decode(&head.encode()), Ok(head));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_the_one_encoding_of_a_head(bytes: Vec<u8>, place: prop::sample::Index, to: u8) {
            let counter = Some(Recorded { kind: CounterKind::Tpm, value: Some(9) });
            let mut changed = Head { counter, ..Head::default() }.encode();
            *place.get_mut(&mut changed) = to;
            for bytes in [bytes, changed] {
                if let Ok(head) = Head::decode(&bytes) {
                    prop_assert_eq!(head.encode(), bytes);
                }
            }
        }
    }
}
