//! `fwpctl doctor`: is everything in order, and what to do where it's not.
//!
//! Each file looks at one part of the machine and says what it found, with a remedy for what isn't in order. What is judged is
//! looked at first, so that each judgement is a function that tests can ask about any machine.

mod browsers;
mod clock;
mod keys;
mod policy;
mod report;
mod service;
mod wallet;

use super::Context;
use crate::bus;
use crate::buses::{self, Bus, Presence};
use crate::error::Error;
use crate::exit::Exit;
use crate::terminal::Terminal;
use crate::text::fold;
use fwp_dbus::find::BusChoice;
use fwp_dbus::types::WalletStatus;
use report::{Health, Report};

pub(super) async fn run(context: &Context) -> Result<(), Error> {
    let mut report = Report::default();
    let mut exit = Exit::Failed;
    // This starts the wallet, where it is to be started; a bus that doesn't answer is waited for once.
    let (found, session, system, meant) = tokio::join!(
        bus::find(&context.bus),
        buses::look(&BusChoice::Session),
        buses::look(&BusChoice::System),
        buses::look(&context.bus),
    );
    let choice = found.as_ref().ok().map(|found| found.choice.clone());
    let looked = match context.bus {
        BusChoice::Any => vec![(BusChoice::Session, &session), (BusChoice::System, &system)],
        ref one => vec![(one.clone(), &meant)],
    };
    buses(&mut report, &looked, &context.bus, choice.is_none());
    let system = system.ok();
    if let Some(system) = &system {
        service(&mut report, system, &context.bus, choice.as_ref()).await;
    }

    let status = match &found {
        Ok(found) => match bus::answered(context.out, wallet::wallet(&mut report, found)).await {
            Ok(status) => Some(status),
            Err(error) => {
                exit = error.exit();
                wallet::refused(&mut report, &error);
                None
            }
        },
        Err(error) => {
            match error {
                Error::NoDaemon { tried } => report.add(
                    "daemon",
                    Health::Bad,
                    format!("no wallet was found: {tried}"),
                    "do what the lines about bus and service say; or start one for yourself alone, \"fwpd --session\" (without a \
                     session bus: \"dbus-run-session bash\" first)",
                ),
                error => report.told("daemon", Health::Bad, error.to_string()),
            }
            exit = error.exit();
            None
        }
    };
    if let Some(system) = &system {
        on_systems_bus(&mut report, system, status.as_ref()).await;
    }
    browsers::browsers(&mut report);
    clock::clock(&mut report, status.as_ref().map(|status| status.time.as_str()));
    clock::synchronised(&mut report).await;
    terminal(&mut report);

    context.out.result(&report.json(), || match context.out.columns() {
        Some(columns) => fold(&report.text(), columns),
        None => report.text(),
    })?;
    match report.problems() {
        0 => Ok(()),
        1 => Err(Error::Unhealthy("1 problem".to_owned(), exit)),
        more => Err(Error::Unhealthy(format!("{more} problems"), exit)),
    }
}

/// The buses that the wallet was looked for on.
fn buses(
    report: &mut Report,
    looked: &[(BusChoice, &Result<Bus, String>)],
    meant: &BusChoice,
    is_missing: bool,
) {
    for (choice, bus) in looked {
        // One bus is enough for a wallet, and the system's is the one that every machine should have.
        let is_needed = is_missing && (*meant != BusChoice::Any || *choice == BusChoice::System);
        service::bus(report, choice, bus, is_needed);
    }
}

/// The service on the system's bus, if it is the one that matters.
async fn service(report: &mut Report, system: &Bus, meant: &BusChoice, found: Option<&BusChoice>) {
    match (found, meant) {
        (Some(BusChoice::Session), BusChoice::Any) if system.presence != Presence::Absent => report.add(
            "service",
            Health::Unknown,
            "the system's service is here besides, with a wallet of its own for you",
            "\"--bus system\" asks that one; end \"fwpd --session\" if you want no second wallet",
        ),
        (Some(BusChoice::Any | BusChoice::System), _) | (None, BusChoice::Any | BusChoice::System) => {
            service::service(report, system).await;
        }
        _ => {}
    }
}

/// What other services on the system's bus have to do with the wallet.
async fn on_systems_bus(report: &mut Report, system: &Bus, status: Option<&WalletStatus>) {
    let is_systems = match status {
        Some(status) => status.bus == "system",
        None => system.presence != Presence::Absent,
    };
    if is_systems {
        policy::polkit(report, &system.connection).await;
    }
    if status.is_none_or(|status| status.nfc != "ready") {
        service::pcscd(report, system).await;
    }
}

fn terminal(report: &mut Report) {
    match Terminal::open() {
        Some(_) => report.good("terminal", "questions can be asked here"),
        None => report.told(
            "terminal",
            Health::Unknown,
            "this is none: questions need a dialog, or --yes and --pin-fd",
        ),
    }
}
