//! What the wallet says of itself: its version, its dialog, its store and what opens that.

use super::super::authenticators;
use super::keys;
use super::report::{Health, Report};
use crate::bus::Found;
use crate::cards;
use crate::error::Error;
use crate::text::safe;
use fwp_dbus::ClientError;
use fwp_dbus::types::{SlotInfo, WalletStatus};

/// Asks the wallet for everything.
pub(super) async fn wallet(report: &mut Report, found: &Found) -> Result<WalletStatus, Error> {
    let wallet = found.client.wallet().await?;
    let version = wallet.version().await.map_err(Error::Wallet)?;
    daemon(report, &version, &found.bus);
    let status = wallet.status().await?;
    agent(report, &status);
    store(report, &status);
    keys::transports(report, &status);
    keys::tpm(report, &status);
    // The rest stands in the store.
    if !matches!(status.store.as_str(), "open" | "new") {
        return Ok(status);
    }
    slots(report, &status, &found.client.store().await?.slots().await?);
    match cards::list(&found.client).await?.len() {
        0 => report.add("cards", Health::Warning, "none yet", "\"fwpctl enroll\" with your bank's offer"),
        1 => report.good("cards", "1 card"),
        count => report.good("cards", format!("{count} cards")),
    }
    keys::authenticators(report, &authenticators::list(&found.client).await?);
    Ok(status)
}

/// The wallet is there and does not answer as it should.
pub(super) fn refused(report: &mut Report, error: &Error) {
    let denied = match error {
        Error::Wallet(ClientError::Bus(zbus::Error::MethodError(name, ..))) => {
            name.as_str() == "org.freedesktop.DBus.Error.AccessDenied"
        }
        Error::Wallet(ClientError::Bus(zbus::Error::FDO(error))) => {
            matches!(**error, zbus::fdo::Error::AccessDenied(_))
        }
        _ => false,
    };
    if denied {
        report.add(
            "wallet",
            Health::Bad,
            "the bus lets you not call it",
            "io.github.fwpd.conf belongs into /usr/share/dbus-1/system.d (\"sudo apt install --reinstall fwpd\", then \"sudo \
             systemctl reload dbus\"); see whether a file in /etc/dbus-1/system.d forbids it",
        );
    } else {
        report.told("wallet", Health::Bad, error.to_string());
    }
}

fn daemon(report: &mut Report, version: &str, bus: &str) {
    let ours = env!("CARGO_PKG_VERSION");
    if version == ours {
        report.good("daemon", format!("fwpd {ours} on the {bus}"));
    } else {
        report.add(
            "daemon",
            Health::Warning,
            format!("fwpd {} on the {bus}, fwpctl {ours}", safe(version)),
            "restart it after an update (\"sudo systemctl restart fwpd\"), so that both are of one version",
        );
    }
}

fn agent(report: &mut Report, status: &WalletStatus) {
    let (name, kind) = (status.agent_name.as_deref(), status.agent_kind.as_deref());
    if status.agent {
        let (name, kind) =
            (safe(name.unwrap_or("without a name")).to_string(), safe(kind.unwrap_or("desktop")).to_string());
        report.good("dialog", format!("{name} ({kind})"));
    } else {
        report.add(
            "dialog",
            Health::Warning,
            "none is running, so browsers can't pay",
            "start the desktop's dialog, or \"fwpctl agent\" on a terminal",
        );
    }
}

fn store(report: &mut Report, status: &WalletStatus) {
    let reason = safe(status.store_reason.as_deref().unwrap_or("no reason was said")).to_string();
    match status.store.as_str() {
        "open" => report.good("store", "open"),
        "new" => report.good("store", "nothing is stored yet"),
        "locked" => report.add(
            "store",
            Health::Bad,
            format!("locked ({reason})"),
            "unlock your keyring, or \"fwpctl unlock\"",
        ),
        "rolled-back" => report.told("store", Health::Bad, reason),
        _ => report.add(
            "store",
            Health::Bad,
            format!("can't be used ({reason})"),
            "it is left as it is: restore a backup (docs/keys.md)",
        ),
    }
    match status.rollback_detection.as_deref() {
        None => {}
        Some("not-detected-here") => {
            let problem = status.rollback_problem.as_deref();
            let why = problem.map_or(String::new(), |problem| format!(" ({})", safe(problem)));
            report.add(
                "roll-back",
                if problem.is_some() { Health::Warning } else { Health::Unknown },
                format!("not detected here{why}: an old copy of the whole store would not be noticed"),
                "a TPM, or a keyring that guards the store, counts for it (docs/keys.md)",
            );
        }
        Some(how) => report.good("roll-back", format!("detected by {}", safe(how))),
    }
}

