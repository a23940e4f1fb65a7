//! A TPM of the test's own, what stays of a wallet when its program ends, and tpm2-tools to look from outside.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test program uses its part")]

pub mod proxy;

use ctap_authenticator::software::{Durability, StateStorage, StorageError};
use ctap_authenticator::{Authenticator, Os, PlatformDevice, Presence, UserPresence};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus};
use ctap_core::{Pin, PinHash};
use ctap_tpm::{Tpm, TpmAddress, TpmKeyStore};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use virtual_keys::suite::Subject;
pub use virtual_keys::{Finger, Touch, Typist};
use zeroize::Zeroizing;

pub const RP: [u8; 32] = [1; 32];
pub const PIN: &str = "4711-pin";

pub fn hash(pin: &str) -> PinHash {
    Pin::new(pin).unwrap().hash()
}

/// A software TPM that nobody else knows.
pub struct Swtpm {
    pub state: TempDir,
    pub port: u16,
    process: Option<Child>,
}

impl Swtpm {
    /// A new one, as it comes from the maker, but that it locks after 32 wrong PINs, as TPMs of PCs do, not after 3.
    pub fn new() -> Self {
        let swtpm = Self::with_factory_lockout();
        swtpm.tool("tpm2_dictionarylockout", &["-s", "-n", "32", "-t", "600", "-l", "600"]);
        swtpm
    }

    pub fn with_factory_lockout() -> Self {
        Self::with_state(tempfile::tempdir().unwrap())
    }

    pub fn with_state(state: TempDir) -> Self {
        for _ in 0..20 {
            let port = free_ports();
            if let Some(process) = start(state.path(), port) {
                return Self { state, port, process: Some(process) };
            }
        }
        panic!("swtpm does not start: is the Debian package swtpm installed?");
    }

    /// Power failure: kill -9.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Power comes back.
    pub fn restart(&mut self) {
        self.kill();
        let end = Instant::now() + Duration::from_secs(20);
        while self.process.is_none() {
            assert!(Instant::now() < end, "swtpm does not start again");
            self.process = start(self.state.path(), self.port);
        }
    }

    pub fn address(&self) -> TpmAddress {
        address(self.port)
    }

    pub fn tpm(&self) -> Arc<Tpm> {
        Arc::new(Tpm::new(self.address()))
    }

    /// Runs one of tpm2-tools, and gives what it prints.
    pub fn tool(&self, tool: &str, arguments: &[&str]) -> String {
        let (ok, out) = self.try_tool(tool, arguments);
        assert!(ok, "{tool} {arguments:?}: {out}");
        out
    }

    pub fn try_tool(&self, tool: &str, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(tool)
            .args(arguments)
            .env("TPM2TOOLS_TCTI", self.address().to_string())
            .env("TSS2_LOG", "all+none")
            .current_dir(self.state.path())
            .output()
            .unwrap_or_else(|error| panic!("{tool}: {error}: install the Debian package tpm2-tools"));
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.success(), text.concat())
    }

    /// Objects and sessions that are in the TPM.
    pub fn left(&self) -> Vec<String> {
        ["handles-transient", "handles-loaded-session", "handles-saved-session"]
            .iter()
            .flat_map(|kind| handles(&self.tool("tpm2_getcap", &[kind])))
            .collect()
    }

    pub fn nv_indices(&self) -> Vec<String> {
        handles(&self.tool("tpm2_getcap", &["handles-nv-index"]))
    }

    /// The index of the one PIN object.
    pub fn pin_object(&self) -> String {
        let found: Vec<_> =
            self.nv_indices().into_iter().filter(|index| index.to_lowercase().starts_with("0x1bd")).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    /// Wrong authorization values that it has counted.
    pub fn failures(&self) -> u32 {
        let text = self.tool("tpm2_getcap", &["properties-variable"]);
        let value = text.lines().find_map(|line| line.trim().strip_prefix("TPM2_PT_LOCKOUT_COUNTER: 0x"));
        u32::from_str_radix(value.unwrap(), 16).unwrap()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn address(port: u16) -> TpmAddress {
    TpmAddress::Swtpm { host: "127.0.0.1".to_owned(), port }
}

fn handles(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.trim().strip_prefix("- ").map(str::to_owned)).collect()
}

/// Two ports in a row that nobody listens on and this process has not used before: one that is free because its swtpm was
/// killed just now must not go to another test. Below those that the kernel gives to connections.
pub fn free_ports() -> u16 {
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let mut next = NEXT.lock().unwrap();
    loop {
        let first = FIRST_PORT + (std::process::id() * 97 % u32::from(PORTS)) as u16;
        let port = next.unwrap_or(first & !1);
        *next = Some(if port + 2 < FIRST_PORT + PORTS { port + 2 } else { FIRST_PORT });
        if [port, port + 1].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return port;
        }
    }
}

