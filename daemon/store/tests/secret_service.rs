//! The key slot in the desktop's keyring, with a real gnome-keyring-daemon on a private session bus.
//!
//! Without arguments it runs every scenario, each in a process of its own that finds its bus in the environment.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

use dbus_secret_service_keyring_store as keyring;
use fwp_store::record::{AuditEvent, AuditKind};
use fwp_store::slot::{KeyFile, KeySlot, SecretServiceSlot, SlotError, SlotKind};
use fwp_store::{
    Changes, CounterError, CounterKind, Durability, Found, OutsideCounter, RollBack, SecretServiceCounter,
    Store, StoreError, WalletId, open,
};
use keyring_core::api::CredentialStoreApi;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A moment, in milliseconds since 1970.
const THEN: i64 = 1_790_000_000_000;
const DEADLINE: Duration = Duration::from_secs(10);

/// What is on the private bus.
#[derive(Clone, Copy, PartialEq)]
enum Session {
    NoBus,
    BusOnly,
    KeyringWithoutCollection,
    UnlockedKeyring,
}

type Scenario = (&'static str, Session, fn(&Path));

const SCENARIOS: &[Scenario] = &[
    ("a_wallet_is_made_and_opened_with_the_keyring", Session::UnlockedKeyring, made_and_opened),
    ("two_wallets_have_two_keys", Session::UnlockedKeyring, two_wallets),
    ("keyring_and_key_file_open_the_same_wallet", Session::UnlockedKeyring, both_slots),
    ("a_key_that_was_deleted_is_missing", Session::UnlockedKeyring, deleted_key),
    ("another_key_in_its_place_is_named", Session::UnlockedKeyring, other_key),
    ("a_locked_keyring_is_named", Session::UnlockedKeyring, locked_keyring),
    ("two_items_of_one_wallet_are_named", Session::UnlockedKeyring, two_items),
    ("a_wallet_is_not_made_in_a_locked_keyring", Session::UnlockedKeyring, created_locked),
    ("an_item_that_is_discarded_opens_nothing", Session::UnlockedKeyring, discarded),
    ("a_keyring_that_never_answers_is_given_up", Session::UnlockedKeyring, hanging_keyring),
    ("an_old_copy_of_the_store_is_noticed_and_opens_when_it_is_meant", Session::UnlockedKeyring, old_copy),
    ("a_copy_from_before_the_first_counter_is_noticed", Session::UnlockedKeyring, copy_before_the_counter),
    ("a_counter_that_was_deleted_or_scribbled_over_is_named", Session::UnlockedKeyring, counter_gone),
    (
        "a_locked_keyring_holds_no_payment_up_and_is_said_at_the_next_opening",
        Session::UnlockedKeyring,
        counter_locked,
    ),
    ("a_counter_in_a_keyring_that_hangs_is_waited_for_once", Session::UnlockedKeyring, counter_hangs),
    ("a_session_without_a_default_keyring_is_named", Session::KeyringWithoutCollection, no_collection),
    ("a_bus_without_a_keyring_is_named", Session::BusOnly, no_service),
    ("no_bus_is_named", Session::NoBus, no_service),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, directory] = arguments.as_slice()
        && flag == "--scenario"
    {
        let scenario = SCENARIOS.iter().find(|(known, ..)| known == name).unwrap();
        return scenario.2(Path::new(directory));
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let mut failed = 0;
    for (name, session, _) in SCENARIOS {
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        let passed = run(name, *session);
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    assert_eq!(failed, 0, "scenarios failed");
}

/// Ends the process with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(name: &str, session: Session) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let environment = |command: &mut Command, address: &str| {
        command
            .env("DBUS_SESSION_BUS_ADDRESS", address)
            .env("HOME", directory.path())
            .env("XDG_RUNTIME_DIR", directory.path())
            .env("XDG_DATA_HOME", directory.path().join("data"))
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("GNOME_KEYRING_CONTROL");
    };
    let (bus, address) = if session == Session::NoBus {
        (None, format!("unix:path={}", directory.path().join("no-bus").display()))
    } else {
        let (bus, address) = start_bus(directory.path());
        (Some(bus), address)
    };
    let keyring = match session {
        Session::NoBus | Session::BusOnly => None,
        Session::KeyringWithoutCollection | Session::UnlockedKeyring => {
            let mut command = Command::new("gnome-keyring-daemon");
            environment(&mut command, &address);
            Some(start_keyring(command, session))
        }
    };
    let mut scenario = Command::new(std::env::current_exe().unwrap());
    environment(&mut scenario, &address);
    if let Some(Running(keyring)) = &keyring {
        scenario.env("KEYRING_PID", keyring.id().to_string());
    }
    let status = scenario.args(["--scenario", name]).arg(directory.path()).status().unwrap();
    drop((keyring, bus));
    status.success()
}

