//! What is in the daemon's memory once it is locked, looked at from another process as a core dump would be; and that there
//! are no core dumps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use fwp_dbus::types::SlotOptions;
use fwp_store::slot::{KeyFile, KeySlot, SlotError, SlotKind};
use fwp_store::{DataKey, Found, WalletId};
use fwp_tests::agent::{PASSPHRASE, PIN};
use fwp_tests::requests::BANKNET;
use fwp_tests::{Bank, Checkout, Fwpd, MY_BANK, PrivateBus, QUICK, ScriptedAgent, enroll};
use sha2::{Digest, Sha256};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");

/// A key file that tells what it unwrapped.
struct Telling {
    slot: KeyFile,
    told: RefCell<Vec<u8>>,
}

impl KeySlot for Telling {
    fn kind(&self) -> SlotKind {
        self.slot.kind()
    }

    fn wrap(&self, wallet: &WalletId, key: &DataKey) -> Result<Vec<u8>, SlotError> {
        self.slot.wrap(wallet, key)
    }

    fn unwrap(&self, wallet: &WalletId, wrapped: &[u8]) -> Result<DataKey, SlotError> {
        let key = self.slot.unwrap(wallet, wrapped)?;
        *self.told.borrow_mut() = key.expose().to_vec();
        Ok(key)
    }
}

/// All memory that the process can write to: as root may.
fn memory(pid: i32) -> Vec<u8> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("this test has to be root");
    let mut memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")))
    {
        let (begin, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [begin, end] = [begin, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        memory.seek(SeekFrom::Start(begin)).unwrap();
        let mut part = vec![0; usize::try_from(end - begin).unwrap()];
        if memory.read_exact(&mut part).is_ok() {
            all.extend(part);
        }
    }
    all
}

fn holds(memory: &[u8], secret: &[u8]) -> bool {
    memory.windows(secret.len()).any(|window| window == secret)
}

#[tokio::test]
async fn the_memory_of_a_locked_wallet_holds_no_pin_no_passphrase_and_no_data_key() {
    let bus = PrivateBus::session();
    let mut fwpd = Fwpd::start(&bus, FWPD, &format!("key-slot = \"file\"\n{QUICK}")).await;
    let (desktop, client) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    // The PIN is set and used, the passphrase set and tried.
    enroll(&client, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    Checkout::new(&client, "1").await.unwrap().pay().await;
    let store = client.store().await.unwrap();
    store.add_slot("passphrase", &SlotOptions::default()).await.unwrap();
    store.rotate("slots").await.unwrap();
    let pid = fwpd.pid().as_raw_nonzero().get();
    let open = memory(pid);
    store.lock().await.unwrap();
    let locked = memory(pid);
    let state = fwpd.state_dir();
    fwpd.kill();

    let slot = Telling { slot: KeyFile::new(state.join("wallet.key")), told: RefCell::default() };
    let Found::Wallet(wallet) = fwp_store::open(&state.join("wallet")).unwrap() else { panic!("no wallet") };
    wallet.unlock(&[&slot], None).unwrap();
    let data_key = slot.told.into_inner();
    let key_file = std::fs::read_to_string(state.join("wallet.key")).unwrap();
    let key_text = key_file.lines().nth(1).unwrap();
    let file_key = data_encoding::HEXLOWER.decode(key_text.as_bytes()).unwrap();
    assert!(holds(&open, &data_key), "what is looked for can be found");
    let pin_hash = Sha256::digest(PIN);
    let secrets: [(&str, &[u8]); 6] = [
        ("data key", &data_key),
        ("key of the key file", &file_key),
        ("text of the key file", key_text.as_bytes()),
        ("PIN", PIN.as_bytes()),
        ("hash of the PIN", &pin_hash[..16]),
        ("passphrase", PASSPHRASE.as_bytes()),
    ];
    let found: Vec<_> =
        secrets.iter().filter(|(_, secret)| holds(&locked, secret)).map(|(name, _)| *name).collect();
    assert!(found.is_empty(), "left in memory: {found:?}");
}

#[tokio::test]
async fn there_are_no_core_dumps() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", fwpd.pid().as_raw_nonzero())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}

/// A process that can't be dumped is no longer its user's to look into: what it has in /proc is root's (proc(5)).
#[test]
fn no_other_program_of_the_same_user_may_look_into_the_daemon() {
    const NOBODY: u32 = 65_534;
    let directory = tempfile::tempdir().unwrap();
    let open_to_all = |path: &std::path::Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    };
    open_to_all(directory.path());
    let program = directory.path().join("fwpd");
    std::fs::copy(FWPD, &program).unwrap();
    let socket = directory.path().join("bus");
    let bus = UnixListener::bind(&socket).unwrap();
    open_to_all(&socket);
    let as_nobody = |program: &std::path::Path, arguments: &[&str]| {
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(program)
            .args(arguments)
            .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", socket.display()))
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv (Debian package util-linux)")
    };
    let state = directory.path().join("state");
    let mut fwpd = as_nobody(&program, &["--session", "--state-dir", state.to_str().unwrap()]);
    // It is at its bus, which never answers.
    let _connection = bus.accept().unwrap();
    let mut other = as_nobody(std::path::Path::new("/bin/sleep"), &["60"]);
    let owner = |pid: u32| std::fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid();
    let end = std::time::Instant::now() + fwp_tests::PATIENCE;
    while owner(other.id()) != NOBODY {
        assert!(std::time::Instant::now() < end, "setpriv does not come to it");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(owner(fwpd.id()), 0);
    other.kill().unwrap();
    other.wait().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&fwpd), rustix::process::Signal::ABORT)
        .unwrap();
    assert!(!fwpd.wait().unwrap().core_dumped());
}
