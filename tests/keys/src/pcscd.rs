//! A real pcscd with virtual readers, private to one test: [`run`] runs it in namespaces of its own, where `/run` is empty and
//! the network is one's own (vpcd listens on every address).
//!
//! The test program starts itself again inside, for this one test. It takes no privileges, but for user namespaces:
//! Debian packages util-linux, iproute2, pcscd, vsmartcard-vpcd.

use crate::vpcd::PORT;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Says that this process is inside.
const INSIDE: &str = "VIRTUAL_KEYS_INSIDE";
const SOCKET: &str = "/run/pcscd/pcscd.comm";
/// An ordinary user's may lack sbin.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
const DRIVER: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";

/// Runs `test` with a pcscd of its own that has two readers. `name` is the name of the calling test, as `cargo test`
/// prints it.
///
/// # Panics
/// If the test fails, or what it needs is not there: which says what.
pub fn run(name: &str, test: impl FnOnce(&mut Pcscd)) {
    if std::env::var_os(INSIDE).is_none() {
        return outside(name);
    }
    prepare();
    let mut pcscd = Pcscd::new();
    pcscd.start();
    test(&mut pcscd);
}

/// Runs the test `name` of this program in namespaces of its own.
fn outside(name: &str) {
    let program = std::env::current_exe().expect("this program's path");
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "--net", "--"])
        .arg(program)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("unshare (Debian package util-linux) can't be run: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(
        !stderr.contains("unshare failed"),
        "this test needs user namespaces, which are not permitted here (sysctl kernel.unprivileged_userns_clone=1, \
         kernel.apparmor_restrict_unprivileged_userns=0): {stderr}"
    );
    // A name that no test has runs none, and succeeds.
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{name} failed inside:\n{stdout}\n{stderr}"
    );
}

/// An empty `/run` (an ordinary user can't make a directory in the other one) and a loopback interface.
fn prepare() {
    must(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]), "util-linux");
    must(Command::new("ip").args(["link", "set", "lo", "up"]), "iproute2");
}

fn must(command: &mut Command, package: &str) {
    let status = command
        .env("PATH", PATH)
        .status()
        .unwrap_or_else(|error| panic!("{command:?} (Debian package {package}): {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// pcscd in the namespace of the test.
pub struct Pcscd {
    config: TempDir,
    process: Option<Child>,
}

impl Pcscd {
    fn new() -> Self {
        assert!(
            Path::new(DRIVER).exists(),
            "{DRIVER} is missing: install the Debian package vsmartcard-vpcd"
        );
        let config = tempfile::tempdir().expect("a temporary directory");
        let channel = format!("0x{PORT:X}");
        let entry = format!(
            "FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME /dev/null:{channel}\nLIBPATH {DRIVER}\nCHANNELID {channel}\n"
        );
        fs::write(config.path().join("vpcd"), entry).expect("pcscd's configuration");
        Self { config, process: None }
    }

    /// The port for [`crate::vpcd::lay`] of reader 0 or 1.
    pub fn port(&self, reader: u16) -> u16 {
        PORT + reader
    }

    /// Starts pcscd, if it was stopped.
    pub fn start(&mut self) {
        // Killed with the test, however that ends.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "pcscd", "--foreground", "--critical", "--config"])
            .arg(self.config.path())
            .env("PATH", PATH)
            .stdout(Stdio::null())
            .spawn()
            .expect("setpriv (Debian package util-linux)");
        self.process = Some(process);
        wait_until("pcscd (Debian package pcscd) is there", || Path::new(SOCKET).exists());
    }

    /// Stops pcscd.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
            // What a pcscd that is killed leaves would look like one.
            let _ = fs::remove_dir_all("/run/pcscd");
        }
    }
}

impl Drop for Pcscd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits until `there`.
///
/// # Panics
/// If it takes more than some seconds, with `what`.
pub fn wait_until(what: &str, mut there: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !there() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
