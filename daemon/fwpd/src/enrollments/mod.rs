//! Enrollments as objects. Their life is decided by [`fwp_wallet::enrollment`]; `life` does what it wants done.

mod life;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use fwp::PayeeHost;
use fwp::enrollment::{Attestation, IssuedCard, Offer};
use fwp_dbus::interfaces::{ENROLLMENT, ENROLLMENT_PREFIX, Interface};
use fwp_dbus::types::EnrollmentOptions;
use fwp_dbus::{Error, ErrorName};
use fwp_store::Changes;
use fwp_store::Durability;
use fwp_store::record::{AuditEvent, AuditKind, AuthenticatorKind, AuthenticatorRef, CardId, NewCard};
use fwp_wallet::enrollment::{
    CardsToStore, Enrollment as Machine, EnrollmentError, EnrollmentState, Event, NewlyIssued,
};
use tokio::sync::mpsc;
use zbus::names::OwnedUniqueName;
use zbus::{Message, OwnedObjectPath};

use crate::agents::Agent;
use crate::authenticators::{self, Which};
use crate::call::{Call, Caller, Failure};
use crate::floor::Turn;
use crate::holdings::check_room;
use crate::interrupts::Interrupter;
use crate::journal::{self, Notice};
use crate::objects::{Object, Properties, variant};
use crate::polkit::{self, Action};
use crate::wallets::Wallet;
use crate::{claim_origin, clock, credentials, seats, tokens};

/// Bytes of cards that are not read where it is not the time for them.
const LONG: usize = 64 << 10;

/// The user's open enrollments.
#[derive(Debug, Default)]
pub(crate) struct Enrollments {
    open: RefCell<HashMap<String, Rc<Enrollment>>>,
    storing: Storing,
}

/// Held from the check of cards to their commit, by one of a user's enrollments at a time: what was checked against the
/// cards that are there still holds when they are stored. What is acknowledged is kept, so nothing ends in the middle of
/// it.
type Storing = Rc<tokio::sync::Mutex<()>>;

/// Where an enrollment makes its key.
#[derive(Debug)]
enum Target {
    /// In this authenticator.
    One(Which),
    /// In any security key: the one that the user touches.
    AnyKey,
}

/// One enrollment.
#[derive(Debug)]
pub(crate) struct Enrollment {
    path: OwnedObjectPath,
    owner: OwnedUniqueName,
    target: Target,
    machine: RefCell<Machine>,
    /// What is to be done, in order.
    tasks: mpsc::UnboundedSender<life::Task>,
    /// Who asks the user, since Start.
    agent: RefCell<Option<Rc<Agent>>>,
    /// The floor, while it is this enrollment's.
    turn: RefCell<Option<Turn>>,
    /// Ends the question or ceremony with this number.
    current: RefCell<Option<(u32, Interrupter)>>,
    attestation: RefCell<Option<Attestation>>,
    /// What made the key.
    made_by: Cell<Option<AuthenticatorRef>>,
    /// More than the life cycle's reason tells of why it ended.
    failure: RefCell<Option<Error>>,
    storing: Storing,
}

/// Checks an offer and makes the object.
///
/// # Errors
/// `InvalidRequest`, `AccessDenied`, `NotFound`, `NoAuthenticator`, `LimitsExceeded`.
pub(crate) async fn begin(
    wallet: &Rc<Wallet>,
    call: &Call,
    offer: &str,
    attested_host: &str,
    options: &EnrollmentOptions,
) -> Result<OwnedObjectPath, Error> {
    let config = &wallet.context.config;
    let caller = &call.caller;
    claim_origin::check(&wallet.context, caller).await?;
    let offer = Offer::parse(offer).map_err(invalid)?;
    let host = PayeeHost::parse(attested_host).map_err(|error| invalid(format!("attested_host: {error}")))?;
    let replace = options.replace.unwrap_or(false);
    let machine = Machine::new(offer, host.as_str(), replace, config.deadlines(), clock::moment())
        .map_err(|error| Error::new(ErrorName::AccessDenied, error.to_string()))?;
    seats::sits_here(&wallet.context, wallet.uid).await?;
    polkit::check(wallet, call, Action::Enroll).await?;
    let target = target(wallet, options).await?;
    // Its connection may have ended meanwhile; what is made for it now would have no end.
    if !wallet.context.callers.is_there(&caller.name) {
        return Err(Error::new(ErrorName::Aborted, "its connection ended"));
    }
    let mut open = wallet.enrollments.open.borrow_mut();
    if open.len() >= config.limits.enrollments {
        journal::own_limit_reached("enrollments that are open");
        return Err(Error::new(ErrorName::LimitsExceeded, "too many enrollments are open; close one first"));
    }
    let (token, path) = tokens::new_object(ENROLLMENT_PREFIX)?;
    let (tasks, to_do) = mpsc::unbounded_channel();
    let enrollment = Rc::new(Enrollment {
        path: path.clone(),
        owner: caller.name.clone(),
        target,
        machine: RefCell::new(machine),
        tasks,
        agent: RefCell::new(None),
        turn: RefCell::new(None),
        current: RefCell::new(None),
        attestation: RefCell::new(None),
        made_by: Cell::new(None),
        failure: RefCell::new(None),
        storing: Rc::clone(&wallet.enrollments.storing),
    });
    open.insert(token, Rc::clone(&enrollment));
    wallet.context.work.spawn(wallet.uid, life::live(Rc::clone(wallet), enrollment, to_do));
    Ok(path)
}

