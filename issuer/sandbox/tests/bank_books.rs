//! The bank's memory, on its real SQLite books and with the clock in the test's hands: each authorization is booked at most
//! once, whatever arrives in parallel, again, changed, or after a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Card, FidoKey, UP_UV, enroll, space_shop};
use fwp::envelope::{IssuerRequest, PspRequest};
use fwp::{AuthorizationData, FwpAssertion, PayeeHost, PaymentRequest, SignedAuthorizationData, TimeStamp};
use fwp_sandbox::bank::{Bank, FIRST_BALANCE, PRODUCTS, Verdict};
use fwp_verifier::booking::{Books, Risk, Store};
use fwp_verifier::{Answer, Delivery, Refusal, Reply};
use std::path::Path;

/// 2026-01-01T00:00:00Z in milliseconds.
const NOW: i64 = 1_767_225_600_000;
const MERCHANT: &str = "psp/shop";

/// A bank in a directory of its own, with a card for a fresh ES256 key.
struct Fixture {
    dir: tempfile::TempDir,
    bank: Bank,
    card: Card,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let bank = Bank::open(dir.path(), None).unwrap();
    let card = enroll(&bank, FidoKey::es256, 7, NOW).remove(0);
    Fixture { dir, bank, card }
}

/// The envelope around an assertion, with time stamps of `at_ms`.
fn envelope(request: &PaymentRequest, assertion: FwpAssertion, at_ms: i64) -> IssuerRequest {
    let time_stamp = TimeStamp::from_unix_ms(at_ms, None).unwrap();
    IssuerRequest {
        psp_request: PspRequest {
            payment_request: request.prcd().clone(),
            fwp_assertion: assertion,
            receive_account: "DE89370400440532013000".into(),
            client_ip_address: "192.0.2.7".into(),
            time_stamp: time_stamp.clone(),
        },
        payee_host: request.payee_host().clone(),
        time_stamp,
    }
}

fn deliver_at(
    bank: &Bank,
    merchant: &str,
    transaction: &str,
    request: &IssuerRequest,
    now_ms: i64,
) -> Verdict {
    let text = request.to_json().to_string();
    bank.settle(&Delivery { merchant, transaction, issuer_request: &text }, now_ms).unwrap()
}

fn deliver(bank: &Bank, transaction: &str, request: &IssuerRequest) -> Verdict {
    deliver_at(bank, MERCHANT, transaction, request, NOW)
}

fn booked(reference: &str, duplicate: bool) -> Verdict {
    Verdict::Settled(Reply {
        answer: Answer::Booked { reference: reference.into() },
        duplicate,
        risk: Risk::default(),
    })
}

fn refused(refusal: Refusal) -> Verdict {
    Verdict::Refused(refusal)
}

/// What was paid from the first account, in cents.
fn paid(bank: &Bank) -> i64 {
    FIRST_BALANCE.0 - bank.books.balance(&PRODUCTS[0].account()).unwrap().unwrap().0
}

#[test]
fn the_same_delivery_gets_the_same_answer_again() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let request = space_shop("1", "435.00");
    let delivery = envelope(&request, card.pay(&request, NOW, 1), NOW);
    assert_eq!(deliver(&bank, "t1", &delivery), booked("B-000001", false));
    assert_eq!(deliver(&bank, "t1", &delivery), booked("B-000001", true));
    assert_eq!(deliver_at(&bank, MERCHANT, "t1", &delivery, NOW + 599_000), booked("B-000001", true));
    assert_eq!((paid(&bank), bank.books.booking_count().unwrap()), (43_500, 1));
}

