//! A process that is killed in the middle of its writes loses nothing that it acknowledged, and leaves a store that opens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod common;

use common::{Home, card, event, history, ledger};
use fwp_store::record::{AuditKind, Outcome};
use fwp_store::slot::KeyFile;
use fwp_store::{Changes, Durability, Found, Store, open};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const KILLS: u64 = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, directory] = arguments.as_slice()
        && flag == "--write"
    {
        return write_forever(Path::new(directory));
    }
    if arguments
        .iter()
        .any(|argument| !argument.starts_with('-') && !"killed_writers".contains(argument.as_str()))
    {
        return;
    }
    let acknowledged = killed_writers();
    println!("test killed_writers ({KILLS} kills, {acknowledged} acknowledged commits) ... ok");
}

/// Adds cards and says so after each commit, durable and lazy in turn, until killed.
fn write_forever(directory: &Path) {
    let mut store = open_wallet(directory);
    let mut n = store.cards().len() as u64;
    loop {
        n += 1;
        let mut changes = Changes::new();
        let id = changes.add_card(card_at(n)).unwrap();
        changes
            .put_ledger(ledger(&format!("order-{}", n % 7), 1))
            .add_history(history(&format!("order-{n}"), Outcome::Authorized))
            .audit(event(AuditKind::CardStored).card(id));
        let durability = if n.is_multiple_of(2) { Durability::Durable } else { Durability::Lazy };
        store.commit(changes, durability).unwrap();
        println!("{n}");
        std::io::stdout().flush().unwrap();
    }
}

/// The `n`th card, a millisecond after the one before: several processes draw names for cards here.
fn card_at(n: u64) -> fwp_store::record::NewCard {
    let mut card = card(n);
    card.enrolled_unix_ms += i64::try_from(n).unwrap();
    card
}

fn open_wallet(directory: &Path) -> Store {
    let key = KeyFile::new(directory.join("wallet.key"));
    match open(&directory.join("wallet")).unwrap() {
        Found::Nothing(vacant) => vacant.create(&[&key], common::THEN).unwrap(),
        Found::Wallet(locked) => locked.unlock(&[&key], None).unwrap(),
    }
}

fn killed_writers() -> u64 {
    let home = Home::new();
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .arg("--write")
            .arg(home.temporary.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // From the middle of the creation up to the middle of a commit.
        std::thread::sleep(Duration::from_millis(kill * 7));
        writer.kill().unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        if let Some(Ok(last)) = lines.last() {
            acknowledged = last.parse().unwrap();
        }
        assert_eq!(writer.wait().unwrap().signal(), Some(9), "the writer ended by itself");

        let store = open_wallet(home.temporary.path());
        let there = store.cards().len() as u64;
        // One more may have been committed and not said.
        assert!((acknowledged..=acknowledged + 1).contains(&there), "kill {kill}: {acknowledged}, {there}");
        assert_eq!(store.history(None, usize::MAX).unwrap().len() as u64, there);
        assert_eq!(store.audit(0, usize::MAX).unwrap().len() as u64, there + 1);
    }
    acknowledged
}
