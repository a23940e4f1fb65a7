//! The command line on a bus like the system's: what status and doctor say of service, bus and polkit, who is asked for a password,
//! and an administrator who opens another's wallet. dbus-daemon, polkitd, pkttyagent and fwpd are real; systemd is a stand-in here,
//! and real in the container's tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod house;

use fwp_tests::polkit::{PACKAGED, Polkit};
use fwp_tests::{Fwpd, PrivateBus, QUICK};
use house::Done;
use house::system::{Computer, NOBODY, SOMEBODY, Unit, Units};
use serde_json::Value;

const PASSPHRASE: &str = "correct horse battery staple";

/// The findings about one thing.
#[track_caller]
fn findings(doctor: &Done, what: &str) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let report = doctor.json();
    let all = report.as_array().expect("a list").iter();
    let found = all.filter(|check| check["check"] == what);
    found.map(|check| (text(&check["health"]), text(&check["found"]), text(&check["remedy"]))).collect()
}

/// Asserts that the doctor has one finding about `what`, with these words in it.
#[track_caller]
fn finds(doctor: &Done, what: &str, health: &str, found: &str, remedy: &str) {
    let findings = findings(doctor, what);
    let [one] = findings.as_slice() else { panic!("{what}: {findings:?}\n{}", doctor.out) };
    assert!(one.0 == health && one.1.contains(found) && one.2.contains(remedy), "{what}: {one:?}");
}

#[test]
fn a_service_that_does_not_run_is_explained_and_status_starts_nothing() {
    let computer = Computer::new("");
    let doctor = |status| computer.fwpctl_as(NOBODY, &[], ["doctor", "--json"]).ended(status);
    let absent = computer.fwpctl_as(NOBODY, &[], ["status"]).ended(6);
    assert!(absent.err.contains("no fwpd on it"), "{}", absent.err);
    finds(
        &doctor(6),
        "service",
        "problem",
        "not installed, and systemd does not answer",
        "apt install ./fwpd_",
    );

    let units = Units::default();
    let _systemd = computer.systemd(&units);
    finds(&doctor(6), "service", "problem", "not installed", "fwpd --session");
    let dead = Unit { load: "loaded", active: "inactive", sub: "dead", ..Unit::default() };
    units.set("fwpd.service", dead.clone());
    finds(&doctor(6), "service", "problem", "the bus does not know how to start it", "systemctl reload dbus");

    computer.install_a_service_that_fails();
    let status = computer.fwpctl_as(NOBODY, &[], ["status"]).ended(0);
    assert!(status.out.contains("not running; the first call starts it"), "{}", status.out);
    assert!(status.out.contains("service   fwpd.service: inactive (dead)"), "{}", status.out);
    let status = computer.fwpctl_as(NOBODY, &[], ["status", "--json"]).ended(0).json();
    assert_eq!((&status["running"], &status["service"]["active"]), (&false.into(), &"inactive".into()));

    let failed =
        Unit { active: "failed", sub: "failed", result: "exit-code", exit_status: 1, ..dead.clone() };
    units.set("fwpd.service", failed);
    let failed = doctor(6);
    finds(&failed, "service", "problem", "failed (exit-code 1)", "journalctl -u fwpd");
    finds(&failed, "daemon", "problem", "fwpd does not start", "");
    units.set("fwpd.service", Unit { load: "masked", ..dead });
    finds(&doctor(6), "service", "problem", "masked", "systemctl unmask fwpd");
    let masked = computer.fwpctl_as(NOBODY, &[], ["status"]).ended(6);
    assert!(masked.out.contains("can't be started: \"fwpctl doctor\""), "{}", masked.out);
    assert!(masked.out.contains("fwpd.service: masked"), "{}", masked.out);
    units.set("fwpd.service", Unit { load: "not-found", active: "inactive", ..Unit::default() });
    finds(&doctor(6), "service", "problem", "which is not there", "--reinstall fwpd");
}

