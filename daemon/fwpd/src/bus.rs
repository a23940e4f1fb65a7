//! The daemon on its bus: takes the name, takes calls in the order in which they come, and sees connections end.

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;

use ctap_tpm::Tpm;
use futures_util::StreamExt;
use fwp_dbus::ErrorName;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::names::OwnedUniqueName;
use zbus::{MatchRule, Message, MessageStream};

use crate::authenticators::{SecurityKeys, TpmDoor, Watchers};
use crate::call::{Call, Caller, Failure, Uid};
use crate::callers::{Admission, Callers};
use crate::config::Config;
use crate::context::{Bus, Context};
use crate::platform::OperatingSystem;
use crate::router;
use crate::seats;
use crate::service::{self, Signals};
use crate::wallets::Wallets;
use crate::work::Work;
use crate::{Options, RunError};

/// Messages that may wait to be looked at. The loop below never waits, so that this is for bursts.
const MAX_QUEUED: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Serves until a signal ends it, or the bus does.
///
/// # Errors
/// [`RunError`].
pub(crate) async fn serve(options: Options, config: Config) -> Result<(), RunError> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate()).map_err(RunError::Signals)?,
        interrupt: signal(SignalKind::interrupt()).map_err(RunError::Signals)?,
    };
    let builder = match options.bus {
        Bus::Session => Builder::session(),
        Bus::System => Builder::system(),
    };
    let connection = builder.max_queued(MAX_QUEUED).build().await?;
    let mut messages = MessageStream::from(&connection);
    let daemon = Daemon::new(&messages, options, config);
    daemon.watch_ends().await?;
    service::take_name(&daemon).await?;
    service::live(&daemon, &mut messages, &mut signals).await
}

/// The wallets, and what they have of the bus.
#[derive(Clone)]
pub(crate) struct Daemon {
    pub(crate) context: Rc<Context>,
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
            work: Work::new(),
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
    pub(crate) async fn run(&self, messages: &mut MessageStream) {
        while let Some(message) = messages.next().await {
            self.take_next(message);
        }
    }

    /// Looks at one message.
    pub(crate) fn take_next(&self, message: zbus::Result<Message>) {
        match message {
            Ok(message) => self.take(&message),
            Err(error) => tracing::warn!(%error, "a message was malformed"),
        }
    }

    /// Whether nobody has anything open here that would be missed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.context.watchers.is_empty() && self.wallets.are_quiet()
    }

    /// Ends all that is open, and tells whoever waits.
    pub(crate) async fn shut_down(&self) {
        self.context.work.close();
        self.wallets.shut_down().await;
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
        self.context.work.comes();
        match self.context.callers.admit(&sender, message) {
            Admission::Known(uid) => self.start(message.clone(), sender, uid),
            Admission::Waits => {}
            Admission::Ask => {
                let (this, asking) = (self.clone(), self.context.work.begin());
                tokio::task::spawn_local(async move {
                    let _asking = asking;
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
        self.context.work.spawn(uid, async move {
            // Its end may have been seen before this began; what is made for it now would have no end.
            if !context.callers.is_there(&name) {
                return;
            }
            let call = Call::new(message, Caller { name, uid });
            let answer = match context.work.is_closed() {
                true => Err(Failure::new(ErrorName::Aborted, "the wallet is shutting down: call again")),
                false => router::answer(&wallets, &call).await,
            };
            let reply = match answer {
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
        self.context.work.touch();
        let Ok(name) = OwnedUniqueName::try_from(name) else { return };
        if let Some(uid) = self.context.callers.forget(&name) {
            self.context.watchers.forget(&name);
            self.wallets.connection_ended(uid, &name);
        }
    }
}
