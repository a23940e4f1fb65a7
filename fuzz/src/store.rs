//! Records of the store. They are read only after their seal was verified, and must not panic even so: a wallet that was
//! written by another version is one.

use crate::check;
use fwp_store::record::{AuditEvent, HistoryRecord, LedgerRecord, NewCard, Settings};

/// A record of any table.
pub fn store_record(data: &[u8]) {
    if let Ok(record) = NewCard::decode(data) {
        check(record.encode() == data, "a card is written differently");
    }
    if let Ok(record) = LedgerRecord::decode(data) {
        check(record.encode() == data, "a ledger entry is written differently");
    }
    if let Ok(record) = HistoryRecord::decode(data) {
        check(record.encode() == data, "a history entry is written differently");
    }
    if let Ok(record) = AuditEvent::decode(data) {
        check(record.encode() == data, "an audit entry is written differently");
    }
    if let Ok(record) = Settings::decode(data) {
        check(record.encode() == data, "a setting is written differently");
    }
}
