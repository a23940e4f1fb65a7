//! `fwpctl status`: how the wallet is, without starting it.

use super::Context;
use crate::bus;
use crate::buses::{self, Bus, Presence};
use crate::error::Error;
use crate::exit::Exit;
use crate::systemd::{self, Unit};
use crate::text::safe;
use fwp_dbus::find::BusChoice;
use fwp_dbus::types::WalletStatus;
use serde_json::{Value, json};

/// All that is told.
struct Facts {
    /// The bus on which the wallet runs or would be started.
    bus: BusChoice,
    /// Of the system's wallet, where systemd answers.
    service: Option<Unit>,
    /// What the wallet says, with its version; nothing of one that doesn't run.
    wallet: Option<(String, WalletStatus)>,
}

pub(super) async fn run(context: &Context) -> Result<(), Error> {
    let bus = find(&context.bus).await?;
    let service = match &bus.choice {
        BusChoice::System => systemd::unit(&bus.connection, systemd::FWPD).await.ok(),
        _ => None,
    };
    let wallet = match bus.presence {
        Presence::Running => {
            let asked = async {
                let client = fwp_dbus::Client::connect(&bus.connection).await?;
                let wallet = client.wallet().await?;
                Ok((wallet.version().await?, wallet.status().await?))
            };
            Some(bus::answered(context.out, asked).await?)
        }
        Presence::Startable | Presence::Absent => None,
    };
    let facts = Facts { bus: bus.choice, service, wallet };
    context.out.result(&facts.json(), || facts.text())?;
    if facts.is_broken() { Err(Error::Unhealthy("1 problem".to_owned(), Exit::NoDaemon)) } else { Ok(()) }
}

/// The bus where the wallet runs, else one where it would be started.
async fn find(choice: &BusChoice) -> Result<Bus, Error> {
    let meant = match choice {
        BusChoice::Any => vec![BusChoice::Session, BusChoice::System],
        one => vec![one.clone()],
    };
    let (mut startable, mut tried) = (None, Vec::new());
    for choice in meant {
        match buses::look(&choice).await {
            Ok(bus) if bus.presence == Presence::Running => return Ok(bus),
            Ok(bus) if bus.presence == Presence::Startable => startable = startable.or(Some(bus)),
            Ok(_) => tried.push(format!("{choice}: no fwpd on it")),
            Err(why) => tried.push(format!("{choice}: {why}")),
        }
    }
    startable.ok_or_else(|| Error::NoDaemon { tried: safe(&tried.join("; ")).to_string() })
}

impl Facts {
    fn json(&self) -> Value {
        let wallet = self.wallet.as_ref().map(|(_, status)| status);
        let service = self.service.as_ref().map(|unit| {
            json!({
                "load": unit.load, "active": unit.active, "sub": unit.sub, "result": unit.result,
                "process": unit.process, "restarts": unit.restarts, "says": unit.says,
            })
        });
        json!({
            "running": self.wallet.is_some(),
            "bus": wallet.map_or_else(|| self.bus.to_string(), |status| status.bus.clone()),
            "version": self.wallet.as_ref().map(|(version, _)| version),
            "fwpctl": env!("CARGO_PKG_VERSION"),
            "user": rustix::process::getuid().as_raw(),
            "service": service,
            "agent": wallet.filter(|status| status.agent).map(|status| {
                json!({"name": status.agent_name, "kind": status.agent_kind})
            }),
            "store": wallet.map(|status| {
                json!({"state": status.store, "reason": status.store_reason, "keySlot": status.key_slot})
            }),
            "busy": wallet.map(|status| status.busy),
            "openPayments": wallet.and_then(|status| status.open_payments),
        })
    }

    fn text(&self) -> String {
        let mut lines =
            vec![("wallet", self.wallet_line()), ("bus", safe(&self.bus.to_string()).to_string())];
        if let Some(unit) = &self.service {
            lines.push(("service", service_line(unit)));
        }
        if let Some((version, status)) = &self.wallet {
            lines.push(("version", version_line(version)));
            lines.push(("dialog", dialog_line(status)));
            lines.push(("store", store_line(status)));
            lines.push(("payments", payments_line(status)));
        }
        lines.into_iter().map(|(what, line)| format!("{what:<9} {line}\n")).collect()
    }

