//! The buses, and the service on the system's.

use super::report::{Health, Report};
use crate::buses::{Bus, Presence};
use crate::systemd::{self, Unit};
use crate::text::safe;
use fwp_dbus::find::BusChoice;

/// The exit status of fwpd for settings that it can't read (sysexits.h, EX_CONFIG).
const WRONG_SETTINGS: i32 = 78;
/// systemd's, where a credential can't be loaded (systemd.exec, EXIT_CREDENTIALS).
const NO_CREDENTIAL: i32 = 243;

const LOG: &str = "\"journalctl -u fwpd -e\" says why";
const INSTALL: &str = "\"sudo apt install ./fwpd_*.deb\" (docs/install.md), or start one for yourself alone: \"fwpd --session\"";

/// A bus that was looked for. What of it matters, the wallet decides: it needs one only.
pub(super) fn bus(report: &mut Report, choice: &BusChoice, looked: &Result<Bus, String>, is_needed: bool) {
    let name = safe(&choice.to_string()).to_string();
    match looked {
        Ok(_) => report.good("bus", format!("the {name} answers")),
        Err(why) => {
            let health = if is_needed { Health::Bad } else { Health::Unknown };
            report.add("bus", health, format!("the {name} {why}"), bus_remedy(choice));
        }
    }
}

fn bus_remedy(choice: &BusChoice) -> &'static str {
    match choice {
        BusChoice::Any | BusChoice::Session => {
            "log in at the machine, or by ssh with libpam-systemd and dbus-user-session installed; without either, \
             \"dbus-run-session bash\" gives a shell with a bus"
        }
        BusChoice::System => {
            "\"sudo systemctl start dbus.socket\"; in a container, give it the host's /run/dbus/system_bus_socket or a bus of its own"
        }
        BusChoice::Address(_) => "see whether the address (--bus) is right, and its bus runs",
    }
}

/// The system's service: whether it is there, and runs or would.
pub(super) async fn service(report: &mut Report, system: &Bus) {
    let unit = systemd::unit(&system.connection, systemd::FWPD).await;
    judge(report, system.presence, &unit);
}

fn judge(report: &mut Report, presence: Presence, unit: &Result<Unit, String>) {
    let mut bad = |found: String, remedy: &str| report.add("service", Health::Bad, found, remedy);
    let unit = match unit {
        Ok(unit) => unit,
        Err(_) if presence == Presence::Absent => {
            return bad("not installed, and systemd does not answer".to_owned(), INSTALL);
        }
        Err(why) => {
            return report.add(
                "service",
                Health::Unknown,
                format!("systemd does not answer ({why})"),
                "on a machine without systemd, see that what starts services there starts \"fwpd --system\"",
            );
        }
    };
    match (unit.load.as_str(), unit.active.as_str(), presence) {
        ("masked", ..) => bad("masked: nothing can start it".to_owned(), "\"sudo systemctl unmask fwpd\""),
        ("not-found", _, Presence::Absent) => bad("not installed".to_owned(), INSTALL),
        ("not-found", _, Presence::Startable) => bad(
            "the bus would start fwpd.service, which is not there".to_owned(),
            "\"sudo apt install --reinstall fwpd\", then \"sudo systemctl daemon-reload\"",
        ),
        ("not-found", _, Presence::Running) => report.add(
            "service",
            Health::Warning,
            "runs, but not as fwpd.service: it is not confined and not started again",
            "end it, and install the package (docs/install.md)",
        ),
        ("loaded", "failed", _) => {
            let (found, remedy) = failure(unit);
            bad(found, &format!("{remedy}; then \"sudo systemctl reset-failed fwpd\""));
        }
        ("loaded", "activating", _) if unit.restarts > 0 => {
            bad(format!("ends again and again: started {} times by itself", unit.restarts), LOG);
        }
        ("loaded", "activating" | "deactivating" | "reloading", _) => report.add(
            "service",
            Health::Unknown,
            format!("is {} just now", safe(&unit.active)),
            "try again in a moment",
        ),
        ("loaded", _, Presence::Absent) => bad(
            "installed, but the bus does not know how to start it".to_owned(),
            "\"sudo systemctl reload dbus\"; if that does not help, \"sudo apt install --reinstall fwpd\"",
        ),
        ("loaded", ..) if unit.needs_reload => report.add(
            "service",
            Health::Warning,
            "its unit was changed, and systemd has not read it again",
            "\"sudo systemctl daemon-reload\", then \"sudo systemctl restart fwpd\"",
        ),
        ("loaded", "active", _) => {
            report.good("service", format!("fwpd.service runs (process {})", unit.process));
        }
        ("loaded", "inactive", Presence::Startable) => {
            report.good("service", "fwpd.service is installed; the first call starts it");
        }
        ("loaded", active, _) => report.add(
            "service",
            Health::Unknown,
            format!("runs on the bus, while fwpd.service is \"{}\"", safe(active)),
            "see who started it: \"busctl status io.github.fwpd\"",
        ),
        (load, ..) => bad(
            format!("systemd can't read its unit ({})", safe(load)),
            "\"systemd-analyze verify fwpd.service\" says why",
        ),
    }
}

