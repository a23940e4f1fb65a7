//! Who asks the user, when, and how cards enter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{BANKNET, SUPERCARD, at, card_data, key};
use fwp::enrollment::{IssuedCard, Offer};
use fwp::{CredentialId, RpId};
use fwp_cose::SignatureAlgorithm;
use fwp_wallet::agent::{Agent, AgentKind, Registration, may_ask_for, register};
use fwp_wallet::enrollment::{
    CloseReason, Effect, Enrollment, EnrollmentConsent, EnrollmentError, EnrollmentState, Event, MadeKey,
    NewlyIssued,
};
use fwp_wallet::{Card, CardHandle, Deadlines, Desk, DeskRefusal};
use std::sync::Arc;

#[test]
fn one_thing_at_a_time_is_before_the_user() {
    let mut desk = Desk::default();
    desk.take("payment", at(0)).unwrap();
    assert_eq!(desk.take("another", at(0)), Err(DeskRefusal::Busy));
    // Only the one that has it can leave it.
    desk.leave(&"another");
    desk.declined(&"another", at(0), 2_000);
    assert_eq!(desk.occupant(), Some(&"payment"));
    desk.leave(&"payment");
    desk.take("another", at(0)).unwrap();
}

#[test]
fn after_no_there_is_a_pause() {
    let mut desk = Desk::default();
    desk.take("payment", at(0)).unwrap();
    desk.declined(&"payment", at(0), 2_000);
    assert_eq!(desk.take("another", at(500)), Err(DeskRefusal::CoolDown { wait_ms: 1_500 }));
    desk.take("another", at(2_000)).unwrap();
}

#[test]
fn agents_register_by_the_rules() {
    let agent = |owner, kind| Agent { owner, kind };
    let desktop = agent(":1.1", AgentKind::Desktop);
    let terminal = agent(":1.2", AgentKind::Terminal);
    // The first one, and the same connection again.
    assert_eq!(register(None, &terminal, false), Registration::Accept);
    assert_eq!(register(Some(&desktop), &desktop, false), Registration::Accept);
    // Nobody takes over without being let.
    assert_eq!(register(Some(&terminal), &desktop, false), Registration::AskPresent);
    assert_eq!(register(Some(&desktop), &terminal, false), Registration::AskPresent);
    assert_eq!(register(Some(&desktop), &agent(":1.3", AgentKind::Desktop), false), Registration::AskPresent);
    assert_eq!(
        register(Some(&terminal), &agent(":1.3", AgentKind::Terminal), false),
        Registration::AskPresent
    );
    // None while something is before the user.
    for present in [None, Some(&desktop), Some(&terminal)] {
        assert_eq!(register(present, &agent(":1.3", AgentKind::Desktop), true), Registration::Busy);
    }
}

#[test]
fn a_requester_is_its_own_agent_on_a_terminal_only() {
    let desktop = Agent { owner: ":1.1", kind: AgentKind::Desktop };
    let terminal = Agent { owner: ":1.2", kind: AgentKind::Terminal };
    assert!(!may_ask_for(&desktop, &":1.1"));
    assert!(may_ask_for(&desktop, &":1.9"));
    assert!(may_ask_for(&terminal, &":1.2"));
    assert!(may_ask_for(&terminal, &":1.9"));
}

fn offer() -> Offer {
    Offer {
        rp_id: RpId::parse("bank.example").unwrap(),
        rp_name: "Bank".to_owned(),
        user_id: vec![1],
        user_name: "jane".to_owned(),
        challenge: vec![0; 32],
        algorithms: vec![SignatureAlgorithm::Ed25519],
        attestation_url: None,
    }
}

fn enrollment(replace: bool) -> Enrollment {
    Enrollment::new(offer(), "online.bank.example", replace, Deadlines::default(), at(0)).unwrap()
}

fn made_key() -> MadeKey {
    MadeKey {
        credential_id: CredentialId::new(vec![9, 9]).unwrap(),
        public_key: key(),
        algorithm: SignatureAlgorithm::Ed25519,
    }
}

/// An enrollment whose key was made.
fn attested(replace: bool) -> Enrollment {
    let mut enrollment = enrollment(replace);
    enrollment.on(Event::Start, at(0)).unwrap();
    enrollment.on(Event::Consented { turn: 1, granted: true }, at(0)).unwrap();
    let effects = enrollment.on(Event::KeyMade { turn: 2, key: Box::new(made_key()) }, at(0)).unwrap();
    assert_eq!(effects, [Effect::LeaveDesk { declined: false }, Effect::Attest]);
    enrollment
}

fn issued(n: u32, network: &str) -> IssuedCard {
    IssuedCard { credential_id: made_key().credential_id, card: card_data(n, network), providers: Vec::new() }
}

#[test]
fn cards_enter_after_consent_for_the_key_that_was_made() {
    let mut enrollment = enrollment(false);
    assert_eq!(enrollment.state(), EnrollmentState::Created);
    let effects = enrollment.on(Event::Start, at(0)).unwrap();
    let consent = EnrollmentConsent {
        rp_id: offer().rp_id,
        host: "online.bank.example".to_owned(),
        issuer_name: "Bank".to_owned(),
        user_name: "jane".to_owned(),
        replace: false,
    };
    assert_eq!(effects, [Effect::Ask { turn: 1, consent }]);
    let effects = enrollment.on(Event::Consented { turn: 1, granted: true }, at(0)).unwrap();
    assert_eq!(effects, [Effect::MakeKey { turn: 2 }]);
    assert_eq!(enrollment.state(), EnrollmentState::Interactive);
    // No cards before there is a key.
    let early = enrollment.check_cards(vec![issued(1, BANKNET)], &[]);
    assert_eq!(early, Err(EnrollmentError::State(EnrollmentState::Interactive)));
    enrollment.on(Event::KeyMade { turn: 2, key: Box::new(made_key()) }, at(0)).unwrap();
    assert_eq!(enrollment.state(), EnrollmentState::Attested);
    let cards = enrollment.check_cards(vec![issued(1, BANKNET), issued(1, SUPERCARD)], &[]).unwrap();
    assert!(cards.replaced.is_empty());
    for NewlyIssued { credential, .. } in &cards.new {
        assert_eq!((&credential.rp_id, &credential.public_key), (&offer().rp_id, &key()));
    }
    assert_eq!(enrollment.on(Event::Stored, at(0)).unwrap(), [Effect::Close(CloseReason::Completed)]);
    assert!(enrollment.on(Event::Cancel, at(0)).is_err());
}