    /// Whether nobody can start the wallet as things are.
    fn is_broken(&self) -> bool {
        let stuck = |unit: &Unit| unit.load != "loaded" || unit.active == "failed";
        self.wallet.is_none() && self.service.as_ref().is_some_and(stuck)
    }

    fn wallet_line(&self) -> String {
        let user = rustix::process::getuid().as_raw();
        match &self.wallet {
            Some(_) => format!("of user {user}, running"),
            None if self.is_broken() => {
                format!(
                    "of user {user}, not running, and can't be started: \"fwpctl doctor\" says what to do"
                )
            }
            None => format!("of user {user}, not running; the first call starts it"),
        }
    }
}

fn service_line(unit: &Unit) -> String {
    let state = match unit.load.as_str() {
        "loaded" => format!("{} ({})", safe(&unit.active), safe(&unit.sub)),
        load => safe(load).to_string(),
    };
    let mut line = format!("{}: {state}", systemd::FWPD);
    if unit.process != 0 {
        line.push_str(&format!(", process {}", unit.process));
    }
    if unit.active == "failed" && !unit.result.is_empty() {
        line.push_str(&format!(", {}", safe(&unit.result)));
    }
    if unit.restarts > 0 {
        line.push_str(&format!(", started again {} times", unit.restarts));
    }
    if !unit.says.is_empty() {
        line.push_str(&format!(", \"{}\"", safe(&unit.says)));
    }
    line
}

fn version_line(version: &str) -> String {
    match env!("CARGO_PKG_VERSION") {
        ours if ours == version => format!("fwpd {ours}"),
        ours => format!("fwpd {}, fwpctl {ours}: restart fwpd", safe(version)),
    }
}

fn dialog_line(status: &WalletStatus) -> String {
    if !status.agent {
        return "none is running".to_owned();
    }
    let name = safe(status.agent_name.as_deref().unwrap_or("without a name"));
    format!("{name} ({})", safe(status.agent_kind.as_deref().unwrap_or("desktop")))
}

fn store_line(status: &WalletStatus) -> String {
    let state = safe(&status.store);
    match (&status.key_slot, &status.store_reason) {
        (_, Some(reason)) => format!("{state}: {}", safe(reason)),
        (Some(slot), None) => format!("{state}, by {}", safe(slot)),
        (None, None) if status.store == "new" => "new: nothing is stored yet".to_owned(),
        (None, None) => state.to_string(),
    }
}

fn payments_line(status: &WalletStatus) -> String {
    let open = match status.open_payments {
        Some(0) => "none open".to_owned(),
        Some(count) => format!("{count} open"),
        None => "open ones are not told by this fwpd".to_owned(),
    };
    if status.busy { format!("{open}; you are being asked something") } else { open }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_told_in_one_line() {
        let unit = Unit {
            load: "loaded".to_owned(),
            active: "failed".to_owned(),
            sub: "failed".to_owned(),
            result: "exit-code".to_owned(),
            restarts: 3,
            ..Unit::default()
        };
        assert_eq!(service_line(&unit), "fwpd.service: failed (failed), exit-code, started again 3 times");
        let unit = Unit { load: "masked".to_owned(), active: "inactive".to_owned(), ..Unit::default() };
        assert_eq!(service_line(&unit), "fwpd.service: masked");
    }

    #[test]
    fn text_of_the_daemon_acts_on_no_terminal() {
        let status = WalletStatus {
            agent: true,
            agent_name: Some("\u{1b}[2J".to_owned()),
            store: "locked".to_owned(),
            store_reason: Some("\u{202e}".to_owned()),
            ..WalletStatus::default()
        };
        let facts =
            Facts { bus: BusChoice::Session, service: None, wallet: Some(("\u{7}".to_owned(), status)) };
        let harmless = |c: char| c == '\n' || crate::text::is_harmless(c);
        assert!(facts.text().chars().all(harmless), "{}", facts.text());
    }
}
