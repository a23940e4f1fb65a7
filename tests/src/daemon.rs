//! `fwpd` on a private bus.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fwp_dbus::Client;
use fwp_dbus::interfaces::BUS_NAME;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use zbus::Connection;

use crate::bus::PrivateBus;
use crate::{PATIENCE, soon};

/// Settings in which no test has to wait for a pause or a keyring, nor needs polkit or logind on a system's bus.
pub const QUICK: &str =
    "claim-origin = \"any\"\nauthorize = \"any\"\n[policy]\ncool-down = 0\n[keys]\nseats = \"ignore\"\n";

/// As [`QUICK`], for more payments than keys in this computer may make.
pub const MANY_PAYMENTS: &str = "claim-origin = \"any\"\nauthorize = \"any\"\n[policy]\ncool-down = 0\n\
    [keys]\nseats = \"ignore\"\n[platform-keys]\nday = \"unlimited\"\npayments-per-hour = \"unlimited\"\n";

/// The daemon, killed when it is dropped.
#[derive(Debug)]
pub struct Fwpd {
    process: Option<Child>,
    program: PathBuf,
    variable: (&'static str, String),
    state: TempDir,
}

impl Fwpd {
    /// Starts the daemon with a fresh state directory, and waits for its name. Without settings for a TPM it uses none: no test
    /// leaves anything in the one of this machine. Without settings for them, prompts are not counted: a test's user is quick.
    ///
    /// # Panics
    /// If it doesn't come up.
    pub async fn start(bus: &PrivateBus, program: impl AsRef<Path>, config: &str) -> Self {
        let state = tempfile::Builder::new().prefix("fwpd-state-").tempdir().expect("a state directory");
        let no_tpm = if config.contains("[tpm]") { "" } else { "\n[tpm]\naddress = \"none\"\n" };
        let mut config = config.to_owned();
        if !config.contains("prompts-per-minute") {
            const UNLIMITED: &str = "[limits]\nprompts-per-minute = \"unlimited\"\n";
            config = match config.contains("[limits]\n") {
                true => config.replacen("[limits]\n", UNLIMITED, 1),
                false => format!("{config}\n{UNLIMITED}"),
            };
        }
        std::fs::write(state.path().join("fwpd.toml"), format!("{config}{no_tpm}"))
            .expect("the configuration written");
        let (name, address) = bus.variable();
        let mut daemon = Self {
            process: None,
            program: program.as_ref().to_owned(),
            variable: (name, address.to_owned()),
            state,
        };
        daemon.start_again(&bus.connect().await).await;
        daemon
    }

    /// Starts it again on the same state directory.
    ///
    /// # Panics
    /// If it doesn't come up.
    pub async fn start_again(&mut self, connection: &Connection) {
        assert!(self.process.is_none(), "it runs already");
        let log = std::fs::File::options().append(true).create(true).open(self.log_path()).expect("a log");
        let mut command = Command::new(&self.program);
        command
            .arg(if self.variable.0.contains("SYSTEM") { "--system" } else { "--session" })
            .arg("--state-dir")
            .arg(self.state_dir())
            .arg("--config")
            .arg(self.state.path().join("fwpd.toml"))
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .env(self.variable.0, &self.variable.1)
            .env("FWPD_LOG", "debug")
            // One that outlives a test that was killed must not keep its output open.
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        self.process = Some(command.spawn().expect("fwpd started"));
        let bus = zbus::fdo::DBusProxy::new(connection).await.expect("the bus");
        let started = Instant::now();
        while !bus.name_has_owner(BUS_NAME.try_into().expect("a name")).await.expect("an answer of the bus") {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().expect("its status"));
            assert!(ended.is_none(), "fwpd ended: {ended:?}\n{}", self.log());
            assert!(started.elapsed() < PATIENCE, "fwpd did not take its name\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// A client on a new connection.
    ///
    /// # Panics
    /// If the daemon isn't there.
    pub async fn client(&self, bus: &PrivateBus) -> Client {
        let connection = bus.connect().await;
        soon("the daemon", Client::connect(&connection)).await.expect("a client")
    }

    /// The process.
    ///
    /// # Panics
    /// If it doesn't run.
    pub fn pid(&self) -> Pid {
        let process = self.process.as_ref().expect("fwpd runs");
        Pid::from_child(process)
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// If it doesn't run.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("fwpd runs");
        process.kill().expect("killed");
        process.wait().expect("waited for");
    }

    /// SIGTERM, and how it ended.
    ///
    /// # Panics
    /// If it doesn't run.
    pub fn terminate(&mut self) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).expect("told to end");
        self.process.take().expect("fwpd runs").wait().expect("waited for")
    }

    /// Waits until it ends by itself, and says how.
    ///
    /// # Panics
    /// If it doesn't run, or doesn't end.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("fwpd runs");
        let status = soon("the daemon's end", async {
            loop {
                if let Some(status) = process.try_wait().expect("its status") {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        status.await
    }

    /// Whether it runs.
    ///
    /// # Panics
    /// If the system doesn't tell.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().expect("its status").is_none())
    }

    /// Where it keeps its stores.
    pub fn state_dir(&self) -> PathBuf {
        self.state.path().join("state")
    }

    /// Its configuration, which it reads when it starts.
    pub fn config_path(&self) -> PathBuf {
        self.state.path().join("fwpd.toml")
    }

    /// What it has logged so far.
    ///
    /// # Panics
    /// If the log can't be read.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).expect("the log")
    }

    fn log_path(&self) -> PathBuf {
        self.state.path().join("log")
    }
}

impl Drop for Fwpd {
    #[expect(clippy::print_stderr, reason = "a failing test shows what the daemon said")]
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            if std::thread::panicking() {
                let (ended, log) =
                    (process.try_wait(), std::fs::read_to_string(self.state.path().join("log")));
                eprintln!("fwpd when the test failed: {ended:?}\n{}", log.unwrap_or_default());
            }
            // It may be gone already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
