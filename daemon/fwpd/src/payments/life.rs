//! Does what the life cycle of a payment wants done, one thing after the other, while the clock runs.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use fwp_dbus::interfaces::PAYMENT;
use fwp_dbus::types::{AuthorizeCard, AuthorizeRequest, StatusDetails};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::CardId;
use fwp_wallet::payment::{CloseReason, Effect, Event, PaymentState};
use fwp_wallet::{Approved, CardHandle, InvalidState, PaymentConsent};
use tokio::sync::mpsc;
use zbus::OwnedObjectPath;

use super::witness::Signature;
use super::{Payment, limits, outcome, signed_request, signing};
use crate::agents::{Agent, Unanswered};
use crate::authenticators::kind_of_card;
use crate::interrupts::{Interrupts, interrupts};
use crate::wallets::Wallet;
use crate::{clock, credentials};

/// Something to be done for a payment.
#[derive(Debug)]
pub(super) enum Task {
    /// Ask the user.
    Ask { turn: u32, consent: Arc<PaymentConsent>, interrupts: Interrupts },
    /// Have it signed.
    Authorize { turn: u32, approved: Approved, interrupts: Interrupts },
    /// Give the floor back.
    LeaveDesk { declined: bool },
    /// Hand the authorization over.
    Respond,
    /// It is over.
    Close(CloseReason),
}

impl Payment {
    /// Goes on with an event. Questions and ceremonies that are withdrawn end at once; the rest is done in order.
    ///
    /// # Errors
    /// [`InvalidState`]; nothing has changed then.
    pub(super) fn step(&self, event: Event<'_>) -> Result<(), InvalidState> {
        let effects = self.machine.borrow_mut().on(event, clock::moment())?;
        for effect in effects {
            let task = match effect {
                Effect::Withdraw { turn } | Effect::Cancel { turn } => {
                    let current = self.current.borrow_mut().take_if(|(running, _)| *running == turn);
                    if let Some((_, interrupter)) = current {
                        interrupter.interrupt(Error::new(ErrorName::Aborted, "the question was withdrawn"));
                    }
                    continue;
                }
                Effect::Ask { turn, consent } => Task::Ask { turn, consent, interrupts: self.runs(turn) },
                Effect::Authorize { turn, approved } => {
                    Task::Authorize { turn, approved, interrupts: self.runs(turn) }
                }
                Effect::LeaveDesk { declined } => Task::LeaveDesk { declined },
                Effect::Respond => Task::Respond,
                Effect::Close(reason) => Task::Close(reason),
            };
            // The receiver ends after Close, after which there are no effects.
            let _ = self.tasks.send(task);
        }
        Ok(())
    }

    /// As [`Payment::step`], for what is no call of the owner's: it fits any state, or has no effect.
    pub(super) fn happens(&self, event: Event<'_>) {
        if let Err(error) = self.step(event) {
            tracing::debug!(%error, "an event came too late");
        }
    }

    fn runs(&self, turn: u32) -> Interrupts {
        let (interrupter, interrupts) = interrupts();
        *self.current.borrow_mut() = Some((turn, interrupter));
        interrupts
    }

    fn deadline_ms(&self) -> Option<u64> {
        self.machine.borrow().deadline_ms()
    }

    pub(super) fn agent(&self) -> Option<Rc<Agent>> {
        self.agent.borrow().clone()
    }
}

/// The payment's life, from its creation to its end.
pub(super) async fn live(wallet: Rc<Wallet>, payment: Rc<Payment>, mut tasks: mpsc::UnboundedReceiver<Task>) {
    while let Some(task) = ticking(&payment, tasks.recv()).await {
        match task {
            Task::Ask { turn, consent, interrupts } => {
                ticking(&payment, ask(&wallet, &payment, turn, &consent, interrupts)).await;
            }
            Task::Authorize { turn, approved, interrupts } => {
                ticking(&payment, authorize(&wallet, &payment, turn, approved, interrupts)).await;
            }
            Task::LeaveDesk { declined } => {
                let turn = payment.turn.borrow_mut().take();
                if let Some(turn) = turn.filter(|_| declined) {
                    turn.declined();
                }
            }
            Task::Respond => respond(&wallet, &payment).await,
            Task::Close(reason) => return close(&wallet, &payment, reason).await,
        }
    }
}

/// Waits for something while the payment's deadlines are watched.
async fn ticking<T>(payment: &Payment, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = clock::until(payment.deadline_ms()) => payment.happens(Event::Tick),
        }
    }
}

/// Puts the payment before the user.
async fn ask(
    wallet: &Wallet,
    payment: &Payment,
    turn: u32,
    consent: &PaymentConsent,
    mut interrupts: Interrupts,
) {
    let Some(agent) = payment.agent() else { return payment.happens(Event::AgentVanished) };
    let question = (&payment.path, shown(consent), offered(wallet, consent));
    let answer: Result<(bool, OwnedObjectPath), _> =
        agent.ask("Authorize", &question, None, &mut interrupts).await;
    if let (true, Some(reached)) = (consent.cards().is_empty(), consent.limit_reached()) {
        *payment.failure.borrow_mut() = Some(limits::refusal(reached));
    } else if consent.cards().is_empty()
        && let Some(error) = signed_request::wrong_signature(consent)
    {
        *payment.failure.borrow_mut() = Some(error);
    }
    match answer {
        Ok((false, _)) | Err(Unanswered::Declined) => payment.happens(Event::Answered { turn, card: None }),
        Ok((true, path)) => match credentials::id_in(path.as_str()) {
            Some(id) => {
                payment.happens(Event::Answered { turn, card: Some(CardHandle(id.as_i64())) });
            }
            None => fail_agent(payment, "it answered with something that is no card"),
        },
        Err(Unanswered::Failed(reason)) => fail_agent(payment, &reason),
        Err(Unanswered::Gone) => payment.happens(Event::AgentVanished),
        // The life cycle has gone on already.
        Err(Unanswered::Interrupted(_) | Unanswered::Timeout) => {}
    }
}

