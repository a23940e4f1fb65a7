//! Payments as objects. Their life is decided by [`fwp_wallet::payment`]; `life` does what it wants done, `signing` makes
//! the authorization, `signed_request` reads what pages give to `navigator.mozPay`, `limits` holds keys in this computer to what they
//! may pay, `witness` knows whether there may be an
//! authorization that nobody got.

mod life;
mod limits;
mod outcome;
mod signed_request;
mod signing;
mod witness;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use fwp::json::Attributes;
use fwp::{FwpAssertion, PaymentRequest, PlatformData};
use fwp_dbus::interfaces::{Interface, PAYMENT, PAYMENT_PREFIX};
use fwp_dbus::types::{Delivery, PaymentOptions};
use fwp_dbus::{Error, ErrorName};
use fwp_store::Changes;
use fwp_store::record::HistoryId;
use fwp_wallet::limits::Spent;
use fwp_wallet::payment::{CompleteResult, Event, PaymentState, View};
use fwp_wallet::{CardHandle, InvalidState};
use tokio::sync::mpsc;
use zbus::names::OwnedUniqueName;
use zbus::{Message, OwnedObjectPath, Variant};

use crate::agents::Agent;
use crate::call::{Call, Caller, Failure};
use crate::floor::Turn;
use crate::interrupts::Interrupter;
use crate::objects::{Object, Properties, variant};
use crate::wallets::Wallet;
use crate::{claim_origin, clock, journal, seats, tokens};

/// Most UTF-16 code units of what a payee says was wrong.
const MAX_ERROR_TEXT: usize = 256;

/// The user's open payments.
#[derive(Debug, Default)]
pub(crate) struct Payments {
    open: RefCell<HashMap<String, Rc<Payment>>>,
}

/// One payment.
#[derive(Debug)]
pub(crate) struct Payment {
    path: OwnedObjectPath,
    owner: OwnedUniqueName,
    platform_data: PlatformData,
    machine: RefCell<fwp_wallet::Payment>,
    /// What is to be done, in order.
    tasks: mpsc::UnboundedSender<life::Task>,
    /// Who asks the user, since the last Show or Retry.
    agent: RefCell<Option<Rc<Agent>>>,
    /// The floor, while it is this payment's.
    turn: RefCell<Option<Turn>>,
    /// Ends the question or ceremony with this number.
    current: RefCell<Option<(u32, Interrupter)>>,
    /// The authorization that is about to be handed over.
    assertion: RefCell<Option<FwpAssertion>>,
    /// The last authorization was recorded and never handed out.
    withheld: Cell<bool>,
    /// More than the life cycle's reason tells of why it ended.
    failure: RefCell<Option<Error>>,
    /// To be committed with what is committed next.
    changes: RefCell<Changes>,
    card: Cell<Option<CardHandle>>,
    /// What is counted against the limits for the authorization that is being made.
    spent: Cell<Option<Spent>>,
    /// Something that was counted was taken back, and is to be committed.
    taken_back: Cell<bool>,
    history: Cell<Option<HistoryId>>,
    /// Where what was authorized goes, of a request of `navigator.mozPay`.
    delivery: RefCell<Option<Delivery>>,
}

/// Checks a request and makes the object.
///
/// # Errors
/// `InvalidRequest`, `AccessDenied`, `LimitsExceeded`.
pub(crate) async fn create(
    wallet: &Rc<Wallet>,
    caller: &Caller,
    payee_host: &str,
    method_data: &str,
    details: &str,
    options: PaymentOptions,
) -> Result<OwnedObjectPath, Error> {
    claim_origin::check(&wallet.context, caller).await?;
    let request = PaymentRequest::from_json(payee_host, method_data, details).map_err(invalid)?;
    open(wallet, caller, vec![request], options)
}

/// Checks requests of `navigator.mozPay` and makes the object.
///
/// # Errors
/// `InvalidRequest`, `AccessDenied`, `LimitsExceeded`.
pub(crate) async fn create_moz(
    wallet: &Rc<Wallet>,
    caller: &Caller,
    payee_host: &str,
    requests: &[String],
    options: PaymentOptions,
) -> Result<OwnedObjectPath, Error> {
    claim_origin::check(&wallet.context, caller).await?;
    let requests = signed_request::read(payee_host, requests)?;
    open(wallet, caller, requests, options)
}

