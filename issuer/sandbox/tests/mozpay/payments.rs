//! What is paid, and what is not because the user authorized something else.

use crate::common::FidoKey;
use crate::fixture::Fixture;
use fwp_sandbox::client;
use fwp_sandbox::http;
use fwp_sandbox::moz_pay::{TYP_SHARED, TYP_SIGNED};
use serde_json::{Value, json};

#[test]
fn a_request_of_the_shop_is_paid_and_its_server_gets_the_signed_notice() {
    let fixture = Fixture::new();
    let (order, jwt) = fixture.order(json!({}));
    assert_eq!(order, "7040566321");
    let paid = fixture.pay(&jwt, 1);
    assert_eq!((paid.status, &paid.body["status"]), (200, &"booked".into()), "{}", paid.body);
    let state = fixture.wait_for(&order, "booked");
    assert_eq!(state["transactionID"], paid.body["transactionID"]);
    assert_eq!(fixture.balance(), "9565.00");
    let notices = fixture.wait_for_notices(1);
    assert_eq!((&notices[0]["kind"], &notices[0]["attempts"]), (&"postback".into(), &1.into()));
}

#[test]
fn a_request_signed_by_the_provider_is_paid_and_cards_bring_its_key() {
    let fixture = Fixture::new();
    let (order, jwt) = fixture.order(json!({ "typ": TYP_SIGNED, "amount": "12.50" }));
    let offer = http::get(&format!("{}/bank/offer", fixture.sandbox.url)).unwrap();
    let offer = fwp::enrollment::Offer::parse(&offer.body.to_string()).unwrap();
    let attestation = FidoKey::es256(8).attest(&offer, &[8; 20]).to_json().to_string();
    let cards = http::post(&offer.attestation_url.unwrap(), &[], &attestation).unwrap().body.to_string();
    for card in fwp::enrollment::IssuedCard::parse_all(&cards).unwrap() {
        let [shared, signed] = &card.providers[..] else { panic!("two providers") };
        assert_eq!((shared.typ.as_str(), shared.keys.len()), (TYP_SHARED, 0));
        assert_eq!(signed.typ.as_str(), TYP_SIGNED);
        assert_eq!(signed.delivery_url.as_str(), format!("{}/psp/mozpay", fixture.sandbox.url));
        // The wallet's own check, with the key that came with the card.
        let request = fwp::moz_pay::MozPayRequest::parse("request", &jwt).unwrap();
        assert_eq!(request.verify(signed), Ok(fwp::moz_pay::Verification::Verified));
    }
    assert_eq!(fixture.pay(&jwt, 1).body["status"], "booked");
    fixture.wait_for(&order, "booked");
    assert_eq!(fixture.balance(), "9987.50");
}

#[test]
fn both_cards_pay_though_one_network_takes_no_options_otherwise() {
    let fixture = Fixture::new();
    let card = fixture.sandbox.enroll(FidoKey::ed25519, 9).remove(1);
    let (order, jwt) = fixture.order(json!({}));
    let paid = fixture.deliver(&jwt, &fixture.authorize(&card, &jwt, "localhost", &jwt, 1));
    assert_eq!(paid.status, 200, "{}", paid.body);
    fixture.wait_for(&order, "booked");
}

#[test]
fn the_same_delivery_gets_the_same_answer_and_is_booked_once() {
    let fixture = Fixture::new();
    let (order, jwt) = fixture.order(json!({}));
    let assertion = fixture.authorize(&fixture.card, &jwt, "localhost", &jwt, 1);
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| fixture.deliver(&jwt, &assertion))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().body).collect()
    });
    assert!(
        answers.iter().all(|answer| *answer == answers[0] && answer["status"] == "booked"),
        "{answers:?}"
    );
    fixture.wait_for(&order, "booked");
    assert_eq!(
        (fixture.balance().as_str(), fixture.wait_for_notices(1).as_array().unwrap().len()),
        ("9565.00", 1)
    );
}

#[test]
fn a_request_is_paid_once_whatever_the_card() {
    let fixture = Fixture::new();
    let second = fixture.sandbox.enroll(FidoKey::ed25519, 9).remove(1);
    let (_, jwt) = fixture.order(json!({}));
    assert_eq!(fixture.pay(&jwt, 1).status, 200);
    let again = fixture.deliver(&jwt, &fixture.authorize(&second, &jwt, "localhost", &jwt, 1));
    assert_eq!((again.status, &again.body["error"]), (409, &"already-paid".into()));
    let again = fixture.pay(&jwt, 2);
    assert_eq!((again.status, &again.body["error"]), (409, &"already-paid".into()));
    assert_eq!(fixture.balance(), "9565.00");
}

#[test]
fn the_provider_answers_pages_of_any_origin() {
    let fixture = Fixture::new();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/psp/mozpay", fixture.sandbox.url);
    let preflight = agent.options(&url).header("origin", "https://a.example").call().unwrap();
    assert_eq!(preflight.status().as_u16(), 204);
    let sent = agent.post(&url).header("origin", "https://a.example").send("{}").unwrap();
    assert_eq!(sent.status().as_u16(), 400);
    for answer in [preflight, sent] {
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert_eq!(answer.headers()["access-control-allow-headers"], "content-type");
        assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    }
}

#[test]
fn an_authorization_of_other_options_is_refused_by_the_bank() {
    let fixture = Fixture::new();
    let (order, jwt) = fixture.order(json!({}));
    let (_, other) = fixture.order(json!({}));
    for options in ["additional stuff...", &other] {
        let answer = fixture.deliver(&jwt, &fixture.authorize(&fixture.card, &jwt, "localhost", options, 1));
        assert_eq!(
            (answer.status, &answer.body["error"]),
            (422, &"provider-request".into()),
            "{}",
            answer.body
        );
    }
    // Refused deliveries take nothing from the request.
    assert_eq!(fixture.pay(&jwt, 2).status, 200);
    fixture.wait_for(&order, "booked");
    assert_eq!(fixture.wait_for_notices(1).as_array().unwrap().len(), 1);
}

#[test]
fn an_authorization_on_another_shops_page_is_refused_by_the_bank() {
    let fixture = Fixture::new();
    let (_, jwt) = fixture.order(json!({}));
    let stolen = fixture.authorize(&fixture.card, &jwt, "moonshop.example", &jwt, 1);
    let answer = fixture.deliver(&jwt, &stolen);
    assert_eq!((answer.status, &answer.body["error"]), (422, &"payee-host".into()));
}

#[test]
fn an_authorization_of_a_request_does_not_come_by_the_ordinary_way() {
    let fixture = Fixture::new();
    let (order, jwt) = fixture.order(json!({}));
    let assertion = fixture.authorize(&fixture.card, &jwt, "localhost", &jwt, 1);
    let answer = client::checkout(&fixture.sandbox.url, &order, &assertion.to_string()).unwrap().answer;
    assert_eq!((&answer["by"], &answer["error"]), (&"bank".into(), &"network-options".into()), "{answer}");
    assert_eq!(fixture.balance(), "10000.00");
}
