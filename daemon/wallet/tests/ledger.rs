//! One card per (payeeHost, requestId), for at least 660 s, whatever is done to the clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{BANKNET, at, cards, request, request_for};
use fwp::{Credential, PaymentRequest, RpId};
use fwp_wallet::ledger::HOLD_MS;
use fwp_wallet::payment::View;
use fwp_wallet::{
    Approved, Authorizable, Card, CardHandle, CardKey, CardTied, Deadlines, Effect, Event, Ledger, Moment,
    Notice, Payment,
};
use std::sync::Arc;

/// What the user says yes to, with this card.
fn approved(request: &PaymentRequest, card: i64, now: Moment) -> Approved {
    let (cards, ledger) = (cards(), Ledger::default());
    let mut payment = Payment::new(request.clone(), Deadlines::default(), now);
    payment.on(Event::Show(View { cards: &cards, ledger: &ledger, platform_keys: None }), now).unwrap();
    match payment.on(Event::Answered { turn: 1, card: Some(CardHandle(card)) }, now).unwrap().pop() {
        Some(Effect::Authorize { approved, .. }) => approved,
        other => panic!("{other:?}"),
    }
}

fn tie(
    ledger: &mut Ledger,
    request: &PaymentRequest,
    card: i64,
    now: Moment,
) -> Result<Authorizable, CardTied> {
    ledger.tie(approved(request, card, now), now)
}

#[test]
fn the_first_card_holds_and_another_is_refused_with_the_reason() {
    let mut ledger = Ledger::default();
    let order = request("order-1", "435.00");
    assert!(tie(&mut ledger, &order, 1, at(0)).unwrap().is_first());
    assert_eq!(tie(&mut ledger, &order, 2, at(30_500)).unwrap_err(), CardTied { seconds: 30 });
    assert!(!tie(&mut ledger, &order, 1, at(40_000)).unwrap().is_first());
    // Another total is the same request.
    assert!(tie(&mut ledger, &request("order-1", "1.00"), 2, at(41_000)).is_err());
    // Another id or another host is another.
    assert!(tie(&mut ledger, &request("order-2", "435.00"), 2, at(41_000)).is_ok());
    let elsewhere = request_for("other.example", "order-1", "435.00", &[BANKNET]);
    assert!(tie(&mut ledger, &elsewhere, 3, at(41_000)).is_ok());
}

#[test]
fn an_entry_is_held_for_660_s_after_its_last_use() {
    let mut ledger = Ledger::default();
    let order = request("order-1", "435.00");
    tie(&mut ledger, &order, 1, at(0)).unwrap();
    tie(&mut ledger, &order, 1, at(100_000)).unwrap();
    assert!(ledger.expire(at(100_000 + HOLD_MS)).is_empty());
    assert!(tie(&mut ledger, &order, 2, at(100_000 + HOLD_MS)).is_err());
    let gone = ledger.expire(at(100_001 + HOLD_MS));
    assert_eq!((gone.len(), gone[0].request_id.as_str()), (1, "order-1"));
    assert!(ledger.is_empty());
    tie(&mut ledger, &order, 2, at(100_001 + HOLD_MS)).unwrap();
}

#[test]
fn an_entry_that_was_held_long_enough_counts_for_nothing_even_before_it_is_let_go_of() {
    let mut ledger = Ledger::default();
    let order = request("order-1", "435.00");
    tie(&mut ledger, &order, 1, at(0)).unwrap();
    let later = at(HOLD_MS + 1);
    assert_eq!(ledger.tied_to(&order, later), None);
    assert!(ledger.notices(&order, later).is_empty());
    assert!(ledger.notices(&request("order-2", "435.00"), later).is_empty());
    assert!(tie(&mut ledger, &order, 2, later).unwrap().is_first());
    assert_eq!(ledger.tied_to(&order, later), Some(cards()[1].key()));
    assert!(ledger.expire(later).is_empty());
}

#[test]
fn setting_the_clock_does_not_shorten_it() {
    let order = request("order-1", "435.00");
    for step in [-1_000_000_000, 1_000_000_000i64] {
        let mut ledger = Ledger::default();
        tie(&mut ledger, &order, 1, at(0)).unwrap();
        let stepped = |ms| Moment { unix_ms: at(ms).unix_ms + step, ..at(ms) };
        assert!(ledger.expire(stepped(HOLD_MS)).is_empty());
        assert!(tie(&mut ledger, &order, 2, stepped(HOLD_MS)).is_err());
        assert_eq!(ledger.expire(stepped(HOLD_MS + 1)).len(), 1);
    }
}