/// Makes the object, for the first of these requests that fits.
fn open(
    wallet: &Rc<Wallet>,
    caller: &Caller,
    requests: Vec<PaymentRequest>,
    options: PaymentOptions,
) -> Result<OwnedObjectPath, Error> {
    let config = &wallet.context.config;
    let mut requests = requests.into_iter();
    let first = requests.next().ok_or_else(|| invalid("there is no request"))?;
    let machine = fwp_wallet::Payment::new(first, config.deadlines(), clock::moment()).or(requests.collect());
    let mut open = wallet.payments.open.borrow_mut();
    if open.len() >= config.limits.payments {
        journal::own_limit_reached("payments that are open");
        return Err(Error::new(ErrorName::LimitsExceeded, "too many payments are open; close one first"));
    }
    let (token, path) = tokens::new_object(PAYMENT_PREFIX)?;
    let (tasks, to_do) = mpsc::unbounded_channel();
    let os = &wallet.context.operating_system;
    let payment = Rc::new(Payment {
        path: path.clone(),
        owner: caller.name.clone(),
        platform_data: os.platform_data(options.user_agent_name, options.user_agent_version),
        machine: RefCell::new(machine),
        tasks,
        agent: RefCell::new(None),
        turn: RefCell::new(None),
        current: RefCell::new(None),
        assertion: RefCell::new(None),
        withheld: Cell::new(false),
        failure: RefCell::new(None),
        changes: RefCell::default(),
        card: Cell::new(None),
        spent: Cell::new(None),
        taken_back: Cell::new(false),
        history: Cell::new(None),
        delivery: RefCell::new(None),
    });
    open.insert(token, Rc::clone(&payment));
    wallet.context.work.spawn(wallet.uid, life::live(Rc::clone(wallet), payment, to_do));
    Ok(path)
}

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorName::InvalidRequest, error.to_string())
}

impl Payments {
    /// The caller's payment at this path.
    pub(crate) fn find(&self, path: &str, caller: &Caller) -> Option<Rc<Payment>> {
        let token = path.strip_prefix(PAYMENT_PREFIX)?.strip_prefix('/')?;
        self.open.borrow().get(token).filter(|payment| payment.owner == caller.name).cloned()
    }

    /// A connection ended: payments that it owned end with it, and so does what it, as the agent, had before the user.
    pub(crate) fn connection_ended(&self, name: &OwnedUniqueName) {
        for payment in self.all() {
            if payment.owner == *name {
                payment.happens(Event::OwnerVanished);
            } else if payment.agent.borrow().as_ref().is_some_and(|agent| agent.owner == *name) {
                payment.happens(Event::AgentVanished);
            }
        }
    }

    /// Ends all.
    pub(crate) fn abort_all(&self, reason: &Error) {
        for payment in self.all() {
            payment.failure.borrow_mut().get_or_insert_with(|| reason.clone());
            payment.happens(Event::Abort);
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// Whether none is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    fn all(&self) -> Vec<Rc<Payment>> {
        self.open.borrow().values().cloned().collect()
    }

    fn forget(&self, payment: &Payment) {
        self.open.borrow_mut().retain(|_, open| open.path != payment.path);
    }
}

/// The object of one payment, for its owner.
#[derive(Debug)]
pub(crate) struct PaymentObject {
    wallet: Rc<Wallet>,
    payment: Rc<Payment>,
}

impl PaymentObject {
    /// The object.
    pub(crate) fn new(wallet: Rc<Wallet>, payment: Rc<Payment>) -> Self {
        Self { wallet, payment }
    }

    async fn show(&self) -> Result<(), Failure> {
        self.in_state(PaymentState::Created)?;
        signed_request::check_time(self.payment.machine.borrow().request().moz_pay())?;
        self.before_the_user(None).await
    }

    async fn retry(&self, error_fields: &str) -> Result<(), Failure> {
        let error = error_text(error_fields)?;
        self.is_changeable()?;
        self.in_state(PaymentState::Authorized)?;
        self.before_the_user(Some(error)).await
    }

    /// Takes the floor and puts the payment before the user, for the first time or with the payee's text of what was
    /// wrong. What was refused has changed nothing.
    async fn before_the_user(&self, retry: Option<String>) -> Result<(), Failure> {
        let agents = &self.wallet.agents;
        agents.serving(&self.payment.owner)?;
        // Before a PIN is asked for: whatever authenticator it is, it belongs to whoever sits before the machine.
        seats::sits_here(&self.wallet.context, self.wallet.uid).await?;
        let turn = self.wallet.floor.take()?;
        self.wallet.holdings.load(&self.wallet.vault).await?;
        // The agent may have gone while the store was opened.
        *self.payment.agent.borrow_mut() = Some(agents.serving(&self.payment.owner)?);
        let shown = self.wallet.holdings.view(|view| {
            self.payment.step(match retry {
                None => Event::Show(view),
                Some(error) => Event::Retry { error, view },
            })
        })?;
        shown.map_err(invalid_state)?;
        *self.payment.turn.borrow_mut() = Some(turn);
        Ok(())
    }