/// What opens the store, and whether it does.
fn slots(report: &mut Report, status: &WalletStatus, slots: &[SlotInfo]) {
    for slot in slots {
        let name = format!("{} ({})", safe(&slot.kind), slot.id);
        match (slot.state.as_str(), slot.kind.as_str()) {
            ("usable", "key-file") if status.bus == "system" => report.add(
                "key slot",
                Health::Warning,
                format!("{name}: who can read the service's files, on its disk say, can open the store"),
                "a TPM guards it better: \"fwpctl keys add tpm\", or the administrator's systemd credential (docs/keys.md)",
            ),
            ("usable", "key-file") => report.add(
                "key slot",
                Health::Warning,
                format!("{name}: who can read your files can open the store"),
                "a keyring or TPM guards it better (\"fwpctl keys add secret-service\" or \"tpm\")",
            ),
            ("usable", _) => report.good("key slot", format!("{name}: opens the store")),
            ("ask", _) => {
                report.good("key slot", format!("{name}: opens the store when it is typed (\"fwpctl unlock\")"));
            }
            _ => {
                let problem = safe(slot.problem.as_deref().unwrap_or("no reason was said")).to_string();
                let another = slots.iter().any(|other| other.state == "usable");
                report.add(
                    "key slot",
                    if another { Health::Warning } else { Health::Bad },
                    format!("{name}: does not open the store now: {problem}"),
                    format!("mend that, or make it anew: \"fwpctl keys remove {}\", \"fwpctl keys add\"", slot.id),
                );
            }
        }
    }
    if !slots.is_empty() && slots.iter().all(|slot| slot.kind != "passphrase") {
        report.add(
            "recovery",
            Health::Unknown,
            "no recovery passphrase, in case the other slots are lost",
            "\"fwpctl keys add passphrase\"",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings, each that is not in order with a remedy or the wallet's own words.
    #[track_caller]
    fn found(judge: impl FnOnce(&mut Report)) -> String {
        let mut report = Report::default();
        judge(&mut report);
        report.text()
    }

    #[test]
    fn a_daemon_of_another_version_is_to_be_restarted() {
        let text = found(|report| daemon(report, "9.9.9", "system bus"));
        assert!(text.starts_with("warning  daemon") && text.contains("systemctl restart fwpd"), "{text}");
        assert!(found(|report| daemon(report, env!("CARGO_PKG_VERSION"), "session bus")).starts_with("ok"));
    }

    #[test]
    fn without_a_dialog_it_is_said_how_to_have_one() {
        let text = found(|report| agent(report, &WalletStatus::default()));
        assert!(text.starts_with("warning  dialog") && text.contains("fwpctl agent"), "{text}");
    }

    #[test]
    fn each_state_of_the_store_has_its_finding_and_its_remedy() {
        let status = |state: &str, reason: &str| WalletStatus {
            store: state.to_owned(),
            store_reason: Some(reason.to_owned()),
            ..WalletStatus::default()
        };
        let of = |state: &str, reason: &str| found(|report| store(report, &status(state, reason)));
        assert!(of("new", "").starts_with("ok"));
        assert!(of("open", "").starts_with("ok"));
        let locked = of("locked", "the keyring is locked");
        assert!(locked.starts_with("problem  store") && locked.contains("fwpctl unlock"), "{locked}");
        let back = of("rolled-back", "an old copy: \"fwpctl keys accept-copy\"");
        assert!(back.starts_with("problem  store") && back.contains("accept-copy"), "{back}");
        let damaged = of("unusable", "a record was changed");
        assert!(
            damaged.contains("a record was changed") && damaged.contains("restore a backup"),
            "{damaged}"
        );
        let counter = WalletStatus {
            rollback_detection: Some("not-detected-here".to_owned()),
            rollback_problem: Some("the TPM is off".to_owned()),
            ..status("open", "")
        };
        let counter = found(|report| store(report, &counter));
        assert!(counter.contains("warning  roll-back") && counter.contains("the TPM is off"), "{counter}");
    }

    #[test]
    fn each_state_of_a_key_slot_has_its_finding_and_its_remedy() {
        let slot = |kind: &str, state: &str, problem: Option<&str>| SlotInfo {
            id: 3,
            kind: kind.to_owned(),
            state: state.to_owned(),
            problem: problem.map(str::to_owned),
            ..SlotInfo::default()
        };
        let of = |bus: &str, all: &[SlotInfo]| {
            let status = WalletStatus { bus: bus.to_owned(), ..WalletStatus::default() };
            found(|report| slots(report, &status, all))
        };
        let file = [slot("key-file", "usable", None)];
        assert!(of("session", &file).contains("who can read your files"));
        assert!(of("system", &file).contains("the administrator's systemd credential"));
        assert!(of("session", &file).contains("unknown  recovery"));
        let broken = slot("tpm", "unusable", Some("the TPM was cleared"));
        let alone = of("session", std::slice::from_ref(&broken));
        assert!(alone.contains("problem  key slot") && alone.contains("fwpctl keys remove 3"), "{alone}");
        let with_another = of("session", &[broken, slot("secret-service", "usable", None)]);
        assert!(with_another.contains("warning  key slot") && with_another.contains("ok       key slot"));
        let phrase = of("session", &[slot("passphrase", "ask", None)]);
        assert!(!phrase.contains("recovery") && phrase.contains("when it is typed"), "{phrase}");
    }
}
