//! Random sequences of everything that can happen, against what must always hold (the formal analysis' two properties):
//!
//! * Intended payments: what is signed is what was shown last, with the card that was chosen, after a yes to exactly that.
//! * Uniqueness: no two authorizations for one (payeeHost, requestId) within 660 s that are handed out have two cards,
//!   whatever happens to owners, agents, clocks and the wallet itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{cards, details, platform, request};
use fwp::TimeStamp;
use fwp_wallet::payment::{CompleteResult, View};
use fwp_wallet::{
    Authorizable, Card, CardHandle, CardKey, CloseReason, Deadlines, Desk, Effect, Event, Ledger,
    LedgerEntry, Moment, Payment, PaymentConsent, PaymentState,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const AMOUNTS: [&str; 3] = ["435.00", "435.0", "1.00"];
const IDS: [&str; 2] = ["order-1", "order-2"];

/// One thing that happens. Payments are named by a number modulo how many there are.
#[derive(Clone, Debug)]
enum Step {
    Create { id: usize, amount: usize },
    Show(usize),
    Update { payment: usize, amount: usize },
    Retry(usize),
    Abort(usize),
    Complete(usize),
    OwnerVanished(usize),
    AgentVanished,
    Answer { card: Option<i64>, stale: bool },
    Signed { stale: bool },
    SigningFailed,
    TimePasses(u64),
    ClockIsSet(i64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        24 => (0..2usize, 0..3usize).prop_map(|(id, amount)| Step::Create { id, amount }),
        24 => (0..4usize).prop_map(Step::Show),
        3 => (0..4usize, 0..3usize).prop_map(|(payment, amount)| Step::Update { payment, amount }),
        12 => (0..4usize).prop_map(Step::Retry),
        2 => (0..4usize).prop_map(Step::Abort),
        2 => (0..4usize).prop_map(Step::Complete),
        2 => (0..4usize).prop_map(Step::OwnerVanished),
        1 => Just(Step::AgentVanished),
        40 => (prop::option::weighted(0.95, prop_oneof![9 => 1..4i64, 1 => Just(4)]), prop::bool::weighted(0.1))
            .prop_map(|(card, stale)| Step::Answer { card, stale }),
        40 => prop::bool::weighted(0.1).prop_map(|stale| Step::Signed { stale }),
        2 => Just(Step::SigningFailed),
        10 => prop_oneof![9 => 0..5_000u64, 1 => 100_000..400_000u64].prop_map(Step::TimePasses),
        2 => (-10_000_000..10_000_000i64).prop_map(Step::ClockIsSet),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..160)
}

/// The daemon around the machines, and what an onlooker who sees everything writes down.
struct World {
    cards: Vec<Arc<Card>>,
    payments: Vec<Payment>,
    desk: Desk<usize>,
    ledger: Ledger,
    /// What the store has.
    stored: BTreeMap<String, LedgerEntry>,
    /// The question before the user: payment, number, what is shown.
    question: Option<(usize, u32, Arc<PaymentConsent>)>,
    /// The ceremony that runs: payment, number, what is signed.
    ceremony: Option<(usize, u32, Authorizable)>,
    /// True time since the beginning, in milliseconds.
    true_ms: u64,
    /// When the machine booted.
    booted_ms: u64,
    /// What the other clock is wrong by.
    clock_error_ms: i64,
    /// Request, card, and when it was tied, of each authorization that was handed out.
    handed_out: Vec<(String, CardKey, u64)>,
}

impl World {
    fn new() -> Self {
        Self {
            cards: cards(),
            payments: Vec::new(),
            desk: Desk::default(),
            ledger: Ledger::default(),
            stored: BTreeMap::new(),
            question: None,
            ceremony: None,
            true_ms: 0,
            booted_ms: 0,
            clock_error_ms: 0,
            handed_out: Vec::new(),
        }
    }

    fn now(&self) -> Moment {
        Moment {
            monotonic_ms: self.true_ms - self.booted_ms,
            unix_ms: 1_790_000_000_000 + i64::try_from(self.true_ms).unwrap() + self.clock_error_ms,
        }
    }

    fn go(&mut self, step: Step) {
        let now = self.now();
        match step {
            Step::Create { id, amount } if self.payments.len() < 8 => {
                self.payments.push(Payment::new(
                    request(IDS[id], AMOUNTS[amount]),
                    Deadlines::default(),
                    now,
                ));
            }
            Step::Create { .. } => {}
            Step::Show(payment) => self.ask(payment, PaymentState::Created),
            Step::Retry(payment) => self.ask(payment, PaymentState::Authorized),
            Step::Update { payment, amount } => {
                let Some(index) = self.index(payment) else { return };
                let old = self.payments[index].request();
                let new = old.updated(&details(&old.prcd().request_id, AMOUNTS[amount])).unwrap();
                let view = View { cards: &self.cards, ledger: &self.ledger, platform_keys: None };
                let effects = self.payments[index].on(Event::Update(Box::new(new), view), now);
                self.act(index, effects.unwrap_or_default());
            }
            Step::Abort(payment) => self.tell(payment, Event::Abort),
            Step::Complete(payment) => self.tell(payment, Event::Complete(CompleteResult::Success)),
            Step::OwnerVanished(payment) => self.tell(payment, Event::OwnerVanished),
            Step::AgentVanished => {
                (0..self.payments.len()).for_each(|payment| self.tell(payment, Event::AgentVanished))
            }
            Step::Answer { card, stale } => {
                let Some((index, turn, _)) = self.question else { return };
                let turn = if stale { turn - 1 } else { turn };
                self.tell(index, Event::Answered { turn, card: card.map(CardHandle) });
                if stale {
                    assert!(self.question.is_some(), "a stale answer was taken");
                }
            }
            Step::Signed { stale } => {
                let Some((index, turn, _)) = self.ceremony else { return };
                self.tell(index, Event::Signed { turn: if stale { turn - 1 } else { turn } });
            }
            Step::SigningFailed => {
                let Some((index, turn, _)) = self.ceremony else { return };
                self.let_go();
                self.tell(index, Event::Failed { turn, reason: CloseReason::AuthenticatorFailed });
            }
            Step::TimePasses(ms) => {
                self.true_ms += ms;
                (0..self.payments.len()).for_each(|payment| self.tell(payment, Event::Tick));
                for entry in self.ledger.expire(self.now()) {
                    self.stored.remove(&entry.request_id);
                }
            }
            Step::ClockIsSet(error_ms) => self.clock_error_ms = error_ms,
            Step::Restart => {
                // At any instant, and perhaps of the whole machine. The store is all that is left.
                self.booted_ms = self.true_ms;
                let ledger = Ledger::restore(self.stored.values().cloned(), self.now());
                *self = Self {
                    ledger,
                    stored: std::mem::take(&mut self.stored),
                    handed_out: std::mem::take(&mut self.handed_out),
                    true_ms: self.true_ms,
                    booted_ms: self.booted_ms,
                    clock_error_ms: self.clock_error_ms,
                    cards: std::mem::take(&mut self.cards),
                    ..Self::new()
                };
            }
        }
    }

    fn index(&self, payment: usize) -> Option<usize> {
        payment.checked_rem(self.payments.len())
    }

    /// Takes the desk, then asks, as the daemon does.
    fn ask(&mut self, payment: usize, wanted: PaymentState) {
        let fitting: Vec<_> =
            (0..self.payments.len()).filter(|index| self.payments[*index].state() == wanted).collect();
        let Some(index) = payment.checked_rem(fitting.len()).map(|nth| fitting[nth]) else { return };
        let now = self.now();
        if self.desk.take(index, now).is_err() {
            return;
        }
        assert!(self.question.is_none() && self.ceremony.is_none(), "two things before the user");
        let view = View { cards: &self.cards, ledger: &self.ledger, platform_keys: None };
        let event = match wanted {
            PaymentState::Created => Event::Show(view),
            _ => Event::Retry { error: "again".to_owned(), view },
        };
        let effects = self.payments[index].on(event, now).unwrap();
        self.act(index, effects);
    }

    fn tell(&mut self, payment: usize, event: Event<'_>) {
        let Some(index) = self.index(payment) else { return };
        let chosen = match &event {
            Event::Answered { card, .. } => *card,
            _ => None,
        };
        let now = self.now();
        let effects = self.payments[index].on(event, now).unwrap_or_default();
        if let Some(Effect::Authorize { .. }) = effects.first() {
            assert!(chosen.is_some(), "authorized without a yes");
        }
        self.act(index, effects);
        if let (Some(chosen), Some((_, _, authorizable))) = (chosen, &self.ceremony) {
            assert_eq!(authorizable.card().handle(), chosen, "another card than the one that was chosen");
        }
    }

    fn act(&mut self, index: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Ask { turn, consent } => {
                    assert_eq!(self.desk.occupant(), Some(&index));
                    assert!(self.question.is_none(), "two questions at once");
                    self.question = Some((index, turn, consent));
                }
                Effect::Withdraw { turn } => {
                    let (whose, number, _) = self.question.take().expect("a question to withdraw");
                    assert_eq!((whose, number), (index, turn));
                }
                Effect::Authorize { turn, approved } => {
                    let (whose, _, shown) = self.question.take().expect("a question that was answered");
                    assert_eq!(whose, index);
                    assert_eq!(*approved.consent(), *shown, "approved something else than what was shown");
                    match self.ledger.tie(approved, self.now()) {
                        Ok(authorizable) => {
                            let entry = authorizable.ledger_entry().clone();
                            self.stored.insert(entry.request_id.clone(), entry);
                            self.ceremony = Some((index, turn, authorizable));
                        }
                        Err(_) => self.tell(index, Event::Failed { turn, reason: CloseReason::CardTied }),
                    }
                }
                Effect::Cancel { turn } => {
                    assert_eq!(
                        self.ceremony.as_ref().map(|(whose, number, _)| (*whose, *number)),
                        Some((index, turn))
                    );
                    self.let_go();
                }
                Effect::LeaveDesk { declined: true } => {
                    self.question = None;
                    self.desk.declined(&index, self.now(), Deadlines::default().cool_down_ms);
                }
                Effect::LeaveDesk { declined: false } => {
                    // Only a question that is answered for good is still there.
                    self.question = None;
                    self.desk.leave(&index);
                }
                Effect::Respond => self.respond(index),
                Effect::Close(_) => {
                    assert_ne!(self.desk.occupant(), Some(&index), "closed and still before the user")
                }
            }
        }
    }

    /// The ceremony ends without a signature that anybody gets.
    fn let_go(&mut self) {
        if let Some((_, _, authorizable)) = self.ceremony.take()
            && self.ledger.release(&authorizable)
        {
            self.stored.remove(&authorizable.ledger_entry().request_id);
        }
    }

    fn respond(&mut self, index: usize) {
        let (whose, _, authorizable) = self.ceremony.take().expect("a ceremony that made a signature");
        assert_eq!(whose, index);
        let (now, consent) = (self.now(), authorizable.consent());
        let time_stamp = TimeStamp::from_unix_ms(now.unix_ms, None).unwrap();
        let signed = authorizable.authorization_data(platform(), None, time_stamp).unwrap();
        assert_eq!(signed.payment_request.payee_name, consent.payee_name());
        assert_eq!(signed.payment_request.amount, *consent.amount());
        assert_eq!(signed.payment_request.currency, *consent.currency());
        assert_eq!(signed.payment_request.request_id, consent.request_id());
        assert_eq!(signed.payee_host, *consent.payee_host());
        assert_eq!(signed.serial_number, authorizable.card().credential().card.serial_number);
        assert_eq!(
            signed.payment_request,
            *self.payments[index].request().prcd(),
            "not the request as it is now"
        );
        let (id, card) = (consent.request_id().to_owned(), authorizable.card().key());
        for (earlier, other, when) in &self.handed_out {
            if *earlier == id && self.true_ms - when <= 660_000 {
                assert_eq!(*other, card, "two cards for one request");
            }
        }
        self.handed_out.push((id, card, self.true_ms));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_payments_are_intended_and_unique(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.go(step);
        }
    }
}

/// The sequences do reach what they are to test.
#[test]
fn random_sequences_reach_authorizations_retries_and_refusals() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut authorized, mut repeated) = (0, 0);
    for _ in 0..100 {
        let mut world = World::new();
        for step in steps().new_tree(&mut runner).unwrap().current() {
            world.go(step);
        }
        authorized += world.handed_out.len();
        let ids: std::collections::BTreeSet<_> = world.handed_out.iter().map(|(id, ..)| id).collect();
        repeated += world.handed_out.len() - ids.len();
    }
    assert!(authorized > 150 && repeated > 50, "{authorized} authorizations, {repeated} of them repeated");
}