    async fn update(&self, details: &str) -> Result<(), Failure> {
        self.is_changeable()?;
        let updated = self.payment.machine.borrow().request().updated(details).map_err(invalid)?;
        self.wallet.holdings.load(&self.wallet.vault).await?;
        if self.payment.machine.borrow().state() == PaymentState::Interactive {
            // The user is asked anew.
            self.wallet.floor.prompt()?;
        }
        let event = |view: View<'_>| self.payment.step(Event::Update(Box::new(updated), view));
        Ok(self.wallet.holdings.view(event)?.map_err(invalid_state)?)
    }

    fn complete(&self, result: &str) -> Result<(), Failure> {
        let result = match result {
            "success" => CompleteResult::Success,
            "fail" => CompleteResult::Fail,
            "unknown" => CompleteResult::Unknown,
            _ => return Err(invalid("result: it is \"success\", \"fail\" or \"unknown\"").into()),
        };
        Ok(self.payment.step(Event::Complete(result)).map_err(invalid_state)?)
    }

    /// What a shop signed is authorized as it is, once.
    fn is_changeable(&self) -> Result<(), Error> {
        match self.payment.machine.borrow().request().moz_pay() {
            None => Ok(()),
            Some(_) => Err(Error::new(
                ErrorName::InvalidState,
                "a request of navigator.mozPay can't be changed or asked for again: its shop makes a new one",
            )),
        }
    }

    /// Where what was authorized goes, while it is.
    fn delivery(&self) -> Delivery {
        let is_authorized = self.payment.machine.borrow().state() == PaymentState::Authorized;
        let delivery = self.payment.delivery.borrow();
        delivery.as_ref().filter(|_| is_authorized).cloned().unwrap_or_default()
    }

    fn in_state(&self, state: PaymentState) -> Result<(), Failure> {
        let present = self.payment.machine.borrow().state();
        if present == state { Ok(()) } else { Err(invalid_state(InvalidState { state: present }).into()) }
    }
}

fn invalid_state(error: InvalidState) -> Error {
    Error::new(ErrorName::InvalidState, format!("the payment is {}", state_text(error.state)))
}

fn state_text(state: PaymentState) -> &'static str {
    match state {
        PaymentState::Created => "created",
        PaymentState::Interactive => "interactive",
        PaymentState::Signing => "signing",
        PaymentState::Authorized => "authorized",
        PaymentState::Closed => "closed",
    }
}

/// The text that a payee has for the user (PaymentValidationErrors.error); empty if there is none.
fn error_text(error_fields: &str) -> Result<String, Error> {
    let mut fields = Attributes::parse("errorFields", error_fields).map_err(invalid)?;
    if !fields.has("error") {
        return Ok(String::new());
    }
    let text = fields.text("error").map_err(invalid)?;
    fwp::text::check_shown(&text, MAX_ERROR_TEXT)
        .map_err(|error| invalid(format!("errorFields.error: {error}")))?;
    Ok(text)
}

impl Object for PaymentObject {
    const INTERFACE: Interface = PAYMENT;

    async fn call(&self, member: &str, call: &Call) -> Result<Message, Failure> {
        match member {
            "Show" => {
                call.args::<()>()?;
                self.show().await?;
            }
            "Update" => self.update(&call.args::<String>()?).await?,
            "Abort" => {
                call.args::<()>()?;
                self.payment.step(Event::Abort).map_err(invalid_state)?;
            }
            "Retry" => self.retry(&call.args::<String>()?).await?,
            "Complete" => self.complete(&call.args::<String>()?)?,
            _ => return Err(Failure::UnknownMethod),
        }
        call.reply(&())
    }

    fn properties(&self) -> Result<Properties, Failure> {
        let Delivery { url, typ, request } = self.delivery();
        let entries = [("url", url), ("typ", typ), ("request", request)];
        let delivery: HashMap<&str, Variant<'_>> =
            entries.into_iter().filter_map(|(name, text)| Some((name, text?.into()))).collect();
        Ok(vec![
            ("State", variant(state_text(self.payment.machine.borrow().state()))?),
            ("Delivery", variant(delivery)?),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payees_error_text_is_shown_only_if_it_cannot_lie() {
        assert_eq!(error_text("{}").unwrap(), "");
        assert_eq!(error_text(r#"{"error": "Card expired", "payer": {}}"#).unwrap(), "Card expired");
        for bad in [r#"{"error": "a\u202eb"}"#, r#"{"error": "a\nb"}"#, r#"{"error": 1}"#, "[]", "x"] {
            assert_eq!(error_text(bad).unwrap_err().name, ErrorName::InvalidRequest, "{bad}");
        }
    }
}
