//! Records of the store. They are read only after their seal was verified, and must not panic even so: a wallet that was
//! written by another version is one.

use crate::check;
use fwp::{Amount, Currency};
use fwp_store::record::{AuditEvent, HistoryRecord, LedgerRecord, NewCard, Settings};
use fwp_wallet::Moment;
use fwp_wallet::limits::{Limits, Spending};
use fwpd::backup::{Backup, sealed};

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

/// What this computer's keys paid, as it is stored.
pub fn spending(data: &[u8]) {
    let (boot, now) = ([7; 16], Moment { monotonic_ms: 100_000_000, unix_ms: 1_800_000_000_000 });
    let Ok(mut spending) = Spending::restore(data, boot, now) else { return };
    let written = spending.encode();
    let again = Spending::restore(&written, boot, now).map(|spending| spending.encode());
    check(again.as_ref() == Ok(&written), "what was paid is written differently again");
    let (Ok(amount), Ok(currency)) = (Amount::parse("0.01"), Currency::parse("EUR")) else { return };
    let limits = Limits { payments_per_hour: Some(0), ..Limits::default() };
    check(
        spending.check(&limits, &amount, &currency, now).is_err(),
        "a limit of no payments lets one through",
    );
    if let Ok(spent) = spending.authorize(&Limits::default(), &amount, &currency, now) {
        let _ = spending.release(spent);
    }
}

/// What is in a file of cards, and that file before anybody was asked for its passphrase.
pub fn backup(data: &[u8]) {
    if let Ok(backup) = Backup::decode(data) {
        check(backup.encode().is_ok_and(|bytes| **bytes == *data), "a backup is written differently");
    }
    let _ = sealed::check(data);
}
