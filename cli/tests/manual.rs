//! What is installed beside the program: manual pages and completions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Command, Output};

fn fwpctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fwpctl")).args(arguments).output().unwrap()
}

/// Every command with the name of its page: `fwpctl`, `fwpctl-pin-set`.
fn commands() -> Vec<(String, clap::Command)> {
    fn below(name: &str, command: &clap::Command, all: &mut Vec<(String, clap::Command)>) {
        all.push((name.to_owned(), command.clone()));
        for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
            below(&format!("{name}-{}", one.get_name()), one, all);
        }
    }
    let mut all = Vec::new();
    below("fwpctl", &fwpctl::args::command(), &mut all);
    assert!(all.len() > 35, "{}", all.len());
    all
}

#[test]
fn each_command_has_a_page_and_the_first_one_the_exit_status() {
    let dir = tempfile::tempdir().unwrap();
    assert!(fwpctl(&["man", dir.path().to_str().unwrap()]).status.success());
    for (name, command) in commands() {
        let page = std::fs::read_to_string(dir.path().join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}");
        // In roff a hyphen is written with a backslash.
        for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
            let option = option.replace('-', "\\-");
            assert!(page.contains(&format!("\\-\\-{option}")), "{name}: {option}");
        }
    }
    let first = std::fs::read_to_string(dir.path().join("fwpctl.1")).unwrap();
    for exit in fwpctl::exit::Exit::ALL {
        assert!(first.contains(&format!("{:>3}  ", exit.code())), "{exit:?} is not in the manual");
    }
}

#[test]
fn completions_know_every_command_and_option() {
    let commands = commands();
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(fwpctl(&["completions", shell]).stdout).unwrap();
        for (name, command) in &commands {
            let word = name.rsplit(' ').next().unwrap().rsplit("fwpctl-").next().unwrap();
            assert!(word.split('-').all(|part| script.contains(part)), "{shell}: {name}");
            for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
                assert!(script.contains(option), "{shell}: {name} --{option}");
            }
        }
    }
}

#[test]
fn the_shells_take_their_completions() {
    // zsh and fish are looked for; bash is everywhere.
    let dir = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for shell in ["bash", "zsh", "fish"] {
        let script = dir.path().join(shell);
        std::fs::write(&script, fwpctl(&["completions", shell]).stdout).unwrap();
        match Command::new(shell).arg("-n").arg(&script).output() {
            Ok(checked) => {
                tried += 1;
                assert!(checked.status.success(), "{shell}: {}", String::from_utf8_lossy(&checked.stderr));
            }
            Err(_) => assert_ne!(shell, "bash"),
        }
    }
    assert!(tried > 0);
    let complete = format!(
        "source '{}'; COMP_WORDS=(fwpctl unlock --us); COMP_CWORD=2; _fwpctl fwpctl --us unlock; echo \"${{COMPREPLY[*]}}\"",
        dir.path().join("bash").display()
    );
    let output = Command::new("bash").args(["--norc", "-c", &complete]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "--user");
}

#[test]
fn a_reader_that_stops_early_is_no_failure_worth_a_message() {
    let shell = format!("'{}' completions bash | true", env!("CARGO_BIN_EXE_fwpctl"));
    let output = Command::new("sh").args(["-c", &shell]).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
