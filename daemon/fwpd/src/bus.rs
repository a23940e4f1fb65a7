//! The daemon on its bus: takes the name, takes calls in the order in which they come, and sees connections end.

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;

use ctap_tpm::Tpm;
use futures_util::StreamExt;
use fwp::enrollment::MAX_CARDS_BYTES;
use fwp_dbus::ErrorName;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use zbus::connection::Builder;
use zbus::message::{Flags, Type};
use zbus::names::OwnedUniqueName;
use zbus::{MatchRule, Message, MessageStream};

use crate::authenticators::{SecurityKeys, TpmDoor, Watchers};
use crate::call::{Call, Caller, Failure, Uid};
use crate::callers::{Admission, Callers};
use crate::config::Config;
use crate::context::{Bus, Context};
use crate::journal;
use crate::platform::OperatingSystem;
use crate::router;
use crate::seats::{self, Herald};
use crate::service::{self, Signals};
use crate::shares::Shares;
use crate::turns::{Turn, Turns, Waiting};
use crate::wallets::Wallets;
use crate::work::Work;
use crate::{Options, RunError};

/// Messages that may wait to be looked at. The loop below never waits, so that this is for bursts.
const MAX_QUEUED: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Most bytes of a call: the longest that there is (`CreatePayment` with 1 MiB of method data and as much of details) fits.
const MAX_MESSAGE: usize = (2 << 20) + (64 << 10);
/// As [`MAX_MESSAGE`], for `StoreCards`, whose cards have pictures.
const MAX_CARDS_MESSAGE: usize = MAX_CARDS_BYTES + (64 << 10);
/// Most file descriptors of a call: no method takes more. What waits keeps them open, and a process that can open no more loses
/// its connection to the bus.
const MAX_FILES: usize = 1;
/// Who isn't known yet is refused as this user, whom no connection is of (chown(2)).
const NOBODY: Uid = Uid::MAX;

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
    tokio::task::spawn_local(daemon.clone().give_turns());
    service::take_name(&daemon).await?;
    service::live(&daemon, &mut messages, &mut signals).await
}

/// What is too much for one call, whoever's it is. Looked at before anything of it is kept.
fn too_much(message: &Message) -> Option<String> {
    let is_long = |most: usize| message.data().len() > most;
    let member_is = |member| message.header().member().is_some_and(|name| name.as_str() == member);
    if is_long(MAX_MESSAGE) && (is_long(MAX_CARDS_MESSAGE) || !member_is("StoreCards")) {
        return Some(format!(
            "a call has at most {MAX_MESSAGE} bytes, and one of StoreCards {MAX_CARDS_MESSAGE}"
        ));
    }
    (message.data().fds().len() > MAX_FILES)
        .then(|| format!("a call has at most {MAX_FILES} file descriptor"))
}

/// The wallets, and what they have of the bus.
#[derive(Clone)]
pub(crate) struct Daemon {
    pub(crate) context: Rc<Context>,
    wallets: Rc<Wallets>,
    turns: Rc<Turns>,
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
            shares: Shares::default(),
            herald: Herald::default(),
            seats_changed: watch::Sender::new(()),
            work: Work::new(),
        });
        let wallets = Rc::new(Wallets::new(Rc::clone(&context)));
        let turns = Rc::new(Turns::new(context.config.limits.calls));
        Self { context, wallets, turns }
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
        if let Some(text) = too_much(message) {
            return self.refuse(self.context.callers.user(&sender), message, text);
        }
        let most = self.context.config.limits.connections;
        match self.context.callers.admit(&sender, message, most) {
            Admission::Known(uid) => self.enter(uid, sender, message.clone()),
            Admission::Refused(uid, text) => self.refuse(uid, message, text),
            Admission::Waits => {}
            Admission::Ask => {
                let (this, asking) = (self.clone(), self.context.work.begin());
                tokio::task::spawn_local(async move {
                    let _asking = asking;
                    let resolved =
                        this.context.callers.resolve(&this.context.connection, &sender, most).await;
                    let Some((uid, waiting, admitted)) = resolved else { return };
                    for message in waiting {
                        match &admitted {
                            Ok(()) => this.enter(uid, sender.clone(), message),
                            Err(refusal) => this.refuse(Some(uid), &message, refusal.message.clone()),
                        }
                    }
                });
            }
        }
    }

    /// Has a call wait for its turn.
    fn enter(&self, uid: Uid, name: OwnedUniqueName, message: Message) {
        let running = self.context.work.begin();
        if let Err(over) = self.turns.enter(uid, Waiting { message: message.clone(), name, running }) {
            self.refuse(Some(uid), &message, over.to_string());
        }
    }

    /// A call is over a limit. Where a flood would be answered by another one, it is not answered.
    fn refuse(&self, uid: Option<Uid>, message: &Message, text: String) {
        if let Some(uid) = uid {
            journal::limit_reached(uid, &text);
        }
        let wants_reply = !message.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED);
        if !wants_reply || !self.turns.may_refuse(uid.unwrap_or(NOBODY)) {
            return;
        }
        let name = ErrorName::LimitsExceeded.as_str();
        let Ok(refusal) = Message::error(&message.header(), name).build(&(text,)) else { return };
        let (connection, running) = (self.context.connection.clone(), self.context.work.begin());
        tokio::task::spawn_local(async move {
            let _running = running;
            if let Err(error) = connection.send(&refusal).await {
                tracing::debug!(%error, "a refusal was not sent");
            }
        });
    }

    /// Begins one call after the other, each user in turn. Between two, everything else goes on.
    async fn give_turns(self) {
        loop {
            let turn = self.turns.next(|uid| self.context.callers.has_others(uid)).await;
            self.begin(turn);
            tokio::task::yield_now().await;
        }
    }

    /// Tasks begin in the order in which they are made, so that one caller's calls take effect in their order as far as
    /// they don't wait for anything.
    fn begin(&self, turn: Turn) {
        let (context, wallets) = (Rc::clone(&self.context), Rc::clone(&self.wallets));
        let Turn { uid, call: Waiting { message, name, running }, begun } = turn;
        let work = begun.measured(async move {
            let _running = running;
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
        self.context.work.spawn(uid, work);
    }

    /// Looks at seats anew, where logind says so.
    fn take_change_of_seats(&self, message: &Message) {
        let Some(sender) = message.header().sender().map(|sender| OwnedUniqueName::from(sender.to_owned()))
        else {
            return;
        };
        let look = |context: &Context| {
            context.seats_changed.send_replace(());
            context.watchers.look();
        };
        match self.context.herald.is_believed(&sender) {
            Some(true) => look(&self.context),
            Some(false) => {}
            None => {
                let context = Rc::clone(&self.context);
                tokio::task::spawn_local(async move {
                    if context.herald.ask(&context.connection, &sender).await {
                        look(&context);
                    }
                });
            }
        }
    }

    fn take_signal(&self, message: &Message) {
        let header = message.header();
        if seats::is_change(message) {
            self.take_change_of_seats(message);
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
        // On a system's bus programs come and go all the time; who never called here is no reason to stay.
        if let Some(uid) = self.context.callers.forget(&name) {
            self.context.work.touch();
            self.context.watchers.forget(&name);
            self.wallets.connection_ended(uid, &name);
            self.turns.forget_idle();
        }
    }
}