#[test]
fn the_same_authorization_in_any_other_envelope_is_a_replay() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let request = space_shop("1", "435.00");
    let first = envelope(&request, card.pay(&request, NOW, 1), NOW);
    assert_eq!(deliver(&bank, "t1", &first), booked("B-000001", false));

    let mut account = first.clone();
    account.psp_request.receive_account = "SE35 5000 0000 0549 1000 0003".into();
    let mut address = first.clone();
    address.psp_request.client_ip_address = "192.0.2.8".into();
    let later = envelope(&request, first.psp_request.fwp_assertion.clone(), NOW + 1000);
    for changed in [&account, &address, &later] {
        assert_eq!(deliver(&bank, "t1", changed), refused(Refusal::Replay));
    }
    assert_eq!(deliver(&bank, "t2", &first), refused(Refusal::Replay), "another transaction");
    assert_eq!(
        deliver_at(&bank, "psp/other", "t1", &first, NOW),
        refused(Refusal::Replay),
        "another merchant"
    );
    assert_eq!(bank.books.booking_count().unwrap(), 1);
}

#[test]
fn the_same_sad_encrypted_again_is_a_replay() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let request = space_shop("1", "435.00");
    let sad = card.signed(card.authorization(&request, NOW), 1);
    assert_eq!(
        deliver(&bank, "t1", &envelope(&request, card.assertion(&sad), NOW)),
        booked("B-000001", false)
    );
    assert_eq!(
        deliver(&bank, "t1", &envelope(&request, card.assertion(&sad), NOW)),
        refused(Refusal::Replay)
    );
}

/// The twin (r, n - s) of an ECDSA signature, in DER.
fn twin(signature: &[u8]) -> Vec<u8> {
    let signature = p256::ecdsa::Signature::from_der(signature).unwrap();
    let (r, _) = signature.split_bytes();
    p256::ecdsa::Signature::from_scalars(r, -*signature.s()).unwrap().to_der().as_bytes().to_vec()
}

#[test]
fn the_malleable_twin_of_a_signature_is_a_replay() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let request = space_shop("1", "435.00");
    let sad = card.signed(card.authorization(&request, NOW), 1);
    let other = card
        .authorization(&request, NOW)
        .signed(sad.authenticator_data().to_vec(), twin(sad.signature()))
        .unwrap();
    assert_ne!(sad.encode(), other.encode());
    assert_eq!(
        deliver(&bank, "t1", &envelope(&request, card.assertion(&sad), NOW)),
        booked("B-000001", false)
    );
    assert_eq!(
        deliver(&bank, "t1", &envelope(&request, card.assertion(&other), NOW)),
        refused(Refusal::Replay)
    );
    assert_eq!(bank.books.booking_count().unwrap(), 1);

    // It is a good signature all the same: alone, and first, it is booked.
    let request = space_shop("2", "435.00");
    let sad = card.signed(card.authorization(&request, NOW), 2);
    let other =
        card.authorization(&request, NOW).signed(sad.authenticator_data().to_vec(), twin(sad.signature()));
    let other = card.assertion(&other.unwrap());
    assert_eq!(deliver(&bank, "t2", &envelope(&request, other, NOW)), booked("B-000002", false));
}

#[test]
fn a_malleable_ed25519_signature_is_no_signature() {
    let dir = tempfile::tempdir().unwrap();
    let bank = Bank::open(dir.path(), None).unwrap();
    let card = enroll(&bank, FidoKey::ed25519, 7, NOW).remove(0);
    let request = space_shop("1", "435.00");
    let sad = card.signed(card.authorization(&request, NOW), 1);
    // S + L, L being the order of the group: the same modulo L (RFC 8032 section 5.1.7 demands S < L).
    let order = data_encoding::HEXLOWER
        .decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        .unwrap();
    let mut signature = sad.signature().to_vec();
    let mut carry = 0u16;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    let changed =
        card.authorization(&request, NOW).signed(sad.authenticator_data().to_vec(), signature).unwrap();
    let verdict = deliver(&bank, "t1", &envelope(&request, card.assertion(&changed), NOW));
    assert!(matches!(verdict, Verdict::Refused(Refusal::Signature(_))), "{verdict:?}");
    assert_eq!(
        deliver(&bank, "t1", &envelope(&request, card.assertion(&sad), NOW)),
        booked("B-000001", false)
    );
}

