//! A TPM of a test's own: swtpm, and tpm2-tools to look at it from outside. Tests alone use this.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "what fails here fails the test"
)]

pub mod proxy;

use ctap_tpm::{Tpm, TpmAddress};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A software TPM that nobody else knows.
pub struct Swtpm {
    /// What it keeps: its NV memory.
    pub state: TempDir,
    /// The TCP port of its commands; the next one is that of its control channel.
    pub port: u16,
    process: Option<Child>,
}

impl Swtpm {
    /// A new one, as it comes from the maker, but that it locks after 32 wrong PINs, as TPMs of PCs do, not after 3.
    pub fn new() -> Self {
        Self::with_factory_lockout().with_lockout_of_pcs()
    }

    /// As [`Swtpm::new`], at this port and the next one: for who was told where it is before it was there.
    pub fn at(port: u16) -> Self {
        let state = tempfile::tempdir().unwrap();
        let process = start(state.path(), port);
        assert!(process.is_some(), "swtpm does not start at port {port}");
        Self { state, port, process }.with_lockout_of_pcs()
    }

    fn with_lockout_of_pcs(self) -> Self {
        self.tool("tpm2_dictionarylockout", &["-s", "-n", "32", "-t", "600", "-l", "600"]);
        self
    }

    /// A new one that locks after 3 wrong PINs.
    pub fn with_factory_lockout() -> Self {
        Self::with_state(tempfile::tempdir().unwrap())
    }

    /// A new one whose maker gave its endorsement key a certificate, as swtpm_setup does. [`Swtpm::makers_roots`] verify it.
    pub fn from_the_maker() -> Self {
        let state = tempfile::tempdir().unwrap();
        let ca = state.path().join("ca");
        std::fs::create_dir(&ca).unwrap();
        let write = |name: &str, text: String| {
            let path = state.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let ca = ca.display();
        let config = write(
            "localca.conf",
            format!(
                "statedir = {ca}\nsigningkey = {ca}/key.pem\nissuercert = {ca}/cert.pem\ncertserial = {ca}/serial\n"
            ),
        );
        let options = write(
            "options.conf",
            "--platform-manufacturer Fwpd\n--platform-version 1\n--platform-model Test\n".to_owned(),
        );
        let setup = write(
            "setup.conf",
            format!(
                "create_certs_tool=/usr/bin/swtpm_localca\ncreate_certs_tool_config={config}\ncreate_certs_tool_options={options}\n"
            ),
        );
        let output = Command::new("swtpm_setup")
            .args(["--tpm2", "--create-ek-cert", "--overwrite", "--config", &setup, "--tpm-state"])
            .arg(state.path())
            .output()
            .unwrap_or_else(|error| panic!("swtpm_setup: {error}: install the Debian package swtpm-tools"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        Self::with_state(state)
    }

    /// PEM: the certificates of the maker of [`Swtpm::from_the_maker`], its root and the one below.
    pub fn makers_roots(&self) -> String {
        let ca = self.state.path().join("ca");
        ["swtpm-localca-rootca-cert.pem", "cert.pem"]
            .map(|name| std::fs::read_to_string(ca.join(name)).unwrap())
            .concat()
    }

    /// One with the state of another, or one that swtpm_setup made.
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

    /// Another TPM, fresh from its maker, takes its place.
    pub fn replace(&mut self) {
        self.kill();
        self.state = tempfile::tempdir().unwrap();
        self.restart();
    }

    /// It hangs: whoever sends it something waits.
    pub fn stop(&self) {
        self.signal("STOP");
    }

    /// It goes on where it was.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &process]).status().unwrap().success());
    }

    /// Where it is.
    pub fn address(&self) -> TpmAddress {
        address(self.port)
    }

    /// It, as a program has it.
    pub fn tpm(&self) -> Arc<Tpm> {
        Arc::new(Tpm::new(self.address()))
    }

    /// Runs one of tpm2-tools, and gives what it prints.
    pub fn tool(&self, tool: &str, arguments: &[&str]) -> String {
        let (ok, out) = self.try_tool(tool, arguments);
        assert!(ok, "{tool} {arguments:?}: {out}");
        out
    }

    /// Runs one of tpm2-tools: whether it did it, and what it prints.
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

    /// The NV indices that are defined.
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

impl Default for Swtpm {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The address of an swtpm here.
pub fn address(port: u16) -> TpmAddress {
    TpmAddress::Swtpm { host: "127.0.0.1".to_owned(), port }
}

fn handles(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.trim().strip_prefix("- ").map(str::to_owned)).collect()
}

/// Two ports in a row for this process alone, never given twice: one that is free because its swtpm was killed just now must
/// not go to another test, nor to another program's. So the one after them is listened on as long as this process lives: who
/// has that one has all three. Below those that the kernel gives to connections.
pub fn free_ports() -> u16 {
    static RESERVED: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());
    let mut reserved = RESERVED.lock().unwrap();
    let first = std::process::id() * 97 % RESERVATIONS;
    for n in 0..RESERVATIONS {
        let port = FIRST_PORT + ((first + n) % RESERVATIONS) as u16 * RESERVED_PORTS;
        let Ok(reservation) = TcpListener::bind(("127.0.0.1", port + 2)) else { continue };
        if [port, port + 1].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            reserved.push(reservation);
            return port;
        }
    }
    panic!("no ports are free");
}

const FIRST_PORT: u16 = 10_000;
/// The two, and the one that stands for them.
const RESERVED_PORTS: u16 = 3;
const RESERVATIONS: u32 = 7_000;

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
