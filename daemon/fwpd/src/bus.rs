//! The daemon on its bus: takes the name, takes calls in the order in which they come, and sees connections end.

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ctap_tpm::Tpm;
use futures_util::StreamExt;
use fwp_dbus::interfaces::BUS_NAME;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use zbus::connection::Builder;
use zbus::fdo::RequestNameFlags;
use zbus::message::Type;
use zbus::names::OwnedUniqueName;
use zbus::{MatchRule, Message, MessageStream};

use crate::authenticators::{SecurityKeys, TpmDoor, Watchers};
use crate::call::{Call, Caller, Uid};
use crate::callers::{Admission, Callers};
use crate::config::Config;
use crate::context::{Bus, Context};
use crate::platform::OperatingSystem;
use crate::router;
use crate::seats;
use crate::wallets::Wallets;
use crate::{Options, RunError};

/// Messages that may wait to be looked at. The loop below never waits, so that this is for bursts.
const MAX_QUEUED: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// How long what is open has to end when the daemon does.
const SHUT_DOWN: Duration = Duration::from_secs(2);

/// Serves until a signal ends it, or the bus does.
///
/// # Errors
/// [`RunError`].
pub(crate) async fn serve(options: Options, config: Config) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let builder = match options.bus {
        Bus::Session => Builder::session(),
        Bus::System => Builder::system(),
    };
    let connection = builder.max_queued(MAX_QUEUED).build().await?;
    let messages = MessageStream::from(&connection);
    let daemon = Daemon::new(&messages, options, config);
    daemon.watch_ends().await?;
    // Nobody replaces the wallet, and it replaces and waits for nobody; zbus' default would let any program take over.
    let alone = RequestNameFlags::DO_NOT_QUEUE;
    daemon.context.connection.request_name_with_flags(BUS_NAME, alone).await?;
    tracing::info!(bus = daemon.context.bus.as_str(), "serving");

    let ended = tokio::select! {
        () = daemon.run(messages) => Err(RunError::BusEnded),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    tracing::info!("ending");
    if tokio::time::timeout(SHUT_DOWN, daemon.wallets.shut_down()).await.is_err() {
        tracing::warn!("something did not end in time");
    }
    ended
}

struct Daemon {
    context: Rc<Context>,
    wallets: Rc<Wallets>,
}

impl Daemon {
    fn new(messages: &MessageStream, options: Options, config: Config) -> Self {
        let tpm = config.tpm.address.clone().map(|address| Arc::new(Tpm::new(address)));
        let context = Rc::new(Context {
            connection: messages.into(),
            bus: options.bus,
            config,
            state_dir: options.state_dir,
            operating_system: OperatingSystem::detect(),
            callers: Callers::default(),
            keys: SecurityKeys::new(),
            watchers: Watchers::default(),
            tpm,
            tpm_door: TpmDoor::default(),
            seats_changed: watch::Sender::new(()),
        });
        let wallets = Rc::new(Wallets::new(Rc::clone(&context)));
        Self { context, wallets }
    }

    /// Asks the bus to tell of every name that loses its owner: with an empty third argument these are the connections
    /// that end, and nothing of those that begin.
    async fn watch_ends(&self) -> zbus::Result<()> {
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(2, "")
            .build()?;
        let bus = zbus::fdo::DBusProxy::new(&self.context.connection).await?;
        bus.add_match_rule(rule).await?;
        if self.context.bus == Bus::System {
            bus.add_match_rule(seats::changes()?).await?;
        }
        Ok(())
    }

    /// Looks at every message, in the order in which the bus gave them. Nothing here waits for an answer from the bus:
    /// the answer would be behind the messages that wait.
    async fn run(&self, mut messages: MessageStream) {
        while let Some(message) = messages.next().await {
            match message {
                Ok(message) => self.take(&message),
                Err(error) => tracing::warn!(%error, "a message was malformed"),
            }
        }
    }

    fn take(&self, message: &Message) {
        match message.message_type() {
            Type::MethodCall => self.take_call(message),
            Type::Signal => self.take_signal(message),
            Type::MethodReturn | Type::Error => {}
        }
    }

    fn take_call(&self, message: &Message) {
        let Some(sender) = message.header().sender().map(|sender| OwnedUniqueName::from(sender.to_owned()))
        else {
            return;
        };
        match self.context.callers.admit(&sender, message) {
            Admission::Known(uid) => self.start(message.clone(), sender, uid),
            Admission::Waits => {}
            Admission::Ask => {
                let this = Self { context: Rc::clone(&self.context), wallets: Rc::clone(&self.wallets) };
                tokio::task::spawn_local(async move {
                    let resolved = this.context.callers.resolve(&this.context.connection, &sender).await;
                    let Some((uid, waiting)) = resolved else { return };
                    for message in waiting {
                        this.start(message, sender.clone(), uid);
                    }
                });
            }
        }
    }

    /// Tasks begin in the order in which they are made, so that one caller's calls take effect in their order as far as
    /// they don't wait for anything.
    fn start(&self, message: Message, name: OwnedUniqueName, uid: Uid) {
        let (context, wallets) = (Rc::clone(&self.context), Rc::clone(&self.wallets));
        tokio::task::spawn_local(async move {
            // Its end may have been seen before this began; what is made for it now would have no end.
            if !context.callers.is_there(&name) {
                return;
            }
            let call = Call::new(message, Caller { name, uid });
            let reply = match router::answer(&wallets, &call).await {
                Ok(reply) => Some(reply),
                Err(failure) => call.refusal(&failure),
            };
            if let Some(reply) = reply.filter(|_| call.wants_reply())
                && let Err(error) = context.connection.send(&reply).await
            {
                tracing::debug!(%error, "a reply was not sent");
            }
        });
    }

    fn take_signal(&self, message: &Message) {
        let header = message.header();
        if seats::is_change(message) {
            // Whoever sent it: it is no more than a reason to look.
            self.context.seats_changed.send_replace(());
            self.context.watchers.look();
            return;
        }
        let is_from_bus = header.sender().is_some_and(|sender| sender.as_str() == "org.freedesktop.DBus");
        if !is_from_bus || header.member().is_none_or(|member| member.as_str() != "NameOwnerChanged") {
            return;
        }
        let Ok((name, _, new_owner)) = message.body().deserialize::<(String, String, String)>() else {
            return;
        };
        if !new_owner.is_empty() {
            return;
        }
        let Ok(name) = OwnedUniqueName::try_from(name) else { return };
        if let Some(uid) = self.context.callers.forget(&name) {
            self.context.watchers.forget(&name);
            self.wallets.connection_ended(uid, &name);
        }
    }
}
