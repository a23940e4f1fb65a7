//! The life of a payment, step by step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{BANKNET, at, card, cards, details, platform, request, request_for};
use fwp::TimeStamp;
use fwp_wallet::payment::{CompleteResult, View};
use fwp_wallet::{
    Card, CardHandle, CloseReason, Deadlines, Effect, Event, InvalidState, Ledger, Notice, Payment,
    PaymentState,
};
use std::sync::Arc;

const DEADLINES: Deadlines =
    Deadlines { show_ms: 100, answer_ms: 200, sign_ms: 300, complete_ms: 400, cool_down_ms: 2_000 };

/// A payment with a wallet around it.
struct Scene {
    payment: Payment,
    cards: Vec<Arc<Card>>,
    ledger: Ledger,
}

impl Scene {
    fn new() -> Self {
        Self::with(request("order-1", "435.00"), cards(), Ledger::default())
    }

    fn with(request: fwp::PaymentRequest, cards: Vec<Arc<Card>>, ledger: Ledger) -> Self {
        Self { payment: Payment::new(request, DEADLINES, at(0)), cards, ledger }
    }

    fn on(&mut self, event: Event<'_>) -> Vec<Effect> {
        self.payment.on(event, at(0)).unwrap()
    }

    fn show(&mut self) -> Vec<Effect> {
        self.payment
            .on(Event::Show(View { cards: &self.cards, ledger: &self.ledger, platform_keys: None }), at(0))
            .unwrap()
    }

    fn update(&mut self, amount: &str) -> Vec<Effect> {
        let request = self.payment.request().updated(&details("order-1", amount)).unwrap();
        let view = View { cards: &self.cards, ledger: &self.ledger, platform_keys: None };
        self.payment.on(Event::Update(Box::new(request), view), at(0)).unwrap()
    }

    fn retry(&mut self, error: &str) -> Vec<Effect> {
        let view = View { cards: &self.cards, ledger: &self.ledger, platform_keys: None };
        self.payment.on(Event::Retry { error: error.to_owned(), view }, at(0)).unwrap()
    }

    /// Says yes to question `turn`, ties, and signs. Returns the amount that was signed.
    fn authorize(&mut self, turn: u32, card: i64) -> String {
        let mut effects = self.on(Event::Answered { turn, card: Some(CardHandle(card)) });
        let Some(Effect::Authorize { turn, approved }) = effects.pop() else { panic!("{effects:?}") };
        assert_eq!(self.payment.state(), PaymentState::Signing);
        let authorizable = self.ledger.tie(approved, at(0)).unwrap();
        let time_stamp = TimeStamp::from_unix_ms(at(0).unix_ms, None).unwrap();
        let data = authorizable.authorization_data(platform(), None, time_stamp).unwrap();
        assert_eq!(data.payment_request, *self.payment.request().prcd());
        assert!(matches!(
            self.on(Event::Signed { turn })[..],
            [Effect::LeaveDesk { declined: false }, Effect::Respond]
        ));
        data.payment_request.amount.as_str().to_owned()
    }
}

fn asked(effects: &[Effect]) -> (u32, Vec<i64>) {
    let Some(Effect::Ask { turn, consent }) = effects.last() else { panic!("{effects:?}") };
    (*turn, consent.cards().iter().map(|card| card.handle().0).collect())
}

#[test]
fn a_payment_is_shown_authorized_and_completed() {
    let mut scene = Scene::new();
    assert_eq!(scene.payment.state(), PaymentState::Created);
    let effects = scene.show();
    let Effect::Ask { turn, consent } = &effects[0] else { panic!("{effects:?}") };
    assert_eq!((consent.payee_name(), consent.payee_host().as_str()), ("Shop", "spaceshop.com"));
    assert_eq!((consent.amount().as_str(), consent.currency().as_str()), ("435.00", "EUR"));
    assert_eq!((consent.request_id(), consent.notices(), consent.retry_error()), ("order-1", &[][..], None));
    assert_eq!(scene.authorize(*turn, 2), "435.00");
    assert_eq!(scene.payment.state(), PaymentState::Authorized);
    let effects = scene.on(Event::Complete(CompleteResult::Success));
    assert!(matches!(effects[..], [Effect::Close(CloseReason::Completed(CompleteResult::Success))]));
    assert_eq!(scene.payment.state(), PaymentState::Closed);
}

#[test]
fn cards_are_offered_in_the_merchants_order_of_networks() {
    assert_eq!(asked(&Scene::new().show()).1, [2, 1, 3]);
    let only_one = request_for("spaceshop.com", "order-1", "1.00", &[BANKNET]);
    assert_eq!(asked(&Scene::with(only_one, cards(), Ledger::default()).show()).1, [1, 3]);
}

#[test]
fn without_a_card_that_fits_the_user_is_told_and_it_is_over() {
    let other = request_for("spaceshop.com", "order-1", "1.00", &["https://nobody.example"]);
    let mut scene = Scene::with(other, cards(), Ledger::default());
    let (turn, offered) = asked(&scene.show());
    assert!(offered.is_empty());
    let effects = scene.on(Event::Answered { turn, card: None });
    assert!(matches!(
        effects[..],
        [Effect::LeaveDesk { declined: false }, Effect::Close(CloseReason::NoMatchingCard)]
    ));
}

