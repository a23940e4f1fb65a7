//! The user's agent: one registered program that asks the user, and what is asked through it.
//!
//! A question ends with an answer, with the user's time being up, with the agent's connection, or with an interruption
//! by the one who asked. However it ends without an answer, the agent is told to take the prompt away *before* anything
//! else is asked, so that a late `Cancel` can't hit the next prompt.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fwp_dbus::interfaces::AGENT;
use fwp_dbus::pin_box::PromptKey;
use fwp_dbus::types::{AgentOptions, ConsentDetails, PassphraseRequest, StatusDetails};
use fwp_dbus::{Error, ErrorName, Passphrase};
use fwp_wallet::agent::{self as policy, AgentKind, Registration};
use zbus::message::Flags;
use zbus::names::OwnedUniqueName;
use zbus::{Message, OwnedObjectPath};

use crate::call::Caller;
use crate::clock;
use crate::context::Context;
use crate::interrupts::{Interrupter, Interrupts, interrupts};
use crate::wallets::Wallet;

/// Most UTF-16 code units of an agent's name.
const MAX_NAME: usize = 64;

/// The registered agent.
#[derive(Debug)]
pub(crate) struct Agent {
    context: Rc<Context>,
    /// Its connection.
    pub(crate) owner: OwnedUniqueName,
    /// Its object.
    pub(crate) path: OwnedObjectPath,
    /// How it calls itself.
    pub(crate) name: String,
    kind: AgentKind,
    /// Ends the ceremony of which the user is told, if there is one.
    dismisser: Rc<RefCell<Option<Interrupter>>>,
}

/// A ceremony can be dismissed until this is dropped.
#[derive(Debug)]
pub(crate) struct Dismissible(Rc<RefCell<Option<Interrupter>>>);

impl Drop for Dismissible {
    fn drop(&mut self) {
        *self.0.borrow_mut() = None;
    }
}

/// The user's agent, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    present: RefCell<Option<Rc<Agent>>>,
}

/// How a question ended without an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The user said no.
    Declined,
    /// The user's time was up.
    Timeout,
    /// The agent went away.
    Gone,
    /// The agent answered nonsense.
    Failed(String),
    /// The one who asked has no more use for the answer.
    Interrupted(Error),
}

impl Agents {
    /// The agent, if one is registered.
    pub(crate) fn present(&self) -> Option<Rc<Agent>> {
        self.present.borrow().clone()
    }

    /// The agent that asks the user about what `requester` wants.
    ///
    /// # Errors
    /// `NoAgent`: nothing goes through unseen.
    pub(crate) fn serving(&self, requester: &OwnedUniqueName) -> Result<Rc<Agent>, Error> {
        self.present().filter(|agent| policy::may_ask_for(&agent.to_policy(), requester)).ok_or_else(|| {
            let text = "nobody can ask the user: start the desktop's agent, or `fwpctl agent` on a terminal";
            Error::new(ErrorName::NoAgent, text)
        })
    }

    /// Registers an agent, after the present one's consent where it takes that.
    ///
    /// # Errors
    /// `Busy`, `Declined`, `InvalidRequest`, and what can come instead of an answer.
    pub(crate) async fn register(
        &self,
        wallet: &Wallet,
        caller: &Caller,
        path: OwnedObjectPath,
        options: AgentOptions,
    ) -> Result<(), Error> {
        let kind = kind_of(options.kind.as_deref())?;
        let name = options.name.unwrap_or_else(|| "unnamed agent".to_owned());
        fwp::text::check_shown(&name, MAX_NAME)
            .map_err(|error| Error::new(ErrorName::InvalidRequest, format!("name: {error}")))?;
        let new = Rc::new(Agent {
            context: Rc::clone(&wallet.context),
            owner: caller.name.clone(),
            path,
            name,
            kind,
            dismisser: Rc::default(),
        });
        let former = self.present();
        let present = former.as_ref().map(|agent| agent.to_policy());
        match policy::register(present.as_ref(), &new.to_policy(), wallet.floor.is_taken()) {
            Registration::Accept => {}
            Registration::Busy => {
                return Err(Error::new(ErrorName::Busy, "the user is being asked something; try again then"));
            }
            Registration::AskPresent => self.ask_present(wallet, former.as_deref(), &new).await?,
        }
        // Its connection may have ended while the question was open.
        if !wallet.context.callers.is_there(&caller.name) {
            return Err(Error::new(ErrorName::Aborted, "its connection ended"));
        }
        *self.present.borrow_mut() = Some(new);
        if let Some(former) = former.filter(|former| former.owner != caller.name) {
            former.status("replaced", &StatusDetails::default()).await;
        }
        Ok(())
    }