#[test]
fn a_service_that_runs_is_told_of_and_so_is_what_is_around_it() {
    let mut computer = Computer::new("");
    let units = Units::default();
    let _systemd = computer.systemd(&units);
    let runs = Unit { load: "loaded", active: "active", sub: "running", process: 4711, ..Unit::default() };
    units.set("fwpd.service", runs.clone());
    computer.start(QUICK);
    let doctor = || computer.fwpctl_as(NOBODY, &[], ["doctor", "--json"]);

    let status = computer.fwpctl_as(NOBODY, &[], ["status", "--json"]).ended(0).json();
    assert_eq!((&status["running"], &status["bus"]), (&true.into(), &"system".into()));
    assert_eq!((&status["service"]["process"], &status["user"]), (&4711.into(), &NOBODY.into()));
    assert_eq!((&status["store"]["state"], &status["agent"]), (&"new".into(), &Value::Null));
    let status = computer.fwpctl_as(NOBODY, &[], ["status"]).ended(0);
    for line in
        ["fwpd.service: active (running), process 4711", "new: nothing is stored yet", "none is running"]
    {
        assert!(status.out.contains(line), "{line}: {}", status.out);
    }

    let good = doctor();
    finds(&good, "service", "ok", "process 4711", "");
    finds(&good, "bus", "ok", "system bus answers", "");
    // polkit does not run here.
    finds(&good, "policy", "problem", "polkit does not answer", "apt install polkitd");
    // Nobody listens for readers here either, and systemd says why.
    finds(&good, "pcscd", "unknown", "not installed", "apt install pcscd");
    units.set("pcscd.socket", Unit { load: "loaded", active: "inactive", ..Unit::default() });
    finds(&doctor(), "pcscd", "warning", "nobody listens", "enable --now pcscd.socket");
    units.set("fwpd.service", Unit { needs_reload: true, ..runs });
    finds(&doctor(), "service", "warning", "was changed", "daemon-reload");

    // Somebody else's access to the store's file, which only its own user may have.
    computer
        .fwpctl_as(NOBODY, &[PASSPHRASE], ["keys", "add", "passphrase", "--yes", "--passphrase-fd", "0"])
        .ended(0);
    let state = computer.fwpd.as_ref().unwrap().state_dir();
    let found = std::process::Command::new("find").arg(&state).args(["-type", "f"]).output().unwrap();
    let files = String::from_utf8(found.stdout).unwrap();
    let of_nobody = |file: &&str| file.contains("/keys/") && file.contains(&NOBODY.to_string());
    let key =
        files.lines().find(of_nobody).unwrap_or_else(|| panic!("a key file is not in\n{files}")).to_owned();
    computer.fwpctl_as(NOBODY, &[], ["lock"]).ended(0);
    std::process::Command::new("chmod").args(["0644", &key]).status().unwrap();
    let exposed = doctor().ended(1);
    let store = findings(&exposed, "store");
    assert!(store[0].0 == "problem" && store[0].1.contains("644"), "{store:?}");
}

#[test]
fn two_wallets_are_told_apart() {
    let mut computer = Computer::new("");
    computer.start(QUICK);
    let session = PrivateBus::session();
    let _own = computer.runtime.block_on(Fwpd::start(&session, house::program("fwpd"), QUICK));
    let mut command = std::process::Command::new(house::fwpctl());
    command
        .args(["doctor", "--json"])
        .env("DBUS_SESSION_BUS_ADDRESS", session.address())
        .env("DBUS_SYSTEM_BUS_ADDRESS", computer.bus.address())
        .env("HOME", computer.home.path());
    let doctor = Done::of(house::run(command, ""));
    finds(&doctor, "service", "unknown", "a wallet of its own for you", "--bus system");
    finds(&doctor, "daemon", "ok", "on the session bus", "");
    assert_eq!(findings(&doctor, "policy"), []);
}

