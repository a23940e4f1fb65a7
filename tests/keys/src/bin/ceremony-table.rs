//! Prints the table of ceremonies that the tests have recorded, and fails if it has a hole or a failure.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that prints")]

use std::process::ExitCode;
use virtual_keys::table::{recorded, render};

fn main() -> ExitCode {
    let rows = match recorded() {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("no table of ceremonies: {error}. Run the tests first.");
            return ExitCode::FAILURE;
        }
    };
    let (text, wrong) = render(&rows);
    println!("{text}");
    for line in &wrong {
        eprintln!("{line}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
