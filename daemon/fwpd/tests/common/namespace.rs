//! Tests with mounts of their own.

use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in the process that has a mount namespace of its own.
const INSIDE: &str = "FWPD_TEST_INSIDE";

/// Runs `test`, which is the test of this name, in a mount namespace of its own.
pub(crate) fn inside(name: &str, test: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        return super::run(test);
    }
    let mut process = Command::new("unshare");
    process.args(["--user", "--map-root-user", "--mount"]).arg(std::env::current_exe().unwrap());
    let output = process.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output();
    let output = output.expect("util-linux is needed: unshare");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
}

/// A program that becomes fwpd by this command, which ends with `fwpd`.
pub(crate) fn wrapped(folder: &Path, command: &str) -> PathBuf {
    let path = folder.join("fwpd-wrapped");
    let fwpd = env!("CARGO_BIN_EXE_fwpd");
    std::fs::write(&path, format!("#!/bin/sh\nfwpd={fwpd}\n{command} \"$@\"\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}
