//! What a store keeps, over restarts, and what it refuses to open.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, add_card, card, event, history, host, ledger};
use fwp_store::record::{AuditKind, AuthenticatorState, CardId, HistoryId, Outcome, Settings};
use fwp_store::slot::{SlotError, SlotKind};
use fwp_store::{Changes, Durability, Found, StoreError, Table, open};
use std::os::unix::fs::PermissionsExt;
use zeroize::Zeroizing;

#[test]
fn everything_that_was_committed_is_there_after_a_restart() {
    let home = Home::new();
    let mut store = home.create();
    let mut changes = Changes::new();
    let first = changes.add_card(card(1)).unwrap();
    let second = changes.add_card(card(2)).unwrap();
    changes
        .put_ledger(ledger("order-1", 1))
        .add_history(history("order-1", Outcome::Authorized))
        .add_history(history("order-2", Outcome::Declined))
        .audit(event(AuditKind::PaymentAuthorized).card(first).reason("because"))
        .put_authenticator_state(AuthenticatorState::Software, Zeroizing::new(b"state".to_vec()))
        .put_settings(Settings([("cool-down".to_owned(), "2".to_owned())].into()));
    let committed = store.commit(changes, Durability::Durable).unwrap();
    assert_eq!(committed.history, [HistoryId::from_i64(1), HistoryId::from_i64(2)]);
    drop(store);

    let store = home.open();
    assert_eq!(store.generation(), committed.generation);
    assert_eq!(store.cards().len(), 2);
    assert_eq!(store.card(first).unwrap().card, card(1));
    assert_eq!(store.card(second).unwrap().card, card(2));
    assert_eq!(store.ledger().unwrap(), [ledger("order-1", 1)]);
    let entries = store.history(None, 10).unwrap();
    assert_eq!(entries[0], (HistoryId::from_i64(2), history("order-2", Outcome::Declined)));
    assert_eq!(entries[1], (HistoryId::from_i64(1), history("order-1", Outcome::Authorized)));
    assert_eq!(store.history(Some(HistoryId::from_i64(2)), 10).unwrap(), entries[1..]);
    let audit = store.audit(0, 10).unwrap();
    assert_eq!(audit[0].event.kind, AuditKind::WalletCreated);
    assert_eq!(audit[1].event, event(AuditKind::PaymentAuthorized).card(first).reason("because"));
    assert_eq!(store.audit(1, 10).unwrap(), audit[1..]);
    assert_eq!(
        store.authenticator_state(AuthenticatorState::Software).unwrap().unwrap().as_slice(),
        b"state"
    );
    assert_eq!(store.settings().0["cool-down"], "2");
}

#[test]
fn replaced_and_removed_records_stay_so_after_a_restart() {
    let home = Home::new();
    let mut store = home.create();
    let (kept, removed) = (add_card(&mut store, 1), add_card(&mut store, 2));
    let mut changes = Changes::new();
    changes.put_ledger(ledger("order-1", 1)).put_ledger(ledger("order-2", 1));
    changes.add_history(history("order-1", Outcome::Authorized));
    let history_id = store.commit(changes, Durability::Lazy).unwrap().history[0];
    let mut changes = Changes::new();
    changes
        .replace_card(kept, card(3))
        .remove_card(removed)
        .put_ledger(ledger("order-1", 9))
        .remove_ledger(&host(), "order-2")
        .remove_ledger(&host(), "never there")
        .replace_history(history_id, history("order-1", Outcome::CompletedSuccess));
    store.commit(changes, Durability::Durable).unwrap();
    assert_eq!(store.card(kept).unwrap().card, card(3));
    assert!(store.card(removed).is_none());
    drop(store);

    let store = home.open();
    assert_eq!(store.card(kept).unwrap().card, card(3));
    assert!(store.card(removed).is_none());
    assert_eq!(store.ledger().unwrap(), [ledger("order-1", 9)]);
    assert_eq!(
        store.history(None, 9).unwrap(),
        [(history_id, history("order-1", Outcome::CompletedSuccess))]
    );
}