#[test]
fn an_rp_id_that_is_not_the_hosts_is_refused() {
    for host in ["evil.example", "notbank.example", "example", "bank.example.evil.org"] {
        let refused = Enrollment::new(offer(), host, false, Deadlines::default(), at(0)).unwrap_err();
        assert!(matches!(refused, EnrollmentError::RpId { .. }), "{host}");
    }
    Enrollment::new(offer(), "bank.example", false, Deadlines::default(), at(0)).unwrap();
}

#[test]
fn cards_for_another_key_are_refused() {
    let enrollment = attested(false);
    let mut other = issued(2, BANKNET);
    other.credential_id = CredentialId::new(vec![8]).unwrap();
    let refused = enrollment.check_cards(vec![issued(1, BANKNET), other], &[]);
    assert_eq!(refused, Err(EnrollmentError::OtherKey { index: 1 }));
    assert_eq!(enrollment.check_cards(vec![], &[]), Err(EnrollmentError::Empty));
}

#[test]
fn the_same_card_twice_is_refused() {
    let enrollment = attested(false);
    let refused = enrollment.check_cards(vec![issued(1, BANKNET), issued(1, BANKNET)], &[]);
    assert_eq!(refused, Err(EnrollmentError::Twice { index: 1 }));
}

#[test]
fn a_card_that_is_there_is_replaced_with_consent_only() {
    let there = attested(false).check_cards(vec![issued(1, BANKNET)], &[]).unwrap().new.remove(0).credential;
    let mut of_another_bank = there.clone();
    of_another_bank.rp_id = RpId::parse("other.example").unwrap();
    let mut same_account = there.clone();
    same_account.card.serial_number = "another".to_owned();
    let card = |handle, credential| Arc::new(Card::new(CardHandle(handle), Arc::new(credential)));
    let present = [card(1, of_another_bank), card(2, there), card(3, same_account)];
    let refused = attested(false).check_cards(vec![issued(2, BANKNET), issued(1, BANKNET)], &present);
    assert_eq!(refused, Err(EnrollmentError::Present { index: 1 }));
    let cards = attested(true).check_cards(vec![issued(2, BANKNET), issued(1, BANKNET)], &present).unwrap();
    assert_eq!((cards.new.len(), cards.replaced), (2, vec![CardHandle(2), CardHandle(3)]));
    // On another network it is another card.
    let cards = attested(false).check_cards(vec![issued(1, SUPERCARD)], &present).unwrap();
    assert!(cards.replaced.is_empty());
}

#[test]
fn an_enrollment_ends_from_anywhere_and_takes_nothing_late() {
    let mut declined = enrollment(false);
    declined.on(Event::Start, at(0)).unwrap();
    assert!(declined.on(Event::Consented { turn: 0, granted: true }, at(0)).unwrap().is_empty());
    let effects = declined.on(Event::Consented { turn: 1, granted: false }, at(0)).unwrap();
    assert_eq!(effects, [Effect::LeaveDesk { declined: true }, Effect::Close(CloseReason::Declined)]);
    let late = Event::KeyMade { turn: 2, key: Box::new(made_key()) };
    assert!(declined.on(late, at(0)).unwrap().is_empty());

    let mut making = enrollment(false);
    making.on(Event::Start, at(0)).unwrap();
    making.on(Event::Consented { turn: 1, granted: true }, at(0)).unwrap();
    assert_eq!(
        making.on(Event::OwnerVanished, at(0)).unwrap(),
        [
            Effect::CancelCeremony { turn: 2 },
            Effect::LeaveDesk { declined: false },
            Effect::Close(CloseReason::OwnerVanished)
        ]
    );

    let mut asked = enrollment(false);
    asked.on(Event::Start, at(0)).unwrap();
    let deadline = asked.deadline_ms().unwrap() - at(0).monotonic_ms;
    assert!(asked.on(Event::Tick, at(deadline)).unwrap().is_empty());
    assert_eq!(
        asked.on(Event::Tick, at(deadline + 1)).unwrap(),
        [
            Effect::Withdraw { turn: 1 },
            Effect::LeaveDesk { declined: false },
            Effect::Close(CloseReason::TimedOut)
        ]
    );

    let mut failed = enrollment(false);
    failed.on(Event::Start, at(0)).unwrap();
    assert!(matches!(
        failed.on(Event::Start, at(0)),
        Err(EnrollmentError::State(EnrollmentState::Interactive))
    ));
    failed.on(Event::Consented { turn: 1, granted: true }, at(0)).unwrap();
    let effects = failed.on(Event::Failed { turn: 2, declined: false }, at(0)).unwrap();
    assert_eq!(effects, [Effect::LeaveDesk { declined: false }, Effect::Close(CloseReason::Failed)]);

    let mut waiting = attested(false);
    assert!(waiting.on(Event::AgentVanished, at(0)).unwrap().is_empty());
    assert_eq!(waiting.on(Event::Cancel, at(0)).unwrap(), [Effect::Close(CloseReason::Aborted)]);
}
