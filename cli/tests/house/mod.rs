//! A bus, a wallet, a bank and a person's terminal: all real, all private to one test.
#![allow(dead_code, reason = "no test program uses all of it")]

pub(crate) mod system;

use fwp_tests::daemon::QUICK;
use fwp_tests::{Fwpd, PrivateBus};
use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The PIN of every test.
pub(crate) const PIN: &str = "271828";

/// How long a terminal is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a program of ours did.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its exit status.
    pub(crate) status: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            status: output.status.code().expect("an exit status"),
            out: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
            err: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
        }
    }

    /// Asserts how it ended.
    #[track_caller]
    pub(crate) fn ended(self, status: i32) -> Self {
        assert_eq!(self.status, status, "\n{}\n{}", self.out, self.err);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// Bus, daemon and bank, gone when this is dropped.
pub(crate) struct House {
    bus: PrivateBus,
    _fwpd: Fwpd,
    bank: Child,
    /// `http://localhost:PORT` of the bank, PSP and shop.
    pub(crate) url: String,
    /// A directory for the test's files.
    pub(crate) dir: TempDir,
    _runtime: Runtime,
}

impl House {
    /// Builds one. The wallet is empty and its authenticator has no PIN.
    pub(crate) fn new() -> Self {
        Self::set_up(QUICK, None)
    }

    /// As [`House::new`], with this TPM, whose maker the bank's certification authority knows.
    pub(crate) fn with_tpm(swtpm: &virtual_tpm::Swtpm) -> Self {
        let config = format!("{QUICK}[tpm]\naddress = \"{}\"\n", swtpm.address());
        let roots = swtpm.state.path().join("roots.pem");
        std::fs::write(&roots, swtpm.makers_roots()).expect("the roots written");
        Self::set_up(&config, Some(&roots))
    }

    fn set_up(config: &str, tpm_roots: Option<&Path>) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let bus = PrivateBus::session();
        let fwpd = runtime.block_on(Fwpd::start(&bus, program("fwpd"), config));
        let dir = tempfile::tempdir().expect("a directory");
        let mut bank = Command::new(program("fwp-sandbox"))
            .args(["serve", "--listen", "127.0.0.1:0", "--json", "--dir"])
            .arg(dir.path().join("bank"))
            .args(tpm_roots.map(|roots| ["--tpm-roots".as_ref(), roots.as_os_str()]).into_iter().flatten())
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the bank started");
        let mut line = String::new();
        let output = bank.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("its first line");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON of the bank");
        let url = ready["url"].as_str().expect("the bank's URL").to_owned();
        Self { bus, _fwpd: fwpd, bank, url, dir, _runtime: runtime }
    }

    /// One with a PIN and the bank's two cards.
    pub(crate) fn with_cards() -> Self {
        let house = Self::new();
        house.with_pins(&[PIN], ["pin", "set", "--pin-fd", "0"]).ended(0);
        house.enroll().ended(0);
        house
    }

    /// Enrolls the bank's offer.
    pub(crate) fn enroll(&self) -> Done {
        self.with_pins(&[PIN], ["enroll", &format!("{}/bank/offer", self.url), "--yes", "--pin-fd", "0"])
    }

    /// `fwpctl` without a terminal, standard input empty.
    pub(crate) fn fwpctl<const N: usize>(&self, arguments: [&str; N]) -> Done {
        self.with_pins(&[], arguments)
    }

    /// `fwpctl` without a terminal, with these lines on standard input.
    pub(crate) fn with_pins<const N: usize>(&self, lines: &[&str], arguments: [&str; N]) -> Done {
        let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
        // A session of its own: the terminal that the tests are run on is none of its business.
        let mut command = self.at_home("setsid");
        command.arg("--wait").arg(fwpctl()).args(arguments);
        Done::of(run(command, &input))
    }

    /// `fwp-sandbox` with this on standard input.
    pub(crate) fn sandbox<const N: usize>(&self, arguments: [&str; N], input: &str) -> Done {
        let mut command = self.at_home(program("fwp-sandbox"));
        command.args(arguments).args(["--url", &self.url]);
        Done::of(run(command, input))
    }

    /// Puts in an order: its number, and the file with the request.
    pub(crate) fn order(&self, amount: &str) -> (String, String) {
        let request = self.sandbox(["order", "--amount", amount], "").ended(0);
        let number = request.json()["details"]["id"].as_str().expect("the order's number").to_owned();
        let path = self.path(&format!("order-{number}.json"));
        std::fs::write(&path, request.out).expect("the request written");
        (number, path)
    }

    /// `fwpctl` at a real pseudo-terminal.
    pub(crate) fn at_terminal<const N: usize>(&self, arguments: [&str; N]) -> Person {
        let mut command = self.at_home(fwpctl());
        command.args(arguments);
        Person::before(&command)
    }

    /// A shell at a real pseudo-terminal, where `$FWPCTL` is `fwpctl`.
    pub(crate) fn shell_at_terminal(&self, script: &str) -> Person {
        let mut command = self.at_home("sh");
        command.args(["-c", script]).env("FWPCTL", fwpctl());
        Person::before(&command)
    }

    /// A path in the test's directory.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("a UTF-8 path").to_owned()
    }

    /// `program` with this house's bus in its environment.
    fn at_home(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env("DBUS_SESSION_BUS_ADDRESS", self.bus.address())
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
            // The browsers of whoever runs the tests are no affair of theirs.
            .env("HOME", self.dir.path())
            .env_remove("XDG_CONFIG_HOME")
            .env("TERM", "xterm");
        command
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.bank.kill();
        let _ = self.bank.wait();
    }
}

