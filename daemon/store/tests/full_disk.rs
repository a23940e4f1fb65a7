//! What a store says when the disk gives no more room.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, THEN, card, contents};
use fwp_store::record::CardId;
use fwp_store::slot::KeyFile;
use fwp_store::{Changes, Durability, Found, Rotation, Store, StoreError, open};
use std::path::Path;
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

const ROTATION: &str = "a_rotation_for_which_the_disk_has_no_room_is_named_and_leaves_a_store_that_opens";
/// Set in the process that has a disk of its own, with its directory.
const DISK: &str = "FWP_STORE_TEST_DISK";

#[test]
fn a_rotation_for_which_the_disk_has_no_room_is_named_and_leaves_a_store_that_opens() {
    let Some(disk) = std::env::var_os(DISK) else {
        // A disk of 3 MiB, in a mount namespace of its own.
        let home = Home::new();
        let run = format!("mount -t tmpfs -o size=3M,mode=700 none \"$1\" && exec \"$0\" --exact {ROTATION}");
        let mut process = Command::new("unshare");
        process.args(["--user", "--map-root-user", "--mount", "sh", "-c", &run]);
        process.arg(std::env::current_exe().unwrap()).arg(home.temporary.path());
        let output =
            process.env(DISK, home.temporary.path()).output().expect("util-linux is needed: unshare");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
        return;
    };
    let disk = Path::new(&disk);
    let (wallet, key) = (disk.join("wallet"), KeyFile::new(disk.join("wallet.key")));
    let open_it = || match open(&wallet).unwrap() {
        Found::Wallet(locked) => locked.unlock(&[&key], None).unwrap(),
        Found::Nothing(vacant) => vacant.create(&[&key], THEN).unwrap(),
    };
    // About 1 MiB of records: once more of them does not fit beside what else is there.
    add_cards(&mut open_it(), 0..32);
    let mut store = open_it();
    let before = contents(&store);
    let ballast = disk.join("ballast");
    // Room for nothing, for a few pages, and for most of it.
    for room in [0, 20_000, 200_000, 900_000] {
        fill(&ballast, room);
        for _ in 0..2 {
            let error = store.rotate(&[&key], Rotation::DataKey, THEN).unwrap_err();
            assert!(matches!(error, StoreError::NoRoom), "{room}: {error}");
            assert_eq!(contents(&store), before);
        }
        // With no room at all it opens still.
        fill(&ballast, 0);
        drop(store);
        store = open_it();
        assert_eq!(contents(&store), before);
    }
    std::fs::remove_file(&ballast).unwrap();
    store.rotate(&[&key], Rotation::DataKey, THEN).unwrap();
    drop(store);
    assert_eq!(contents(&open_it()), before);
}

/// Leaves `room` bytes on the disk of `ballast`.
fn fill(ballast: &Path, room: u64) {
    let file = std::fs::File::create(ballast).unwrap();
    let mut writer = std::io::BufWriter::with_capacity(4096, &file);
    while std::io::Write::write_all(&mut writer, &[1; 4096]).is_ok() {}
    drop(writer.into_parts());
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(room)).unwrap();
}
