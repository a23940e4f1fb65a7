//! mozPay end to end over HTTP: the shop's request, the user's authorization of it, the provider, the bank, and the signed notice back
//! to the shop; and every request and notice that is refused, with its code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::server::Sandbox;
use common::{Card, FidoKey};
use fwp::PaymentRequest;
use fwp_sandbox::client;
use fwp_sandbox::http::{self, Answered, now_ms};
use fwp_sandbox::merchants::SPACE_SHOP;
use fwp_sandbox::moz_pay::jwt::Signer;
use fwp_sandbox::moz_pay::keys::MozPayKeys;
use fwp_sandbox::moz_pay::{PROVIDER, TYP_SHARED, TYP_SIGNED};
use fwp_sandbox::serve::Settings;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A sandbox with a card, and the keys of shop and provider.
struct Fixture {
    dir: tempfile::TempDir,
    sandbox: Sandbox,
    card: Card,
    keys: MozPayKeys,
}

fn settings(dir: &tempfile::TempDir, fails: u32) -> Settings {
    Settings { notice_retry_ms: 20, shop_fails_notices: fails, ..Sandbox::settings(dir.path()) }
}

impl Fixture {
    fn new() -> Self {
        Self::failing(0)
    }

    fn failing(fails: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::run(settings(&dir, fails));
        let card = sandbox.enroll(FidoKey::es256, 7).remove(0);
        let keys = MozPayKeys::read_or_make(&dir.path().join("sandbox")).unwrap();
        Self { dir, sandbox, card, keys }
    }

    fn post(&self, path: &str, body: &Value) -> Answered {
        http::post(&format!("{}{path}", self.sandbox.url), &[], &body.to_string()).unwrap()
    }

    /// The shop's new order: its number and JWT.
    fn order(&self, asked: Value) -> (String, String) {
        let answer = self.post("/shop/mozpay", &asked);
        assert_eq!((answer.status, &answer.body["payeeHost"]), (201, &"localhost".into()), "{}", answer.body);
        let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
        (text("order"), text("jwt"))
    }

    /// What a wallet's user authorizes for `jwt`, on a page of `host`, with `options` as networkOptions.
    fn authorize(&self, card: &Card, jwt: &str, host: &str, options: &str, count: u32) -> Value {
        card.pay(
            &payment_request(&claims(jwt), host, options, &card.credential.card.payment_network_id),
            now_ms().unwrap(),
            count,
        )
        .to_json()
    }

    fn deliver(&self, jwt: &str, assertion: &Value) -> Answered {
        self.post("/psp/mozpay", &json!({ "request": jwt, "fwpAssertion": assertion }))
    }

    /// Authorizes and delivers as it should be.
    fn pay(&self, jwt: &str, count: u32) -> Answered {
        self.deliver(jwt, &self.authorize(&self.card, jwt, "localhost", jwt, count))
    }

    fn order_json(&self, order: &str) -> Value {
        http::get(&format!("{}/shop/orders/{order}", self.sandbox.url)).unwrap().body
    }