/// Opens `count` banks on the same books and delivers from as many threads at once.
fn in_parallel(dir: &Path, count: usize, work: impl Fn(&Bank, usize) -> Verdict + Sync) -> Vec<Verdict> {
    let start = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|index| {
                let (start, work) = (&start, &work);
                scope.spawn(move || {
                    let bank = Bank::open(dir, None).unwrap();
                    start.wait();
                    work(&bank, index)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn parallel_deliveries_of_one_authorization_book_once() {
    let Fixture { dir, bank, card } = fixture();
    let request = space_shop("1", "435.00");
    let delivery = envelope(&request, card.pay(&request, NOW, 1), NOW);
    let verdicts = in_parallel(dir.path(), 16, |bank, index| deliver(bank, &format!("t{index}"), &delivery));
    let count = |wanted: &Verdict| verdicts.iter().filter(|verdict| *verdict == wanted).count();
    assert_eq!(count(&booked("B-000001", false)), 1, "{verdicts:?}");
    assert_eq!(count(&refused(Refusal::Replay)), 15, "{verdicts:?}");
    assert_eq!((paid(&bank), bank.books.booking_count().unwrap()), (43_500, 1));
}

#[test]
fn parallel_retries_of_one_delivery_book_once_and_all_learn_it() {
    let Fixture { dir, bank, card } = fixture();
    let request = space_shop("1", "435.00");
    let delivery = envelope(&request, card.pay(&request, NOW, 1), NOW);
    let verdicts = in_parallel(dir.path(), 16, |bank, _| deliver(bank, "t1", &delivery));
    let count = |wanted: &Verdict| verdicts.iter().filter(|verdict| *verdict == wanted).count();
    assert_eq!(count(&booked("B-000001", false)), 1, "{verdicts:?}");
    assert_eq!(count(&booked("B-000001", true)), 15, "{verdicts:?}");
    assert_eq!((paid(&bank), bank.books.booking_count().unwrap()), (43_500, 1));
}

#[test]
fn parallel_authorizations_of_one_request_book_once() {
    let Fixture { dir, bank, card } = fixture();
    let request = space_shop("1", "435.00");
    let deliveries: Vec<_> =
        (0..16).map(|index| envelope(&request, card.pay(&request, NOW, 1 + index), NOW)).collect();
    let verdicts =
        in_parallel(dir.path(), 16, |bank, index| deliver(bank, &format!("t{index}"), &deliveries[index]));
    let fresh = |verdict: &&Verdict| matches!(verdict, Verdict::Settled(Reply { duplicate: false, .. }));
    assert_eq!(verdicts.iter().filter(fresh).count(), 1, "{verdicts:?}");
    assert_eq!(
        verdicts.iter().filter(|verdict| **verdict == booked("B-000001", true)).count(),
        15,
        "{verdicts:?}"
    );
    assert_eq!((paid(&bank), bank.books.booking_count().unwrap()), (43_500, 1));
}

#[test]
fn a_restart_between_changes_nothing() {
    let Fixture { dir, bank, card } = fixture();
    let request = space_shop("1", "435.00");
    let delivery = envelope(&request, card.pay(&request, NOW, 1), NOW);
    assert_eq!(deliver(&bank, "t1", &delivery), booked("B-000001", false));
    drop(bank);
    let bank = Bank::open(dir.path(), None).unwrap();
    assert_eq!(deliver(&bank, "t1", &delivery), booked("B-000001", true));
    assert_eq!(deliver(&bank, "t2", &delivery), refused(Refusal::Replay));
    let again = envelope(&request, card.pay(&request, NOW, 2), NOW);
    assert_eq!(deliver(&bank, "t3", &again), booked("B-000001", true));
    assert_eq!(paid(&bank), 43_500);
}

#[test]
fn a_new_authorization_of_a_booked_request_gets_the_first_answer_and_another_amount_is_a_conflict() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let request = space_shop("1", "435.00");
    let pay = |request: &PaymentRequest, count| envelope(request, card.pay(request, NOW, count), NOW);
    assert_eq!(deliver(&bank, "t1", &pay(&request, 1)), booked("B-000001", false));
    let second = pay(&request, 2);
    assert_eq!(deliver(&bank, "t2", &second), booked("B-000001", true));
    assert_eq!(deliver(&bank, "t2", &second), booked("B-000001", true), "idempotent too");
    assert_eq!(deliver(&bank, "t3", &second), refused(Refusal::Replay), "and used up");
    for amount in ["435.01", "1.00", "435.0"] {
        assert_eq!(
            deliver(&bank, "t4", &pay(&space_shop("1", amount), 3)),
            refused(Refusal::Conflict),
            "{amount}"
        );
    }
    assert_eq!(
        deliver(&bank, "t5", &pay(&space_shop("2", "1.00"), 4)),
        booked("B-000002", false),
        "another ID"
    );
    let elsewhere = pay(&request, 5);
    assert_eq!(
        deliver_at(&bank, "psp/other", "t6", &elsewhere, NOW),
        booked("B-000003", false),
        "another merchant"
    );
    assert_eq!(paid(&bank), 43_500 + 100 + 43_500);
}

#[test]
fn uniqueness_ends_after_a_day() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let request = space_shop("1", "435.00");
    let day = 24 * 3_600_000;
    for (count, at, expected) in [
        (1, NOW, booked("B-000001", false)),
        (2, NOW + day - 1000, booked("B-000001", true)),
        (3, NOW + day, booked("B-000002", false)),
    ] {
        let delivery = envelope(&request, card.pay(&request, at, count), at);
        assert_eq!(deliver_at(&bank, MERCHANT, &format!("t{count}"), &delivery, at), expected);
    }
}

#[test]
fn a_declined_payment_does_not_use_the_request_up() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let declined = |reason: &str, duplicate| {
        let answer = Answer::Declined { reason: reason.into() };
        Verdict::Settled(Reply { answer, duplicate, risk: Risk::default() })
    };
    let too_much = space_shop("1", "10000.01");
    let first = envelope(&too_much, card.pay(&too_much, NOW, 1), NOW);
    assert_eq!(deliver(&bank, "t1", &first), declined("insufficient funds", false));
    assert_eq!(deliver(&bank, "t1", &first), declined("insufficient funds", true));
    assert_eq!(
        deliver(&bank, "t2", &first),
        refused(Refusal::Replay),
        "the authorization is used up all the same"
    );
    for (count, amount, reason) in
        [(2, "0.001", "the amount is not in whole cents"), (3, "0.00", "there is nothing to pay")]
    {
        let request = space_shop("1", amount);
        let delivery = envelope(&request, card.pay(&request, NOW, count), NOW);
        assert_eq!(deliver(&bank, "t3", &delivery), declined(reason, false));
    }
    assert_eq!((paid(&bank), bank.books.booking_count().unwrap()), (0, 0));

    let request = space_shop("1", "10000.00");
    let delivery = envelope(&request, card.pay(&request, NOW, 4), NOW);
    assert_eq!(deliver(&bank, "t4", &delivery), booked("B-000001", false));
    assert_eq!(paid(&bank), FIRST_BALANCE.0);
}

#[test]
fn an_authorization_is_good_for_less_than_600_s_and_at_most_60_s_early() {
    for (late_ms, expected) in [
        (599_999, booked("B-000001", false)),
        (600_000, refused(Refusal::Expired)),
        (-59_999, booked("B-000001", false)),
        (-60_000, refused(Refusal::FromTheFuture)),
        (-120_000, refused(Refusal::FromTheFuture)),
    ] {
        let Fixture { dir: _dir, bank, card } = fixture();
        let request = space_shop("1", "1.00");
        let delivery = envelope(&request, card.pay(&request, NOW, 1), NOW + late_ms);
        assert_eq!(deliver_at(&bank, MERCHANT, "t1", &delivery, NOW + late_ms), expected, "{late_ms}");
    }
}

#[test]
fn envelopes_are_good_for_600_s_either_way() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let request = space_shop("1", "1.00");
    let good = envelope(&request, card.pay(&request, NOW, 1), NOW);
    let code = |request: &IssuerRequest| match deliver(&bank, "t1", request) {
        Verdict::Refused(refusal) => refusal.code(),
        Verdict::Settled(_) => "settled",
    };
    for off in [-600_000, 600_000, -86_400_000] {
        let mut psp = good.clone();
        psp.time_stamp = TimeStamp::from_unix_ms(NOW + off, None).unwrap();
        let mut shop = good.clone();
        shop.psp_request.time_stamp = TimeStamp::from_unix_ms(NOW + off, None).unwrap();
        assert_eq!((code(&psp), code(&shop)), ("envelope-time", "envelope-time"), "{off}");
    }
    let mut slow = good;
    slow.time_stamp = TimeStamp::from_unix_ms(NOW - 599_000, None).unwrap();
    slow.psp_request.time_stamp = TimeStamp::from_unix_ms(NOW + 599_000, None).unwrap();
    assert_eq!(code(&slow), "settled");
}

