//! Requests of navigator.mozPay in the life of a payment: which one is shown, with which cards, and what it ends with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{BANKNET, SUPERCARD, at, card, platform};
use data_encoding::BASE64URL_NOPAD;
use fwp::provider::{DeliveryUrl, ProviderKey};
use fwp::{MozPayRequest, PayeeHost, PaymentRequest, Provider, ProviderType, TimeStamp};
use fwp_cose::cbor::Value;
use fwp_cose::key::P256Key;
use fwp_wallet::payment::View;
use fwp_wallet::{
    Card, CardHandle, CloseReason, Deadlines, Effect, Event, Ledger, Notice, Payment, PaymentConsent,
    PaymentState,
};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use std::sync::Arc;

const TYP: &str = "sandbox/payments/pay/v1";

fn signing_key(n: u8) -> SigningKey {
    SigningKey::from_slice(&[n; 32]).unwrap()
}

fn provider(typ: &str, keys: &[&SigningKey]) -> Provider {
    let key = |(kid, key): (usize, &&SigningKey)| {
        let point = key.verifying_key().to_sec1_point(false);
        ProviderKey { kid: kid.to_string(), public_key: P256Key::from_sec1(point.as_bytes()).unwrap() }
    };
    Provider {
        typ: ProviderType::parse(typ).unwrap(),
        delivery_url: DeliveryUrl::parse("https://psp.example/mozpay").unwrap(),
        keys: keys.iter().enumerate().map(key).collect(),
    }
}

fn card_with(n: u32, network: &str, provider: Provider) -> Arc<Card> {
    Arc::new(Card::clone(&card(n, network)).with_providers(vec![provider]))
}