#[test]
fn a_commit_with_one_impossible_change_changes_nothing() {
    let home = Home::new();
    let mut store = home.create();
    let generation = store.generation();
    let mut changes = Changes::new();
    changes.add_card(card(1)).unwrap();
    changes.audit(event(AuditKind::CardStored)).remove_card(CardId::from_i64(77));
    let error = store.commit(changes, Durability::Durable).unwrap_err();
    assert!(matches!(error, StoreError::NoSuchRow { table: Table::Card, row: 77 }), "{error}");
    assert_eq!((store.cards().len(), store.generation()), (0, generation));
    assert_eq!(store.audit(0, 9).unwrap().len(), 1);
    add_card(&mut store, 2);
    drop(store);
    assert_eq!(home.open().cards().len(), 1);
}

#[test]
fn old_history_and_audit_entries_can_go_and_the_chain_still_holds() {
    let home = Home::new();
    let mut store = home.create();
    for n in 0..20 {
        let mut changes = Changes::new();
        changes.add_history(history(&format!("order-{n}"), Outcome::Authorized));
        changes.audit(event(AuditKind::PaymentAuthorized)).keep_history(5).keep_audit(7);
        store.commit(changes, Durability::Lazy).unwrap();
    }
    drop(store);
    let store = home.open();
    assert_eq!(store.history(None, 99).unwrap().len(), 5);
    let audit = store.audit(0, 99).unwrap();
    assert_eq!((audit.len(), audit[0].sequence, audit[6].sequence), (7, 15, 21));
}

#[test]
fn two_processes_never_hold_one_wallet() {
    let home = Home::new();
    let store = home.create();
    let error = open(&home.wallet()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(store);
    home.open();
}

#[test]
fn the_directory_is_0700_and_every_file_in_it_0600() {
    let home = Home::new();
    let mut store = home.create();
    add_card(&mut store, 1);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&home.wallet()), 0o700);
    let mut files = 0;
    for entry in home.wallet().read_dir().unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
        files += 1;
    }
    assert!(files >= 3, "database, log and lock: {files}");
    assert_eq!(mode(home.key().path()), 0o600);
    drop(store);
    // Somebody opened it up: it is closed again.
    std::fs::set_permissions(home.wallet(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(home.database(), PermissionsExt::from_mode(0o644)).unwrap();
    home.open();
    assert_eq!((mode(&home.wallet()), mode(&home.database())), (0o700, 0o600));
}

#[test]
fn nothing_readable_stands_in_the_files() {
    let home = Home::new();
    let mut store = home.create();
    add_card(&mut store, 1);
    let mut changes = Changes::new();
    changes.put_ledger(ledger("order-1", 1)).add_history(history("order-1", Outcome::Authorized));
    store.commit(changes, Durability::Durable).unwrap();
    for entry in home.wallet().read_dir().unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in
            ["DE8937040044", "spaceshop", "Space Shop", "order-1", "Card 1", "bank.example", "435.00"]
        {
            assert!(!contains(&bytes, secret.as_bytes()), "{secret}");
        }
    }
}

#[test]
fn a_removed_card_leaves_no_cipher_text_behind() {
    let home = Home::new();
    let mut store = home.create();
    let id = add_card(&mut store, 1);
    let before = rows(&home.database(), &home, "card", store);
    assert_eq!(before.len(), 1);
    let mut store = home.open();
    let mut changes = Changes::new();
    changes.remove_card(id);
    store.commit(changes, Durability::Durable).unwrap();
    for entry in home.wallet().read_dir().unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!contains(&bytes, &before[0][12..44]));
    }
}

