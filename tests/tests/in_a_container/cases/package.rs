//! What apt installs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use fwp_tests::until;
use serde_json::{Value, json};

use crate::person::Person;
use crate::system::{self, CREDENTIAL, attempt, pid, property, run, status_line};

pub(super) fn apt_installs_it_without_network_and_nothing_runs() {
    // Only the loopback interface is there: nothing was fetched.
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap();
    let names: Vec<_> = interfaces.lines().skip(2).filter_map(|line| line.split(':').next()).collect();
    assert!(names.iter().all(|name| name.trim() == "lo"), "{names:?}");
    assert_eq!(run(&["dpkg-query", "--show", "--showformat=${db:Status-Status}", "fwpd"]), "installed");
    assert_eq!(run(&["dpkg", "--audit"]), "");
    assert_eq!(property("ActiveState"), "inactive");
    assert_eq!(property("UnitFileState"), "static", "it is started by the bus alone");
    let (_, failed) = attempt(&["systemctl", "list-units", "--failed", "--plain", "--no-legend"]);
    assert_eq!(failed.trim(), "");
    let account = run(&["getent", "passwd", "fwpd"]);
    assert!(account.trim().ends_with("nologin"), "{account}");
    let state = fs::metadata(system::STATE).unwrap();
    let user = run(&["id", "--user", "fwpd"]);
    assert_eq!((state.mode() & 0o7777, state.uid().to_string()), (0o700, user.trim().to_owned()));
    // Nobody but the service's own user is in its group.
    assert!(run(&["getent", "group", "fwpd"]).trim().ends_with(':'));
}

pub(super) fn a_call_by_an_ordinary_user_starts_it() {
    let list = run(&["runuser", "--user", "anna", "--", "fwpctl", "--bus", "system", "list"]);
    assert!(list.contains("No cards yet"), "{list}");
    assert_eq!(property("ActiveState"), "active");
    let user = run(&["id", "--user", "fwpd"]);
    assert_eq!(status_line(&pid(), "Uid").split_whitespace().next(), Some(user.trim()));
    let doctor =
        run_json(&["runuser", "--user", "anna", "--", "fwpctl", "--bus", "system", "--json", "doctor"]);
    let service = doctor.as_array().unwrap().iter().find(|check| check["check"] == "service");
    assert_eq!(service.expect("a check of the service")["health"], "ok", "{doctor}");
}

/// The doctor ends with an error where something is wrong, and this container has no USB.
fn run_json(words: &[&str]) -> Value {
    let output = system::command(words).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", system::text(&output)))
}

pub(super) fn the_credential_is_made_once_and_guards_the_wallets() {
    let before = fs::read(CREDENTIAL).unwrap();
    assert_eq!(fs::metadata(CREDENTIAL).unwrap().permissions().mode() & 0o7777, 0o600);
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls("1");
    assert_eq!(anna.does(json!({"do": "store"}))["slot"], "systemd credential");
    drop(anna);
    system::stop();
    run(&["dpkg-reconfigure", "--frontend=noninteractive", "fwpd"]);
    assert_eq!(fs::read(CREDENTIAL).unwrap(), before);
    // It can be left out: then a key file guards new wallets, and these stay locked.
    fs::rename(CREDENTIAL, "/root/credential").unwrap();
    let mut anna = Person::at_the_seat("anna");
    let locked = anna.does(json!({"do": "store"}));
    let mut bruno = Person::elsewhere("bruno");
    let other = bruno.does(json!({"do": "store"}));
    fs::rename("/root/credential", CREDENTIAL).unwrap();
    assert_eq!(locked["store"], "unusable", "{locked}");
    assert!(locked["reason"].as_str().unwrap().contains("LoadCredentialEncrypted"), "{locked}");
    assert_eq!(other["store"], "new", "{other}");
    drop((anna, bruno));
    system::stop();
    Person::at_the_seat("anna").pays("1");
}

pub(super) fn what_is_installed_is_valid() {
    let unit = run(&["systemctl", "show", "--property=FragmentPath", "--value", system::UNIT]);
    // It says nothing of a unit that is right. This image has no program that shows manual pages.
    let (good, said) = attempt(&["systemd-analyze", "--man=no", "verify", unit.trim()]);
    assert!(good && !said.contains("fwpd"), "{said}");
    for manifest in [
        "/etc/chromium/native-messaging-hosts/io.github.fwpd.json",
        "/etc/opt/chrome/native-messaging-hosts/io.github.fwpd.json",
        "/usr/lib/mozilla/native-messaging-hosts/io.github.fwpd.json",
    ] {
        let text = fs::read_to_string(manifest).unwrap_or_else(|error| panic!("{manifest}: {error}"));
        let manifest: Value = serde_json::from_str(&text).unwrap();
        let program = manifest["path"].as_str().unwrap();
        assert_eq!(program, "/usr/bin/fwp-native-host");
        assert!(
            fs::metadata(program).unwrap().permissions().mode() & 0o001 != 0,
            "everybody may run {program}"
        );
    }
    for file in [
        "/usr/share/bash-completion/completions/fwpctl",
        "/usr/share/man/man1/fwpctl.1.gz",
        "/usr/share/man/man8/fwpd.8.gz",
        // Debian 12's /lib is /usr/lib.
        "/usr/lib/udev/rules.d/70-fwpd.rules",
    ] {
        assert!(fs::metadata(file).unwrap_or_else(|error| panic!("{file}: {error}")).len() > 0, "{file}");
    }
    // polkit has read the actions: none of them is unknown to it.
    let known = until("polkit's actions", || Some(run(&["pkaction"])));
    for action in ["claim-origin", "enroll", "manage", "export", "unlock-other"] {
        assert!(known.contains(&format!("io.github.fwpd.{action}")), "{known}");
    }
    // The settings say what they are, and change nothing.
    let settings = run(&["dpkg-query", "--show", "--showformat=${Conffiles}", "fwpd"]);
    assert!(settings.contains("/etc/fwpd/fwpd.toml"), "{settings}");
}
