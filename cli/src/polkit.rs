//! polkit's question. On the system's bus the daemon asks polkit before it enrolls, manages or exports, and polkit may want the
//! person's password first. A desktop has a program that asks for it; a terminal gets polkit's own (`pkttyagent`) for as long
//! as a call lasts, as systemctl does it. The password never passes through this program.

use crate::bus::{self, Found};
use crate::error::Error;
use crate::out::Out;
use crate::terminal::{Kept, Terminal};
use fwp_dbus::find::{ANSWER_LIMIT, BusChoice};
use fwp_dbus::{ClientError, ErrorName};
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use zbus::Connection;

/// polkit's program for terminals.
const AGENT: &str = "pkttyagent";
/// How long it may take to register with polkit.
const REGISTRATION: Duration = Duration::from_secs(5);
/// How long its end may take to be noticed here, once polkit noticed it.
const END: Duration = Duration::from_millis(200);
/// How long polkit may wait for a person with a password; the daemon gives up sooner.
const PASSWORD: Duration = Duration::from_secs(300);

/// Who asks for a password, where polkit wants one.
#[derive(Debug)]
pub struct Polkit(State);

#[derive(Debug)]
enum State {
    /// polkit isn't asked (a session's wallet), or lets this user do everything (root).
    NotAsked,
    /// A terminal's program, besides a desktop's, which goes first. It ends, and the terminal is as it was, with this value.
    AtTerminal(Box<Child>, #[expect(dead_code, reason = "it acts when it is dropped")] Kept),
    /// At most a desktop's program. Why there is none on this terminal.
    Elsewhere(&'static str),
}

impl Polkit {
    /// Sees to it that somebody can ask for a password, if this wallet may have polkit want one.
    pub async fn ready(found: &Found) -> Self {
        if rustix::process::geteuid().is_root() || !on_systems_bus(found).await {
            return Self(State::NotAsked);
        }
        let Some(terminal) = Terminal::open() else {
            return Self(State::Elsewhere("this is no terminal"));
        };
        Self(match register(terminal, found).await {
            Some((child, kept)) => State::AtTerminal(Box::new(child), kept),
            None => State::Elsewhere("pkttyagent is missing or fails (Debian: package polkitd)"),
        })
    }

    /// What the wallet answers to `work`, which nobody but polkit asks the person about.
    ///
    /// # Errors
    /// [`Error::NoAnswer`], and those of `work`.
    pub async fn answered<T>(
        &mut self,
        out: Out,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let (limit, meanwhile) = match self.0 {
            State::NotAsked => (ANSWER_LIMIT, "Waiting for the wallet to answer ..."),
            _ => (ANSWER_LIMIT + PASSWORD, "Waiting for the wallet to answer, and polkit to ask ..."),
        };
        let done = bus::within(limit, out, meanwhile, work).await;
        self.explained(out, done).await
    }

    /// Says where a password could have been asked for, if nobody could and polkit refused.
    ///
    /// # Errors
    /// [`Error::Interrupted`], and those of `done`.
    pub async fn explained<T>(&mut self, out: Out, done: Result<T, Error>) -> Result<T, Error> {
        let refused = matches!(&done, Err(Error::Wallet(ClientError::Refused(refused)))
            if refused.name == ErrorName::AccessDenied && refused.message.contains("polkit"));
        if !refused {
            return done;
        }
        let why = match &mut self.0 {
            State::NotAsked => return done,
            State::Elsewhere(why) => why,
            // One that ended took its registration with it, and so polkit refused.
            State::AtTerminal(child, _) => match tokio::time::timeout(END, child.wait()).await {
                // Ctrl-C at the password: the same signal came to this program, and may be noticed later.
                Ok(Ok(end)) if end.signal() == Some(Signal::INT.as_raw()) => return Err(Error::Interrupted),
                Ok(_) => "pkttyagent ended: is polkit running?",
                Err(_) => return done,
            },
        };
        out.note(&format!(
            "If no dialog asked for your password: nobody here can ask for it ({why}). Run this on a terminal with pkttyagent, \
             or as root."
        ));
        done
    }
}

/// Whether the wallet is the system's; an address alone doesn't say it.
async fn on_systems_bus(found: &Found) -> bool {
    match found.choice {
        BusChoice::System => true,
        BusChoice::Any | BusChoice::Session => false,
        BusChoice::Address(_) => {
            let status = async { found.client.wallet().await?.status().await };
            tokio::time::timeout(ANSWER_LIMIT, status)
                .await
                .is_ok_and(|status| status.is_ok_and(|status| status.bus == "system"))
        }
    }
}

/// Starts polkit's program for this process, and waits until polkit knows of it.
async fn register(terminal: Terminal, found: &Found) -> Option<(Child, Kept)> {
    let kept = terminal.keep()?;
    let mut command = Command::new(AGENT);
    // It closes its standard output once it is registered; it talks on the terminal itself.
    command.args(["--notify-fd", "1"]);
    // A desktop's dialog goes first. Outside of a session there is none, and polkit would not look further (as of 122).
    if in_session(found.client.connection()).await {
        command.arg("--fallback");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    if let BusChoice::Address(address) = &found.choice {
        command.env("DBUS_SYSTEM_BUS_ADDRESS", address);
    }
    let mut child = command.spawn().ok()?;
    let mut registered = child.stdout.take()?;
    let end = tokio::time::timeout(REGISTRATION, registered.read(&mut [0])).await;
    matches!(end, Ok(Ok(0))).then_some((child, kept))
}

/// Whether logind knows of a session that this process is in.
async fn in_session(system: &Connection) -> bool {
    const LOGIND: &str = "org.freedesktop.login1";
    // 0 is whoever asks.
    let asked = system.call_method(
        Some(LOGIND),
        "/org/freedesktop/login1",
        Some("org.freedesktop.login1.Manager"),
        "GetSessionByPID",
        &(0_u32,),
    );
    tokio::time::timeout(REGISTRATION, asked).await.is_ok_and(|session| session.is_ok())
}
