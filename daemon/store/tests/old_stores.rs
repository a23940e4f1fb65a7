//! Stores of every released schema version still open, with everything that was in them. The keys beside them are for tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, THEN, add_card, card, history, ledger};
use fwp_store::record::{AuditKind, AuthenticatorState, Outcome};
use fwp_store::slot::{Cost, KeySlot, Passphrase, SystemdCredential};
use fwp_store::{RollBack, Rotation, Store};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

#[test]
fn a_store_of_version_1_opens_with_all_that_was_in_it() {
    let (home, mut store) = opened("v1");
    assert_eq!(store.roll_back(), RollBack::NotDetectedHere);
    // Slots of the kinds that came later enter it.
    let passphrase = Passphrase::with_cost(&phrase(), Cost::new(8, 1, 1).unwrap()).unwrap();
    store.add_slot(&passphrase, THEN).unwrap();
    store.rotate(&[&home.key(), &passphrase], Rotation::DataKey, THEN).unwrap();
    drop(store);
    let store = home.locked().unlock(&[&passphrase], None).unwrap();
    assert_eq!(store.cards().len(), 3);
}

#[test]
fn a_store_of_version_2_opens_with_all_that_was_in_it_and_by_each_of_its_slots() {
    let (home, store) = opened("v2");
    drop(store);
    let passphrase = Passphrase::new(&phrase()).unwrap();
    let credential = SystemdCredential::new(home.temporary.path(), "credential");
    for slot in [&passphrase as &dyn KeySlot, &credential] {
        let store = home.locked().unlock(&[slot], None).unwrap();
        assert_eq!((store.cards().len(), store.opened_by().unwrap().1), (3, slot.kind()));
    }
}

/// The passphrase of the fixtures.
fn phrase() -> Zeroizing<String> {
    Zeroizing::new("correct horse battery staple".to_owned())
}

fn fixture(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version)
}

/// A copy of the store of that version, held against what was in it, with one card more.
fn opened(version: &str) -> (Home, Store) {
    let kept = fixture(version);
    let home = Home::new();
    std::fs::create_dir(home.wallet()).unwrap();
    std::fs::copy(kept.join("wallet.db"), home.database()).unwrap();
    for name in ["wallet.key", "credential"] {
        if kept.join(name).exists() {
            let copy = home.temporary.path().join(name);
            std::fs::copy(kept.join(name), &copy).unwrap();
            std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o600)).unwrap();
        }
    }

    let mut store = home.open();
    let cards: Vec<_> = store.cards().map(|record| record.card.clone()).collect();
    assert_eq!(cards, [card(1), card(2)]);
    assert_eq!(store.ledger().unwrap(), [ledger("order-1", 1)]);
    assert_eq!(store.history(None, 9).unwrap()[0].1, history("order-1", Outcome::Authorized));
    assert_eq!(
        store.authenticator_state(AuthenticatorState::Software).unwrap().unwrap().as_slice(),
        b"state"
    );
    assert_eq!(store.settings().0["cool-down"], "2");
    let audit = store.audit(0, 9).unwrap();
    assert_eq!(
        audit.iter().map(|entry| entry.event.kind).collect::<Vec<_>>()[..2],
        [AuditKind::WalletCreated, AuditKind::PaymentAuthorized]
    );

    // And it goes on from there.
    add_card(&mut store, 3);
    drop(store);
    let store = home.open();
    assert_eq!(store.cards().len(), 3);
    (home, store)
}