#[test]
fn a_step_of_the_clock_opens_no_gap_for_replays() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let request = space_shop("1", "1.00");
    let first = envelope(&request, card.pay(&request, NOW, 1), NOW);
    assert_eq!(deliver(&bank, "t1", &first), booked("B-000001", false));
    // The clock runs ahead by an hour, entries are cleared out, and it is set right again.
    let ahead = NOW + 3_600_000;
    let other = space_shop("2", "1.00");
    let meanwhile = envelope(&other, card.pay(&other, ahead, 2), ahead);
    assert_eq!(deliver_at(&bank, MERCHANT, "t2", &meanwhile, ahead), booked("B-000002", false));
    assert_eq!(deliver(&bank, "t3", &first), refused(Refusal::Replay));

    // Entries don't stay for ever: beyond expiry and margin they are gone.
    let esad = &first.psp_request.fwp_assertion.user_authorization;
    let sad = fwp_verifier::open_and_verify(esad, &bank.keys.ring).unwrap();
    let kept = |bank: &Bank| {
        let entry = bank.books.transaction(|books| books.replay_entry(&sad.replay_key()));
        entry.unwrap().is_some()
    };
    assert!(kept(&bank));
    let much_later = NOW + 600_000 + 3_600_000 + 1;
    let third = space_shop("3", "1.00");
    let delivery = envelope(&third, card.pay(&third, much_later, 3), much_later);
    assert_eq!(deliver_at(&bank, MERCHANT, "t4", &delivery, much_later), booked("B-000003", false));
    assert!(!kept(&bank));
}

