//! What an administrator does and sees: packages, units, files, the journal.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use fwp_tests::until;
use serde_json::Value;

pub(crate) const UNIT: &str = "fwpd.service";
/// The wallets.
pub(crate) const STATE: &str = "/var/lib/fwpd";
/// The service's settings.
const SETTINGS: &str = "/etc/fwpd/fwpd.toml";
/// The wallets' key, as the installation made it.
pub(crate) const CREDENTIAL: &str = "/etc/credstore.encrypted/fwpd.wallet-key";
static CREDENTIAL_BEFORE: OnceLock<Vec<u8>> = OnceLock::new();
/// What a case changes of the unit.
const DROP_IN: &str = "/run/systemd/system/fwpd.service.d";
/// Settings in which no case waits for a pause.
const QUICK: &str = "[policy]\ncool-down = 0\n";

/// A command of these words.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Both outputs of a program.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a program prints; it must succeed.
pub(crate) fn run(words: &[&str]) -> String {
    let output = command(words).output().unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert!(output.status.success(), "{words:?}: {}\n{}", output.status, text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a program succeeds, and what it prints.
pub(crate) fn attempt(words: &[&str]) -> (bool, String) {
    let output = command(words).output().unwrap_or_else(|error| panic!("{words:?}: {error}"));
    (output.status.success(), text(&output))
}

/// Installs packages of the share, without network, as `apt install ./file` does.
pub(crate) fn install(packages: &[&str]) {
    let files = packages.iter().map(|package| format!("./{package}"));
    let mut words = vec!["apt-get".to_owned(), "install".to_owned(), "--yes".to_owned()];
    words.extend(["--no-install-recommends".to_owned(), "--allow-downgrades".to_owned()]);
    words.extend(files);
    run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    // A purge takes it, and the next installation makes another one.
    let _first = fs::read(CREDENTIAL).map(|credential| CREDENTIAL_BEFORE.set(credential));
}

/// A property of the service.
pub(crate) fn property(name: &str) -> String {
    run(&["systemctl", "show", "--property", name, "--value", UNIT]).trim().to_owned()
}

/// The service's process, once it runs.
pub(crate) fn pid() -> String {
    until("the service's process", || Some(property("MainPID")).filter(|pid| pid != "0"))
}

/// A line of /proc/PID/status.
pub(crate) fn status_line(pid: &str, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name}: {status}")).trim().to_owned()
}

/// Proportional memory of the service, in bytes.
pub(crate) fn memory(pid: &str) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

/// As after the installation, but for [`QUICK`]: no wallet, no drop-in, the service not running.
pub(crate) fn fresh() {
    stop();
    let _none = fs::remove_dir_all(DROP_IN);
    settings("");
    rules("");
    if let Some(credential) = CREDENTIAL_BEFORE.get().filter(|_| Path::new(CREDENTIAL).exists()) {
        fs::write(CREDENTIAL, credential).unwrap();
    }
    for part in ["users", "keys"] {
        let _none = fs::remove_dir_all(Path::new(STATE).join(part));
    }
    run(&["systemctl", "daemon-reload"]);
    let (_, _) = attempt(&["systemctl", "reset-failed", UNIT]);
}

/// Ends the service.
pub(crate) fn stop() {
    let (_, _) = attempt(&["systemctl", "stop", UNIT]);
}

/// The service's settings, besides [`QUICK`], from its next start on.
pub(crate) fn settings(settings: &str) {
    if Path::new("/etc/fwpd").exists() {
        fs::write(SETTINGS, format!("{settings}\n{QUICK}")).unwrap();
    }
}

/// Every user may use the keys in this computer, and every program name a payee: as an administrator of a server would set it.
pub(crate) const SERVER: &str = "claim-origin = \"any\"\nauthorize = \"any\"\n[keys]\nseats = \"ignore\"\n";

/// Changes the service's unit, from its next start on.
pub(crate) fn drop_in(text: &str) {
    fs::create_dir_all(DROP_IN).unwrap();
    fs::write(Path::new(DROP_IN).join("case.conf"), text).unwrap();
    run(&["systemctl", "daemon-reload"]);
}

/// The administrator's rules of polkit, at once.
pub(crate) fn rules(script: &str) {
    let path = "/etc/polkit-1/rules.d/40-case.rules";
    let had = Path::new(path).exists();
    if script.is_empty() && !had {
        return;
    }
    fs::write(path, script).unwrap();
    // It watches the folder; that takes a moment, and a restart does not depend on one.
    let (_, _) = attempt(&["systemctl", "restart", "polkit.service"]);
}

/// Where the journal is now.
pub(crate) fn journal_now() -> String {
    let output = run(&["journalctl", "--lines=1", "--quiet", "--show-cursor", "--output=cat"]);
    let cursor = output.lines().find_map(|line| line.strip_prefix("-- cursor: "));
    cursor.unwrap_or_default().to_owned()
}

/// What the service and systemd about it have written since then.
pub(crate) fn journal_since(cursor: &str) -> String {
    run(&["journalctl", "--sync"]);
    run(&["journalctl", "--quiet", "--output=short-precise", "--unit", UNIT, "--after-cursor", cursor])
}

/// The same, with all fields.
pub(crate) fn entries_since(cursor: &str) -> Vec<Value> {
    run(&["journalctl", "--sync"]);
    let output = run(&["journalctl", "--quiet", "--output=json", "--unit", UNIT, "--after-cursor", cursor]);
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
