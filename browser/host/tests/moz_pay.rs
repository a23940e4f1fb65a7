//! Requests of `navigator.mozPay` through the host, with a real bus and daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Host, ORIGIN, Stage};
use data_encoding::BASE64URL_NOPAD;
use fwp_tests::requests::BANKNET;
use fwp_tests::{MY_BANK, Prompt};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const TYP: &str = "sandbox/payments/pay/v1";

/// A JWT by HS256, whose secret the wallet does not know; it expires in so many seconds.
fn jwt(typ: &str, expires: i64) -> String {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let claims = json!({
        "iss": "Space Shop", "aud": "psp.example", "typ": typ, "iat": now - 600, "exp": now + expires,
        "request": {
            "id": "order-1", "name": "Rocket boots", "description": "A pair",
            "price": {"amount": "435.00", "currency": "EUR"},
            "postbackURL": "https://spaceshop.com/p", "chargebackURL": "https://spaceshop.com/c",
        },
    });
    let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    format!(
        "{}.{}.{}",
        encode(br#"{"alg":"HS256"}"#),
        encode(claims.to_string().as_bytes()),
        encode(&[7; 32])
    )
}

/// A card whose bank works with a provider of this type, enrolled through the host.
async fn enroll_with_provider(stage: &Stage, host: &mut Host) {
    let begin = json!({
        "origin": format!("https://{MY_BANK}"), "offer": stage.bank.offer().to_json().to_string(), "replace": true
    });
    let begun = host.good("beginEnrollment", begin).await;
    let event = host.event("attestation").await;
    let cards =
        stage.bank.issue(&event["attestation"].to_string(), &[(BANKNET, "FR7630002111110020050012733")]);
    let mut cards: Value = serde_json::from_str(&cards).unwrap();
    cards[0]["providers"] = json!([{"typ": TYP, "deliveryUrl": "https://psp.example/mozpay"}]);
    let stored =
        host.good("storeCards", json!({"enrollment": begun["enrollment"], "cards": cards.to_string()})).await;
    assert_eq!(stored, json!({"stored": 1}));
    assert_eq!(host.closed("enrollment", &begun["enrollment"]).await, "completed");
}

#[tokio::test]
async fn a_signed_request_is_authorized_and_told_where_it_goes() {
    let stage = Stage::new().await;
    let mut host = stage.host().await;
    enroll_with_provider(&stage, &mut host).await;
    let (other, wanted) = (jwt("other/pay/v1", 600), jwt(TYP, 600));
    let params = json!({"origin": ORIGIN, "requests": [other, wanted]});
    let payment = host.good("createMozPayment", params).await["payment"].clone();
    host.good("show", json!({"payment": payment})).await;
    let event = host.event("response").await;
    let delivery = json!({"url": "https://psp.example/mozpay", "typ": TYP, "request": wanted});
    assert_eq!((&event["payment"], &event["delivery"]), (&payment, &delivery));
    let signed = stage.bank.open(&event["details"].to_string());
    assert_eq!(signed.authorization_data().payee_host.as_str(), "spaceshop.com");
    let shown = stage
        .agent
        .wait_for("the prompt", |prompt| match prompt {
            Prompt::Authorize(_, request, _) => Some(request.clone()),
            _ => None,
        })
        .await;
    assert_eq!((shown.payee_name.as_str(), shown.amount.as_str()), ("Space Shop", "435.00"));
    let retry = json!({"payment": payment, "errorFields": "{}"});
    assert_eq!(host.bad("retry", retry).await, "io.github.fwpd.Error.InvalidState");
    host.good("complete", json!({"payment": payment, "result": "success"})).await;
    assert_eq!(host.closed("payment", &payment).await, "completed");
}

#[tokio::test]
async fn an_expired_or_broken_request_is_refused_with_its_place() {
    let stage = Stage::new().await;
    let mut host = stage.host().await;
    for (requests, place) in [
        (json!([jwt(TYP, -60)]), "requests[0]"),
        (json!([jwt(TYP, 600), "a.b"]), "requests[1]"),
        (json!([jwt(TYP, 600), jwt("no spaces", 600)]), "requests[1]"),
    ] {
        let answer = host.call("createMozPayment", json!({"origin": ORIGIN, "requests": requests})).await;
        assert_eq!(answer["error"]["name"], "io.github.fwpd.Error.InvalidRequest", "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(place), "{answer}");
    }
    let plain = json!({"origin": "http://spaceshop.com", "requests": [jwt(TYP, 600)]});
    assert_eq!(host.bad("createMozPayment", plain).await, "fwp-host.Refused");
}