#[test]
fn a_counter_that_does_not_go_up_is_reported_and_not_refused() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let mut expected = Vec::new();
    let mut got = Vec::new();
    for (id, (count, stepped_back)) in
        [(5, false), (6, false), (6, true), (3, true), (7, false), (0, true), (7, true), (8, false)]
            .into_iter()
            .enumerate()
    {
        let request = space_shop(&id.to_string(), "1.00");
        let delivery = envelope(&request, card.pay(&request, NOW, count), NOW);
        let Verdict::Settled(reply) = deliver(&bank, &format!("t{id}"), &delivery) else { panic!("settled") };
        assert!(matches!(reply.answer, Answer::Booked { .. }));
        expected.push((count, stepped_back));
        got.push((count, reply.risk.counter_stepped_back));
    }
    assert_eq!(got, expected);
}

#[test]
fn a_counter_that_stays_zero_is_normal_and_counters_are_per_key() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let second = enroll(&bank, FidoKey::ed25519, 9, NOW).remove(0);
    for (id, card, count) in
        [("1", &card, 0), ("2", &card, 0), ("3", &second, 9), ("4", &card, 0), ("5", &second, 10)]
    {
        let request = space_shop(id, "1.00");
        let delivery = envelope(&request, card.pay(&request, NOW, count), NOW);
        let Verdict::Settled(reply) = deliver(&bank, id, &delivery) else { panic!("settled") };
        assert_eq!(reply.risk, Risk::default(), "{id}");
    }
}

