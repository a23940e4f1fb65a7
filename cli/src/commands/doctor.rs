//! `fwpctl doctor`: is everything in order, and what to do where it's not.

use super::{Context, authenticators, browser};
use crate::browsers::Places;
use crate::browsers::registration::State;
use crate::bus::{self, Found};
use crate::cards::{self, id_of};
use crate::error::Error;
use crate::exit::Exit;
use crate::terminal::Terminal;
use crate::text::safe;
use fwp_dbus::types::{SlotInfo, WalletStatus};
use fwp_dbus::{ClientError, ErrorName};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zbus::Connection;

/// 2026-01-01, in seconds since 1970: no clock of a machine that runs this program is before it.
const FIRST_RELEASE: u64 = 1_767_225_600;
/// How far this program's clock and the daemon's, which is the same, may be apart by the time it takes to ask.
const SAME_CLOCK: Duration = Duration::from_secs(5);

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Good,
    Unknown,
    Warning,
    Bad,
}

impl Health {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Bad => "problem",
        }
    }
}

/// One line of the report.
struct Check {
    what: &'static str,
    health: Health,
    /// What was found, and what to do; safe to print.
    found: String,
}

#[derive(Default)]
struct Report(Vec<Check>);

impl Report {
    fn add(&mut self, what: &'static str, health: Health, found: impl Into<String>) {
        self.0.push(Check { what, health, found: found.into() });
    }
}

pub(super) async fn run(context: &Context) -> Result<(), Error> {
    let mut report = Report::default();
    let mut exit = Exit::Failed;
    let daemon_time = match bus::find(&context.bus).await {
        Ok(found) => match bus::answered(context.out, wallet(&mut report, &found)).await {
            Ok(status) => Some(status.time),
            Err(error) => {
                report.add("wallet", Health::Bad, error.to_string());
                exit = error.exit();
                None
            }
        },
        Err(error) => {
            report.add("daemon", Health::Bad, error.to_string());
            exit = error.exit();
            None
        }
    };
    browsers(&mut report);
    clock(&mut report, daemon_time.as_deref());
    synchronised(&mut report).await;
    match Terminal::open() {
        Some(_) => report.add("terminal", Health::Good, "questions can be asked here"),
        None => report.add(
            "terminal",
            Health::Unknown,
            "this is none: questions need a dialog, or --yes and --pin-fd",
        ),
    }

    let json: Vec<_> = report
        .0
        .iter()
        .map(|check| serde_json::json!({"check": check.what, "health": check.health.word(), "found": check.found}))
        .collect();
    context.out.result(&json, || text(&report))?;
    let problems = report.0.iter().filter(|check| check.health == Health::Bad).count();
    match problems {
        0 => Ok(()),
        1 => Err(Error::Unhealthy("1 problem".to_owned(), exit)),
        more => Err(Error::Unhealthy(format!("{more} problems"), exit)),
    }
}

fn text(report: &Report) -> String {
    report
        .0
        .iter()
        .map(|check| format!("{:<8} {:<14} {}\n", check.health.word(), check.what, check.found))
        .collect()
}

/// What the wallet says of itself.
async fn wallet(report: &mut Report, found: &Found) -> Result<WalletStatus, Error> {
    let wallet = found.client.wallet().await?;
    let version = wallet.version().await.map_err(Error::Wallet)?;
    let ours = env!("CARGO_PKG_VERSION");
    if version == ours {
        report.add("daemon", Health::Good, format!("fwpd {ours} on the {}", found.bus));
    } else {
        let remedy = "restart it after an update, so that both are of one version";
        report.add(
            "daemon",
            Health::Warning,
            format!("fwpd {} on the {}, fwpctl {ours}: {remedy}", safe(&version), found.bus),
        );
    }
    let status = wallet.status().await?;
    agent(report, &status);
    store(report, &status);
    if !matches!(status.store.as_str(), "open" | "new") {
        return Ok(status);
    }
    slots(report, &found.client.store().await?.slots().await?);
    match cards::list(&found.client).await?.len() {
        0 => report.add("cards", Health::Warning, "none yet: \"fwpctl enroll\" with your bank's offer"),
        1 => report.add("cards", Health::Good, "1 card"),
        count => report.add("cards", Health::Good, format!("{count} cards")),
    }
    let all = authenticators::list(&found.client).await?;
    if all.is_empty() {
        report.add("authenticators", Health::Bad, "none: plug in a security key");
    }
    transports(report, &status);
    tpm(report, &status);
    for one in &all {
        if !one.info.usable {
            report.add(
                "authenticator",
                Health::Warning,
                format!("{} ({}): {}", safe(&one.info.name), safe(id_of(&one.path)), safe(&one.info.problem)),
            );
            continue;
        }
        // Where there is one only, it needs no name.
        let which = if all.len() > 1 { format!(" {}", safe(id_of(&one.path))) } else { String::new() };
        let (reset, set_pin);
        let (health, remedy) = match &one.pin {
            Ok(pin) if pin.blocked => {
                reset = format!(
                    "; reset it (\"fwpctl authenticators reset{which}\"), and enroll its cards again"
                );
                (Health::Bad, reset.as_str())
            }
            Ok(pin) if !pin.set => {
                set_pin = format!("; set one with \"fwpctl pin set{which}\"");
                (Health::Warning, set_pin.as_str())
            }
            Ok(pin) if pin.retries <= 3 => (Health::Warning, "; the right PIN makes it 8 again"),
            Ok(_) => (Health::Good, ""),
            Err(ClientError::Refused(error)) if error.name == ErrorName::Busy => {
                (Health::Unknown, "; something else uses it now")
            }
            Err(_) if one.info.attachment == authenticators::PLATFORM => {
                (Health::Bad, "; the wallet's log tells more")
            }
            Err(_) => (Health::Bad, "; plug it out and in again"),
        };
        let pin = authenticators::pin_text(&one.pin);
        report.add(
            "authenticator",
            health,
            format!("{} ({}), PIN: {pin}{remedy}", safe(&one.info.name), safe(id_of(&one.path))),
        );
    }
    Ok(status)
}

