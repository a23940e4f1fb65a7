//! The life of one payment.
//!
//! ```text
//!            Show              Answered(yes)          Signed              Complete
//!  Created ---------> Interactive ---------> Signing ---------> Authorized ---------> Closed
//!                        ^  | Update                                |
//!                        |__|                                       | Retry (same card only)
//!                        ^__________________________________________|
//!  Abort, a vanished owner and a deadline close from anywhere.
//! ```
//!
//! Each question to the user and each ceremony has a number; what is said to an old number is ignored. So a "yes" to a
//! total that was updated meanwhile counts for nothing.

use crate::card::{Card, CardHandle, CardKey, Fitting, matching};
use crate::consent::{Approved, Notice, PaymentConsent};
use crate::ledger::Ledger;
use crate::limits::PlatformKeys;
use crate::time::{Deadlines, Moment};
use fwp::PaymentRequest;
use std::sync::Arc;

/// One payment.
#[derive(Debug)]
pub struct Payment {
    request: PaymentRequest,
    /// Other requests that the user may be shown in its place, best first; until it is shown.
    alternatives: Vec<PaymentRequest>,
    deadlines: Deadlines,
    state: State,
    /// The card of the first authorization; no other is used for this payment after that.
    used: Option<CardKey>,
    /// Number of the last question or ceremony.
    turn: u32,
}

#[derive(Debug)]
enum State {
    Created { until_ms: u64 },
    Interactive { consent: Arc<PaymentConsent>, until_ms: u64 },
    Signing { card: CardKey, until_ms: u64 },
    Authorized { until_ms: u64 },
    Closed,
}

/// The state as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// Made, not shown.
    Created,
    /// Before the user.
    Interactive,
    /// The user said yes, the authenticator is asked.
    Signing,
    /// Handed over; Retry or Complete are next.
    Authorized,
    /// Over.
    Closed,
}

/// How the merchant completed (the W3C's PaymentComplete).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompleteResult {
    /// "success".
    Success,
    /// "fail".
    Fail,
    /// "unknown".
    Unknown,
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The owner wants it put before the user, who has these cards. Whoever sends this has the desk.
    Show(View<'a>),
    /// The owner has another total. The request comes from [`PaymentRequest::updated`].
    Update(Box<PaymentRequest>, View<'a>),
    /// The owner wants it authorized again. Whoever sends this has the desk.
    Retry {
        /// What it says was wrong; checked text, may be empty.
        error: String,
        /// The wallet as it is now.
        view: View<'a>,
    },
    /// The owner withdraws it.
    Abort,
    /// The owner is done with it.
    Complete(CompleteResult),
    /// The owner's connection is gone.
    OwnerVanished,
    /// The agent's connection is gone.
    AgentVanished,
    /// The user answered question `turn`: with a card, or no.
    Answered {
        /// Number of the question.
        turn: u32,
        /// The card; `None` is "no".
        card: Option<CardHandle>,
    },
    /// Ceremony `turn` made a signature, and the assertion is ready to be handed over.
    Signed {
        /// Number of the ceremony.
        turn: u32,
    },
    /// Ceremony `turn` failed, or the ledger refused.
    Failed {
        /// Number of the ceremony.
        turn: u32,
        /// Why.
        reason: CloseReason,
    },
    /// Time has passed.
    Tick,
}

/// The wallet, as a payment needs it in order to ask.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// All cards, oldest first.
    pub cards: &'a [Arc<Card>],
    /// The ledger.
    pub ledger: &'a Ledger,
    /// Cards whose keys are in this computer, and what those may pay; `None` if all are in security keys.
    pub platform_keys: Option<PlatformKeys<'a>>,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Ask the user this, and send [`Event::Answered`] with the number.
    Ask {
        /// Number of the question.
        turn: u32,
        /// What to show.
        consent: Arc<PaymentConsent>,
    },
    /// Take the question back.
    Withdraw {
        /// Number of the question.
        turn: u32,
    },
    /// Tie it ([`Ledger::tie`]), make the entry durable, have it signed, and send [`Event::Signed`] or
    /// [`Event::Failed`] with the number.
    Authorize {
        /// Number of the ceremony.
        turn: u32,
        /// What the user said yes to.
        approved: Approved,
    },
    /// Cancel the ceremony. What it may still make is not handed out; its tie is released.
    Cancel {
        /// Number of the ceremony.
        turn: u32,
    },
    /// Nothing is before the user any more; the desk is free.
    LeaveDesk {
        /// Whether that is because the user said no: then a pause follows.
        declined: bool,
    },
    /// Hand the assertion to the owner.
    Respond,
    /// Tell the owner that it is over.
    Close(CloseReason),
}