#[test]
fn the_card_must_be_the_banks_and_the_keys() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let others = enroll(&bank, FidoKey::es256, 8, NOW);
    let request = space_shop("1", "1.00");
    let pay = |change: &dyn Fn(&mut AuthorizationData)| {
        let mut ad = card.authorization(&request, NOW);
        change(&mut ad);
        deliver(&bank, "t1", &envelope(&request, card.assertion(&card.signed(ad, 1)), NOW))
    };
    let other_serial = others[0].credential.card.serial_number.clone();
    let other_network = others[1].credential.card.clone();
    assert_eq!(pay(&|ad| ad.serial_number = "0".into()), refused(Refusal::UnknownCard));
    assert_eq!(pay(&|ad| ad.account_id = fwp::AccountId::new("X")), refused(Refusal::UnknownCard));
    assert_eq!(pay(&|ad| ad.account_id = other_network.account_id.clone()), refused(Refusal::UnknownCard));
    assert_eq!(pay(&|ad| ad.serial_number = other_serial.clone()), refused(Refusal::KeyNotOfCard));
    assert_eq!(pay(&|_| ()), booked("B-000001", false));
}

#[test]
fn what_was_signed_must_be_what_is_asked_for() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let request = space_shop("1", "1.00");
    let good = envelope(&request, card.pay(&request, NOW, 1), NOW);
    let with = |change: &dyn Fn(&mut IssuerRequest)| {
        let mut changed = good.clone();
        change(&mut changed);
        deliver(&bank, "t1", &changed)
    };
    let other = space_shop("2", "1.00");
    assert_eq!(
        with(&|r| r.psp_request.payment_request = other.prcd().clone()),
        refused(Refusal::PaymentRequest)
    );
    assert_eq!(
        with(&|r| r.psp_request.payment_request.payee_name = "Space shop".into()),
        refused(Refusal::PaymentRequest)
    );
    assert_eq!(
        with(&|r| r.payee_host = PayeeHost::parse("evil.example").unwrap()),
        refused(Refusal::PayeeHost)
    );
    assert_eq!(
        with(&|r| r.psp_request.receive_account = "DE00".into()),
        refused(Refusal::ReceiveAccountForm)
    );
    assert_eq!(
        with(&|r| r.psp_request.fwp_assertion.issuer_id = "https://bank.example".into()),
        refused(Refusal::IssuerId)
    );
    let network = |id: &'static str, issuer: &'static str| {
        move |r: &mut IssuerRequest| {
            r.psp_request.fwp_assertion.payment_network_id = id.into();
            r.psp_request.fwp_assertion.issuer_id = issuer.into();
        }
    };
    assert_eq!(with(&network("https://mastercard.com/fwp", "4972039000000004")), refused(Refusal::Network));
    assert_eq!(with(&network("https://visa.com/fwp", "4972039000000004")), refused(Refusal::SignedNetwork));
    assert_eq!(
        with(&network("https://visa.com/fwp", "https://mybank.fr/payment")),
        refused(Refusal::IssuerId)
    );
    assert_eq!(with(&|_| ()), booked("B-000001", false));
}

