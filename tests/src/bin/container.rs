//! `container demo`: packs the programs as they are built, and runs `scripts/demo-system.sh` in the container, where they are installed. Its
//! output is the demo's.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that prints")]

use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use fwp_tests::container::{self, Container, Error, Outcome};

/// How long the demo may take.
const LIMIT: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    if std::env::args().skip(1).ne(["demo".to_owned()]) {
        eprintln!("usage: container demo");
        return ExitCode::FAILURE;
    }
    match demo() {
        Ok(outcome) => ExitCode::from(u8::try_from(outcome.status).unwrap_or(1)),
        Err(error) => {
            eprintln!("container: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<Outcome, Error> {
    let mut container = Container::new()?;
    let folder = tempfile::tempdir()?;
    let [fwpd, sandbox] = container::packages(folder.path())?;
    container.file("fwpd.deb", &fwpd)?;
    container.file("fwpd-sandbox.deb", &sandbox)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/demo-system.sh");
    container.file("demo-system.sh", &script)?;
    container.run("DEMO=root bash demo-system.sh 2>&1", LIMIT, |line| {
        // Whoever reads this may have gone; the demo ends all the same.
        let _ = writeln!(stdout(), "{line}");
    })
}