/// A request for this type of provider; ES256 where there is a key.
fn signed(typ: &str, key: Option<&SigningKey>) -> PaymentRequest {
    let now = at(0).unix_ms / 1000;
    let claims = serde_json::json!({
        "iss": "Space Shop", "aud": "psp.example", "typ": typ, "iat": now, "exp": now + 3600,
        "request": {
            "id": "order-1", "name": "Rocket boots", "description": "A pair",
            "price": {"amount": "435.00", "currency": "EUR"},
            "postbackURL": "https://spaceshop.com/p", "chargebackURL": "https://spaceshop.com/c",
        },
    });
    let header = if key.is_some() { r#"{"alg":"ES256"}"# } else { r#"{"alg":"HS256"}"# };
    let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let text = format!("{}.{}", encode(header.as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = match key {
        Some(key) => {
            let signature: Signature = key.sign(text.as_bytes());
            encode(&signature.to_bytes())
        }
        None => encode(&[7; 32]),
    };
    let request = MozPayRequest::parse("request", &format!("{text}.{signature}")).unwrap();
    PaymentRequest::from_moz_pay(PayeeHost::parse("spaceshop.com").unwrap(), request)
}

fn view<'a>(cards: &'a [Arc<Card>], ledger: &'a Ledger) -> View<'a> {
    View { cards, ledger, platform_keys: None }
}

fn show(payment: &mut Payment, cards: &[Arc<Card>]) -> (u32, Arc<PaymentConsent>) {
    let ledger = Ledger::default();
    let effects = payment.on(Event::Show(view(cards, &ledger)), at(0)).unwrap();
    let [Effect::Ask { turn, consent }] = effects.as_slice() else { panic!("{effects:?}") };
    (*turn, Arc::clone(consent))
}

fn payment(first: PaymentRequest, others: Vec<PaymentRequest>) -> Payment {
    Payment::new(first, Deadlines::default(), at(0)).or(others)
}

fn handles(consent: &PaymentConsent) -> Vec<i64> {
    consent.cards().iter().map(|card| card.handle().0).collect()
}

#[test]
fn cards_fit_by_their_provider_whatever_their_network_and_the_text_is_signed() {
    let cards = [
        card(1, BANKNET),
        card_with(2, SUPERCARD, provider(TYP, &[])),
        card_with(3, BANKNET, provider("other", &[])),
        card_with(4, BANKNET, provider(TYP, &[])),
    ];
    let request = signed(TYP, None);
    let jwt = request.moz_pay().unwrap().jwt().to_owned();
    let mut payment = payment(request, vec![]);
    let (turn, consent) = show(&mut payment, &cards);
    assert_eq!(handles(&consent), [2, 4]);
    assert!(consent.notices().is_empty());
    assert_eq!(consent.moz_pay().unwrap().name(), "Rocket boots");
    let answered = Event::Answered { turn, card: Some(CardHandle(4)) };
    let Some(Effect::Authorize { approved, .. }) = payment.on(answered, at(0)).unwrap().pop() else {
        panic!()
    };
    let authorizable = Ledger::default().tie(approved, at(0)).unwrap();
    let time_stamp = TimeStamp::from_unix_ms(at(0).unix_ms, None).unwrap();
    let data = authorizable.authorization_data(platform(), None, time_stamp).unwrap();
    assert_eq!(data.network_options, Some(Value::Text(jwt)));
    assert_eq!(data.payment_request.payee_name, "Space Shop");
    assert_eq!(data.payment_network_id, BANKNET);
}

#[test]
fn the_first_request_with_a_card_for_its_provider_is_shown_and_else_the_first() {
    let requests = || (signed("a", None), vec![signed("b", None), signed("c", None)]);
    let shown = |cards: &[Arc<Card>]| {
        let (first, others) = requests();
        let mut payment = payment(first, others);
        let (_, consent) = show(&mut payment, cards);
        let typ = consent.moz_pay().unwrap().typ().as_str().to_owned();
        assert_eq!(payment.request().moz_pay().unwrap().typ().as_str(), typ);
        (typ, handles(&consent))
    };
    let of = |n, typ| card_with(n, BANKNET, provider(typ, &[]));
    assert_eq!(shown(&[of(1, "c"), of(2, "b")]), ("b".to_owned(), vec![2]));
    assert_eq!(shown(&[of(1, "c"), of(2, "a")]), ("a".to_owned(), vec![2]));
    assert_eq!(shown(&[card(1, BANKNET), of(2, "d")]), ("a".to_owned(), vec![]));
}

#[test]
fn a_card_whose_providers_key_did_not_sign_is_not_offered_and_the_user_is_told() {
    let (good, forger) = (signing_key(1), signing_key(2));
    let cards = [card_with(1, BANKNET, provider(TYP, &[&good]))];
    let mut payment = payment(signed(TYP, Some(&forger)), vec![]);
    let (turn, consent) = show(&mut payment, &cards);
    assert!(consent.cards().is_empty());
    let [notice @ Notice::WrongSignature(_)] = consent.notices() else { panic!("{:?}", consent.notices()) };
    assert!(notice.to_string().contains("forged or changed"), "{notice}");
    let effects = payment.on(Event::Answered { turn, card: Some(CardHandle(1)) }, at(0)).unwrap();
    assert!(matches!(effects[..], [_, Effect::Close(CloseReason::InvalidRequest)]), "{effects:?}");
}

#[test]
fn a_request_by_a_shared_secret_is_not_believed_where_the_provider_has_keys() {
    let good = signing_key(1);
    let cards = [card_with(1, BANKNET, provider(TYP, &[&good])), card_with(2, BANKNET, provider(TYP, &[]))];
    let (_, consent) = show(&mut payment(signed(TYP, None), vec![]), &cards);
    assert_eq!(handles(&consent), [2]);
    let [notice] = consent.notices() else { panic!("{:?}", consent.notices()) };
    assert!(notice.to_string().contains("HS256"), "{notice}");
}

#[test]
fn a_forged_request_is_not_passed_over_for_another_one_in_silence() {
    let (good, forger) = (signing_key(1), signing_key(2));
    let cards = [card_with(1, BANKNET, provider("a", &[&good])), card_with(2, BANKNET, provider("b", &[]))];
    let mut payment = payment(signed("a", Some(&forger)), vec![signed("b", None)]);
    let (_, consent) = show(&mut payment, &cards);
    assert!(consent.cards().is_empty() && consent.wrong_signature().is_some());
}

#[test]
fn cards_whose_provider_has_the_right_key_or_none_are_offered() {
    let (good, other) = (signing_key(1), signing_key(2));
    let cards = [
        card_with(1, BANKNET, provider(TYP, &[&other, &good])),
        card_with(2, BANKNET, provider(TYP, &[&other])),
        card_with(3, BANKNET, provider(TYP, &[])),
    ];
    let mut payment = payment(signed(TYP, Some(&good)), vec![]);
    let (_, consent) = show(&mut payment, &cards);
    assert_eq!(handles(&consent), [1, 3]);
    assert!(consent.wrong_signature().is_some(), "that a card is missing is told");
}

#[test]
fn a_signed_request_is_neither_updated_nor_retried() {
    let cards = [card_with(1, BANKNET, provider(TYP, &[]))];
    let ledger = Ledger::default();
    let mut payment = payment(signed(TYP, None), vec![]);
    let update = || Event::Update(Box::new(common::request("order-1", "1.00")), view(&cards, &ledger));
    assert_eq!(payment.on(update(), at(0)).unwrap_err().state, PaymentState::Created);
    let (turn, _) = show(&mut payment, &cards);
    assert_eq!(payment.on(update(), at(0)).unwrap_err().state, PaymentState::Interactive);
    payment.on(Event::Answered { turn, card: Some(CardHandle(1)) }, at(0)).unwrap();
    payment.on(Event::Signed { turn: turn + 1 }, at(0)).unwrap();
    let retry = Event::Retry { error: String::new(), view: view(&cards, &ledger) };
    assert_eq!(payment.on(retry, at(0)).unwrap_err().state, PaymentState::Authorized);
    assert_eq!(payment.request().prcd().amount.as_str(), "435.00");
}