/// Where the key is to be made. Without a word of the caller's: in a security key, if a usable one is there.
async fn target(wallet: &Wallet, options: &EnrollmentOptions) -> Result<Target, Error> {
    let platform = async || Target::One(Which::this_computer(wallet).await);
    match (&options.authenticator, options.attachment.as_deref()) {
        (Some(path), None) => Which::at(wallet, path.as_str())
            .await
            .map(Target::One)
            .ok_or_else(|| Error::new(ErrorName::NotFound, "there is no such authenticator")),
        (None, Some(authenticators::PLATFORM)) => Ok(platform().await),
        (None, Some(authenticators::CROSS_PLATFORM)) => Ok(Target::AnyKey),
        (None, None) if authenticators::has_usable_key(wallet).await => Ok(Target::AnyKey),
        (None, None) => Ok(platform().await),
        (None, Some(_)) => Err(invalid("attachment: it is \"platform\" or \"cross-platform\"")),
        (Some(_), Some(_)) => Err(invalid("attachment: not together with authenticator")),
    }
}

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorName::InvalidRequest, error.to_string())
}

impl Enrollments {
    /// The caller's enrollment at this path.
    pub(crate) fn find(&self, path: &str, caller: &Caller) -> Option<Rc<Enrollment>> {
        let token = path.strip_prefix(ENROLLMENT_PREFIX)?.strip_prefix('/')?;
        self.open.borrow().get(token).filter(|enrollment| enrollment.owner == caller.name).cloned()
    }

    /// A connection ended: enrollments that it owned end with it, and so does what it, as the agent, had before the user.
    pub(crate) fn connection_ended(&self, name: &OwnedUniqueName) {
        for enrollment in self.all() {
            if enrollment.owner == *name {
                enrollment.happens(Event::OwnerVanished);
            } else if enrollment.agent.borrow().as_ref().is_some_and(|agent| agent.owner == *name) {
                enrollment.happens(Event::AgentVanished);
            }
        }
    }

    /// Ends all.
    pub(crate) fn cancel_all(&self, reason: &Error) {
        for enrollment in self.all() {
            enrollment.failure.borrow_mut().get_or_insert_with(|| reason.clone());
            enrollment.happens(Event::Cancel);
        }
    }

    /// To be held while cards are checked against those that are there, and stored.
    pub(crate) fn storing(&self) -> Storing {
        Rc::clone(&self.storing)
    }

    /// Whether none is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    fn all(&self) -> Vec<Rc<Enrollment>> {
        self.open.borrow().values().cloned().collect()
    }

    fn forget(&self, enrollment: &Enrollment) {
        self.open.borrow_mut().retain(|_, open| open.path != enrollment.path);
    }
}

/// The object of one enrollment, for its owner.
#[derive(Debug)]
pub(crate) struct EnrollmentObject {
    wallet: Rc<Wallet>,
    enrollment: Rc<Enrollment>,
}

impl EnrollmentObject {
    /// The object.
    pub(crate) fn new(wallet: Rc<Wallet>, enrollment: Rc<Enrollment>) -> Self {
        Self { wallet, enrollment }
    }

    async fn start(&self) -> Result<(), Error> {
        seats::sits_here(&self.wallet.context, self.wallet.uid).await?;
        let state = self.enrollment.machine.borrow().state();
        if state != EnrollmentState::Created {
            return Err(refusal(&EnrollmentError::State(state)));
        }
        let agent = self.wallet.agents.serving(&self.enrollment.owner)?;
        let turn = self.wallet.floor.take()?;
        *self.enrollment.agent.borrow_mut() = Some(agent);
        self.enrollment.step(Event::Start).map_err(|error| refusal(&error))?;
        *self.enrollment.turn.borrow_mut() = Some(turn);
        Ok(())
    }