/// Why a payment is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The owner completed it.
    Completed(CompleteResult),
    /// The user said no.
    Declined,
    /// The owner withdrew it.
    Aborted,
    /// The owner's connection is gone.
    OwnerVanished,
    /// The agent's connection is gone.
    AgentVanished,
    /// No card fits; the user was told.
    NoMatchingCard,
    /// A signed request does not hold: its signature is wrong, and the user was told, or it expired.
    InvalidRequest,
    /// The request is tied to another card.
    CardTied,
    /// The keys in this computer are at a limit, and no other card fits; the user was told.
    LimitReached,
    /// A deadline passed.
    TimedOut,
    /// Too many wrong PINs.
    PinBlocked,
    /// There is no PIN yet.
    PinNotSet,
    /// No authenticator at hand holds the card's key.
    NoAuthenticator,
    /// The authenticator failed.
    AuthenticatorFailed,
    /// The store can't be written.
    StoreUnusable,
    /// A fault of our own.
    Internal,
}

/// The payment is not in a state in which it takes this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not possible in state {state:?}")]
pub struct InvalidState {
    /// The state that it is in.
    pub state: PaymentState,
}

impl Payment {
    /// A payment in state [`PaymentState::Created`].
    pub fn new(request: PaymentRequest, deadlines: Deadlines, now: Moment) -> Self {
        let state = State::Created { until_ms: now.after_ms(deadlines.show_ms) };
        Self { request, alternatives: Vec::new(), deadlines, state, used: None, turn: 0 }
    }

    /// A payment by one of several signed requests, each for another provider: by the first for which the user has a card when
    /// it is shown, else by `self`'s own.
    #[must_use]
    pub fn or(self, alternatives: Vec<PaymentRequest>) -> Self {
        Self { alternatives, ..self }
    }

    /// The request as it is now.
    pub fn request(&self) -> &PaymentRequest {
        &self.request
    }

    /// The state.
    pub fn state(&self) -> PaymentState {
        match self.state {
            State::Created { .. } => PaymentState::Created,
            State::Interactive { .. } => PaymentState::Interactive,
            State::Signing { .. } => PaymentState::Signing,
            State::Authorized { .. } => PaymentState::Authorized,
            State::Closed => PaymentState::Closed,
        }
    }

