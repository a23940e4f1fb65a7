//! What is left of secrets in the memory of a process that opened wallets and closed them: nothing. Looked at from another
//! process, as a core dump would be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod common;

use common::{Home, THEN, add_card, full_wallet};
use fwp_store::slot::{Cost, KeyFile, KeySlot, Passphrase, SlotKind, SystemdCredential};
use fwp_store::{Found, Rotation, WalletId, open};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use zeroize::Zeroizing;

const PHRASE: &str = "correct horse battery staple";
const HOLDS: &str = "the_memory_of_an_open_wallet_holds_its_data_key_and_of_a_closed_one_no_secret";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, directory] = arguments.as_slice()
        && flag == "--wallet"
    {
        return use_wallet(Path::new(directory));
    }
    if arguments.iter().any(|argument| !argument.starts_with('-') && !HOLDS.contains(argument.as_str())) {
        return;
    }
    memory_of_a_closed_wallet();
    println!("test {HOLDS} ... ok");
}

/// Stops where the test looks: waits for a line.
fn look_here(what: &str) {
    println!("{what}");
    std::io::stdout().flush().unwrap();
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
}

/// From a file, without a buffer that would keep it.
fn passphrase(directory: &Path) -> Passphrase {
    let mut text = Zeroizing::new(String::with_capacity(64));
    std::fs::File::open(directory.join("phrase")).unwrap().read_to_string(&mut text).unwrap();
    Passphrase::with_cost(&text, Cost::new(64, 1, 1).unwrap()).unwrap()
}

fn use_wallet(directory: &Path) {
    let found = || match open(&directory.join("wallet")).unwrap() {
        Found::Wallet(locked) => locked,
        Found::Nothing(_) => panic!("there is no wallet"),
    };
    let key = KeyFile::new(directory.join("wallet.key"));
    let credential = SystemdCredential::new(directory, "credential");
    {
        let phrase = passphrase(directory);
        for slot in [&key as &dyn KeySlot, &credential, &phrase] {
            let mut store = found().unlock(&[slot], None).unwrap();
            add_card(&mut store, 77);
            if slot.kind() == SlotKind::Passphrase {
                look_here("open");
                store.rotate(&[&key, &credential, &phrase], Rotation::Slots, THEN).unwrap();
            }
        }
    }
    look_here("closed");
}

/// All memory that the process can write to.
fn memory(process: &Child) -> Vec<u8> {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", process.id())).unwrap();
    let mut memory = std::fs::File::open(format!("/proc/{}/mem", process.id())).unwrap();
    let mut all = Vec::new();
    for line in
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|access| access.starts_with("rw")))
    {
        let (begin, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [begin, end] = [begin, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        memory.seek(SeekFrom::Start(begin)).unwrap();
        let mut part = vec![0; usize::try_from(end - begin).unwrap()];
        if memory.read_exact(&mut part).is_ok() {
            all.extend(part);
        }
    }
    assert!(all.len() > 100_000, "{}", all.len());
    all
}

fn holds(memory: &[u8], secret: &[u8]) -> bool {
    memory.windows(secret.len()).any(|window| window == secret)
}

/// What the slot of a kind keeps in the store.
fn wrapped(home: &Home, kind: i64) -> Vec<u8> {
    let connection = rusqlite::Connection::open(home.database()).unwrap();
    let mut statement = connection.prepare("SELECT sealed FROM slot ORDER BY id").unwrap();
    let rows: Vec<Vec<u8>> =
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    rows.into_iter().find(|row| row.starts_with(&kind.to_be_bytes())).unwrap().split_off(8)
}

fn memory_of_a_closed_wallet() {
    let home = full_wallet();
    let directory = home.temporary.path();
    let mut own_key = [0; 32];
    getrandom::fill(&mut own_key).unwrap();
    std::fs::write(directory.join("credential"), own_key).unwrap();
    std::fs::set_permissions(directory.join("credential"), PermissionsExt::from_mode(0o600)).unwrap();
    let phrase = Zeroizing::new(PHRASE.to_owned());
    let mut store = home.open();
    let wallet: WalletId = store.wallet_id();
    let second = store.slots().unwrap()[1].0;
    store.remove_slot(second, &[&home.key()], THEN).unwrap();
    store.add_slot(&SystemdCredential::new(directory, "credential"), THEN).unwrap();
    store.add_slot(&Passphrase::with_cost(&phrase, Cost::new(64, 1, 1).unwrap()).unwrap(), THEN).unwrap();
    drop(store);
    let data_key = home.key().unwrap(&wallet, &wrapped(&home, 1)).unwrap();
    let key_file = std::fs::read_to_string(home.key().path()).unwrap();
    let file_key = data_encoding::HEXLOWER.decode(key_file.lines().nth(1).unwrap().as_bytes()).unwrap();

    // What records are sealed under, as the store derives it.
    let mut seal_key = [0; 32];
    hkdf::Hkdf::<sha2::Sha256>::new(Some(wallet.as_bytes()), data_key.expose())
        .expand(b"fwpd store seal", &mut seal_key)
        .unwrap();
    std::fs::write(directory.join("phrase"), PHRASE).unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .arg("--wallet")
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open");
    let open = memory(&process);
    assert!(
        holds(&open, data_key.expose()) && holds(&open, PHRASE.as_bytes()),
        "the test looks in the wrong place"
    );
    writeln!(input).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "closed");
    let closed = memory(&process);
    let found: Vec<_> = [
        ("data key", data_key.expose().as_slice()),
        ("key of the key file", &file_key),
        ("text of the key file", key_file.lines().nth(1).unwrap().as_bytes()),
        ("credential", &own_key),
        ("key of the records", &seal_key),
        ("passphrase", PHRASE.as_bytes()),
    ]
    .into_iter()
    .filter(|(_, secret)| holds(&closed, &secret[..16]) || holds(&closed, &secret[secret.len() - 16..]))
    .map(|(name, _)| name)
    .collect();
    writeln!(input).unwrap();
    process.wait().unwrap();
    assert!(found.is_empty(), "left in memory: {found:?}");
}