/// Whether keys can be in this computer's TPM.
fn tpm(report: &mut Report, status: &WalletStatus) {
    let problem = safe(status.tpm_problem.as_deref().unwrap_or("no reason was said")).to_string();
    match (status.tpm.as_str(), status.tpm_advice.as_deref()) {
        ("ready", None) => report.add("TPM", Health::Good, "can be used"),
        ("ready", Some(advice)) => report.add("TPM", Health::Warning, safe(advice).to_string()),
        // Many machines have none.
        ("off", _) => report.add("TPM", Health::Unknown, problem),
        _ if status.tpm_problem.as_deref().is_some_and(|text| text.starts_with("no TPM answers")) => {
            report.add("TPM", Health::Unknown, problem);
        }
        _ => report.add("TPM", Health::Warning, problem),
    }
}

/// Whether security keys can be seen, and used from where the user sits.
fn transports(report: &mut Report, status: &WalletStatus) {
    let problem = |text: &Option<String>| safe(text.as_deref().unwrap_or("no reason was said")).to_string();
    match status.usb.as_str() {
        "ready" => report.add("USB keys", Health::Good, "can be seen when they are plugged in"),
        _ => report.add("USB keys", Health::Warning, problem(&status.usb_problem)),
    }
    match status.nfc.as_str() {
        "ready" => report.add("NFC keys", Health::Good, "can be seen when they are laid on a reader"),
        // Most machines have no reader.
        _ => report.add("NFC keys", Health::Unknown, problem(&status.nfc_problem)),
    }
    match status.keys.as_str() {
        "allowed" => report.add("seat", Health::Good, "you may use the security keys here"),
        _ => report.add("seat", Health::Warning, problem(&status.keys_problem)),
    }
}

/// Whether each browser finds the wallet.
fn browsers(report: &mut Report) {
    let places = Places::of_this_user();
    let (found, confined) =
        places.map_or_else(Default::default, |places| (places.found(), places.confined()));
    for one in &found {
        let (file, state) = browser::effective(one);
        let health = match state {
            State::Good(_) => Health::Good,
            State::Missing => Health::Warning,
            State::Broken(_) | State::Foreign(_) => Health::Bad,
        };
        report.add("browser", health, format!("{}: {}", one.name, browser::told(&file, &state)));
    }
    for one in &confined {
        report.add("browser", Health::Unknown, format!("{} ({}): {}", one.name, one.by, one.advice()));
    }
    if found.is_empty() && confined.is_empty() {
        report.add("browser", Health::Unknown, "none was found");
    }
}

fn agent(report: &mut Report, status: &WalletStatus) {
    let (name, kind) = (status.agent_name.as_deref(), status.agent_kind.as_deref());
    if status.agent {
        let (name, kind) =
            (safe(name.unwrap_or("without a name")).to_string(), safe(kind.unwrap_or("desktop")).to_string());
        report.add("dialog", Health::Good, format!("{name} ({kind})"));
    } else {
        let remedy = "browsers can't pay; start the desktop's dialog, or \"fwpctl agent\" on a terminal";
        report.add("dialog", Health::Warning, format!("none is running: {remedy}"));
    }
}

