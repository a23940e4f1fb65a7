//! People of the guest, each with a desktop's agent and a program that asks for money: one process as that user, told what to do in
//! JSON, a line each.

pub(crate) mod program;

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// What tells this program that it is somebody's.
pub(crate) const ARGUMENT: &str = "--person";
/// This program, in the guest.
const THIS: &str = "/mnt/fwpd/cases";

/// Whether an order stands in a wallet's history as authorized.
pub(crate) fn authorized(history: &Value, order: &str) -> bool {
    let is = |entry: &Value| entry[1] == order && entry[0].as_str().unwrap().starts_with("authorized");
    history.as_array().unwrap().iter().any(is)
}

/// Somebody. Leaves when dropped.
pub(crate) struct Person {
    name: &'static str,
    process: Child,
    to: Option<ChildStdin>,
    from: Lines<BufReader<ChildStdout>>,
}

impl Person {
    /// One who logs in at the machine's seat, by PAM and logind, as a display manager or getty does: whoever comes last is the active one.
    pub(crate) fn at_the_seat(name: &'static str) -> Self {
        let mut command = Command::new("runuser");
        command.env("XDG_SEAT", "seat0").env("XDG_SESSION_TYPE", "tty").env("XDG_SESSION_CLASS", "user");
        if std::path::Path::new("/dev/tty1").exists() {
            command.env("XDG_VTNR", "1");
        }
        command.args(["--login", name, "--command", &format!("exec {THIS} {ARGUMENT}")]);
        Self::start(name, command)
    }

    /// One without a session at the seat, as who is logged in over the network or a service.
    pub(crate) fn elsewhere(name: &'static str) -> Self {
        let mut command = Command::new("runuser");
        command.args(["--user", name, "--", THIS, ARGUMENT]);
        Self::start(name, command)
    }

    fn start(name: &'static str, mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let to = process.stdin.take();
        let from = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { name, process, to, from }
    }

    /// Says what to do, without waiting for it.
    pub(crate) fn begin(&mut self, what: &Value) {
        let to = self.to.as_mut().unwrap();
        writeln!(to, "{what}")
            .and_then(|()| to.flush())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// How what was begun ended.
    pub(crate) fn end(&mut self) -> Value {
        let line = self.from.next().unwrap_or_else(|| panic!("{} is gone", self.name)).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.name))
    }

    /// Does it, well or not.
    pub(crate) fn tries(&mut self, what: Value) -> Value {
        self.begin(&what);
        self.end()
    }

    /// Does it well.
    pub(crate) fn does(&mut self, what: Value) -> Value {
        let end = self.tries(what.clone());
        end.get("ok").unwrap_or_else(|| panic!("{}: {what}: {end}", self.name)).clone()
    }

    /// Is refused, by an error of this name; gives its text.
    pub(crate) fn is_refused(&mut self, what: Value, name: &str) -> String {
        let end = self.tries(what.clone());
        assert_eq!(end["refused"], name, "{}: {what}: {end}", self.name);
        end["message"].as_str().unwrap().to_owned()
    }

    /// Gets a card with this account, by a new key of the authenticator of this kind ("platform" or "usb").
    pub(crate) fn enrolls(&mut self, account: &str) {
        self.does(json!({"do": "enroll", "account": account}));
    }

    /// Pays, and has the bank verify it.
    pub(crate) fn pays(&mut self, order: &str) {
        self.does(json!({"do": "pay", "order": order}));
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.to.take());
        let _ = self.process.wait();
    }
}
