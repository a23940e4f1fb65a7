//! An agent that answers by a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fwp_dbus::types::{
    AgentOptions, AuthorizeCard, AuthorizeRequest, ConsentDetails, PassphraseRequest, PinRequest,
    StatusDetails,
};
use fwp_dbus::{Agent, Client, ClientError, Error, ErrorName, Passphrase, Pin};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zbus::{ObjectPath, OwnedObjectPath};
use zeroize::Zeroizing;

use crate::soon;

/// The PIN that the script types if nothing else is said.
pub const PIN: &str = "31415926";
/// The passphrase that the script types if nothing else is said.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// How a question is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Yes; a payment with the first card.
    Yes,
    /// Yes, with the card at this place of the list.
    Card(usize),
    /// Yes, with this card, offered or not.
    Path(OwnedObjectPath),
    /// No.
    No,
    /// Not at all, until the question is withdrawn.
    Never,
    /// An error that no agent has reason for.
    Nonsense,
    /// The answer, after a while.
    After(Duration, Box<Answer>),
    /// What [`ScriptedAgent::answers`] says next, while the question is open.
    Wait,
}

/// What the agent was asked and told.
#[derive(Debug, Clone)]
pub enum Prompt {
    /// Authorize.
    Authorize(OwnedObjectPath, AuthorizeRequest, Vec<AuthorizeCard>),
    /// Consent.
    Consent(String, ConsentDetails),
    /// RequestPin.
    Pin(PinRequest),
    /// RequestPassphrase.
    Passphrase(PassphraseRequest),
    /// Status.
    Status(String, StatusDetails),
    /// The open question was withdrawn.
    Withdrawn,
}

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Answer>,
    pins: VecDeque<Option<String>>,
    passphrases: VecDeque<Option<String>>,
    prompts: Vec<Prompt>,
    watcher: Option<UnboundedSender<Prompt>>,
}

/// The agent; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct ScriptedAgent {
    script: Arc<Mutex<Script>>,
    changed: Arc<Notify>,
}

impl ScriptedAgent {
    /// One that says yes to everything, with the first card and [`PIN`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers it as a desktop's agent.
    ///
    /// # Errors
    /// What the daemon says.
    pub async fn register(&self, client: &Client) -> Result<(), ClientError> {
        self.register_as(client, "desktop").await
    }

    /// Registers it as an agent of this kind.
    ///
    /// # Errors
    /// What the daemon says.
    ///
    /// # Panics
    /// Never; the path is a path.
    pub async fn register_as(&self, client: &Client, kind: &str) -> Result<(), ClientError> {
        let path = ObjectPath::try_from("/io/github/fwpd/TestAgent").expect("a path");
        let options = AgentOptions { name: Some("test agent".to_owned()), kind: Some(kind.to_owned()) };
        fwp_dbus::agent::register(client, &path, self.clone(), &options).await
    }

    /// The next questions are answered so; after them, yes.
    pub fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        self.script().answers = answers.into_iter().collect();
        self.changed.notify_waiters();
    }

    /// The next PINs that are typed (`None`: the user declines; empty: the user does nothing until the question is
    /// withdrawn); after them, [`PIN`].
    pub fn types(&self, pins: impl IntoIterator<Item = Option<&'static str>>) {
        self.script().pins = pins.into_iter().map(|pin| pin.map(str::to_owned)).collect();
    }

    /// The next passphrases that are typed (`None`: the user declines); after them, [`PASSPHRASE`].
    pub fn says(&self, passphrases: impl IntoIterator<Item = Option<&'static str>>) {
        self.script().passphrases = passphrases.into_iter().map(|text| text.map(str::to_owned)).collect();
    }

    /// What it was asked and told so far.
    pub fn prompts(&self) -> Vec<Prompt> {
        self.script().prompts.clone()
    }

    /// What it is asked and told from now on, as it happens. There is one watcher: the last.
    pub fn watch(&self) -> UnboundedReceiver<Prompt> {
        let (watcher, watched) = unbounded_channel();
        self.script().watcher = Some(watcher);
        watched
    }

    /// Forgets what it was asked and told.
    pub fn forget(&self) {
        self.script().prompts.clear();
    }

    /// Waits for a prompt of which `find` makes something.
    ///
    /// # Panics
    /// If none comes.
    pub async fn wait_for<T>(&self, what: &str, find: impl Fn(&Prompt) -> Option<T>) -> T {
        soon(what, async {
            loop {
                let changed = self.changed.notified();
                if let Some(found) = self.prompts().iter().find_map(&find) {
                    return found;
                }
                changed.await;
            }
        })
        .await
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no panic in a script")
    }

    fn note(&self, prompt: Prompt) {
        let mut script = self.script();
        if let Some(watcher) = &script.watcher {
            // Nobody may watch any more.
            let _ = watcher.send(prompt.clone());
        }
        script.prompts.push(prompt);
        drop(script);
        self.changed.notify_waiters();
    }

    async fn answer(&self) -> Result<Answer, Error> {
        let mut answer = self.script().answers.pop_front().unwrap_or(Answer::Yes);
        loop {
            match answer {
                Answer::After(delay, then) => {
                    tokio::time::sleep(delay).await;
                    answer = *then;
                }
                Answer::Never => std::future::pending().await,
                Answer::Wait => answer = self.next_answer().await,
                Answer::Nonsense => return Err(Error::new(ErrorName::Internal, "nonsense")),
                answer => return Ok(answer),
            }
        }
    }
}

impl ScriptedAgent {
    /// The next answer of the script, once there is one.
    async fn next_answer(&self) -> Answer {
        loop {
            let changed = self.changed.notified();
            if let Some(answer) = self.script().answers.pop_front() {
                return answer;
            }
            changed.await;
        }
    }
}

impl Agent for ScriptedAgent {
    async fn authorize(
        &self,
        payment: OwnedObjectPath,
        request: AuthorizeRequest,
        cards: Vec<AuthorizeCard>,
    ) -> Result<Option<OwnedObjectPath>, Error> {
        self.note(Prompt::Authorize(payment, request, cards.clone()));
        let card = match self.answer().await? {
            Answer::Card(place) => cards.get(place),
            Answer::Path(path) => return Ok(Some(path)),
            Answer::No => None,
            _ => cards.first(),
        };
        Ok(card.map(|card| card.path.clone()))
    }

    async fn consent(&self, kind: String, details: ConsentDetails) -> Result<bool, Error> {
        self.note(Prompt::Consent(kind, details));
        Ok(!matches!(self.answer().await?, Answer::No))
    }

    async fn request_pin(&self, request: PinRequest) -> Result<Option<Pin>, Error> {
        self.note(Prompt::Pin(request));
        let pin = self.script().pins.pop_front().unwrap_or_else(|| Some(PIN.to_owned()));
        if pin.as_ref().is_some_and(String::is_empty) {
            std::future::pending::<()>().await;
        }
        Ok(pin.map(|pin| Pin::new(Zeroizing::new(pin)).expect("a PIN")))
    }

    async fn request_passphrase(&self, request: PassphraseRequest) -> Result<Option<Passphrase>, Error> {
        self.note(Prompt::Passphrase(request));
        let text = self.script().passphrases.pop_front().unwrap_or_else(|| Some(PASSPHRASE.to_owned()));
        Ok(text.map(|text| Passphrase::new(&Zeroizing::new(text)).expect("a passphrase")))
    }

    async fn status(&self, state: String, details: StatusDetails) {
        self.note(Prompt::Status(state, details));
    }

    async fn cancelled(&self) {
        self.note(Prompt::Withdrawn);
    }
}