    /// Waits until the order has this state.
    fn wait_for(&self, order: &str, state: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let now = self.order_json(order);
            if now["state"] == state {
                return now;
            }
            assert!(Instant::now() < until, "{order} is not {state}: {now}, {}", self.notices());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn notices(&self) -> Value {
        http::get(&format!("{}/psp/notices", self.sandbox.url)).unwrap().body
    }

    /// Waits until every notice was confirmed, of which there are `count`.
    fn wait_for_notices(&self, count: usize) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let notices = self.notices();
            let all = notices.as_array().unwrap();
            if all.len() == count && all.iter().all(|notice| notice["delivered"] == true) {
                return notices;
            }
            assert!(Instant::now() < until, "{notices}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn balance(&self) -> String {
        let page = self.sandbox.page("/bank");
        let (_, rest) = page.split_once("FR7630002111110020050014382").unwrap();
        let (before, _) = rest.split_once(" EUR").unwrap();
        before.rsplit_once('>').unwrap().1.to_owned()
    }

    fn secret(&self) -> Vec<u8> {
        self.keys.secret(&SPACE_SHOP).unwrap().to_vec()
    }

    /// The shop's request for a new order, changed and signed again with the right secret.
    fn changed(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = claims(&self.order(json!({})).1);
        change(&mut claims);
        Signer::hs256(&self.secret()).sign(&claims).unwrap()
    }

    /// The provider's code for a request; whatever it is, nothing may be booked and no notice sent.
    fn refused(&self, jwt: &str, said: &str) {
        let original = self.order(json!({})).1;
        // What the user would have authorized, if the wallet had let it through.
        let host = "localhost";
        let request = payment_request(&claims(&original), host, jwt, "https://banknet2.org");
        let assertion = self.card.pay(&request, now_ms().unwrap(), 1).to_json();
        let answer = self.deliver(jwt, &assertion);
        assert_eq!(answer.body["error"], said, "{}", answer.body);
        assert!((400..500).contains(&answer.status));
        assert!(answer.body["message"].as_str().unwrap().len() > 20, "a reason: {}", answer.body);
        assert_eq!((self.balance(), self.notices()), ("10000.00".into(), json!([])));
    }

    fn now_s(&self) -> i64 {
        now_ms().unwrap() / 1000
    }

    /// A notice by the provider, as it should be for the order, changed.
    fn notice(&self, order: &str, transaction: &str, kind: &str, change: impl FnOnce(&mut Value)) -> Value {
        let price = json!({ "amount": "435.00", "currency": "EUR" });
        let mut claims = json!({
            "iss": PROVIDER, "aud": "Space Shop", "typ": format!("sandbox/payments/pay/{kind}/v1"),
            "iat": self.now_s(), "exp": self.now_s() + 60, "jti": format!("{}", rand()),
            "request": { "id": order, "price": price },
            "response": { "transactionID": transaction, "price": price },
        });
        if kind == "chargeback" {
            claims["response"]["reason"] = "refund".into();
        }
        change(&mut claims);
        claims
    }

    fn signed(&self, claims: &Value) -> String {
        Signer::hs256(&self.secret()).sign(claims).unwrap()
    }

    /// The shop's answer to a form: status, and its code or the transaction.
    fn tell(&self, kind: &str, form: &str) -> (u16, String) {
        let url = format!("{}/shop/mozpay/{kind}", self.sandbox.url);
        let (status, text) = http::post_form(&url, "localhost", form).unwrap();
        let code = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|body| body["error"].as_str().map(str::to_owned));
        (status, code.unwrap_or(text))
    }

    fn tell_notice(&self, kind: &str, claims: &Value) -> (u16, String) {
        self.tell(kind, &format!("notice={}", self.signed(claims)))
    }
}

fn rand() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