fn fail_agent(payment: &Payment, reason: &str) {
    let error = Error::new(ErrorName::NoAgent, format!("the agent failed: {reason}"));
    *payment.failure.borrow_mut() = Some(error);
    payment.happens(Event::AgentVanished);
}

fn shown(consent: &PaymentConsent) -> AuthorizeRequest {
    AuthorizeRequest {
        payee_name: consent.payee_name().to_owned(),
        payee_host: consent.payee_host().as_str().to_owned(),
        amount: consent.amount().as_str().to_owned(),
        currency: consent.currency().as_str().to_owned(),
        request_id: consent.request_id().to_owned(),
        notices: consent.notices().iter().map(ToString::to_string).collect(),
        error: consent.retry_error().filter(|error| !error.is_empty()).map(str::to_owned),
        retry: consent.retry_error().is_some(),
        claimed_name: consent.moz_pay().map(|request| request.name().to_owned()),
        claimed_description: consent.moz_pay().map(|request| request.description().to_owned()),
        provider: consent.moz_pay().map(|request| request.typ().as_str().to_owned()),
    }
}

fn offered(wallet: &Wallet, consent: &PaymentConsent) -> Vec<AuthorizeCard> {
    let cards = consent.cards().iter().filter_map(|card| {
        let credential = card.credential();
        let authenticator = wallet.holdings.authenticator(card.handle()).map(kind_of_card);
        Some(AuthorizeCard {
            path: credentials::path(CardId::from_i64(card.handle().0)).ok()?,
            payment_network_id: credential.card.payment_network_id.clone(),
            issuer_id: credential.card.issuer_id.clone(),
            account_id: credential.card.account_id.as_str().to_owned(),
            serial_number: credential.card.serial_number.clone(),
            rp_id: credential.rp_id.as_str().to_owned(),
            authenticator: authenticator.unwrap_or_default().to_owned(),
        })
    });
    cards.collect()
}

/// Ties, signs and seals what the user said yes to.
async fn authorize(
    wallet: &Wallet,
    payment: &Payment,
    turn: u32,
    approved: Approved,
    mut interrupts: Interrupts,
) {
    payment.card.set(Some(approved.card().handle()));
    let signature = Signature::default();
    let delivery = signed_request::delivery(&approved);
    let may_be_signed = signed_request::check_time(approved.consent().moz_pay())
        .and_then(|()| limits::count(wallet, payment, &approved));
    let signed = match may_be_signed {
        Ok(()) => signing::sign(wallet, payment, approved, &signature, &mut interrupts).await,
        Err(error) => Err(error),
    };
    if signed.is_err() && !signature.may_exist() {
        limits::take_back(wallet, payment);
    }
    match signed {
        Ok(assertion) => {
            *payment.assertion.borrow_mut() = Some(assertion);
            *payment.delivery.borrow_mut() = delivery;
            payment.happens(Event::Signed { turn });
        }
        Err(error) => {
            let reason = outcome::reason_of(&error);
            payment.failure.borrow_mut().get_or_insert(error);
            payment.happens(Event::Failed { turn, reason });
        }
    }
}

/// Records the authorization and hands it over. It is recorded first, so that whoever has it finds it in the history.
async fn respond(wallet: &Wallet, payment: &Payment) {
    outcome::record_authorized(wallet, payment).await;
    let Some(assertion) = payment.assertion.borrow_mut().take() else { return };
    // Its owner may have withdrawn it while it was recorded; who was told that it is over gets nothing any more. The
    // request stays tied to the card.
    if payment.machine.borrow().state() == PaymentState::Closed {
        payment.withheld.set(true);
        return;
    }
    let body = assertion.to_json().to_string();
    wallet.context.tell(&payment.owner, &payment.path, PAYMENT, "Response", &body).await;
    if let Some(agent) = payment.agent() {
        let details = StatusDetails { payment: Some(payment.path.clone()), ..StatusDetails::default() };
        agent.status("authorized", &details).await;
    }
}

/// Records the end, takes the object away and tells its owner.
async fn close(wallet: &Wallet, payment: &Payment, reason: CloseReason) {
    drop(payment.turn.borrow_mut().take());
    wallet.payments.forget(payment);
    let end = outcome::of(reason, payment.failure.borrow_mut().take());
    outcome::record_closed(wallet, payment, reason, &end).await;
    wallet.context.tell_end(&payment.owner, &payment.path, PAYMENT, "Closed", &end).await;
    let Some(agent) = payment.agent() else { return };
    let mut details = StatusDetails { payment: Some(payment.path.clone()), ..StatusDetails::default() };
    match end {
        Ok(()) => agent.status("closed", &details).await,
        Err(error) => {
            details.reason = Some(error.name.as_str().to_owned());
            details.message = Some(error.message);
            agent.status("failed", &details).await;
        }
    }
}