/// The sealed content of a table, read by SQLite after the store was closed.
fn rows(database: &std::path::Path, _home: &Home, table: &str, store: fwp_store::Store) -> Vec<Vec<u8>> {
    drop(store);
    let connection = rusqlite::Connection::open(database).unwrap();
    let mut statement = connection.prepare(&format!("SELECT sealed FROM {table} ORDER BY id")).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_wallet_of_another_key_is_refused_and_left_as_it_is() {
    let (home, other) = (Home::new(), Home::new());
    drop(home.create());
    drop(other.create());
    let before = std::fs::read(home.database()).unwrap();
    let refusal = home.locked().unlock(&[&other.key()], None).unwrap_err();
    let StoreError::NoSlotOpens { tried } = &refusal.error else { panic!("{}", refusal.error) };
    assert!(matches!(tried[..], [(SlotKind::KeyFile, SlotError::OtherKey)]), "{tried:?}");
    // The same locked store opens with the right key.
    drop(refusal.locked.unlock(&[&home.key()], None).unwrap());
    assert_eq!(std::fs::read(home.database()).unwrap(), before);
}

#[test]
fn a_missing_malformed_or_exposed_key_file_is_named() {
    let home = Home::new();
    drop(home.create());
    let path = home.key().path().to_owned();
    let problem = || {
        let refusal = home.locked().unlock(&[&home.key()], None).unwrap_err();
        let StoreError::NoSlotOpens { mut tried } = refusal.error else { panic!("{}", refusal.error) };
        tried.remove(0).1
    };
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    assert!(matches!(problem(), SlotError::Exposed { mode: 0o640, .. }));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    for bad in ["", "fwpd wallet key 2\nabcd\n", &good[..good.len() - 4], &format!("{good}more\n")] {
        std::fs::write(&path, bad).unwrap();
        assert!(matches!(problem(), SlotError::Malformed(_)), "{bad}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(problem(), SlotError::Missing(_)));
}

#[test]
fn other_files_are_refused_and_left_as_they_are() {
    let database = |setup: &str| {
        let home = Home::new();
        drop(home.create());
        std::fs::remove_file(home.database()).unwrap();
        rusqlite::Connection::open(home.database()).unwrap().execute_batch(setup).unwrap();
        home
    };
    let text = Home::new();
    drop(text.create());
    std::fs::write(text.database(), "not a database, but long enough to be looked at as if it were one")
        .unwrap();
    let empty = Home::new();
    drop(empty.create());
    std::fs::write(empty.database(), "").unwrap();
    for home in [
        text,
        empty,
        database("CREATE TABLE t (x)"),
        database("PRAGMA application_id = 7; CREATE TABLE t (x)"),
    ] {
        let before = std::fs::read(home.database()).unwrap();
        let error = open(&home.wallet()).unwrap_err();
        assert!(matches!(error, StoreError::NotAWallet { .. }), "{error}");
        assert_eq!(std::fs::read(home.database()).unwrap(), before);
    }
}

#[test]
fn a_newer_store_is_refused_and_left_as_it_is() {
    let home = Home::new();
    drop(home.create());
    rusqlite::Connection::open(home.database()).unwrap().pragma_update(None, "user_version", 3).unwrap();
    let before = std::fs::read(home.database()).unwrap();
    let error = open(&home.wallet()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 3, known: 2 }), "{error}");
    assert_eq!(std::fs::read(home.database()).unwrap(), before);
}

#[test]
fn what_is_left_of_an_interrupted_creation_is_no_wallet() {
    let home = Home::new();
    std::fs::create_dir(home.wallet()).unwrap();
    std::fs::write(home.wallet().join("wallet.new"), "half a database").unwrap();
    std::fs::write(home.wallet().join("wallet.new-journal"), "half a journal").unwrap();
    let mut store = home.create();
    add_card(&mut store, 1);
    drop(store);
    assert!(!home.wallet().join("wallet.new").exists());
    assert_eq!(home.open().cards().len(), 1);
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let home = Home::new();
    assert!(matches!(open(&home.wallet()).unwrap(), Found::Nothing(_)));
    assert!(!home.database().exists());
}

#[test]
fn each_authenticator_keeps_a_state_of_its_own_which_can_be_removed() {
    let home = Home::new();
    let mut store = home.create();
    let all = [AuthenticatorState::Software, AuthenticatorState::Tpm, AuthenticatorState::TpmAttestation];
    let mut changes = Changes::new();
    for (which, content) in all.iter().zip(["keys", "tpm", "vouches"]) {
        changes.put_authenticator_state(*which, Zeroizing::new(content.into()));
    }
    store.commit(changes, Durability::Durable).unwrap();
    let mut changes = Changes::new();
    changes.remove_authenticator_state(AuthenticatorState::Tpm);
    // Once more: there is none any more, and that is no error.
    changes.remove_authenticator_state(AuthenticatorState::Tpm);
    store.commit(changes, Durability::Durable).unwrap();
    drop(store);
    let store = home.open();
    let states = all.map(|which| store.authenticator_state(which).unwrap());
    let states = states.map(|state| state.map(|state| String::from_utf8(state.to_vec()).unwrap()));
    assert_eq!(states, [Some("keys".to_owned()), None, Some("vouches".to_owned())]);
}

#[test]
fn debug_output_and_errors_tell_no_secret() {
    let home = Home::new();
    let mut store = home.create();
    add_card(&mut store, 1);
    let mut changes = Changes::new();
    changes.put_authenticator_state(AuthenticatorState::Software, Zeroizing::new(b"private".to_vec()));
    assert_eq!(format!("{changes:?}"), "Changes(1)");
    assert!(!format!("{store:?} {:?}", store.card(store.cards().next().unwrap().id)).contains("DE89"));
    let key = fwp_store::DataKey::from_bytes(&[0xab; 32]);
    assert_eq!(format!("{key:?}"), "DataKey(..)");
}

#[test]
fn two_hundred_cards_of_one_moment_enter_and_keep_their_order() {
    let home = Home::new();
    let mut store = home.create();
    let mut changes = Changes::new();
    let mut ids: Vec<_> = (1..=100).map(|n| changes.add_card(card(n)).unwrap()).collect();
    store.commit(changes, Durability::Lazy).unwrap();
    ids.extend((101..=200).map(|n| {
        let mut changes = Changes::new();
        let id = changes.add_card(card(n)).unwrap();
        store.commit(changes, Durability::Lazy).unwrap();
        id
    }));
    drop(store);
    let store = home.open();
    assert_eq!(store.cards().map(|record| record.id).collect::<Vec<_>>(), ids);
    assert!(store.cards().zip(1..).all(|(record, n)| record.card == card(n)));
}

#[test]
fn a_log_without_its_database_is_named_and_kept() {
    let home = Home::new();
    let mut store = home.create();
    add_card(&mut store, 1);
    let log = home.wallet().join("wallet.db-wal");
    let kept = std::fs::read(&log).unwrap();
    drop(store);
    std::fs::remove_file(home.database()).unwrap();
    std::fs::write(&log, &kept).unwrap();
    let error = open(&home.wallet()).unwrap_err();
    assert!(
        matches!(&error, StoreError::DatabaseMissing { log: named } if named.ends_with("wallet.db-wal")),
        "{error}"
    );
    assert_eq!(std::fs::read(&log).unwrap(), kept);
}

#[test]
fn a_creation_interrupted_before_its_last_step_is_a_wallet() {
    let home = Home::new();
    drop(home.create());
    let second_name = home.wallet().join("wallet.new");
    std::fs::hard_link(home.database(), &second_name).unwrap();
    drop(home.open());
    assert!(!second_name.exists());
}

/// What the loss of power may leave of the write-ahead log is some beginning of it: each is a store that opens, with the
/// commits up to some moment and nothing after it.
#[test]
fn every_beginning_of_the_log_is_a_store_that_opens() {
    let home = Home::new();
    let mut store = home.create();
    for n in 1..=6 {
        let mut changes = Changes::new();
        changes.add_card(card(n)).unwrap();
        changes.audit(event(AuditKind::CardStored));
        let durability = if n == 2 { Durability::Durable } else { Durability::Lazy };
        store.commit(changes, durability).unwrap();
    }
    let database = std::fs::read(home.database()).unwrap();
    let log = std::fs::read(home.wallet().join("wallet.db-wal")).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let lengths = (0..log.len()).step_by(1400).chain([log.len()]);
    for length in lengths {
        let after = Home::new();
        std::fs::create_dir(after.wallet()).unwrap();
        std::fs::write(after.database(), &database).unwrap();
        std::fs::write(after.wallet().join("wallet.db-wal"), &log[..length]).unwrap();
        let store = match open(&after.wallet()).unwrap() {
            Found::Wallet(locked) => locked.unlock(&[&home.key()], None).unwrap(),
            Found::Nothing(_) => panic!("taken for no wallet"),
        };
        let cards = store.cards().len();
        assert!(store.cards().zip(1..).all(|(record, n)| record.card == card(n)));
        assert_eq!(store.audit(0, 99).unwrap().len(), cards + 1);
        seen.insert(cards);
    }
    assert_eq!(seen, (0..=6).collect());
}