#[test]
fn no_is_no_and_a_pause_follows() {
    let mut scene = Scene::new();
    let (turn, _) = asked(&scene.show());
    let effects = scene.on(Event::Answered { turn, card: None });
    assert!(matches!(
        effects[..],
        [Effect::LeaveDesk { declined: true }, Effect::Close(CloseReason::Declined)]
    ));
}

#[test]
fn a_card_that_was_not_offered_is_not_taken() {
    let mut scene = Scene::new();
    scene.cards.truncate(2);
    let (turn, _) = asked(&scene.show());
    let effects = scene.on(Event::Answered { turn, card: Some(CardHandle(3)) });
    assert!(matches!(effects[..], [_, Effect::Close(CloseReason::NoMatchingCard)]), "{effects:?}");
}

#[test]
fn a_yes_to_a_total_that_was_updated_meanwhile_counts_for_nothing() {
    let mut scene = Scene::new();
    let (first, _) = asked(&scene.show());
    let effects = scene.update("500.00");
    assert!(matches!(effects[0], Effect::Withdraw { turn } if turn == first));
    let (second, _) = asked(&effects);
    assert!(scene.on(Event::Answered { turn: first, card: Some(CardHandle(1)) }).is_empty());
    assert_eq!(scene.payment.state(), PaymentState::Interactive);
    assert_eq!(scene.authorize(second, 1), "500.00");
}

#[test]
fn an_update_before_show_just_changes_the_total() {
    let mut scene = Scene::new();
    assert!(scene.update("7.00").is_empty());
    let (turn, _) = asked(&scene.show());
    assert_eq!(scene.authorize(turn, 1), "7.00");
}

#[test]
fn a_retry_is_for_the_card_that_was_used_and_for_no_other() {
    let mut scene = Scene::new();
    let (turn, _) = asked(&scene.show());
    scene.authorize(turn, 3);
    let effects = scene.retry("card is not accepted here");
    let Effect::Ask { turn, consent } = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(consent.retry_error(), Some("card is not accepted here"));
    assert_eq!(consent.notices(), [Notice::SameRequestBefore { seconds: 0 }]);
    assert_eq!(asked(&effects).1, [3]);
    // An updated total keeps both.
    let turn = *turn;
    let effects = scene.update("436.00");
    assert_eq!(asked(&effects).1, [3]);
    let Some(Effect::Ask { turn: second, consent }) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((*second, consent.retry_error()), (turn + 1, Some("card is not accepted here")));
    let effects = scene.on(Event::Answered { turn: turn + 1, card: Some(CardHandle(1)) });
    assert!(matches!(effects[..], [_, Effect::Close(CloseReason::CardTied)]), "{effects:?}");
}

#[test]
fn a_retry_with_the_same_card_is_authorized_again() {
    let mut scene = Scene::new();
    let (turn, _) = asked(&scene.show());
    scene.authorize(turn, 3);
    let (turn, _) = asked(&scene.retry(""));
    scene.authorize(turn, 3);
    assert_eq!(scene.payment.state(), PaymentState::Authorized);
}

#[test]
fn another_payment_for_the_same_request_is_tied_to_the_first_card() {
    let mut scene = Scene::new();
    let (turn, _) = asked(&scene.show());
    scene.authorize(turn, 3);
    let mut second = Scene::with(request("order-1", "435.00"), cards(), scene.ledger);
    // The card that may be used stands first.
    let (turn, offered) = asked(&second.show());
    assert_eq!(offered, [3, 2, 1]);
    let mut effects = second.on(Event::Answered { turn, card: Some(CardHandle(2)) });
    let Some(Effect::Authorize { turn, approved }) = effects.pop() else { panic!("{effects:?}") };
    let tied = second.ledger.tie(approved, at(5_000)).unwrap_err();
    assert_eq!(tied.seconds, 5);
    let effects = second.on(Event::Failed { turn, reason: CloseReason::CardTied });
    assert!(matches!(
        effects[..],
        [Effect::LeaveDesk { declined: false }, Effect::Close(CloseReason::CardTied)]
    ));
}

