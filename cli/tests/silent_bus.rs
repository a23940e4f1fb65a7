//! A bus that takes connections and never says a word: nothing may wait for it without end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_bus_that_accepts_and_never_answers_is_given_up_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    // The kernel takes connections in its name, and nobody ever looks at them.
    let _listener = UnixListener::bind(&path).unwrap();

    let started = Instant::now();
    let address = format!("unix:path={}", path.display());
    let commands: [&[&str]; 3] = [
        &["list"],
        &["doctor"],
        &["pay", "--host", "a.example", "--payee", "A", "--id", "1", "--amount", "1.00", "--currency", "EUR"],
    ];
    let running = commands.map(|arguments| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fwpctl"));
        command.args(["--bus", &address]).args(arguments);
        if arguments[0] == "pay" {
            command.args(["--network", "https://banknet2.org", "--yes"]);
        }
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &address).stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped()).spawn().unwrap()
    });
    for child in running {
        let output = child.wait_with_output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{said}");
        assert!(said.contains("does not answer within 5 s"), "{said}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
}