#[test]
fn a_bus_that_forbids_the_wallet_is_told_of() {
    let forbidden = format!(
        "<policy user=\"{NOBODY}\"><deny send_destination=\"io.github.fwpd\" send_type=\"method_call\"/></policy>"
    );
    let mut computer = Computer::new(&forbidden);
    computer.start(QUICK);
    let doctor = computer.fwpctl_as(NOBODY, &[], ["doctor", "--json"]);
    finds(&doctor, "wallet", "problem", "the bus lets you not call it", "/usr/share/dbus-1/system.d");
}

#[test]
fn the_doctor_says_what_polkit_lets_you_do() {
    let mut computer = Computer::new("");
    computer.start(QUICK);
    let policy = |computer: &Computer| {
        let doctor = computer.fwpctl_as(NOBODY, &[], ["doctor", "--json"]);
        findings(&doctor, "policy")
    };
    {
        let _polkit = computer.runtime.block_on(Polkit::start(&computer.bus, &[], ""));
        let unknown = policy(&computer);
        assert!(unknown[0].0 == "problem" && unknown[0].1.contains("claim-origin"), "{unknown:?}");
        assert!(unknown[0].2.contains("--reinstall fwpd"), "{unknown:?}");
    }
    {
        let _polkit = computer.runtime.block_on(Polkit::start(&computer.bus, &[PACKAGED], ""));
        let inactive = policy(&computer);
        assert!(
            inactive[0].0 == "warning" && inactive[0].1.contains("may not pay or enroll"),
            "{inactive:?}"
        );
        assert!(
            inactive[1].0 == "ok" && inactive[1].1.contains("a password is asked for before"),
            "{inactive:?}"
        );
    }
    let rule = "polkit.addRule(function(action, subject) {
        if (action.id.indexOf('io.github.fwpd.') == 0 && subject.user == 'nobody') return polkit.Result.YES;
    });";
    let _polkit = computer.runtime.block_on(Polkit::start(&computer.bus, &[PACKAGED], rule));
    let allowed = policy(&computer);
    assert!(allowed.iter().all(|(health, ..)| health == "ok"), "{allowed:?}");
    assert!(allowed[0].1.contains("may pay and enroll"), "{allowed:?}");
}

/// nobody's password, as the C library keeps it.
fn a_password_for_nobody(computer: &Computer, password: &str) -> String {
    let hash = std::process::Command::new("openssl").args(["passwd", "-6", password]).output();
    let hash = String::from_utf8(hash.expect("openssl").stdout).unwrap();
    let line = format!("nobody:{}:19000:0:99999:7:::\n", hash.trim());
    let shadow = computer.home.path().join("shadow");
    std::fs::write(&shadow, line).unwrap();
    shadow.display().to_string()
}