fn claims(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

/// A JWT of these parts, with a signature of the right length.
fn raw(header: &str, payload: &str, signature: usize) -> String {
    let encode = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    format!("{}.{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()), encode(&vec![7; signature]))
}

/// The payment that a wallet makes of a request: PRCD from its claims, networkOptions the JWT.
fn payment_request(claims: &Value, host: &str, options: &str, network: &str) -> PaymentRequest {
    let (request, price) = (&claims["request"], &claims["request"]["price"]);
    let method_data = json!([{ "supportedMethods": "fido-web-pay/v1", "data": {
        "payeeName": claims["iss"], "networks": [{ "id": network, "networkOptions": options }],
    } }]);
    let details = json!({ "id": request["id"], "total": { "label": null, "amount": { "currency": price["currency"], "value": price["amount"] } } });
    PaymentRequest::from_json(host, &method_data.to_string(), &details.to_string()).unwrap()
}

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

// What is authorized is exactly the request.

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

// Requests that are refused, each with its code.

#[test]
fn a_request_with_another_secret_is_refused() {
    let fixture = Fixture::new();
    let forged = Signer::hs256(&[1; 32]).sign(&claims(&fixture.order(json!({})).1)).unwrap();
    fixture.refused(&forged, "jwt-signature");
}

#[test]
fn a_request_with_another_price_and_the_old_signature_is_refused() {
    let fixture = Fixture::new();
    let (_, jwt) = fixture.order(json!({}));
    let mut claims = claims(&jwt);
    claims["request"]["price"]["amount"] = "1.00".into();
    let payload = data_encoding::BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
    let mut parts: Vec<&str> = jwt.split('.').collect();
    parts[1] = &payload;
    fixture.refused(&parts.join("."), "jwt-signature");
}

#[test]
fn a_request_of_the_moon_shop_in_the_space_shops_name_is_refused() {
    let fixture = Fixture::new();
    let secret = fixture.keys.secret(&fwp_sandbox::merchants::MOON_SHOP).unwrap();
    let forged = Signer::hs256(secret).sign(&claims(&fixture.order(json!({})).1)).unwrap();
    fixture.refused(&forged, "jwt-signature");
}

#[test]
fn a_request_without_an_algorithm_is_refused() {
    let fixture = Fixture::new();
    let payload = claims(&fixture.order(json!({})).1).to_string();
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"typ":"JWT"}"#,
    ] {
        let jwt = raw(header, &payload, 32);
        fixture.refused(&jwt, "jwt-algorithm");
    }
    let unsigned = raw(r#"{"alg":"none"}"#, &payload, 0);
    fixture.refused(&unsigned, "jwt-algorithm");
}

#[test]
fn the_providers_public_key_is_no_shared_secret() {
    let fixture = Fixture::new();
    let mut claims = claims(&fixture.order(json!({})).1);
    claims["typ"] = TYP_SIGNED.into();
    let public = fixture.keys.provider_key().unwrap().public_key;
    let fwp_cose::PublicKey::P256(key) = fwp_cose::PublicKey::P256(public) else { panic!() };
    let encoded = fwp_cose::PublicKey::P256(key).to_value().encode();
    for secret in [&encoded[..], b""] {
        let confused = Signer::hs256(secret).sign(&claims).unwrap();
        fixture.refused(&confused, "jwt-algorithm");
    }
    // And an ES256 signature is none for the type that the shop signs.
    claims["typ"] = TYP_SHARED.into();
    let confused = fixture.keys.provider_signer().sign(&claims).unwrap();
    fixture.refused(&confused, "jwt-algorithm");
}

#[test]
fn a_request_signed_with_another_es256_key_or_naming_another_is_refused() {
    let fixture = Fixture::new();
    let other = MozPayKeys::read_or_make(fixture.dir.path()).unwrap();
    let signed = claims(&fixture.order(json!({ "typ": TYP_SIGNED })).1);
    fixture.refused(&other.provider_signer().sign(&signed).unwrap(), "jwt-signature");
    let file =
        std::fs::read_to_string(fwp_sandbox::moz_pay::keys::key_file(&fixture.dir.path().join("sandbox")))
            .unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let pkcs8 = data_encoding::HEXLOWER.decode(file["providerKey"].as_str().unwrap().as_bytes()).unwrap();
    fixture.refused(&Signer::es256(&pkcs8, "2").sign(&signed).unwrap(), "jwt-key");
}

#[test]
fn a_request_of_an_unknown_shop_is_refused() {
    let fixture = Fixture::new();
    let jwt = fixture.changed(|claims| claims["iss"] = "Star Shop".into());
    fixture.refused(&jwt, "jwt-issuer");
}

#[test]
fn a_request_for_another_provider_is_refused() {
    let fixture = Fixture::new();
    let jwt = fixture.changed(|claims| claims["aud"] = "another-psp".into());
    fixture.refused(&jwt, "jwt-audience");
}

#[test]
fn a_request_of_another_type_is_refused() {
    let fixture = Fixture::new();
    for typ in ["mozilla/payments/pay/v1", "sandbox/payments/pay/postback/v1", "sandbox/payments/pay/v2"] {
        let jwt = fixture.changed(|claims| claims["typ"] = typ.into());
        fixture.refused(&jwt, "jwt-type");
    }
}

#[test]
fn an_expired_request_is_refused() {
    let fixture = Fixture::new();
    let now = fixture.now_s();
    for exp in [now - 1, now - 86_000] {
        let jwt = fixture.changed(|claims| {
            claims["iat"] = (exp - 60).into();
            claims["exp"] = exp.into();
        });
        fixture.refused(&jwt, "jwt-expired");
    }
}

#[test]
fn a_request_that_is_not_valid_yet_is_refused() {
    let fixture = Fixture::new();
    let now = fixture.now_s();
    let later = fixture.changed(|claims| {
        claims["iat"] = (now + 300).into();
        claims["exp"] = (now + 600).into();
    });
    fixture.refused(&later, "jwt-not-yet-valid");
    let later = fixture.changed(|claims| claims["nbf"] = (now + 300).into());
    fixture.refused(&later, "jwt-not-yet-valid");
}

#[test]
fn a_request_with_a_claim_twice_missing_or_malformed_is_refused() {
    let fixture = Fixture::new();
    let (_, jwt) = fixture.order(json!({}));
    let text = claims(&jwt).to_string();
    for payload in [
        text.replacen('{', r#"{"iss":"Moon Shop","#, 1),
        text.replacen(r#""request":{"#, r#""request":{"id":"1","#, 1),
        text.replacen(r#""exp""#, r#""expires""#, 1),
        text.replacen(r#""amount":"435.00""#, r#""amount":435.00"#, 1),
        "[]".to_owned(),
        String::new(),
    ] {
        fixture.refused(&raw(r#"{"alg":"HS256"}"#, &payload, 32), "jwt-form");
    }
    for header in [
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","jwk":{}}"#,
        r#"{"alg":"HS256","crit":["exp"]}"#,
    ] {
        fixture.refused(&raw(header, &text, 32), "jwt-form");
    }
    for form in ["", ".", "..", &format!("{jwt}."), &format!("{jwt}="), &jwt.replacen('.', " .", 1)] {
        fixture.refused(form, "jwt-form");
    }
}

#[test]
fn a_request_that_lives_too_long_is_refused() {
    let fixture = Fixture::new();
    let jwt = fixture.changed(|claims| claims["exp"] = (claims["iat"].as_i64().unwrap() + 90_000).into());
    fixture.refused(&jwt, "jwt-form");
}

#[test]
fn notices_go_to_the_shops_registered_site_only() {
    let fixture = Fixture::new();
    let url = fixture.sandbox.url.clone();
    let port = url.rsplit_once(':').unwrap().1;
    for target in [
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://127.0.0.1:1/".to_owned(),
        format!("http://127.0.0.1:{port}/shop/mozpay/postback"),
        format!("http://moonshop.localhost:{port}/moon"),
        format!("http://user@localhost:{port}/shop/mozpay/postback"),
        format!("http://localhost.evil.example:{port}/"),
        format!("https://localhost:{port}/shop/mozpay/postback"),
        format!("{url}0/shop/mozpay/postback"),
        "file:///etc/passwd".to_owned(),
        "/shop/mozpay/postback".to_owned(),
    ] {
        for name in ["postbackURL", "chargebackURL"] {
            let jwt = fixture.changed(|claims| claims["request"][name] = target.as_str().into());
            fixture.refused(&jwt, "notice-url");
        }
    }
    let jwt = fixture.changed(|claims| {
        claims["request"]["chargebackURL"] =
            format!("http://spaceshop.localhost:{port}/shop/mozpay/chargeback").into();
    });
    fixture.refused(&jwt, "notice-url");
}

#[test]
fn a_payment_that_is_to_be_acted_is_not_booked() {
    let fixture = Fixture::new();
    let jwt = fixture.changed(|claims| claims["request"]["simulate"] = json!({ "result": "postback" }));
    fixture.refused(&jwt, "simulate");
}

#[test]
fn a_body_that_is_none_is_refused() {
    let fixture = Fixture::new();
    let (_, jwt) = fixture.order(json!({}));
    for body in [
        json!({}),
        json!([]),
        json!({ "request": jwt }),
        json!({ "request": jwt, "fwpAssertion": {}, "more": 1 }),
    ] {
        let answer = fixture.post("/psp/mozpay", &body);
        assert_eq!((answer.status, &answer.body["error"]), (400, &"body".into()), "{body}");
    }
}

// Notices.

#[test]
fn a_notice_comes_again_until_the_shop_confirms_it() {
    let fixture = Fixture::failing(3);
    let (order, jwt) = fixture.order(json!({}));
    assert_eq!(fixture.pay(&jwt, 1).status, 200);
    fixture.wait_for(&order, "booked");
    let notices = fixture.wait_for_notices(1);
    assert_eq!(notices[0]["attempts"], 4, "three failures, then one that was confirmed");
}

#[test]
fn a_notice_that_was_not_confirmed_is_sent_after_a_restart() {
    let fixture = Fixture::failing(u32::MAX);
    let (order, jwt) = fixture.order(json!({}));
    let assertion = fixture.authorize(&fixture.card, &jwt, "localhost", &jwt, 1);
    let paid = fixture.deliver(&jwt, &assertion).body;
    assert_eq!(paid["status"], "booked");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(fixture.order_json(&order)["state"], "open");
    assert_eq!(fixture.notices()[0]["delivered"], false);
    let Fixture { dir, sandbox, card, keys } = fixture;
    drop(sandbox);
    let sandbox = Sandbox::run(settings(&dir, 0));
    let fixture = Fixture { dir, sandbox, card, keys };
    assert_eq!(fixture.wait_for(&order, "booked")["transactionID"], paid["transactionID"]);
    assert!(fixture.wait_for_notices(1)[0]["attempts"].as_u64().unwrap() >= 2);
    // The delivery, too, is known after it.
    assert_eq!(fixture.deliver(&jwt, &assertion).body, paid);
    assert_eq!(fixture.balance(), "9565.00");
}

#[test]
fn a_payment_that_the_bank_declines_is_told_by_a_chargeback_and_can_be_tried_again() {
    let fixture = Fixture::new();
    let (order, jwt) = fixture.order(json!({ "amount": "20000.00" }));
    let declined = fixture.pay(&jwt, 1);
    assert_eq!((declined.status, &declined.body["error"]), (402, &"declined".into()));
    assert_eq!(declined.body["message"], "insufficient funds");
    let state = fixture.wait_for(&order, "declined");
    assert_eq!(state["message"], "insufficient funds");
    let notices = fixture.wait_for_notices(1);
    assert_eq!((&notices[0]["kind"], &notices[0]["reason"]), (&"chargeback".into(), &"failed".into()));
    assert_eq!(fixture.pay(&jwt, 2).status, 402, "not already paid");
    fixture.wait_for_notices(2);
}

#[test]
fn a_refund_gives_the_money_back_once_and_tells_the_shop() {
    let fixture = Fixture::new();
    let (order, jwt) = fixture.order(json!({}));
    assert_eq!(client::refund_order(&fixture.sandbox.url, &order).unwrap().body["error"], "not-paid");
    let transaction = fixture.pay(&jwt, 1).body["transactionID"].as_str().unwrap().to_owned();
    fixture.wait_for(&order, "booked");
    assert_eq!(fixture.balance(), "9565.00");
    let refunded = client::refund_order(&fixture.sandbox.url, &order).unwrap();
    assert_eq!((refunded.status, &refunded.body["status"]), (200, &"refunded".into()), "{}", refunded.body);
    fixture.wait_for(&order, "refunded");
    let again = client::refund_transaction(&fixture.sandbox.url, &transaction).unwrap();
    assert_eq!(again.status, 200);
    assert_eq!(fixture.balance(), "10000.00");
    let notices = fixture.wait_for_notices(2);
    assert_eq!((&notices[1]["kind"], &notices[1]["reason"]), (&"chargeback".into(), &"refund".into()));
    assert_eq!(client::refund_transaction(&fixture.sandbox.url, "sandbox:none").unwrap().status, 404);
    // It was paid once; that it was given back does not make it payable.
    assert_eq!(fixture.pay(&jwt, 2).body["error"], "already-paid");
}

#[test]
fn nobody_but_a_merchant_has_requests_signed_or_money_given_back() {
    let fixture = Fixture::new();
    for path in ["/psp/mozpay/requests", "/psp/mozpay/refunds", "/bank/refunds"] {
        assert_eq!(fixture.post(path, &json!({})).status, 401, "{path}");
    }
}

#[test]
fn a_notice_as_it_should_be_is_confirmed_and_the_same_again_is_a_replay() {
    let fixture = Fixture::new();
    let (order, _) = fixture.order(json!({}));
    let notice = fixture.notice(&order, "sandbox:1", "postback", |_| {});
    assert_eq!(fixture.tell_notice("postback", &notice), (200, "sandbox:1".to_owned()));
    assert_eq!(fixture.order_json(&order)["state"], "booked");
    assert_eq!(fixture.tell_notice("postback", &notice), (409, "notice-replay".to_owned()));
    // The provider's second try, when it has missed the answer, is another notice of the same.
    let again = fixture.notice(&order, "sandbox:1", "postback", |_| {});
    assert_eq!(fixture.tell_notice("postback", &again), (200, "sandbox:1".to_owned()));
    // Once given back, no older notice makes it paid.
    let refund = fixture.notice(&order, "sandbox:1", "chargeback", |_| {});
    assert_eq!(fixture.tell_notice("chargeback", &refund), (200, "sandbox:1".to_owned()));
    let again = fixture.notice(&order, "sandbox:1", "postback", |_| {});
    assert_eq!(fixture.tell_notice("postback", &again), (409, "notice-state".to_owned()));
    assert_eq!(fixture.order_json(&order)["state"], "refunded");
}

#[test]
fn a_forged_or_expired_notice_is_refused() {
    let fixture = Fixture::new();
    let (order, request) = fixture.order(json!({}));
    let good = fixture.notice(&order, "sandbox:1", "postback", |_| {});
    let now = fixture.now_s();
    let form = |jwt: &str| format!("notice={jwt}");
    let forged = Signer::hs256(&[1; 32]).sign(&good).unwrap();
    assert_eq!(fixture.tell("postback", &form(&forged)), (403, "jwt-signature".to_owned()));
    let moon = fixture.keys.secret(&fwp_sandbox::merchants::MOON_SHOP).unwrap();
    let forged = Signer::hs256(moon).sign(&good).unwrap();
    assert_eq!(fixture.tell("postback", &form(&forged)), (403, "jwt-signature".to_owned()));
    let none = raw(r#"{"alg":"none"}"#, &good.to_string(), 0);
    assert_eq!(fixture.tell("postback", &form(&none)), (403, "jwt-form".to_owned()));
    // The shop's own request, which every customer has seen.
    assert_eq!(fixture.tell("postback", &form(&request)), (403, "jwt-issuer".to_owned()));
    type Change = fn(&mut Value, i64);
    let changes: [(Change, &str, u16); 9] = [
        (|claims, now| claims["exp"] = (now - 1).into(), "jwt-expired", 403),
        (|claims, now| claims["iat"] = (now + 300).into(), "jwt-not-yet-valid", 403),
        (|claims, _| claims["iss"] = "another-psp".into(), "jwt-issuer", 403),
        (|claims, _| claims["aud"] = "Moon Shop".into(), "jwt-audience", 403),
        (|claims, _| claims["typ"] = "sandbox/payments/pay/chargeback/v1".into(), "jwt-type", 403),
        (|claims, _| claims["typ"] = "sandbox/signed/pay/postback/v1".into(), "jwt-type", 403),
        (|claims, _| claims["request"]["id"] = "1".into(), "notice-order", 422),
        (|claims, _| claims["response"]["price"]["amount"] = "1.00".into(), "notice-order", 422),
        (|claims, _| drop(claims.as_object_mut().unwrap().remove("jti")), "jwt-form", 403),
    ];
    for (change, code, status) in changes {
        let changed = fixture.notice(&order, "sandbox:1", "postback", |claims| change(claims, now));
        assert_eq!(fixture.tell_notice("postback", &changed), (status, code.to_owned()));
    }
    for form in ["", "notice=", "note=x", "notice=x&notice=y"] {
        assert!(fixture.tell("postback", form).0 >= 400, "{form}");
    }
    assert_eq!(fixture.order_json(&order)["state"], "open");
    // Nor are notices about other transactions believed, once it is paid.
    assert_eq!(fixture.tell_notice("postback", &good).0, 200);
    let other = fixture.notice(&order, "sandbox:2", "postback", |_| {});
    assert_eq!(fixture.tell_notice("postback", &other), (409, "notice-state".to_owned()));
    let other = fixture.notice(&order, "sandbox:2", "chargeback", |_| {});
    assert_eq!(fixture.tell_notice("chargeback", &other), (409, "notice-state".to_owned()));
    assert_eq!(fixture.order_json(&order)["transactionID"], "sandbox:1");
}