    async fn store_cards(&self, cards: &str) -> Result<Vec<OwnedObjectPath>, Error> {
        // What is long takes time to read, of which others wait; nobody has use for it yet, or any more.
        let state = self.enrollment.machine.borrow().state();
        if cards.len() > LONG && state != EnrollmentState::Attested {
            return Err(refusal(&EnrollmentError::State(state)));
        }
        let issued = IssuedCard::parse_all(cards).map_err(invalid)?;
        let (wallet, enrollment) = (&self.wallet, &self.enrollment);
        let _storing = enrollment.storing.lock().await;
        wallet.holdings.load(&wallet.vault).await?;
        let check = |view: fwp_wallet::payment::View<'_>| {
            let checked = enrollment.machine.borrow().check_cards(issued, view.cards)?;
            let present = view.cards.iter().map(|card| card.credential());
            let room = check_room(present.chain(checked.new.iter().map(|new| &new.credential)));
            Ok((checked, room))
        };
        let (cards, room) = wallet.holdings.view(check)?.map_err(|error| refusal(&error))?;
        room?;
        let (changes, ids) = self.changes(cards)?;
        let stored = wallet.vault.write(|store| store.commit(changes, Durability::Durable)).await;
        wallet.holdings.cards_changed();
        stored?;
        journal::tell(Notice::Enrolled, &format!("cards were stored: {}", ids.len()));
        enrollment.happens(Event::Stored);
        ids.into_iter().map(credentials::path).collect()
    }

    /// All cards or none.
    fn changes(&self, cards: CardsToStore) -> Result<(Changes, Vec<CardId>), Error> {
        let at_unix_ms = clock::now_ms();
        // Cards are taken after the key was made only.
        let unmade = AuthenticatorRef { kind: AuthenticatorKind::Software, aaguid: [0; 16] };
        let authenticator = self.enrollment.made_by.get().unwrap_or(unmade);
        let mut changes = Changes::new();
        for replaced in cards.replaced {
            let id = CardId::from_i64(replaced.0);
            changes.remove_card(id).audit(AuditEvent::new(at_unix_ms, AuditKind::CardDeleted).card(id));
        }
        let mut ids = Vec::new();
        for NewlyIssued { credential, providers } in cards.new {
            let label = label(&credential.card.payment_network_id);
            let credential = Arc::new(credential);
            let card = NewCard { credential, label, enrolled_unix_ms: at_unix_ms, authenticator, providers };
            let id = changes
                .add_card(card)
                .map_err(|error| Error::new(ErrorName::StoreUnusable, error.to_string()))?;
            changes.audit(AuditEvent::new(at_unix_ms, AuditKind::CardStored).card(id));
            ids.push(id);
        }
        Ok((changes, ids))
    }
}

/// What a card is called at first: its network's name; no account number.
fn label(payment_network_id: &str) -> String {
    payment_network_id.strip_prefix("https://").unwrap_or(payment_network_id).chars().take(200).collect()
}

fn refusal(error: &EnrollmentError) -> Error {
    let (name, text) = match error {
        EnrollmentError::State(state) => {
            (ErrorName::InvalidState, format!("the enrollment is {}", state_text(*state)))
        }
        EnrollmentError::RpId { .. } => (ErrorName::AccessDenied, error.to_string()),
        EnrollmentError::OtherKey { .. }
        | EnrollmentError::Twice { .. }
        | EnrollmentError::Present { .. }
        | EnrollmentError::Empty => (ErrorName::InvalidRequest, error.to_string()),
    };
    Error::new(name, text)
}

fn state_text(state: EnrollmentState) -> &'static str {
    match state {
        EnrollmentState::Created => "created",
        EnrollmentState::Interactive => "interactive",
        EnrollmentState::Attested => "attested",
        EnrollmentState::Closed => "closed",
    }
}

impl Object for EnrollmentObject {
    const INTERFACE: Interface = ENROLLMENT;

    async fn call(&self, member: &str, call: &Call) -> Result<Message, Failure> {
        match member {
            "Start" => {
                call.args::<()>()?;
                self.start().await?;
                call.reply(&())
            }
            "StoreCards" => call.reply(&self.store_cards(&call.args::<String>()?).await?),
            "Cancel" => {
                call.args::<()>()?;
                let _storing = self.enrollment.storing.lock().await;
                self.enrollment.step(Event::Cancel).map_err(|error| refusal(&error))?;
                call.reply(&())
            }
            _ => Err(Failure::UnknownMethod),
        }
    }

    fn properties(&self) -> Result<Properties, Failure> {
        Ok(vec![("State", variant(state_text(self.enrollment.machine.borrow().state()))?)])
    }
}