#[test]
fn abort_and_a_vanished_owner_end_it_from_anywhere() {
    let states: [fn(&mut Scene); 4] = [
        |_| {},
        |scene| {
            scene.show();
        },
        |scene| {
            let (turn, _) = asked(&scene.show());
            scene.on(Event::Answered { turn, card: Some(CardHandle(1)) });
        },
        |scene| {
            let (turn, _) = asked(&scene.show());
            scene.authorize(turn, 1);
        },
    ];
    for (index, prepare) in states.iter().enumerate() {
        for vanished in [false, true] {
            let mut scene = Scene::new();
            prepare(&mut scene);
            let effects = scene.on(if vanished { Event::OwnerVanished } else { Event::Abort });
            let reason = if vanished { CloseReason::OwnerVanished } else { CloseReason::Aborted };
            assert!(matches!(effects.last(), Some(Effect::Close(found)) if *found == reason));
            let kinds = effects.iter().map(|effect| match effect {
                Effect::Withdraw { .. } => "withdraw",
                Effect::Cancel { .. } => "cancel",
                Effect::LeaveDesk { declined: false } => "leave",
                Effect::Close(_) => "close",
                _ => "other",
            });
            let expected: &[&str] = match index {
                1 => &["withdraw", "leave", "close"],
                2 => &["cancel", "leave", "close"],
                _ => &["close"],
            };
            assert_eq!(kinds.collect::<Vec<_>>(), expected);
            assert_eq!(scene.payment.state(), PaymentState::Closed);
            // And after the end: nothing, or an error to the owner.
            assert!(scene.on(Event::OwnerVanished).is_empty());
            let again = scene.payment.on(Event::Abort, at(0));
            assert!(matches!(again, Err(InvalidState { state: PaymentState::Closed })));
        }
    }
}

#[test]
fn a_signature_that_comes_after_the_end_is_not_handed_out() {
    let mut scene = Scene::new();
    let (turn, _) = asked(&scene.show());
    let effects = scene.on(Event::Answered { turn, card: Some(CardHandle(1)) });
    let Some(Effect::Authorize { turn, .. }) = effects.last() else { panic!("{effects:?}") };
    let turn = *turn;
    scene.on(Event::Abort);
    assert!(scene.on(Event::Signed { turn }).is_empty());
    assert_eq!(scene.payment.state(), PaymentState::Closed);
}

#[test]
fn the_agent_going_away_ends_what_it_shows_and_nothing_else() {
    let mut scene = Scene::new();
    assert!(scene.on(Event::AgentVanished).is_empty());
    scene.show();
    let effects = scene.on(Event::AgentVanished);
    assert!(matches!(effects.last(), Some(Effect::Close(CloseReason::AgentVanished))));

    let mut scene = Scene::new();
    let (turn, _) = asked(&scene.show());
    scene.authorize(turn, 1);
    assert!(scene.on(Event::AgentVanished).is_empty());
    assert_eq!(scene.payment.state(), PaymentState::Authorized);
}

#[test]
fn every_state_has_a_deadline_and_only_it_ends_the_state() {
    let mut scene = Scene::new();
    let start = at(0).monotonic_ms;
    let expect = |scene: &mut Scene, ms: u64| {
        assert_eq!(scene.payment.deadline_ms(), Some(start + ms));
        assert!(scene.payment.on(Event::Tick, at(ms)).unwrap().is_empty());
    };
    expect(&mut scene, 100);
    let (turn, _) = asked(&scene.show());
    expect(&mut scene, 200);
    scene.authorize(turn, 1);
    expect(&mut scene, 400);
    let effects = scene.payment.on(Event::Tick, at(401)).unwrap();
    assert!(matches!(effects[..], [Effect::Close(CloseReason::TimedOut)]));
    assert_eq!(scene.payment.deadline_ms(), None);

    let mut scene = Scene::new();
    scene.show();
    let effects = scene.payment.on(Event::Tick, at(201)).unwrap();
    assert!(matches!(
        effects[..],
        [
            Effect::Withdraw { turn: 1 },
            Effect::LeaveDesk { declined: false },
            Effect::Close(CloseReason::TimedOut)
        ]
    ));
}

#[test]
fn calls_out_of_turn_are_errors_and_change_nothing() {
    let mut scene = Scene::new();
    let complete = scene.payment.on(Event::Complete(CompleteResult::Fail), at(0));
    assert!(matches!(complete, Err(InvalidState { state: PaymentState::Created })));
    let view = View { cards: &scene.cards, ledger: &scene.ledger, platform_keys: None };
    let retry = scene.payment.on(Event::Retry { error: String::new(), view }, at(0));
    assert!(matches!(retry, Err(InvalidState { state: PaymentState::Created })));
    let (turn, _) = asked(&scene.show());
    let view = View { cards: &scene.cards, ledger: &scene.ledger, platform_keys: None };
    assert!(matches!(
        scene.payment.on(Event::Show(view), at(0)),
        Err(InvalidState { state: PaymentState::Interactive })
    ));
    scene.authorize(turn, 1);
    let view = View { cards: &scene.cards, ledger: &scene.ledger, platform_keys: None };
    let update = Event::Update(Box::new(request("order-1", "1.00")), view);
    assert!(matches!(scene.payment.on(update, at(0)), Err(InvalidState { state: PaymentState::Authorized })));
    assert_eq!(scene.payment.request().prcd().amount.as_str(), "435.00");
}

#[test]
fn a_card_that_left_the_wallet_cannot_be_retried_with() {
    let mut scene = Scene::new();
    let (turn, _) = asked(&scene.show());
    scene.authorize(turn, 3);
    scene.cards = vec![card(1, BANKNET)];
    assert_eq!(asked(&scene.retry("")).1, [0i64; 0]);
}
