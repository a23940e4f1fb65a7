//! `virtual-machine demo`: runs `scripts/demo.sh` with `KEY=usb` in a virtual machine, where a key in software can be a real
//! USB device. Its output is the demo's.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that prints")]

use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use fwp_tests::machine::{Error, Machine, Outcome};
use fwp_tests::programs::program;

/// Programs of the guest that Debian brings.
const TOOLS: [&str; 2] = ["bash", "dbus-daemon"];
/// Ours: package and name.
const PROGRAMS: [(&str, &str); 4] =
    [("fwpd", "fwpd"), ("fwpctl", "fwpctl"), ("fwp-sandbox", "fwp-sandbox"), ("virtual-keys", "virtual-key")];
/// How long the demo may take.
const LIMIT: Duration = Duration::from_secs(400);

fn main() -> ExitCode {
    if std::env::args().skip(1).ne(["demo".to_owned()]) {
        eprintln!("usage: virtual-machine demo");
        return ExitCode::FAILURE;
    }
    match demo() {
        Ok(outcome) => ExitCode::from(u8::try_from(outcome.status).unwrap_or(1)),
        Err(error) => {
            eprintln!("virtual-machine: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<Outcome, Error> {
    let mut machine = Machine::new()?;
    for tool in TOOLS {
        machine.tool(tool)?;
    }
    for (package, name) in PROGRAMS {
        machine.program(name, &program(package, name))?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/demo.sh");
    machine.files().file("/demo/scripts/demo.sh", &script)?;
    machine.files().folder("/demo/target/debug");
    machine.run("cd /demo && KEY=usb exec bash scripts/demo.sh 2>&1", LIMIT, |line| {
        // Whoever reads this may have gone; the demo ends all the same.
        let _ = writeln!(stdout(), "{line}");
    })
}
