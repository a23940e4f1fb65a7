//! Records: every one that can be made is read back as it was, and no bytes make a decoder do anything but say no.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{card, event, history, host, ledger};
use fwp::{Amount, Currency};
use fwp_store::record::{
    AuditEvent, AuditKind, AuthenticatorKind, CardId, HistoryRecord, LedgerRecord, NewCard, Outcome,
    RecordError, Settings,
};
use proptest::prelude::*;
use proptest::sample::select;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() }
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    select(vec![
        Outcome::Authorized,
        Outcome::Declined,
        Outcome::Aborted,
        Outcome::Expired,
        Outcome::NoCard,
        Outcome::Refused,
        Outcome::Failed,
        Outcome::CompletedSuccess,
        Outcome::CompletedFail,
        Outcome::CompletedUnknown,
    ])
}

fn kinds() -> impl Strategy<Value = AuditKind> {
    select(vec![
        AuditKind::WalletCreated,
        AuditKind::SlotAdded,
        AuditKind::SlotRemoved,
        AuditKind::EnrollmentConsented,
        AuditKind::CardStored,
        AuditKind::CardDeleted,
        AuditKind::PaymentAuthorizing,
        AuditKind::PaymentAuthorized,
        AuditKind::PaymentDeclined,
        AuditKind::PaymentRefused,
        AuditKind::PaymentFailed,
        AuditKind::PaymentClosed,
        AuditKind::AgentRegistered,
        AuditKind::AgentGone,
        AuditKind::PinSet,
        AuditKind::PinChanged,
        AuditKind::PinBlocked,
        AuditKind::SettingChanged,
    ])
}

fn amounts() -> impl Strategy<Value = Amount> {
    "[0-9]{1,20}(\\.[0-9]{1,8})?".prop_map(|text| Amount::parse(&text).unwrap())
}

fn currencies() -> impl Strategy<Value = Currency> {
    "[A-Z]{3}".prop_map(|text| Currency::parse(&text).unwrap())
}

