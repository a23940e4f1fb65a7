//! A process that is killed at any instant while it rotates keys, adds and removes slots leaves a store that opens by its
//! slots, with everything in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod common;

use common::{THEN, contents, full_wallet};
use fwp_store::record::AuthenticatorState;
use fwp_store::slot::{Cost, KeyFile, KeySlot, Passphrase, SlotKind};
use fwp_store::{Found, Rotation, Store, open};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

const KILLS: u64 = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, directory] = arguments.as_slice()
        && flag == "--rotate"
    {
        return rotate_forever(Path::new(directory));
    }
    let name = "killed_rotations";
    if arguments.iter().any(|argument| !argument.starts_with('-') && !name.contains(argument.as_str())) {
        return;
    }
    let rotations = killed_rotations();
    println!("test {name} ({KILLS} kills, {rotations} rotations told to be done) ... ok");
}

fn key_files(directory: &Path) -> [KeyFile; 2] {
    ["wallet.key", "other.key"].map(|name| KeyFile::new(directory.join(name)))
}

fn passphrase() -> Passphrase {
    Passphrase::with_cost(&Zeroizing::new("correct horse".to_owned()), Cost::new(8, 1, 1).unwrap()).unwrap()
}

fn open_with(directory: &Path, slot: &dyn KeySlot) -> Store {
    match open(&directory.join("wallet")).unwrap() {
        Found::Wallet(locked) => locked.unlock(&[slot], None).unwrap(),
        Found::Nothing(_) => panic!("there is no wallet"),
    }
}

/// Rotates, adds the passphrase and removes it, and says so after each, until killed.
fn rotate_forever(directory: &Path) {
    let ([first, second], phrase) = (key_files(directory), passphrase());
    let at_hand: [&dyn KeySlot; 3] = [&first, &second, &phrase];
    let mut store = open_with(directory, &first);
    println!("open");
    loop {
        for rotation in [Rotation::DataKey, Rotation::Slots, Rotation::DataKey] {
            store.rotate(&at_hand, rotation, THEN).unwrap();
            println!("rotated");
        }
        let there = store.slots().unwrap().into_iter().find(|(_, kind)| *kind == SlotKind::Passphrase);
        match there {
            Some((id, _)) => store.remove_slot(id, &at_hand, THEN).unwrap(),
            None => store.add_slot(&phrase, THEN).map(|_| ()).unwrap(),
        }
        let mut changes = fwp_store::Changes::new();
        changes.keep_audit(60);
        store.commit(changes, fwp_store::Durability::Lazy).unwrap();
        std::io::stdout().flush().unwrap();
    }
}

/// The user's records: the audit log grows with each rotation, and is checked by its chain.
fn records(store: &Store) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?}",
        store.cards().collect::<Vec<_>>(),
        store.ledger().unwrap().len(),
        store.history(None, 99).unwrap(),
        store.settings(),
        store.authenticator_state(AuthenticatorState::Software).unwrap(),
    )
}

fn killed_rotations() -> usize {
    let home = full_wallet();
    let directory = home.temporary.path();
    let [first, second] = key_files(directory);
    assert!(contents(&home.open()).contains("Card 3"));
    let before = records(&home.open());
    let mut rotations = 0;
    for kill in 0..KILLS {
        let mut rotating = Command::new(std::env::current_exe().unwrap())
            .arg("--rotate")
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(rotating.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "open");
        // From the first rotation on, at any instant: some in the middle of one, some between two.
        let mut random = [0; 4];
        getrandom::fill(&mut random).unwrap();
        let delay = Duration::from_micros(u64::from(u32::from_be_bytes(random)) % 160_000);
        let begun = Instant::now();
        while begun.elapsed() < delay {
            std::hint::spin_loop();
        }
        rotating.kill().unwrap();
        rotations += lines.count();
        assert_eq!(rotating.wait().unwrap().signal(), Some(9), "it ended by itself");

        for slot in [&first, &second] {
            let store = open_with(directory, slot);
            assert_eq!(records(&store), before, "kill {kill} after {delay:?}");
            let has_passphrase = store.slots().unwrap().len() == 3;
            drop(store);
            if has_passphrase {
                assert_eq!(records(&open_with(directory, &passphrase())), before);
            }
        }
    }
    assert!(rotations > 0, "every kill came before the first rotation was done");
    rotations
}