/// Why it failed, and what to do.
fn failure(unit: &Unit) -> (String, String) {
    match (unit.result.as_str(), unit.exit_status) {
        ("exit-code", WRONG_SETTINGS) => (
            "failed: its settings are wrong".to_owned(),
            format!("mend /etc/fwpd/fwpd.toml, {LOG}"),
        ),
        ("exit-code", NO_CREDENTIAL) => (
            "failed: the wallets' key can't be decrypted here (/etc/credstore.encrypted/fwpd.wallet-key)".to_owned(),
            "switch the TPM on, or put that file and the host's secret (/var/lib/systemd/credential.secret) back; where they are \
             lost, move the file away, and each user opens the wallet by the recovery passphrase (docs/keys.md)"
                .to_owned(),
        ),
        ("exit-code", status) => (format!("failed (exit-code {status})"), LOG.to_owned()),
        ("", _) => ("failed".to_owned(), LOG.to_owned()),
        (result, _) => (format!("failed ({})", safe(result)), LOG.to_owned()),
    }
}

/// PC/SC's daemon, where the wallet sees no readers.
pub(super) async fn pcscd(report: &mut Report, system: &Bus) {
    if let Ok(unit) = systemd::unit(&system.connection, systemd::PCSCD).await {
        judge_pcscd(report, &unit);
    }
}

