//! The daemon's life: what is told to the service manager (sd_notify(3)), and when it ends.
//!
//! On the system's bus the daemon ends by itself when it has been idle for a while, and the bus starts it again for the next
//! call. No call is lost by that: the name is given up first, and from then on the bus keeps calls for the next daemon; those
//! that came before are all here when the bus has confirmed it, and are answered. If there were any, the name is taken back.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use fwp_dbus::interfaces::BUS_NAME;
use sd_notify::NotifyState;
use tokio::signal::unix::Signal;
use tokio::time::Instant;
use zbus::MessageStream;
use zbus::fdo::RequestNameFlags;

use crate::bus::Daemon;
use crate::config::Config;
use crate::context::Bus;
use crate::journal::{self, Notice};
use crate::{RunError, clock};

/// systemd ends a service of Type=dbus that gives up its name. A SIGTERM within this time of that is no more than this.
const ECHO: Duration = Duration::from_secs(10);
/// How long what came at the last moment may take after that; systemd kills after 90 s, as shipped.
const LAST_WORK: Duration = Duration::from_secs(60);
/// How long what is open has to end when the daemon does.
const SHUT_DOWN: Duration = Duration::from_secs(2);

/// The signals that end the daemon.
pub(crate) struct Signals {
    pub(crate) terminate: Signal,
    pub(crate) interrupt: Signal,
}

/// Tells the service manager, if there is one.
pub(crate) fn tell_manager(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// Nobody replaces the wallet, and it replaces and waits for nobody; zbus' default would let any program take over.
///
/// # Errors
/// What the bus says.
pub(crate) async fn take_name(daemon: &Daemon) -> zbus::Result<()> {
    let alone = RequestNameFlags::DO_NOT_QUEUE;
    daemon.context.connection.request_name_with_flags(BUS_NAME, alone).await.map(drop)
}

/// How long the daemon stays without anything to do; `None`: for ever.
fn idle_exit(config: &Config, bus: Bus) -> Option<Duration> {
    config.service.idle_exit.filter(|_| bus == Bus::System)
}

/// Serves until something ends it: a signal, the bus, or that nobody needs it.
///
/// # Errors
/// [`RunError::BusEnded`], and what the bus says.
pub(crate) async fn live(
    daemon: &Daemon,
    messages: &mut MessageStream,
    signals: &mut Signals,
) -> Result<(), RunError> {
    let bus = daemon.context.bus.as_str();
    tell_manager(&[NotifyState::Ready, NotifyState::Status(&format!("serving the {bus}'s bus"))]);
    if let Err(error) = clock::watch_steps() {
        tracing::warn!(%error, "the clock is not watched");
    }
    journal::tell(Notice::Started, &format!("serving the {bus}'s bus, version {}", crate::VERSION));
    let ended = serve(daemon, messages, signals).await;
    let why = match &ended {
        Ok(why) => why,
        Err(RunError::BusEnded) => "the bus ended",
        Err(_) => "the bus refuses",
    };
    tell_manager(&[NotifyState::Stopping, NotifyState::Status(&format!("ending: {why}"))]);
    let last = async {
        tokio::select! {
            () = daemon.shut_down() => true,
            // What still comes is refused by name.
            () = daemon.run(messages) => true,
            () = tokio::time::sleep(SHUT_DOWN) => false,
        }
    };
    if !last.await {
        tracing::warn!("something did not end in time");
    }
    journal::tell(Notice::Ended, &format!("ended: {why}"));
    ended.map(drop)
}

/// Serves; says why it ended.
async fn serve(
    daemon: &Daemon,
    messages: &mut MessageStream,
    signals: &mut Signals,
) -> Result<&'static str, RunError> {
    let idle_exit = idle_exit(&daemon.context.config, daemon.context.bus);
    // When the name was given up, and something came all the same.
    let mut came_back = None::<Instant>;
    // Until when that may take, once systemd has told to end for it.
    let mut last_work = None::<Instant>;
    loop {
        let pause = if last_work.is_some() { Some(Duration::ZERO) } else { idle_exit };
        tokio::select! {
            () = daemon.run(messages) => return Err(RunError::BusEnded),
            _ = signals.terminate.recv() => match came_back.take() {
                Some(at) if at.elapsed() < ECHO => last_work = Some(Instant::now() + LAST_WORK),
                _ => return Ok("told to"),
            },
            _ = signals.interrupt.recv() => return Ok("told to"),
            () = at(last_work) => return Ok("told to"),
            () = is_idle(daemon, pause) => {
                if leaves(daemon, messages).await? {
                    return Ok("idle");
                }
                came_back = Some(Instant::now());
            }
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Waits until nothing was done for this long and nobody has anything open here; for ever if there is no such pause.
async fn is_idle(daemon: &Daemon, pause: Option<Duration>) {
    /// How often it is looked whether somebody still has something open who does not call.
    const LEAST: Duration = Duration::from_millis(100);
    let Some(pause) = pause else { return std::future::pending().await };
    loop {
        daemon.context.work.rests(pause).await;
        if daemon.is_quiet() {
            return;
        }
        tokio::time::sleep(pause.max(LEAST)).await;
    }
}

/// Gives up the name, unless calls come: whether the daemon may end.
async fn leaves(daemon: &Daemon, messages: &mut MessageStream) -> Result<bool, RunError> {
    let calls = daemon.context.work.calls();
    {
        let released = daemon.context.connection.release_name(BUS_NAME);
        tokio::select! {
            () = daemon.run(messages) => return Err(RunError::BusEnded),
            released = released => released?,
        };
    }
    // What the bus gave us before it confirmed is here by now.
    while let Some(next) = messages.next().now_or_never() {
        match next {
            Some(message) => daemon.take_next(message),
            None => return Err(RunError::BusEnded),
        }
    }
    let work = &daemon.context.work;
    if work.calls() == calls && work.is_none() && daemon.is_quiet() {
        return Ok(true);
    }
    tracing::debug!("a call came while the name was given up");
    let named = take_name(daemon);
    tokio::select! {
        () = daemon.run(messages) => return Err(RunError::BusEnded),
        // Who has it meanwhile is the next daemon; what came here is done here.
        named = named => match named {
            Ok(()) | Err(zbus::Error::NameTaken) => {}
            Err(error) => return Err(error.into()),
        },
    }
    Ok(false)
}