#[test]
fn the_authenticator_must_have_said_so_for_this_bank() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let request = space_shop("1", "1.00");
    let pay = |data: Vec<u8>| {
        let ad = card.authorization(&request, NOW);
        let signature = card.key.sign(&[&data[..], &ad.client_data_hash()].concat());
        let sad: SignedAuthorizationData = ad.signed(data, signature).unwrap();
        deliver(&bank, "t1", &envelope(&request, card.assertion(&sad), NOW))
    };
    let data = FidoKey::authenticator_data;
    assert_eq!(pay(data("bank.example", UP_UV, 1)), refused(Refusal::RpId));
    assert_eq!(pay(data("localhost", 0x04, 1)), refused(Refusal::UserNotPresent));
    assert_eq!(pay(data("localhost", 0x01, 1)), refused(Refusal::UserNotVerified));
    assert_eq!(pay(data("localhost", 0x00, 1)), refused(Refusal::UserNotPresent));
    assert_eq!(pay([data("localhost", UP_UV, 1), vec![0]].concat()), refused(Refusal::AuthenticatorData));
    assert_eq!(pay(data("localhost", UP_UV | 0x80, 1)), refused(Refusal::AuthenticatorData));
    assert_eq!(pay([data("localhost", UP_UV | 0x80, 1), vec![0xa0]].concat()), booked("B-000001", false));
}

#[test]
fn network_options_are_what_the_bank_wants() {
    let Fixture { dir: _dir, bank, card } = fixture();
    let cards = enroll(&bank, FidoKey::ed25519, 9, NOW);
    let pay = |card: &Card, id: &str, options: Option<fwp_cose::cbor::Value>| {
        let request = space_shop(id, "1.00");
        let mut ad = card.authorization(&request, NOW);
        ad.network_options = options;
        deliver(&bank, id, &envelope(&request, card.assertion(&card.signed(ad, 1)), NOW))
    };
    assert_eq!(pay(&card, "1", Some(7i64.into())), refused(Refusal::NetworkOptions));
    assert_eq!(pay(&cards[1], "2", Some("x".into())), refused(Refusal::NetworkOptions));
    assert!(matches!(pay(&card, "3", None), Verdict::Settled(_)));
    assert!(matches!(pay(&cards[1], "4", None), Verdict::Settled(_)));
}

#[test]
fn books_of_a_newer_version_are_not_opened() {
    let Fixture { dir, bank, card: _ } = fixture();
    drop(bank);
    let connection = rusqlite::Connection::open(dir.path().join("bank.sqlite")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Bank::open(dir.path(), None).unwrap_err().to_string();
    assert!(error.contains("version 99"), "{error}");
}

#[test]
fn a_provider_that_missed_the_answer_gets_it_however_late_it_asks_again_and_nothing_is_booked_then() {
    let fixture = fixture();
    let request = space_shop("7040566321", "435.00");
    let message = envelope(&request, fixture.card.pay(&request, NOW, 1), NOW).to_json().to_string();
    let other = space_shop("7040566322", "435.00");
    let never = envelope(&other, fixture.card.pay(&other, NOW, 2), NOW).to_json().to_string();
    let ask = |transaction: &str, text: &str, signed: &str, now_ms: i64| {
        let delivery = Delivery { merchant: MERCHANT, transaction, issuer_request: text };
        fixture.bank.settle_for_provider(signed, &delivery, now_ms).unwrap()
    };
    let signed = "additional stuff...";
    assert_eq!(ask("t1", &message, signed, NOW), booked("B-000001", false));
    // After 10 minutes, an hour and a week: its authorization is long too old to be booked.
    for later in [600_000, 3_600_000, 604_800_000] {
        assert_eq!(ask("t1", &message, signed, NOW + later), booked("B-000001", true), "{later}");
        assert!(matches!(ask("t2", &never, signed, NOW + later), Verdict::Refused(_)));
        assert_eq!(
            ask("t1", &message, "another request", NOW + later),
            Verdict::Refused(Refusal::EnvelopeTime { field: "issuerRequest.timeStamp", limit_ms: 600_000 })
        );
    }
    assert_eq!(fixture.bank.books.booking_count().unwrap(), 1);
}