fn judge_pcscd(report: &mut Report, unit: &Unit) {
    match (unit.load.as_str(), unit.active.as_str()) {
        ("not-found", _) => report.add(
            "pcscd",
            Health::Unknown,
            "not installed",
            "if you have a reader for NFC keys, \"sudo apt install pcscd\"",
        ),
        ("masked", _) => report.add(
            "pcscd",
            Health::Warning,
            "masked: nothing can start it",
            "\"sudo systemctl unmask pcscd.socket pcscd.service\"",
        ),
        ("loaded", "active") => report.good("pcscd", "pcscd.socket listens"),
        ("loaded", "failed") => report.add(
            "pcscd",
            Health::Warning,
            "pcscd.socket failed",
            "\"journalctl -u pcscd.socket -u pcscd -e\" says why",
        ),
        _ => report.add(
            "pcscd",
            Health::Warning,
            "installed, but nobody listens",
            "\"sudo systemctl enable --now pcscd.socket\"",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(load: &str, active: &str) -> Unit {
        Unit { load: load.to_owned(), active: active.to_owned(), ..Unit::default() }
    }

    #[track_caller]
    fn says(presence: Presence, unit: Result<Unit, String>, health: Health, found: &str, remedy: &str) {
        let mut report = Report::default();
        judge(&mut report, presence, &unit);
        let [check] = report.0.as_slice() else { panic!("{report:?}") };
        assert_eq!(check.health, health, "{check:?}");
        assert!(check.found.contains(found), "{check:?}");
        assert!(check.remedy.as_deref().unwrap_or_default().contains(remedy), "{check:?}");
    }

    #[test]
    fn each_state_of_the_service_has_its_finding_and_its_remedy() {
        use Health::{Bad, Good, Unknown, Warning};
        use Presence::{Absent, Running, Startable};
        let nobody = || Err("org.freedesktop.DBus.Error.ServiceUnknown".to_owned());
        says(Absent, nobody(), Bad, "not installed", "apt install ./fwpd_");
        says(Startable, nobody(), Unknown, "systemd does not answer", "without systemd");
        says(Running, nobody(), Unknown, "systemd does not answer", "fwpd --system");
        says(Absent, Ok(unit("not-found", "inactive")), Bad, "not installed", "apt install ./fwpd_");
        says(Startable, Ok(unit("not-found", "inactive")), Bad, "which is not there", "--reinstall fwpd");
        says(Running, Ok(unit("not-found", "inactive")), Warning, "not as fwpd.service", "end it");
        says(Startable, Ok(unit("masked", "inactive")), Bad, "masked", "unmask fwpd");
        says(Running, Ok(unit("masked", "active")), Bad, "masked", "unmask fwpd");
        says(Startable, Ok(unit("bad-setting", "inactive")), Bad, "bad-setting", "systemd-analyze verify");
        let failed = Unit { result: "exit-code".to_owned(), ..unit("loaded", "failed") };
        says(Startable, Ok(failed.clone()), Bad, "failed (exit-code 0)", "journalctl -u fwpd");
        let of = |exit_status| Unit { exit_status, ..failed.clone() };
        says(Startable, Ok(of(78)), Bad, "its settings are wrong", "/etc/fwpd/fwpd.toml");
        says(Startable, Ok(of(243)), Bad, "can't be decrypted", "recovery passphrase");
        let killed = Unit { result: "oom-kill".to_owned(), ..failed.clone() };
        says(Startable, Ok(killed), Bad, "failed (oom-kill)", "reset-failed fwpd");
        let again = Unit { restarts: 4, ..unit("loaded", "activating") };
        says(Startable, Ok(again), Bad, "started 4 times", "journalctl -u fwpd");
        says(Startable, Ok(unit("loaded", "activating")), Unknown, "activating", "try again");
        says(Startable, Ok(unit("loaded", "deactivating")), Unknown, "deactivating", "try again");
        says(Absent, Ok(unit("loaded", "inactive")), Bad, "does not know how", "systemctl reload dbus");
        says(Startable, Ok(unit("loaded", "inactive")), Good, "first call starts it", "");
        let runs = Unit { process: 77, ..unit("loaded", "active") };
        says(Running, Ok(runs.clone()), Good, "process 77", "");
        says(Running, Ok(Unit { needs_reload: true, ..runs }), Warning, "was changed", "daemon-reload");
        says(Running, Ok(unit("loaded", "inactive")), Unknown, "inactive", "busctl status");
    }

    #[test]
    fn each_state_of_pcscd_has_its_finding_and_its_remedy() {
        for (load, active, health, remedy) in [
            ("not-found", "inactive", Health::Unknown, "apt install pcscd"),
            ("masked", "inactive", Health::Warning, "unmask pcscd.socket"),
            ("loaded", "active", Health::Good, ""),
            ("loaded", "failed", Health::Warning, "journalctl -u pcscd.socket"),
            ("loaded", "inactive", Health::Warning, "enable --now pcscd.socket"),
        ] {
            let mut report = Report::default();
            judge_pcscd(&mut report, &unit(load, active));
            assert_eq!(report.0[0].health, health, "{load} {active}");
            assert!(report.0[0].remedy.as_deref().unwrap_or_default().contains(remedy), "{load} {active}");
        }
    }

    #[test]
    fn a_bus_that_is_missing_is_a_problem_where_the_wallet_needs_it() {
        let missing = Err("can't be reached (no such file)".to_owned());
        for (choice, is_needed, health, remedy) in [
            (BusChoice::System, true, Health::Bad, "dbus.socket"),
            (BusChoice::System, false, Health::Unknown, "container"),
            (BusChoice::Session, true, Health::Bad, "dbus-run-session"),
            (BusChoice::Address("unix:path=/x".to_owned()), true, Health::Bad, "--bus"),
        ] {
            let mut report = Report::default();
            bus(&mut report, &choice, &missing, is_needed);
            assert_eq!(report.0[0].health, health, "{choice}");
            assert!(report.0[0].remedy.as_deref().unwrap_or_default().contains(remedy), "{choice}");
        }
    }
}