    async fn ask_present(&self, wallet: &Wallet, present: Option<&Agent>, new: &Agent) -> Result<(), Error> {
        let Some(present) = present else { return Ok(()) };
        let turn = wallet.floor.take()?;
        let (interrupter, mut interrupts) = interrupts();
        let _watches = wallet.watch(&new.owner, present, &interrupter);
        let (name, kind) = (Some(new.name.clone()), Some(new.kind_str().to_owned()));
        let details = ConsentDetails { name, kind, ..ConsentDetails::default() };
        let granted = present.consent("replace-agent", &details, &mut interrupts).await;
        turn.end(&granted);
        granted
    }

    /// Takes a registration back.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) fn unregister(&self, caller: &Caller, path: &OwnedObjectPath) -> Result<(), Error> {
        let mut present = self.present.borrow_mut();
        let is_it = present.as_ref().is_some_and(|agent| agent.owner == caller.name && agent.path == *path);
        if !is_it {
            return Err(Error::new(ErrorName::NotFound, "this connection registered no agent at this path"));
        }
        *present = None;
        Ok(())
    }

    /// The user closed the dialog of the agent, which is the caller, while no question was open.
    ///
    /// # Errors
    /// `AccessDenied`, `InvalidState`.
    pub(crate) fn dismiss(&self, caller: &Caller) -> Result<(), Error> {
        let agent = self.present().filter(|agent| agent.owner == caller.name).ok_or_else(|| {
            Error::new(ErrorName::AccessDenied, "only the agent knows that the user closed its dialog")
        })?;
        match agent.dismisser.borrow_mut().take() {
            Some(interrupter) => interrupter.interrupt(Unanswered::Declined.into_error()),
            None => {
                let text = "nothing waits for an authenticator";
                return Err(Error::new(ErrorName::InvalidState, text));
            }
        }
        Ok(())
    }

    /// A connection ended; if it was the agent's, there is none any more.
    pub(crate) fn connection_ended(&self, name: &OwnedUniqueName) {
        self.present.borrow_mut().take_if(|agent| agent.owner == *name);
    }
}

fn kind_of(kind: Option<&str>) -> Result<AgentKind, Error> {
    match kind {
        None | Some("desktop") => Ok(AgentKind::Desktop),
        Some("terminal") => Ok(AgentKind::Terminal),
        Some(_) => Err(Error::new(ErrorName::InvalidRequest, "kind: it is \"desktop\" or \"terminal\"")),
    }
}

impl Unanswered {
    /// The contract's error.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Declined => Error::new(ErrorName::Declined, "the user declined"),
            Self::Timeout => Error::new(ErrorName::Timeout, "the user did not answer in time"),
            Self::Gone => Error::new(ErrorName::NoAgent, "the agent went away while it asked the user"),
            Self::Failed(reason) => Error::new(ErrorName::NoAgent, format!("the agent failed: {reason}")),
            Self::Interrupted(reason) => reason,
        }
    }
}

