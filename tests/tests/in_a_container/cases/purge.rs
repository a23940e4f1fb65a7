//! From the version before to this one, and from this one to nothing.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::host::BEFORE;
use crate::person::{self, Person};
use crate::system::{self, CREDENTIAL, attempt, command, property, run, text};

/// A setting that the administrator changed.
const CHANGED: &str = "# ours\n[policy]\ncool-down = 0\n";

fn version() -> String {
    run(&["dpkg-query", "--show", "--showformat=${Version}", "fwpd"])
}

/// Some user's wallet.
fn wallets() -> usize {
    fs::read_dir(Path::new(system::STATE).join("users")).map_or(0, Iterator::count)
}

pub(super) fn an_upgrade_keeps_wallets_settings_and_credential() {
    if version() != BEFORE {
        system::install(&["before.deb"]);
    }
    fs::write("/etc/fwpd/fwpd.toml", CHANGED).unwrap();
    let credential = fs::read(CREDENTIAL).unwrap();
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls("1");
    anna.pays("1");
    // It runs while it is replaced, with a payment open.
    anna.does(json!({"do": "ask", "order": "2"}));
    let before = system::pid();
    system::install(&["fwpd.deb"]);
    assert_ne!(version(), BEFORE);
    let end = anna.tries(json!({"do": "await"}));
    assert_eq!(end["refused"], "Aborted", "{end}");
    assert_eq!(fs::read_to_string("/etc/fwpd/fwpd.toml").unwrap(), CHANGED);
    assert_eq!(fs::read(CREDENTIAL).unwrap(), credential);
    anna.pays("2");
    assert_ne!(system::pid(), before, "the new program runs");
    let history = anna.does(json!({"do": "history"}));
    for order in ["1", "2"] {
        assert!(person::authorized(&history, order), "{history}");
    }
}

fn is_installed() -> bool {
    attempt(&["dpkg-query", "--show", "--showformat=${db:Status-Status}", "fwpd"]).1 == "installed"
}

/// A wallet with a card, whatever was installed before.
fn installed_with_a_wallet() -> Person {
    if !is_installed() {
        system::install(&["fwpd.deb"]);
    }
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls("1");
    anna
}

pub(super) fn a_removal_keeps_the_wallets_for_the_next_installation() {
    let mut anna = installed_with_a_wallet();
    anna.does(json!({"do": "leave"}));
    run(&["apt-get", "remove", "--yes", "fwpd"]);
    assert!(!Path::new("/usr/bin/fwpd").exists());
    assert_eq!(property("ActiveState"), "inactive", "nothing of it runs any more");
    assert_eq!(wallets(), 1);
    let gone = anna.tries(json!({"do": "hello"}));
    assert!(gone["failed"].is_string(), "{gone}");
    system::install(&["fwpd.deb"]);
    anna.pays("1");
}

pub(super) fn a_purge_that_nobody_was_asked_about_keeps_the_wallets() {
    drop(installed_with_a_wallet());
    let credential = fs::read(CREDENTIAL).unwrap();
    run(&["apt-get", "purge", "--yes", "fwpd"]);
    assert_eq!(wallets(), 1, "no terminal, no answer: nothing is lost");
    assert_eq!(fs::read(CREDENTIAL).unwrap(), credential, "what opens them is there too");
    assert!(!Path::new("/etc/fwpd").exists(), "settings go");
    system::install(&["fwpd.deb"]);
    Person::at_the_seat("anna").pays("1");
}

/// Purges, with this answer to debconf's question at the terminal; gives what was asked.
fn purge(answer: &str) -> String {
    let mut purge = command(&["apt-get", "purge", "--yes", "fwpd"])
        .env("DEBIAN_FRONTEND", "teletype")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    purge.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = purge.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

pub(super) fn a_purge_removes_the_wallets_of_who_said_yes() {
    drop(installed_with_a_wallet());
    let asked = purge("no\n");
    assert!(asked.contains("wallets"), "{asked}");
    assert_eq!(wallets(), 1);
    system::install(&["fwpd.deb"]);
    Person::at_the_seat("anna").pays("1");
    system::stop();
    let asked = purge("yes\n");
    assert!(asked.contains("wallets"), "{asked}");
    assert!(!Path::new(system::STATE).exists());
    assert!(!Path::new(CREDENTIAL).exists(), "what it opened is gone");
    let left = run(&[
        "sh",
        "-c",
        "find /etc /usr /lib /var/lib/systemd /run/systemd/system -xdev -iname '*fwpd*' ! -path '*/fwpd-tests*' ! -path '*sandbox*'",
    ]);
    assert_eq!(left.trim(), "", "files are left");
}

pub(super) fn it_starts_where_the_bus_read_its_policy_before_the_user_was_there() {
    // As on a machine that gets the packages it depends on at the same time: dpkg tells the bus of its files, and sets it up later.
    if is_installed() {
        purge("yes\n");
    }
    run(&["userdel", "fwpd"]);
    run(&["dpkg", "--unpack", "fwpd.deb"]);
    run(&["dpkg", "--triggers-only", "--pending"]);
    assert!(!attempt(&["id", "fwpd"]).0, "nobody is called fwpd yet");
    run(&["dpkg", "--configure", "fwpd"]);
    assert_eq!(property("ActiveState"), "inactive");
    Person::at_the_seat("anna").does(json!({"do": "hello"}));
}