/// A session bus of our own, without the services that are installed on this machine.
fn start_bus(directory: &Path) -> (Running, String) {
    let config = directory.join("bus.conf");
    let text = format!(
        "<busconfig><type>session</type><listen>unix:path={}</listen><policy context=\"default\">\
         <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
        directory.join("bus").display()
    );
    std::fs::write(&config, text).unwrap();
    let mut bus = Command::new("dbus-daemon")
        .arg(format!("--config-file={}", config.display()))
        .args(["--nofork", "--print-address=1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("dbus-daemon is needed for this test");
    let mut address = String::new();
    BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
    (Running(bus), address.trim().to_owned())
}

fn start_keyring(mut command: Command, session: Session) -> Running {
    command.args(["--foreground", "--components=secrets"]).stdin(Stdio::piped()).stdout(Stdio::null());
    command.stderr(Stdio::null());
    if session == Session::UnlockedKeyring {
        command.arg("--unlock");
    }
    let mut keyring = command.spawn().expect("gnome-keyring-daemon is needed for this test");
    if session == Session::UnlockedKeyring {
        keyring.stdin.take().unwrap().write_all(b"password").unwrap();
    }
    Running(keyring)
}

fn slot() -> SecretServiceSlot {
    SecretServiceSlot::new(DEADLINE)
}

/// Makes a wallet as soon as the keyring is on the bus.
fn create(directory: &Path) -> Store {
    let begun = Instant::now();
    loop {
        let Found::Nothing(vacant) = open(directory).unwrap() else { panic!("there is a wallet") };
        match vacant.create(&[&slot()], THEN) {
            Ok(store) => return store,
            Err(StoreError::Slot { source: SlotError::NoService(_), .. }) if begun.elapsed() < DEADLINE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Why the keyring does not open the wallet.
fn problem(directory: &Path) -> SlotError {
    let Found::Wallet(locked) = open(directory).unwrap() else { panic!("there is no wallet") };
    let StoreError::NoSlotOpens { mut tried } = locked.unlock(&[&slot()], None).unwrap_err().error else {
        panic!("another error")
    };
    assert_eq!((tried.len(), tried[0].0), (1, SlotKind::SecretService));
    tried.remove(0).1
}

fn open_with(directory: &Path, slot: &dyn KeySlot) -> Store {
    let Found::Wallet(locked) = open(directory).unwrap() else { panic!("there is no wallet") };
    locked.unlock(&[slot], None).unwrap()
}

fn wallet(directory: &Path) -> PathBuf {
    directory.join("wallet")
}

fn made_and_opened(directory: &Path) {
    let store = create(&wallet(directory));
    let id = store.wallet_id();
    assert_eq!(store.slots().unwrap()[0].1, SlotKind::SecretService);
    drop(store);
    assert_eq!(open_with(&wallet(directory), &slot()).wallet_id(), id);
}

fn two_wallets(directory: &Path) {
    let (first, second) = (directory.join("first"), directory.join("second"));
    let ids = [create(&first).wallet_id(), create(&second).wallet_id()];
    assert_ne!(item(&ids[0]).get_secret().unwrap(), item(&ids[1]).get_secret().unwrap());
    open_with(&first, &slot());
    open_with(&second, &slot());
}

fn both_slots(directory: &Path) {
    let file = KeyFile::new(directory.join("wallet.key"));
    let mut store = create(&wallet(directory));
    store.add_slot(&file, THEN).unwrap();
    drop(store);
    open_with(&wallet(directory), &file);
    open_with(&wallet(directory), &slot());
}

/// The slot's item in the keyring.
fn item(id: &WalletId) -> keyring_core::Entry {
    let user = format!("wallet-{id}");
    keyring::Store::new().unwrap().build("io.github.fwpd", &user, None).unwrap()
}

fn deleted_key(directory: &Path) {
    let id = create(&wallet(directory)).wallet_id();
    item(&id).delete_credential().unwrap();
    let problem = problem(&wallet(directory));
    assert!(matches!(problem, SlotError::Missing(_)), "{problem}");
}

fn other_key(directory: &Path) {
    let id = create(&wallet(directory)).wallet_id();
    item(&id).set_secret(&[7; 32]).unwrap();
    let other = problem(&wallet(directory));
    assert!(matches!(other, SlotError::OtherKey), "{other}");
    item(&id).set_secret(b"short").unwrap();
    let malformed = problem(&wallet(directory));
    assert!(matches!(malformed, SlotError::Malformed(_)), "{malformed}");
}

fn lock_keyring() {
    let locked = Command::new("dbus-send")
        .args(["--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets"])
        .args([
            "org.freedesktop.Secret.Service.Lock",
            "array:objpath:/org/freedesktop/secrets/collection/login",
        ])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(locked.success());
}

fn locked_keyring(directory: &Path) {
    drop(create(&wallet(directory)));
    lock_keyring();
    let problem = problem(&wallet(directory));
    assert!(matches!(problem, SlotError::Locked(_)), "{problem}");
}

fn two_items(directory: &Path) {
    let id = create(&wallet(directory)).wallet_id();
    // Found by the same attributes, and by one more.
    let place = std::collections::HashMap::from([("target", "Login")]);
    let twin = keyring::Store::new().unwrap().build("io.github.fwpd", &format!("wallet-{id}"), Some(&place));
    twin.unwrap().set_secret(&[7; 32]).unwrap();
    let problem = problem(&wallet(directory));
    assert!(matches!(problem, SlotError::Malformed(_)), "{problem}");
}

fn created_locked(directory: &Path) {
    drop(create(&directory.join("first")));
    lock_keyring();
    let Found::Nothing(vacant) = open(&wallet(directory)).unwrap() else { panic!("there is a wallet") };
    let error = vacant.create(&[&slot()], THEN).unwrap_err();
    assert!(matches!(error, StoreError::Slot { source: SlotError::Locked(_), .. }), "{error}");
    assert!(matches!(open(&wallet(directory)).unwrap(), Found::Nothing(_)));
}

fn discarded(directory: &Path) {
    let id = create(&wallet(directory)).wallet_id();
    for _ in 0..2 {
        slot().discard(&id).unwrap();
        let problem = problem(&wallet(directory));
        assert!(matches!(problem, SlotError::Missing(_)), "{problem}");
    }
}

/// Stops or continues the keyring's program.
fn signal_keyring(signal: &str) {
    let pid = std::env::var("KEYRING_PID").unwrap();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

fn hanging_keyring(directory: &Path) {
    drop(create(&wallet(directory)));
    signal_keyring("-STOP");
    let Found::Wallet(locked) = open(&wallet(directory)).unwrap() else { panic!("there is no wallet") };
    let slot = SecretServiceSlot::new(Duration::from_secs(1));
    let error = locked.unlock(&[&slot], None).unwrap_err().error;
    let StoreError::NoSlotOpens { tried } = &error else { panic!("{error}") };
    assert!(matches!(tried[0].1, SlotError::TimedOut { seconds: 1 }), "{error}");
}

fn no_collection(directory: &Path) {
    let begun = Instant::now();
    let error = loop {
        let Found::Nothing(vacant) = open(&wallet(directory)).unwrap() else { panic!("there is a wallet") };
        match vacant.create(&[&slot()], THEN).unwrap_err() {
            StoreError::Slot { source: SlotError::NoService(_), .. } if begun.elapsed() < DEADLINE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            error => break error,
        }
    };
    assert!(matches!(error, StoreError::Slot { source: SlotError::Missing(_), .. }), "{error}");
    assert!(matches!(open(&wallet(directory)).unwrap(), Found::Nothing(_)));
}

fn no_service(directory: &Path) {
    let Found::Nothing(vacant) = open(&wallet(directory)).unwrap() else { panic!("there is a wallet") };
    let error = vacant.create(&[&slot()], THEN).unwrap_err();
    assert!(matches!(error, StoreError::Slot { source: SlotError::NoService(_), .. }), "{error}");
    assert!(matches!(open(&wallet(directory)).unwrap(), Found::Nothing(_)));
}

fn counter() -> Option<Box<dyn OutsideCounter>> {
    Some(Box::new(SecretServiceCounter::new(DEADLINE)))
}

/// Opens the wallet with its key file and the counter in the keyring.
fn open_counted(directory: &Path) -> Result<Store, StoreError> {
    let Found::Wallet(locked) = open(&wallet(directory)).unwrap() else { panic!("there is no wallet") };
    let key = KeyFile::new(directory.join("wallet.key"));
    locked.unlock(&[&key], counter()).map_err(|refusal| refusal.error)
}

/// Makes a wallet with a key file, as soon as the keyring is on the bus.
fn create_beside_keyring(directory: &Path) {
    let store = create(&directory.join("first"));
    drop(store);
    let Found::Nothing(vacant) = open(&wallet(directory)).unwrap() else { panic!("there is a wallet") };
    vacant.create(&[&KeyFile::new(directory.join("wallet.key"))], THEN).unwrap();
}

fn write(store: &mut Store, durability: Durability) {
    let mut changes = Changes::new();
    changes.audit(AuditEvent::new(THEN, AuditKind::PinSet));
    store.commit(changes, durability).unwrap();
}

fn database(directory: &Path) -> PathBuf {
    wallet(directory).join("wallet.db")
}

fn number(id: &WalletId) -> Option<u64> {
    SecretServiceCounter::new(DEADLINE).value(id).unwrap()
}

fn old_copy(directory: &Path) {
    create_beside_keyring(directory);
    let mut store = open_counted(directory).unwrap();
    let id = store.wallet_id();
    assert_eq!(
        (store.roll_back(), store.counter_problem(), number(&id)),
        (RollBack::Excluded, None, Some(1))
    );
    write(&mut store, Durability::Durable);
    drop(store);
    let old = std::fs::read(database(directory)).unwrap();

    // Payments do not wait for the keyring, openings do.
    let mut store = open_counted(directory).unwrap();
    write(&mut store, Durability::Durable);
    write(&mut store, Durability::Lazy);
    assert_eq!((store.counter_problem(), number(&id)), (None, Some(2)));
    drop(store);
    drop(open_counted(directory).unwrap());
    assert_eq!(number(&id), Some(3));

    std::fs::write(database(directory), &old).unwrap();
    for _ in 0..2 {
        let error = open_counted(directory).unwrap_err();
        assert!(matches!(error, StoreError::RolledBack { found: 1, counter: 3 }), "{error}");
        assert_eq!(std::fs::read(database(directory)).unwrap(), old);
    }
    let Found::Wallet(locked) = open(&wallet(directory)).unwrap() else { panic!("there is no wallet") };
    let key = KeyFile::new(directory.join("wallet.key"));
    let store = locked.unlock_as_newest(&[&key], counter().unwrap(), THEN).unwrap();
    assert_eq!((store.roll_back(), number(&id)), (RollBack::Excluded, Some(4)));
    assert_eq!(store.audit(0, 99).unwrap().last().unwrap().event.kind, AuditKind::OldCopyAccepted);
    drop(store);
    open_counted(directory).unwrap();
}

fn copy_before_the_counter(directory: &Path) {
    create_beside_keyring(directory);
    let old = std::fs::read(database(directory)).unwrap();
    drop(open_counted(directory).unwrap());
    std::fs::write(database(directory), &old).unwrap();
    let error = open_counted(directory).unwrap_err();
    assert!(matches!(error, StoreError::RolledBack { found: 0, counter: 1 }), "{error}");
}

fn counter_gone(directory: &Path) {
    create_beside_keyring(directory);
    let id = open_counted(directory).unwrap().wallet_id();
    let item =
        keyring::Store::new().unwrap().build("io.github.fwpd", &format!("counter-{id}"), None).unwrap();
    for scribble in ["", "fwpd counter 1 -1", "fwpd counter 1 01", "7"] {
        item.set_secret(scribble.as_bytes()).unwrap();
        let error = open_counted(directory).unwrap_err();
        assert!(matches!(error, StoreError::Counter(CounterError::Malformed(_))), "{error}");
    }
    // The user says that this copy is meant: the counter begins again.
    let Found::Wallet(locked) = open(&wallet(directory)).unwrap() else { panic!("there is no wallet") };
    let key = KeyFile::new(directory.join("wallet.key"));
    let store = locked.unlock_as_newest(&[&key], counter().unwrap(), THEN).unwrap();
    assert_eq!((store.roll_back(), number(&id)), (RollBack::Excluded, Some(1)));
    drop(store);

    // Deleted, as with a wallet that is; once more, for there is none any more, and that is no error.
    for _ in 0..2 {
        SecretServiceCounter::new(DEADLINE).discard(&id).unwrap();
        assert_eq!(number(&id), None);
    }
    let error = open_counted(directory).unwrap_err();
    let lost = matches!(
        error,
        StoreError::CounterLost { kind: CounterKind::SecretService, expected: 1, found: None }
    );
    assert!(lost, "{error}");
    // Without the counter it opens, and says that it expects one.
    let store = open_with(&wallet(directory), &KeyFile::new(directory.join("wallet.key")));
    assert_eq!(store.roll_back(), RollBack::NotDetectedHere);
    assert!(matches!(store.counter_problem(), Some(CounterError::Unreachable(_))));
}

fn counter_locked(directory: &Path) {
    create_beside_keyring(directory);
    let mut store = open_counted(directory).unwrap();
    lock_keyring();
    write(&mut store, Durability::Durable);
    assert_eq!(store.roll_back(), RollBack::Excluded);
    drop(store);
    let mut store = open_counted(directory).unwrap();
    assert_eq!(store.roll_back(), RollBack::NotDetectedHere);
    assert!(matches!(store.counter_problem(), Some(CounterError::Unreachable(_))));
    write(&mut store, Durability::Durable);
}

fn counter_hangs(directory: &Path) {
    create_beside_keyring(directory);
    drop(open_counted(directory).unwrap());
    signal_keyring("-STOP");
    let key = KeyFile::new(directory.join("wallet.key"));
    let hasty = SecretServiceCounter::new(Duration::from_secs(1));
    let Found::Wallet(locked) = open(&wallet(directory)).unwrap() else { panic!("there is no wallet") };
    let mut store = locked.unlock(&[&key], Some(Box::new(hasty.clone()))).unwrap();
    assert_eq!(store.roll_back(), RollBack::NotDetectedHere);
    // The first call still waits: the others fail at once, and none of them holds up for its second.
    let begun = Instant::now();
    for _ in 0..100 {
        store.attach_counter(Box::new(hasty.clone())).unwrap();
        write(&mut store, Durability::Durable);
        assert!(matches!(store.counter_problem(), Some(CounterError::Unreachable(_))));
    }
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
    signal_keyring("-CONT");
    let begun = Instant::now();
    while store.roll_back() != RollBack::Excluded {
        assert!(begun.elapsed() < DEADLINE, "{:?}", store.counter_problem());
        std::thread::sleep(Duration::from_millis(20));
        store.attach_counter(Box::new(hasty.clone())).unwrap();
    }
    drop(store);
    assert_eq!(open_counted(directory).unwrap().counter_problem(), None);
}