/// A person before a terminal, which echoes as terminals do.
pub(crate) struct Person {
    terminal: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    screen: Receiver<Vec<u8>>,
    unread: String,
    program: Box<dyn portable_pty::Child + Send + Sync>,
}

impl Person {
    pub(crate) fn before(command: &Command) -> Self {
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => builder.env(name, value),
                None => builder.env_remove(name),
            }
        }
        let size = PtySize { rows: 40, cols: 200, ..PtySize::default() };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let program = pair.slave.spawn_command(builder).expect("the program started");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("its screen");
        let keyboard = pair.master.take_writer().expect("its keyboard");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The screen goes dark with the last program on it.
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { terminal: pair.master, keyboard, screen, unread: String::new(), program }
    }

    /// Waits until `text` is on the screen, and answers with what was there before it.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.unread.find(text) {
                let before = self.unread[..at].to_owned();
                self.unread.drain(..at + text.len());
                return before;
            }
            let more = self.screen.recv_timeout(end.saturating_duration_since(Instant::now()));
            let more =
                more.unwrap_or_else(|_| panic!("\"{text}\" is not on the screen, but:\n{}", self.unread));
            self.unread.push_str(&String::from_utf8_lossy(&more));
        }
    }

    /// Waits until the terminal hides what is typed: another program's question throws away what was typed before that.
    #[track_caller]
    pub(crate) fn sees_nothing_of_what_is_typed(&self) {
        /// termios(3): ECHO in c_lflag.
        const ECHO: u32 = 0o10;
        let end = Instant::now() + PATIENCE;
        while self.terminal.get_termios().expect("its mode").local_flags.bits() & ECHO != 0 {
            assert!(Instant::now() < end, "what is typed is shown");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types a line.
    pub(crate) fn types(&mut self, line: &str) {
        self.presses(format!("{line}\r").as_bytes());
    }

    /// Presses Ctrl-C.
    pub(crate) fn presses_ctrl_c(&mut self) {
        self.presses(b"\x03");
    }

    fn presses(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).and_then(|()| self.keyboard.flush()).expect("typed");
    }

    /// Waits for the end: what was left on the screen, and the exit status.
    #[track_caller]
    pub(crate) fn sees_the_end(mut self) -> (String, u32) {
        let end = Instant::now() + PATIENCE;
        while let Ok(more) = self.screen.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.unread.push_str(&String::from_utf8_lossy(&more));
        }
        assert!(Instant::now() < end, "it does not end; on the screen:\n{}", self.unread);
        let status = self.program.wait().expect("its end");
        (std::mem::take(&mut self.unread), status.exit_code())
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.program.kill();
    }
}

/// Runs a program to its end, with this on standard input.
pub(crate) fn run(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("started");
    // A program that doesn't read its input is no failure.
    let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
    child.wait_with_output().expect("its output")
}

/// `fwpctl`
pub(crate) fn fwpctl() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_fwpctl"))
}

/// A program of another package, beside ours. `cargo test` of the workspace has built it; of this package alone, it is
/// built here.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = fwpctl().with_file_name(name);
    if !path.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--package", name]).status().expect("cargo");
        assert!(built.success() && path.exists(), "{} is not built", path.display());
    }
    path
}