const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 20_000;

fn start(state: &Path, port: u16) -> Option<Child> {
    let mut process = Command::new("swtpm")
        .args(["socket", "--tpm2", "--tpmstate", &format!("dir={}", state.display())])
        .args(["--ctrl", &format!("type=tcp,port={}", port + 1)])
        .args(["--server", &format!("type=tcp,port={port}")])
        .args(["--flags", "not-need-init,startup-clear"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("swtpm: {error}: install the Debian package swtpm"));
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if process.try_wait().unwrap().is_some() {
            return None;
        }
        // The control channel: connecting to it does not disturb whoever sends commands.
        if TcpStream::connect(("127.0.0.1", port + 1)).is_ok() {
            return Some(process);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _gone = process.kill();
    let _gone = process.wait();
    None
}

/// The store's state in memory, shared so that a test can end and start the program, copy it and put the copy back.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub Arc<Mutex<MemoryState>>);

#[derive(Debug, Default)]
pub struct MemoryState {
    pub state: Option<Vec<u8>>,
    pub durable: usize,
    pub lazy: usize,
    pub fail: bool,
}

impl Memory {
    pub fn copy(&self) -> Self {
        let state = self.0.lock().unwrap().state.clone();
        Self(Arc::new(Mutex::new(MemoryState { state, ..MemoryState::default() })))
    }

    pub fn saves(&self) -> (usize, usize) {
        let memory = self.0.lock().unwrap();
        (memory.durable, memory.lazy)
    }
}

impl StateStorage for Memory {
    fn load(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, StorageError> {
        Ok(self.0.lock().unwrap().state.clone().map(Zeroizing::new))
    }

    fn save(&mut self, state: &[u8], durability: Durability) -> Result<(), StorageError> {
        let mut memory = self.0.lock().unwrap();
        if memory.fail {
            return Err(StorageError("disk full".to_owned()));
        }
        memory.state = Some(state.to_vec());
        match durability {
            Durability::Durable => memory.durable += 1,
            Durability::Lazy => memory.lazy += 1,
        }
        Ok(())
    }
}

pub type Store = TpmKeyStore<Memory>;

pub fn open(tpm: &Arc<Tpm>, memory: &Memory) -> Store {
    TpmKeyStore::open(tpm.clone(), memory.clone(), Os::new()).unwrap()
}

/// The user. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Hand(Arc<Mutex<Touch>>);

impl UserPresence for Hand {
    fn confirm(&mut self, on_keepalive: &mut dyn FnMut(KeepaliveStatus), cancel: &CancelToken) -> Presence {
        loop {
            match *self.0.lock().unwrap() {
                Touch::AtOnce => return Presence::Confirmed,
                Touch::Declines => return Presence::Declined,
                Touch::Waits => {}
            }
            on_keepalive(KeepaliveStatus::UserPresenceNeeded);
            if cancel.is_cancelled() {
                return Presence::Cancelled;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A computer with a TPM, a wallet and its user.
pub struct Computer {
    pub swtpm: Swtpm,
    pub tpm: Arc<Tpm>,
    pub memory: Memory,
    pub hand: Hand,
}

impl Computer {
    pub fn new() -> Self {
        let swtpm = Swtpm::new();
        let tpm = swtpm.tpm();
        Self { swtpm, tpm, memory: Memory::default(), hand: Hand::default() }
    }

    pub fn device(&self) -> PlatformDevice<Store, Hand> {
        let store = open(&self.tpm, &self.memory);
        PlatformDevice::new(Authenticator::new(store, Os::new()).unwrap(), self.hand.clone())
    }
}

impl Subject for Computer {
    fn open(&mut self) -> Box<dyn Device> {
        Box::new(self.device())
    }

    /// It starts anew whenever it is opened; the TPM starts anew here.
    fn power_cycle(&mut self) {
        self.swtpm.restart();
    }

    fn set_touch(&mut self, touch: Touch) {
        *self.hand.0.lock().unwrap() = touch;
    }

    fn set_finger(&mut self, _: Finger) {}
}

impl Drop for Computer {
    /// Every test ends with a look at what it left.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.swtpm.left(), Vec::<String>::new(), "objects and sessions are left in the TPM");
        }
    }
}