    /// Until when (monotonic milliseconds) something has to happen, lest [`Event::Tick`] close it.
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::Created { until_ms }
            | State::Interactive { until_ms, .. }
            | State::Signing { until_ms, .. }
            | State::Authorized { until_ms } => Some(until_ms),
            State::Closed => None,
        }
    }

    /// Goes on with `event`. An event that comes too late (an answer to an old question, a signature of a cancelled
    /// ceremony, anything that nobody asked for after the end) has no effect.
    ///
    /// # Errors
    /// [`InvalidState`] for a call of the owner that does not fit the state; nothing has changed then.
    pub fn on(&mut self, event: Event<'_>, now: Moment) -> Result<Vec<Effect>, InvalidState> {
        let refused = InvalidState { state: self.state() };
        // What a shop signed can't be changed, and what came of it is the provider's business.
        if self.request.moz_pay().is_some() && matches!(event, Event::Update(..) | Event::Retry { .. }) {
            return Err(refused);
        }
        Ok(match (event, &self.state) {
            (Event::Show(view), State::Created { .. }) => {
                self.choose_request(view);
                vec![self.ask(view, None, now)]
            }
            (Event::Retry { error, view }, State::Authorized { .. }) => {
                vec![self.ask(view, Some(error), now)]
            }

            (Event::Update(request, _), State::Created { .. }) => {
                self.request = *request;
                vec![]
            }
            (Event::Update(request, view), State::Interactive { consent, .. }) => {
                let retry = consent.retry_error().map(str::to_owned);
                let old = Effect::Withdraw { turn: self.turn };
                self.request = *request;
                vec![old, self.ask(view, retry, now)]
            }

            (Event::Answered { turn, card }, State::Interactive { consent, .. }) if turn == self.turn => {
                let consent = Arc::clone(consent);
                self.answered(consent, card, now)
            }
            (Event::Signed { turn }, State::Signing { card, .. }) if turn == self.turn => {
                self.used = Some(*card);
                self.state = State::Authorized { until_ms: now.after_ms(self.deadlines.complete_ms) };
                vec![Effect::LeaveDesk { declined: false }, Effect::Respond]
            }
            (Event::Failed { turn, reason }, State::Signing { .. }) if turn == self.turn => {
                self.state = State::Closed;
                vec![Effect::LeaveDesk { declined: reason == CloseReason::Declined }, Effect::Close(reason)]
            }

            (Event::Complete(result), State::Authorized { .. }) => self.close(CloseReason::Completed(result)),
            (Event::Abort, state) if !matches!(state, State::Closed) => self.close(CloseReason::Aborted),
            (Event::OwnerVanished, state) if !matches!(state, State::Closed) => {
                self.close(CloseReason::OwnerVanished)
            }
            (Event::AgentVanished, State::Interactive { .. } | State::Signing { .. }) => {
                self.close(CloseReason::AgentVanished)
            }
            (Event::Tick, _) if self.deadline_ms().is_some_and(|until_ms| now.monotonic_ms > until_ms) => {
                self.close(CloseReason::TimedOut)
            }

            // Calls of the owner, out of turn.
            (
                Event::Show(_) | Event::Retry { .. } | Event::Update(..) | Event::Complete(_) | Event::Abort,
                _,
            ) => {
                return Err(refused);
            }
            // What comes too late.
            _ => vec![],
        })
    }

    /// Takes the first of the requests that the user has a card for; whether its signature is good for that, the user is
    /// told.
    fn choose_request(&mut self, view: View<'_>) {
        let has_card = |request: &PaymentRequest| {
            let signed = request.moz_pay();
            signed.is_some_and(|signed| view.cards.iter().any(|card| card.provider(signed.typ()).is_some()))
        };
        let alternatives = std::mem::take(&mut self.alternatives);
        if !has_card(&self.request)
            && let Some(better) = alternatives.into_iter().find(has_card)
        {
            self.request = better;
        }
    }

    /// Puts the request as it is now before the user.
    fn ask(&mut self, view: View<'_>, retry: Option<String>, now: Moment) -> Effect {
        let Fitting { mut cards, wrong_signature } = matching(&self.request, view.cards);
        view.ledger.in_front(&self.request, &mut cards, now);
        // A retry is for the card that was used first, and for no other.
        if let Some(used) = self.used {
            cards.retain(|card| card.key() == used);
        }
        let mut notices = view.ledger.notices(&self.request, now);
        notices.extend(wrong_signature.map(Notice::WrongSignature));
        notices.extend(self.hold_to_limits(view, &mut cards, now));
        let consent = Arc::new(PaymentConsent::new(self.request.clone(), cards, notices, retry));
        self.turn += 1;
        let until_ms = now.after_ms(self.deadlines.answer_ms);
        self.state = State::Interactive { consent: Arc::clone(&consent), until_ms };
        Effect::Ask { turn: self.turn, consent }
    }

    /// Takes away the cards that may not pay this now, and gives the reason if there were any.
    fn hold_to_limits(&self, view: View<'_>, cards: &mut Vec<Arc<Card>>, now: Moment) -> Option<Notice> {
        let keys = view.platform_keys?;
        let prcd = self.request.prcd();
        let reached = keys.spending.check(keys.limits, &prcd.amount, &prcd.currency, now).err()?;
        let before = cards.len();
        cards.retain(|card| !keys.cards.contains(&card.handle()));
        (cards.len() < before).then_some(Notice::LimitReached(reached))
    }

    fn answered(
        &mut self,
        consent: Arc<PaymentConsent>,
        card: Option<CardHandle>,
        now: Moment,
    ) -> Vec<Effect> {
        let end = |reason, declined| vec![Effect::LeaveDesk { declined }, Effect::Close(reason)];
        if consent.cards().is_empty() {
            self.state = State::Closed;
            let reason = match (consent.limit_reached(), consent.wrong_signature()) {
                (Some(_), _) => CloseReason::LimitReached,
                (None, Some(_)) => CloseReason::InvalidRequest,
                (None, None) => CloseReason::NoMatchingCard,
            };
            return end(reason, false);
        }
        match card.map(|card| consent.approve(card)) {
            Some(Ok(approved)) => {
                self.turn += 1;
                let until_ms = now.after_ms(self.deadlines.sign_ms);
                self.state = State::Signing { card: approved.card().key(), until_ms };
                vec![Effect::Authorize { turn: self.turn, approved }]
            }
            // A card that was not shown: after a first authorization only its card is.
            Some(Err(_)) => {
                self.state = State::Closed;
                end(
                    if self.used.is_some() { CloseReason::CardTied } else { CloseReason::NoMatchingCard },
                    false,
                )
            }
            None => {
                self.state = State::Closed;
                end(CloseReason::Declined, true)
            }
        }
    }

    /// Ends whatever goes on.
    fn close(&mut self, reason: CloseReason) -> Vec<Effect> {
        let mut effects = Vec::new();
        match self.state {
            State::Interactive { .. } => effects.push(Effect::Withdraw { turn: self.turn }),
            State::Signing { .. } => effects.push(Effect::Cancel { turn: self.turn }),
            _ => {}
        }
        if matches!(self.state, State::Interactive { .. } | State::Signing { .. }) {
            effects.push(Effect::LeaveDesk { declined: false });
        }
        self.state = State::Closed;
        effects.push(Effect::Close(reason));
        effects
    }
}
