//! What a store says when the disk gives no more room.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, card};
use fwp_store::record::CardId;
use fwp_store::{Changes, Durability, Store};
use std::process::Command;
use std::sync::Arc;

const NAME: &str = "a_removed_card_is_told_to_be_removed_where_the_log_cannot_be_carried_over_yet";
/// Set in the process that may write no file longer than [`LIMIT_BYTES`].
const LIMITED: &str = "FWP_STORE_TEST_LIMITED";
/// More than sixteen of the cards below take, and less than twenty-four.
const LIMIT_BYTES: u64 = 700_416;

fn add_cards(store: &mut Store, numbers: std::ops::Range<u64>) -> Vec<CardId> {
    let add = |n| {
        let mut new = card(n);
        let mut credential = (*new.credential).clone();
        credential.card.card_image = "x".repeat(30_000);
        new.credential = Arc::new(credential);
        let mut changes = Changes::new();
        let id = changes.add_card(new).unwrap();
        store.commit(changes, Durability::Lazy).unwrap();
        id
    };
    numbers.map(add).collect()
}

#[test]
fn a_removed_card_is_told_to_be_removed_where_the_log_cannot_be_carried_over_yet() {
    if std::env::var_os(LIMITED).is_none() {
        let run = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" --exact {NAME}", LIMIT_BYTES / 512);
        let mut limited = Command::new("sh");
        limited.args(["-c", &run]).arg(std::env::current_exe().unwrap()).env(LIMITED, "");
        let output = limited.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    // Sixteen cards are in the database, eight in its log; together they are too long for one file.
    let home = Home::new();
    drop(home.create());
    for first in [0, 8] {
        add_cards(&mut home.open(), first..first + 8);
    }
    let mut store = home.open();
    let ids = add_cards(&mut store, 16..24);
    let length = |path: &std::path::Path| path.metadata().unwrap().len();
    let (database, log) = (length(&home.database()), length(&home.wallet().join("wallet.db-wal")));
    assert!(database + 8 * 30_000 > LIMIT_BYTES && log < LIMIT_BYTES / 2 + 100_000, "{database}, {log}");

    let mut changes = Changes::new();
    changes.remove_card(ids[3]);
    let removed = store.commit(changes, Durability::Durable);
    assert!(store.card(ids[3]).is_none());
    removed.unwrap();
    // The log holds what was committed, and the store goes on.
    add_cards(&mut store, 24..25);
    drop(store);
    let store = home.open();
    assert_eq!((store.cards().len(), store.card(ids[3])), (24, None));
}
