//! What is installed beside the program: manual pages and completions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Command, Output};

fn fwpctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fwpctl")).args(arguments).output().unwrap()
}

#[test]
fn each_command_has_a_page_and_the_first_one_the_exit_status() {
    let dir = tempfile::tempdir().unwrap();
    assert!(fwpctl(&["man", dir.path().to_str().unwrap()]).status.success());
    for page in [
        "enroll",
        "list",
        "show",
        "remove",
        "pay",
        "history",
        "authenticators",
        "authenticators-info",
        "authenticators-certify",
        "authenticators-reset",
        "authenticators-pin-set",
        "pin-set",
        "pin-change",
        "keys",
        "keys-add",
        "keys-remove",
        "keys-rotate",
        "keys-accept-copy",
        "lock",
        "unlock",
        "export",
        "import",
        "browser",
        "browser-install",
        "browser-status",
        "browser-uninstall",
        "doctor",
        "agent",
    ] {
        let page = std::fs::read_to_string(dir.path().join(format!("fwpctl-{page}.1"))).unwrap();
        assert!(page.contains(".SH NAME"));
    }
    let first = std::fs::read_to_string(dir.path().join("fwpctl.1")).unwrap();
    for exit in fwpctl::exit::Exit::ALL {
        assert!(first.contains(&format!("{:>3}  ", exit.code())), "{exit:?} is not in the manual");
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(fwpctl(&["completions", shell]).stdout).unwrap();
        assert!(script.contains("enroll") && script.contains("pin-fd"), "{shell}");
    }
}

#[test]
fn a_reader_that_stops_early_is_no_failure_worth_a_message() {
    let shell = format!("'{}' completions bash | true", env!("CARGO_BIN_EXE_fwpctl"));
    let output = Command::new("sh").args(["-c", &shell]).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
