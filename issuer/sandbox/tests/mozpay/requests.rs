//! Requests that are refused, each with its code.

use crate::fixture::{Fixture, claims, raw};
use fwp_sandbox::moz_pay::jwt::Signer;
use fwp_sandbox::moz_pay::keys::{MozPayKeys, key_file};
use fwp_sandbox::moz_pay::{TYP_SHARED, TYP_SIGNED};
use serde_json::{Value, json};

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
    let file = std::fs::read_to_string(key_file(&fixture.dir.path().join("sandbox"))).unwrap();
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
