//! What a TPM costs: a payment with a key in it, and opening a store whose key it seals. The TPM is swtpm. Each floor is what is
//! left without our code: the same without a TPM, and the very same TPM commands in the same order, sent with tss-esapi alone
//! (see `replay`). That they are the same is checked on the wires, before anything is timed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, missing_docs)]

mod replay;
mod wallet;

use ctap_tpm::{Tpm, TpmAddress};
use fwp_bench::{Row, print};
use fwp_store::slot::{KeyFile, KeySlot};
use fwp_store::{Found, OutsideCounter, Store, open};
use fwp_store_tpm::{TpmCounter, TpmSlot};
use replay::{Part, Replay};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use virtual_tpm::Swtpm;
use virtual_tpm::proxy::Proxy;
use wallet::{Wallet, program};

const ROUNDS: usize = 60;
/// What a TPM may cost besides its own time.
const LIMIT: f64 = 1.1;

fn main() {
    let payment = Runtime::new().unwrap().block_on(payment());
    let unlocking = unlocking();
    print("What a TPM costs (swtpm)", &[payment, unlocking]);
}

/// Paying through the daemon, with a key in the TPM and with one in software.
async fn payment() -> Row {
    let list = commands_of_a_payment().await;
    println!("The TPM commands of a payment, as they were on the wires:\n{}\n", Part::describe(&list));
    let swtpm = Swtpm::new();
    let mut replay = Replay::new(swtpm.address());
    let address = format!("{}", swtpm.address());
    let mut tpm = Wallet::start(&program(), &address, "tpm").await;
    let mut software = Wallet::start(&program(), "none", "software").await;
    for _ in 0..5 {
        tpm.pay().await;
        software.pay().await;
        replay.play(&list);
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let ours = tpm.pay().await;
        let floor = software.pay().await;
        let start = Instant::now();
        replay.play(&list);
        rounds.push((ours, floor + start.elapsed().as_secs_f64()));
    }
    Row::from_rounds("payment with a TPM : the same commands + payment in software", LIMIT, &rounds)
}

/// Sniffed between daemon and TPM, and between the replay and the same TPM.
async fn commands_of_a_payment() -> Vec<Part> {
    let swtpm = Swtpm::new();
    let proxy = Proxy::sniffer(swtpm.port);
    let mut wallet = Wallet::start(&program(), &proxy.address().to_string(), "tpm").await;
    wallet.pay().await;
    wallet.settle().await;
    proxy.forget();
    wallet.pay().await;
    wallet.settle().await;
    let sent = proxy.commands();
    drop(wallet);
    same_on_the_wires(&proxy, &sent)
}

/// The parts that `sent` is made of. A replay of them sends just the same.
fn same_on_the_wires(proxy: &Proxy, sent: &[u32]) -> Vec<Part> {
    let parts = Part::split(sent);
    let mut replay = Replay::new(proxy.address());
    for _ in 0..2 {
        proxy.forget();
        replay.play(&parts);
        // Those that flush may still be on their way.
        let sent_again = settled(proxy, sent.len());
        assert_eq!(sent_again, sent, "the replay sends other commands");
    }
    parts
}

fn settled(proxy: &Proxy, count: usize) -> Vec<u32> {
    let start = Instant::now();
    while proxy.commands().len() < count && start.elapsed().as_secs() < 5 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    proxy.commands()
}

/// Opening a store as a program that has just started does, roll-back checked.
fn unlocking() -> Row {
    let swtpm = Swtpm::new();
    let (sealed, filed) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let key_file = KeyFile::new(filed.path().join("key"));
    let (sealed, filed) = (sealed.path().join("wallet"), filed.path().join("wallet"));
    let tpm = Arc::new(Tpm::new(swtpm.address()));
    let mut store = create(&sealed, &TpmSlot::new(Arc::clone(&tpm)));
    store.attach_counter(Box::new(TpmCounter::new(tpm))).unwrap();
    drop(store);
    drop(create(&filed, &key_file));

    let with_tpm = |address: TpmAddress| {
        let tpm = Arc::new(Tpm::new(address));
        unlock(&sealed, &TpmSlot::new(Arc::clone(&tpm)), Some(Box::new(TpmCounter::new(tpm))));
    };
    let proxy = Proxy::sniffer(swtpm.port);
    with_tpm(proxy.address());
    let list = same_on_the_wires(&proxy, &settled(&proxy, 1));
    println!("The TPM commands of unlocking, as they were on the wires:\n{}\n", Part::describe(&list));
    let mut replay = Replay::new(swtpm.address());
    let floor = || {
        unlock(&filed, &key_file, None);
        replay.play(&list);
    };
    Row::measure(
        "store unlocked with a TPM slot : the same commands + with a key file",
        LIMIT,
        || with_tpm(swtpm.address()),
        floor,
    )
}

fn create(directory: &Path, slot: &dyn KeySlot) -> Store {
    match open(directory).unwrap() {
        Found::Nothing(vacant) => vacant.create(&[slot], 0).unwrap(),
        Found::Wallet(_) => panic!("there is a wallet already"),
    }
}

fn unlock(directory: &Path, slot: &dyn KeySlot, counter: Option<Box<dyn OutsideCounter>>) {
    match open(directory).unwrap() {
        Found::Wallet(locked) => drop(locked.unlock(&[slot], counter).unwrap()),
        Found::Nothing(_) => panic!("there is no wallet"),
    }
}