impl Agent {
    /// What it runs on, as it stands in dictionaries.
    pub(crate) fn kind_str(&self) -> &'static str {
        match self.kind {
            AgentKind::Desktop => "desktop",
            AgentKind::Terminal => "terminal",
        }
    }

    /// How long the user has to answer.
    pub(crate) fn prompt_deadline(&self) -> Duration {
        self.context.config.deadlines.prompt
    }

    fn to_policy(&self) -> policy::Agent<OwnedUniqueName> {
        policy::Agent { owner: self.owner.clone(), kind: self.kind }
    }

    /// The ceremony that `interrupter` ends can be dismissed, as long as what this gives lives.
    pub(crate) fn dismissible(&self, interrupter: Interrupter) -> Dismissible {
        *self.dismisser.borrow_mut() = Some(interrupter);
        Dismissible(Rc::clone(&self.dismisser))
    }

    /// Asks, and waits for the answer, the deadline if there is one, or the interruption.
    pub(crate) async fn ask<B, R>(
        &self,
        method: &'static str,
        body: &B,
        deadline: Option<Duration>,
        interrupts: &mut Interrupts,
    ) -> Result<R, Unanswered>
    where
        B: serde::Serialize + zbus::DynamicType,
        R: serde::de::DeserializeOwned + zbus::Type,
    {
        let connection = &self.context.connection;
        let question =
            connection.call_method(Some(self.owner.as_str()), &self.path, Some(AGENT.name), method, body);
        let passes = async {
            match deadline {
                Some(deadline) => clock::sleep(deadline).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            // What was withdrawn before it was asked is never put before the user, and an answer that comes together with
            // the withdrawal counts for nothing.
            biased;
            reason = interrupts.next() => Unanswered::Interrupted(reason),
            reply = question => return self.answer(reply),
            () = passes => Unanswered::Timeout,
        };
        self.withdraw().await;
        Err(ended)
    }

    /// Asks for consent.
    ///
    /// # Errors
    /// The contract's error for whatever came instead of a yes.
    pub(crate) async fn consent(
        &self,
        kind: &'static str,
        details: &ConsentDetails,
        interrupts: &mut Interrupts,
    ) -> Result<(), Error> {
        match self.ask("Consent", &(kind, details), Some(self.prompt_deadline()), interrupts).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unanswered::Declined.into_error()),
            Err(unanswered) => Err(unanswered.into_error()),
        }
    }

    /// Asks for a passphrase, sealed to a key made for this one prompt.
    ///
    /// # Errors
    /// The contract's error for whatever came instead of one.
    pub(crate) async fn passphrase(
        &self,
        request: &PassphraseRequest,
        interrupts: &mut Interrupts,
    ) -> Result<Passphrase, Error> {
        let key =
            PromptKey::generate().map_err(|error| Error::new(ErrorName::Internal, error.to_string()))?;
        let public_key = key.public_key();
        let question = (request, public_key.as_slice());
        let sealed: Vec<u8> = self
            .ask("RequestPassphrase", &question, Some(self.prompt_deadline()), interrupts)
            .await
            .map_err(Unanswered::into_error)?;
        key.open_passphrase(&sealed).map_err(|error| Error::new(ErrorName::NoAgent, error.to_string()))
    }

    /// Takes away what it asks the user; nobody waits for the answer any more.
    pub(crate) async fn withdraw(&self) {
        self.send("Cancel", &()).await;
    }

    /// Tells how it goes on; no answer is waited for.
    pub(crate) async fn status(&self, state: &'static str, details: &StatusDetails) {
        self.send("Status", &(state, details)).await;
    }

    fn answer<R>(&self, reply: zbus::Result<Message>) -> Result<R, Unanswered>
    where
        R: serde::de::DeserializeOwned + zbus::Type,
    {
        let reply = match reply {
            Ok(reply) => reply,
            Err(zbus::Error::MethodError(name, text, _)) => {
                return Err(match ErrorName::from_dbus(name.as_str()) {
                    Some(ErrorName::Declined | ErrorName::Aborted) => Unanswered::Declined,
                    _ => Unanswered::Failed(text.unwrap_or_else(|| name.to_string())),
                });
            }
            Err(zbus::Error::FDO(error)) => {
                return Err(match *error {
                    zbus::fdo::Error::NoReply(_)
                    | zbus::fdo::Error::ServiceUnknown(_)
                    | zbus::fdo::Error::NameHasNoOwner(_)
                    | zbus::fdo::Error::Disconnected(_) => Unanswered::Gone,
                    error => Unanswered::Failed(error.to_string()),
                });
            }
            Err(error) => return Err(Unanswered::Failed(error.to_string())),
        };
        // The bus sees to it that only the called connection can answer; a bus without that rule would be caught here.
        if reply.header().sender().is_none_or(|sender| sender.as_str() != self.owner.as_str()) {
            return Err(Unanswered::Failed("somebody else answered".to_owned()));
        }
        reply.body().deserialize().map_err(|error| Unanswered::Failed(error.to_string()))
    }

    async fn send<B>(&self, method: &'static str, body: &B)
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let message = Message::method_call(&self.path, method)
            .with_flags(Flags::NO_REPLY_EXPECTED)
            .destination(self.owner.as_str())
            .interface(AGENT.name)
            .build(body);
        let sent = match message {
            Ok(message) => self.context.connection.send(&message).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::debug!(method, %error, "the agent was not told");
        }
    }
}
