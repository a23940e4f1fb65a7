//! What `fwpctl doctor` and `status` say beside a real systemd and a real polkit, and who asks for a password on a terminal.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use fwp_tests::until;
use serde_json::Value;

use crate::system::{self, UNIT, attempt, property, run};

const ACTIONS: &str = "/usr/share/polkit-1/actions/io.github.fwpd.policy";

/// `fwpctl --json` as an ordinary user: its exit status, and what it says.
fn fwpctl(word: &str) -> (Option<i32>, Value) {
    let words = ["runuser", "--user", "anna", "--", "fwpctl", "--bus", "system", "--json", word];
    let output = system::command(&words).output().unwrap();
    let said = serde_json::from_slice(&output.stdout);
    (output.status.code(), said.unwrap_or_else(|error| panic!("{error}: {}", system::text(&output))))
}

/// The finding about something.
#[track_caller]
fn finding<'report>(report: &'report Value, what: &str) -> &'report Value {
    let found = report.as_array().unwrap().iter().find(|check| check["check"] == what);
    found.unwrap_or_else(|| panic!("nothing about {what}: {report:#}"))
}

fn has(value: &Value, text: &str) -> bool {
    value.as_str().is_some_and(|value| value.contains(text))
}

pub(super) fn the_doctor_knows_the_service_and_status_does_not_start_it() {
    let (status, says) = fwpctl("status");
    assert_eq!((status, &says["running"]), (Some(0), &Value::Bool(false)), "{says}");
    assert_eq!(
        (&says["service"]["load"], &says["service"]["active"]),
        (&"loaded".into(), &"inactive".into())
    );
    assert_eq!(property("ActiveState"), "inactive", "nobody started it");

    run(&["systemctl", "mask", "--runtime", UNIT]);
    let (masked, stuck) = (fwpctl("doctor").1, fwpctl("status").0);
    run(&["systemctl", "unmask", "--runtime", UNIT]);
    let service = finding(&masked, "service");
    assert!(service["health"] == "problem" && has(&service["remedy"], "unmask fwpd"), "{service}");
    assert_eq!(stuck, Some(6));

    std::fs::rename(ACTIONS, "/root/policy").unwrap();
    run(&["systemctl", "restart", "polkit.service"]);
    let unknown = fwpctl("doctor").1;
    std::fs::rename("/root/policy", ACTIONS).unwrap();
    run(&["systemctl", "restart", "polkit.service"]);
    let policy = finding(&unknown, "policy");
    assert!(policy["health"] == "problem" && has(&policy["remedy"], "--reinstall fwpd"), "{policy}");

    let (_, well) = fwpctl("doctor");
    assert_eq!(finding(&well, "service")["health"], "ok", "{well:#}");
    // Who is called so has no session here: pays nothing, and gives a password for the rest.
    let policies: Vec<_> =
        well.as_array().unwrap().iter().filter(|check| check["check"] == "policy").collect();
    assert!(has(&policies[0]["found"], "may not pay or enroll"), "{policies:?}");
    assert!(has(&policies[1]["found"], "a password is asked for before you enroll, manage"), "{policies:?}");
    let (_, says) = fwpctl("status");
    assert_eq!((&says["running"], &says["service"]["active"]), (&Value::Bool(true), &"active".into()));
    assert_eq!(says["service"]["process"].to_string(), property("MainPID"));
}

/// A terminal with a person before it; it ends by itself after a minute.
struct Terminal {
    script: Child,
    seen: String,
}

impl Terminal {
    fn of_anna(command: &str) -> Self {
        let command = format!("runuser --user anna -- {command}");
        // script: Debian package bsdutils, which every Debian has.
        let script = Command::new("timeout")
            .args(["60", "script", "--quiet", "--return", "--command", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self { script: script.unwrap(), seen: String::new() }
    }

    /// Reads on until this is there.
    fn sees(&mut self, text: &str) {
        let screen = self.script.stdout.as_mut().unwrap();
        while !self.seen.contains(text) {
            let mut some = [0; 256];
            let length = screen.read(&mut some).unwrap();
            assert_ne!(length, 0, "\"{text}\" is not on the screen, but:\n{}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&some[..length]));
        }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.script.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

pub(super) fn on_a_terminal_polkits_own_program_asks_for_the_password() {
    let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn().unwrap();
    writeln!(chpasswd.stdin.take().unwrap(), "anna:open sesame").unwrap();
    assert!(chpasswd.wait().unwrap().success());

    let mut terminal = Terminal::of_anna("fwpctl --bus system keys add passphrase");
    terminal.sees("AUTHENTICATING FOR io.github.fwpd.manage");
    terminal.sees("Password:");
    // What was typed before it is hidden is thrown away.
    until("a terminal that hides what is typed", || {
        let (_, names) = attempt(&["ps", "-o", "tty=", "-C", "pkttyagent"]);
        let device = format!("/dev/{}", names.trim());
        attempt(&["stty", "-F", &device, "-a"]).1.contains("-echo ").then_some(())
    });
    terminal.types("open sesame");
    terminal.sees("AUTHENTICATION COMPLETE");
    terminal.sees("Let a passphrase open the store? [yes/no]");
    assert!(!terminal.seen.contains("sesame"), "{}", terminal.seen);
    terminal.types("no");
    let end = terminal.script.wait().unwrap();
    run(&["usermod", "--password", "!", "anna"]);
    assert_eq!(end.code(), Some(3), "{}", terminal.seen);
}
