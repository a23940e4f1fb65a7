//! Stores of every released schema version still open, with everything that was in them. The keys beside them are for tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, add_card, card, history, ledger};
use fwp_store::record::{AuditKind, Outcome};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[test]
fn a_store_of_version_1_opens_with_all_that_was_in_it() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1");
    let home = Home::new();
    std::fs::create_dir(home.wallet()).unwrap();
    std::fs::copy(kept.join("wallet.db"), home.database()).unwrap();
    std::fs::copy(kept.join("wallet.key"), home.key().path()).unwrap();
    std::fs::set_permissions(home.key().path(), PermissionsExt::from_mode(0o600)).unwrap();

    let mut store = home.open();
    let cards: Vec<_> = store.cards().map(|record| record.card.clone()).collect();
    assert_eq!(cards, [card(1), card(2)]);
    assert_eq!(store.ledger().unwrap(), [ledger("order-1", 1)]);
    assert_eq!(store.history(None, 9).unwrap()[0].1, history("order-1", Outcome::Authorized));
    assert_eq!(store.authenticator_state().unwrap().unwrap().as_slice(), b"state");
    assert_eq!(store.settings().0["cool-down"], "2");
    let audit = store.audit(0, 9).unwrap();
    assert_eq!(
        audit.iter().map(|entry| entry.event.kind).collect::<Vec<_>>(),
        [AuditKind::WalletCreated, AuditKind::PaymentAuthorized]
    );

    // And it goes on from there.
    add_card(&mut store, 3);
    drop(store);
    assert_eq!(home.open().cards().len(), 3);
}