#[test]
fn a_card_keeps_its_providers_and_one_without_is_written_as_before_there_were_any() {
    let providers = r#"[{"typ": "a/pay/v1", "deliveryUrl": "https://psp.example/a"},
                        {"typ": "b/pay/v1", "deliveryUrl": "http://localhost:1/b", "keys": [{"kid": "1", "publicKey":
                        "pAECIAEhWCBrF9Hy4SxCR_i85uVjpEDydwN9gS3rM6D0oTlF2JjCliJYIE_jQuL-Gn-bjufrSnwPnhYrzjNXazFezsu2QGg3v1H1"}]}]"#;
    let providers =
        fwp::Provider::parse_all("providers", fwp::json::Json::parse(providers).unwrap()).unwrap();
    let with = NewCard { providers, ..card(1) };
    assert_eq!(NewCard::decode(&with.encode()).unwrap(), with);
    let fwp_cose::cbor::Value::Map(without) = fwp_cose::cbor::decode(&card(1).encode()).unwrap() else {
        panic!()
    };
    assert_eq!(without.len(), 5);
    let empty = fwp_cose::cbor::Value::Map(without.with(6, Vec::<fwp_cose::cbor::Value>::new()));
    assert!(
        matches!(NewCard::decode(&empty.encode()), Err(RecordError::Provider(_))),
        "one form for each card"
    );
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_card_is_read_back(
        n in any::<u64>(),
        label in "\\PC{0,64}",
        enrolled_unix_ms in any::<i64>(),
        aaguid in any::<[u8; 16]>(),
        kind in select(vec![
            AuthenticatorKind::Software, AuthenticatorKind::Tpm, AuthenticatorKind::Usb, AuthenticatorKind::Nfc,
        ]),
    ) {
        let mut card = NewCard { label, enrolled_unix_ms, ..card(n) };
        card.authenticator.kind = kind;
        card.authenticator.aaguid = aaguid;
        prop_assert_eq!(NewCard::decode(&card.encode()).unwrap(), card);
    }

    #[test]
    fn a_ledger_entry_is_read_back(
        request_id in "\\PC{1,64}",
        card in any::<[u8; 32]>(),
        amount in amounts(),
        currency in currencies(),
        authorized_unix_ms in any::<i64>(),
    ) {
        let record = LedgerRecord { request_id, card, amount, currency, authorized_unix_ms, ..ledger("", 0) };
        prop_assert_eq!(LedgerRecord::decode(&record.encode()).unwrap(), record);
    }

    #[test]
    fn a_history_entry_is_read_back(
        at_unix_ms in any::<i64>(),
        payee_name in "\\PC{1,64}",
        card in proptest::option::of(any::<i64>().prop_map(CardId::from_i64)),
        card_label in proptest::option::of("\\PC{0,64}"),
        amount in amounts(),
        outcome in outcomes(),
    ) {
        let record = HistoryRecord { at_unix_ms, payee_name, card, card_label, amount, ..history("order-1", outcome) };
        prop_assert_eq!(HistoryRecord::decode(&record.encode()).unwrap(), record);
    }

    #[test]
    fn an_audit_event_is_read_back(
        at_unix_ms in any::<i64>(),
        kind in kinds(),
        card in proptest::option::of(any::<i64>()),
        total in proptest::option::of((amounts(), currencies())),
        reason in proptest::option::of("\\PC{0,200}"),
    ) {
        let mut event = AuditEvent::new(at_unix_ms, kind);
        if let Some(card) = card {
            event = event.card(CardId::from_i64(card));
        }
        if let Some((amount, currency)) = &total {
            event = event.payment(&host(), amount, currency);
        }
        if let Some(reason) = &reason {
            event = event.reason(reason);
        }
        prop_assert_eq!(AuditEvent::decode(&event.encode()).unwrap(), event);
    }

    #[test]
    fn settings_are_read_back(settings in proptest::collection::btree_map("\\PC{0,32}", "\\PC{0,32}", 0..8)) {
        let settings = Settings(settings);
        prop_assert_eq!(Settings::decode(&settings.encode()).unwrap(), settings);
    }

    /// What a decoder takes is what it would write: no two byte strings are the same record.
    #[test]
    fn bytes_are_refused_or_the_one_encoding_of_a_record(
        which in 0..5usize,
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..3),
        tail in proptest::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut bytes = match which {
            0 => card(1).encode(),
            1 => ledger("order-1", 1).encode(),
            2 => history("order-1", Outcome::Declined).encode(),
            3 => event(AuditKind::PaymentClosed).reason("reason").encode(),
            _ => Settings([("a".to_owned(), "b".to_owned())].into()).encode(),
        };
        for (place, difference) in flips {
            let at = place.index(bytes.len());
            bytes[at] ^= difference;
        }
        bytes.extend(tail);
        let again = match which {
            0 => NewCard::decode(&bytes).map(|record| record.encode()),
            1 => LedgerRecord::decode(&bytes).map(|record| record.encode()),
            2 => HistoryRecord::decode(&bytes).map(|record| record.encode()),
            3 => AuditEvent::decode(&bytes).map(|record| record.encode()),
            _ => Settings::decode(&bytes).map(|record| record.encode()),
        };
        if let Ok(again) = again {
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = NewCard::decode(&bytes);
        let _ = LedgerRecord::decode(&bytes);
        let _ = HistoryRecord::decode(&bytes);
        let _ = AuditEvent::decode(&bytes);
        let _ = Settings::decode(&bytes);
    }
}

#[test]
fn a_code_of_a_later_version_is_named() {
    let mut record = event(AuditKind::WalletCreated).encode();
    // {1: time, 2: kind}: the kind is the last byte.
    *record.last_mut().unwrap() = 23;
    let error = AuditEvent::decode(&record).unwrap_err();
    assert_eq!(error, RecordError::Code { field: "kind of audit event", code: 23 });
}

#[test]
fn a_reason_that_is_too_long_is_cut_between_characters() {
    let event = event(AuditKind::PaymentFailed).reason(&"ü".repeat(100));
    assert_eq!(event.reason.unwrap(), "ü".repeat(64));
}