#[test]
fn a_terminal_without_a_desktop_gets_polkits_own_question() {
    let mut computer = Computer::new("");
    computer.start("claim-origin = \"any\"\nauthorize = \"polkit\"\n[policy]\ncool-down = 0\n");
    let _polkit = computer.runtime.block_on(Polkit::start(&computer.bus, &[PACKAGED], ""));

    // Without a terminal nobody can be asked.
    let phrase = ["keys", "add", "passphrase", "--yes", "--passphrase-fd", "0"];
    let refused = computer.fwpctl_as(NOBODY, &[PASSPHRASE], phrase).ended(7);
    assert!(refused.err.contains("io.github.fwpd.manage"), "{}", refused.err);
    assert!(refused.err.contains("nobody here can ask for it (this is no terminal)"), "{}", refused.err);

    // With one, polkit's own program asks there; its helper, which is setuid, knows the system's bus only.
    let shadow = a_password_for_nobody(&computer, "open sesame");
    let script = |command: &str| {
        format!(
            "mount --bind '{shadow}' /etc/shadow && mkdir -p /run/dbus && mount -t tmpfs none /run/dbus \
             && ln -s \"$BUS\" /run/dbus/system_bus_socket && exec $NOBODY $FWPCTL {command}"
        )
    };
    let mut person = computer.shell_at_terminal(&script("keys add passphrase"));
    person.sees("AUTHENTICATING FOR io.github.fwpd.manage");
    person.sees("Password:");
    person.sees_nothing_of_what_is_typed();
    person.types("open sesame");
    let before = person.sees("AUTHENTICATION COMPLETE");
    assert!(!before.contains("sesame"), "it is not echoed: {before}");
    person.sees("Let a passphrase open the store? [yes/no]");
    person.types("no");
    assert_eq!(person.sees_the_end().1, 3);

    let mut person = computer.shell_at_terminal(&script("keys add passphrase"));
    person.sees("Password:");
    person.sees_nothing_of_what_is_typed();
    person.types("a wrong one");
    person.sees("AUTHENTICATION FAILED");
    let (shown, status) = person.sees_the_end();
    assert_eq!(status, 7, "{shown}");
    assert!(shown.contains("io.github.fwpd.manage"), "{shown}");

    // Ctrl-C at the password leaves a terminal that shows what is typed.
    let shell = script("keys add passphrase").replace("exec $NOBODY", "trap : INT; $NOBODY");
    let mut person =
        computer.shell_at_terminal(&format!("{shell}; stty -a | grep -o -e '-\\?echo '; echo over"));
    person.sees("Password:");
    person.sees_nothing_of_what_is_typed();
    person.presses_ctrl_c();
    person.sees("interrupted");
    let (shown, _) = person.sees_the_end();
    assert!(shown.contains("echo ") && !shown.contains("-echo ") && shown.contains("over"), "{shown}");
}

#[test]
fn an_administrator_opens_anothers_wallet_by_its_recovery_passphrase() {
    let mut computer = Computer::new("");
    computer.start(QUICK);
    let _polkit = computer.runtime.block_on(Polkit::start(&computer.bus, &[PACKAGED], ""));
    let by_phrase = |arguments: [&str; 6]| computer.fwpctl_as(NOBODY, &[PASSPHRASE], arguments).ended(0);
    by_phrase(["keys", "add", "passphrase", "--yes", "--passphrase-fd", "0"]);
    by_phrase(["keys", "remove", "1", "--yes", "--passphrase-fd", "0"]);
    computer.fwpctl_as(NOBODY, &[], ["lock"]).ended(0);
    computer.fwpctl_as(NOBODY, &[], ["list"]).ended(14);

    let unlock = ["unlock", "--user", "nobody", "--passphrase-fd", "0"];
    let refused = computer.fwpctl_as(SOMEBODY, &[PASSPHRASE], unlock).ended(7);
    assert!(refused.err.contains("io.github.fwpd.unlock-other"), "{}", refused.err);
    let wrong = computer.fwpctl_as(0, &["one one one", "two two two", "three three"], unlock).ended(14);
    assert!(wrong.err.contains("three times"), "{}", wrong.err);
    computer.fwpctl_as(NOBODY, &[], ["list"]).ended(14);
    computer.fwpctl_as(0, &[], ["unlock", "--user", "no-such-user"]).ended(2);
    let none =
        computer.fwpctl_as(0, &[PASSPHRASE], ["unlock", "--user", "4711", "--passphrase-fd", "0"]).ended(1);
    assert!(none.err.contains("has no wallet here"), "{}", none.err);

    let mut person = computer.shell_at_terminal("exec $FWPCTL unlock --user nobody");
    person.sees(&format!("Recovery passphrase of nobody's wallet (user {NOBODY}):"));
    person.types(PASSPHRASE);
    let (shown, status) = person.sees_the_end();
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains(PASSPHRASE), "{shown}");
    computer.fwpctl_as(NOBODY, &[], ["list"]).ended(0);
}