fn store(report: &mut Report, status: &WalletStatus) {
    let reason = safe(status.store_reason.as_deref().unwrap_or("no reason was said")).to_string();
    match status.store.as_str() {
        "open" => report.add("store", Health::Good, "open"),
        "new" => report.add("store", Health::Good, "nothing is stored yet"),
        "locked" => report.add(
            "store",
            Health::Bad,
            format!("locked ({reason}): unlock your keyring, or \"fwpctl unlock\""),
        ),
        "rolled-back" => report.add("store", Health::Bad, reason),
        _ => report.add(
            "store",
            Health::Bad,
            format!("can't be used ({reason}); it is left as it is, restore a backup"),
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
            );
        }
        Some(how) => report.add("roll-back", Health::Good, format!("detected by {}", safe(how))),
    }
}

/// What opens the store, and whether it does.
fn slots(report: &mut Report, slots: &[SlotInfo]) {
    for slot in slots {
        let (kind, id) = (safe(&slot.kind).to_string(), slot.id);
        let (health, found) = match (slot.state.as_str(), slot.kind.as_str()) {
            ("usable", "key-file") => (
                Health::Warning,
                "who can read your files can open the store; a keyring or TPM guards it better (\"fwpctl keys\")"
                    .to_owned(),
            ),
            ("usable", _) => (Health::Good, "opens the store".to_owned()),
            ("ask", _) => (Health::Good, "opens the store when it is typed (\"fwpctl unlock\")".to_owned()),
            _ => {
                let problem = safe(slot.problem.as_deref().unwrap_or("no reason was said")).to_string();
                let health = if slots.iter().any(|other| other.state == "usable") {
                    Health::Warning
                } else {
                    Health::Bad
                };
                (health, format!("does not open the store now: {problem}"))
            }
        };
        report.add("key slot", health, format!("{kind} ({id}): {found}"));
    }
    if !slots.is_empty() && slots.iter().all(|slot| slot.kind != "passphrase") {
        report.add(
            "recovery",
            Health::Unknown,
            "no recovery passphrase: \"fwpctl keys add passphrase\", in case the other slots are lost",
        );
    }
}

/// Is the time possible, and does the daemon see the same? A bank takes an authorization for 10 minutes, and none that
/// is a minute ahead.
fn clock(report: &mut Report, daemon_time: Option<&str>) {
    let now = SystemTime::now();
    // A reproducible build says its date by this variable.
    let built = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok()).unwrap_or(FIRST_RELEASE);
    let whole = OffsetDateTime::from(now).replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let shown = whole.format(&Rfc3339).unwrap_or_else(|_| "a time without a name".to_owned());
    if now.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()) < built {
        report.add(
            "clock",
            Health::Bad,
            format!(
                "{shown} is before this program was made; set the clock, banks refuse such authorizations"
            ),
        );
        return;
    }
    let apart = daemon_time.and_then(|time| OffsetDateTime::parse(time, &Rfc3339).ok()).map(|time| {
        let difference = OffsetDateTime::from(now) - time;
        difference.unsigned_abs()
    });
    match apart {
        Some(apart) if apart > SAME_CLOCK => {
            let seconds = apart.as_secs();
            report.add(
                "clock",
                Health::Bad,
                format!("{shown} here, {seconds} s away from the daemon's; restart the daemon"),
            );
        }
        _ => report.add("clock", Health::Good, shown),
    }
}

/// Whether something keeps the clock right, as the kernel sees it (adjtimex, which systemd's timedated reads for us).
async fn synchronised(report: &mut Report) {
    let asked = async {
        let system = Connection::system().await?;
        let timedate = zbus::Proxy::new(
            &system,
            "org.freedesktop.timedate1",
            "/org/freedesktop/timedate1",
            "org.freedesktop.timedate1",
        );
        timedate.await?.get_property::<bool>("NTPSynchronized").await
    };
    match tokio::time::timeout(Duration::from_secs(5), asked).await {
        Ok(Ok(true)) => report.add("time service", Health::Good, "the clock is synchronised"),
        Ok(Ok(false)) => report.add(
            "time service",
            Health::Warning,
            "the clock is not synchronised: \"timedatectl set-ntp true\"; banks refuse an authorization that is minutes off",
        ),
        Ok(Err(_)) | Err(_) => {
            report.add("time service", Health::Unknown, "systemd-timedated does not answer; compare the clock above with another");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_security_keys_is_explained_in_the_documentation() {
        let mut report = Report::default();
        transports(&mut report, &WalletStatus::default());
        report.add("authenticator", Health::Warning, "");
        let page = include_str!("../../../docs/security-keys.md");
        for check in &report.0 {
            let line = format!("| `{}` {}", check.what, check.health.word());
            assert!(page.contains(&line), "{line}");
        }
    }
}
