//! A test in a process of its own.

use std::process::Command;

/// How long a test may take; one that hangs fails then.
const DEADLINE_SECONDS: u32 = 60;

/// Set in the test's own process, so that it runs the test and starts no further one.
const INSIDE: &str = "MOCKDEV_INSIDE";

/// Whether this is a test's own process: what is slow, or nothing for a testbed, building a program say, is done before, outside.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs `body` if libumockdev is preloaded in this process. Otherwise runs this test program again under
/// `umockdev-wrapper`, with the test `path` (crate, modules, function) alone.
///
/// # Panics
/// If the test fails there, or takes more than a minute, or umockdev is not installed.
pub fn in_testbed(path: &str, body: impl FnOnce()) {
    if is_inside() {
        body();
        return;
    }
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    let program = std::env::current_exe().unwrap_or_default();
    let output = without_override_of_permissions()
        .env(INSIDE, "1")
        .arg("timeout")
        .arg(DEADLINE_SECONDS.to_string())
        .arg("umockdev-wrapper")
        .arg(program)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .output();
    let (passed, text) = match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            // A wrong name would be a success of no test at all.
            (output.status.success() && text.contains("1 passed"), format!("{text}{errors}"))
        }
        Err(error) => (false, format!("the Debian packages umockdev and util-linux are needed: {error}")),
    };
    assert!(passed, "{name} under umockdev-wrapper:\n{text}");
}

/// For root, a wrapper that takes away the right to ignore files' permissions, so that tests see what users see.
fn without_override_of_permissions() -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search"]);
        command
    } else {
        Command::new("env")
    }
}