#[test]
fn a_restart_or_a_reboot_does_not_shorten_it() {
    let order = request("order-1", "435.00");
    let mut ledger = Ledger::default();
    let entry = tie(&mut ledger, &order, 1, at(0)).unwrap().ledger_entry().clone();
    // After a reboot the clock that never steps begins anew, and the other one may be anywhere.
    for unix_ms in [0, at(0).unix_ms - 5_000_000, at(0).unix_ms + 5_000_000] {
        let booted = Moment { monotonic_ms: 7, unix_ms };
        let mut ledger = Ledger::restore([entry.clone()], booted);
        assert_eq!(ledger.tied_to(&order, booted), Some(cards()[0].key()));
        assert!(tie(&mut ledger, &order, 2, booted).is_err());
        let later = Moment { monotonic_ms: 7 + HOLD_MS, unix_ms };
        assert!(ledger.expire(later).is_empty());
        assert_eq!(ledger.expire(Moment { monotonic_ms: 8 + HOLD_MS, unix_ms }).len(), 1);
    }
}

#[test]
fn the_user_is_told_of_the_same_amount_under_another_id() {
    let mut ledger = Ledger::default();
    tie(&mut ledger, &request("order-1", "435.00"), 1, at(0)).unwrap();
    tie(&mut ledger, &request("order-2", "435.00"), 1, at(10_000)).unwrap();
    let now = at(20_000);
    let notices = |request: &PaymentRequest| ledger.notices(request, now);
    assert_eq!(notices(&request("order-3", "435.0")), [Notice::SameAmountBefore { seconds: 10 }]);
    assert_eq!(notices(&request("order-1", "435.00")), [Notice::SameRequestBefore { seconds: 20 }]);
    assert_eq!(notices(&request("order-3", "434.00")), []);
    assert_eq!(notices(&request_for("other.example", "order-3", "435.00", &[BANKNET])), []);
    let text = notices(&request("order-3", "435.00"))[0].to_string();
    assert!(text.starts_with("You authorized the same amount for this site 10 s ago"), "{text}");
}

#[test]
fn ages_are_shown_after_a_restart_as_far_as_the_clock_can_be_believed() {
    let mut ledger = Ledger::default();
    let order = request("order-1", "435.00");
    let entry = tie(&mut ledger, &order, 1, at(0)).unwrap().ledger_entry().clone();
    let restored = Ledger::restore([entry.clone()], at(30_000));
    assert_eq!(restored.notices(&order, at(35_000)), [Notice::SameRequestBefore { seconds: 35 }]);
    // A clock behind the entry says nothing about its age; what has passed since does.
    let behind = Moment { unix_ms: 0, ..at(30_000) };
    let restored = Ledger::restore([entry], behind);
    assert_eq!(restored.notices(&order, at(35_000)), [Notice::SameRequestBefore { seconds: 5 }]);
}

#[test]
fn what_was_never_handed_out_can_be_let_go_of() {
    let mut ledger = Ledger::default();
    let order = request("order-1", "435.00");
    let first = tie(&mut ledger, &order, 1, at(0)).unwrap();
    assert!(ledger.release(&first));
    assert!(!ledger.release(&first));
    tie(&mut ledger, &order, 2, at(1)).unwrap();
}

#[test]
fn what_was_authorized_before_or_since_is_not_let_go_of() {
    let mut ledger = Ledger::default();
    let order = request("order-1", "435.00");
    let first = tie(&mut ledger, &order, 1, at(0)).unwrap();
    let again = tie(&mut ledger, &order, 1, at(1)).unwrap();
    assert!(!ledger.release(&again));
    assert!(!ledger.release(&first));
    assert!(tie(&mut ledger, &order, 2, at(2)).is_err());
}

#[test]
fn a_card_is_known_by_what_it_is_and_shows_no_account_number() {
    let cards = cards();
    assert_ne!(cards[0].key(), cards[2].key());
    assert_eq!(cards[0].key(), CardKey::of(cards[0].credential()));
    assert_eq!(CardKey::from_bytes(*cards[0].key().as_bytes()), cards[0].key());
    assert!(!format!("{:?}", cards[0]).contains("account 1"));
}

/// Another issuer can write whatever it likes into its cards, the numbers of this one included: it is told apart by the
/// rpId, which it can't choose.
#[test]
fn a_card_of_another_rp_id_is_another_card_whatever_numbers_it_bears() {
    let genuine = &cards()[0];
    let rp_id = RpId::parse("imitator.example").unwrap();
    let imitation = Arc::new(Credential { rp_id, ..genuine.credential().clone() });
    assert_ne!(CardKey::of(&imitation), genuine.key());

    // So it can't authorize what was authorized with the genuine one, nor is it offered for a retry.
    let cards = [Arc::clone(genuine), Arc::new(Card::new(CardHandle(9), imitation))];
    let (order, mut ledger) = (request("order-1", "435.00"), Ledger::default());
    let mut payment = Payment::new(order.clone(), Deadlines::default(), at(0));
    payment.on(Event::Show(View { cards: &cards, ledger: &ledger, platform_keys: None }), at(0)).unwrap();
    tie(&mut ledger, &order, 1, at(0)).unwrap();
    let mut effects = payment.on(Event::Answered { turn: 1, card: Some(CardHandle(9)) }, at(1)).unwrap();
    let Some(Effect::Authorize { approved, .. }) = effects.pop() else { panic!("{effects:?}") };
    assert!(ledger.tie(approved, at(1)).is_err());
}
