//! Requests of navigator.mozPay: what is taken, what is refused by which field, and whose signature is believed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use data_encoding::BASE64URL_NOPAD;
use fwp::moz_pay::{Algorithm, MAX_REQUEST_BYTES, MozPayRequest, TimeProblem, Verification, WrongSignature};
use fwp::provider::{DeliveryUrl, ProviderKey};
use fwp::{PayeeHost, PaymentRequest, Provider, ProviderType};
use fwp_cose::cbor::Value;
use fwp_cose::key::P256Key;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const NOW: i64 = 1_790_000_000;
const TYP: &str = "sandbox/payments/pay/v1";

fn claims() -> Json {
    json!({
        "iss": "Space Shop",
        "aud": "psp.example",
        "typ": TYP,
        "iat": NOW,
        "exp": NOW + 3600,
        "request": {
            "id": "7040566321",
            "name": "Rocket boots",
            "description": "A pair, size 42",
            "price": {"amount": "435.00", "currency": "EUR"},
            "postbackURL": "https://spaceshop.com/postback",
            "chargebackURL": "https://spaceshop.com/chargeback",
            "productData": "sku=42",
            "icons": {"64": "https://spaceshop.com/boots.png"},
        },
    })
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

fn signing_key(n: u8) -> SigningKey {
    SigningKey::from_slice(&[n; 32]).unwrap()
}

fn provider_key(kid: &str, key: &SigningKey) -> ProviderKey {
    let point = key.verifying_key().to_sec1_point(false);
    ProviderKey { kid: kid.to_owned(), public_key: P256Key::from_sec1(point.as_bytes()).unwrap() }
}

fn provider(keys: Vec<ProviderKey>) -> Provider {
    Provider {
        typ: ProviderType::parse(TYP).unwrap(),
        delivery_url: DeliveryUrl::parse("https://psp.example/mozpay").unwrap(),
        keys,
    }
}

/// A JWT of these texts, with a signature of the length that HS256 has.
fn hs256(header: &str, payload: &str) -> String {
    format!("{}.{}.{}", encode(header), encode(payload), encode([7; 32]))
}

fn es256(header: &Json, payload: &Json, key: &SigningKey) -> String {
    let signed = format!("{}.{}", encode(header.to_string()), encode(payload.to_string()));
    let signature: Signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", encode(signature.to_bytes()))
}

fn of(payload: &Json) -> String {
    hs256(r#"{"alg":"HS256","typ":"JWT"}"#, &payload.to_string())
}

fn refused(requests: &[String]) -> String {
    MozPayRequest::parse_all(requests, NOW).unwrap_err().field
}

#[test]
fn a_request_says_who_sells_what_for_how_much() {
    let jwt = of(&claims());
    let requests = MozPayRequest::parse_all(&[&jwt], NOW).unwrap();
    let [request] = requests.as_slice() else { panic!("one request") };
    let prcd = request.prcd();
    assert_eq!((prcd.payee_name.as_str(), prcd.request_id.as_str()), ("Space Shop", "7040566321"));
    assert_eq!((prcd.amount.as_str(), prcd.currency.as_str()), ("435.00", "EUR"));
    assert_eq!((request.name(), request.description()), ("Rocket boots", "A pair, size 42"));
    assert_eq!((request.audience(), request.typ().as_str()), ("psp.example", TYP));
    assert_eq!((request.algorithm(), request.kid(), request.jwt()), (Algorithm::Hs256, None, jwt.as_str()));
}

#[test]
fn what_is_signed_is_the_very_text_of_the_request() {
    let jwt = of(&claims());
    let request = MozPayRequest::parse_all(&[&jwt], NOW).unwrap().remove(0);
    let request = PaymentRequest::from_moz_pay(PayeeHost::parse("spaceshop.com").unwrap(), request);
    assert_eq!(request.network_options("https://banknet2.org"), Ok(Some(Value::Text(jwt))));
    assert_eq!(request.prcd().request_id, "7040566321");
    assert!(request.networks().is_empty());
    let cheaper = r#"{"total":{"label":null,"amount":{"currency":"EUR","value":"1.00"}}}"#;
    assert_eq!(request.updated(cheaper).unwrap_err().0.field, "details");
}

#[test]
fn a_claim_that_is_missing_wrong_or_could_lie_is_refused_by_its_field() {
    let cases = [
        ("iss", json!("")),
        ("iss", json!("Space\u{202e}Shop")),
        ("iss", json!("a".repeat(257))),
        ("iss", json!(7)),
        ("aud", json!(["psp.example"])),
        ("typ", json!("a b")),
        ("iat", json!("now")),
        ("iat", json!(-1)),
        ("exp", json!(null)),
        ("exp", json!(NOW)),
        ("exp", json!(NOW + 86_401)),
        ("request", json!([])),
        ("request.id", json!("")),
        ("request.name", json!("a\nb")),
        ("request.name", json!("a".repeat(257))),
        ("request.description", json!("\u{2066}")),
        ("request.price", json!("4.99")),
        ("request.price.amount", json!(4)),
        ("request.price.amount", json!("-1")),
        ("request.price.amount", json!("4,99")),
        ("request.price.currency", json!("eur")),
        ("request.postbackURL", json!(7)),
        ("request.chargebackURL", json!("")),
    ];
    for (path, value) in cases {
        let mut payload = claims();
        let pointer = format!("/{}", path.replace('.', "/"));
        *payload.pointer_mut(&pointer).unwrap() = value.clone();
        assert_eq!(refused(&[of(&payload)]), format!("requests[0].{path}"), "{value}");
    }
    for path in [
        "iss",
        "aud",
        "typ",
        "iat",
        "exp",
        "request",
        "request.id",
        "request.name",
        "request.description",
        "request.price",
        "request.price.amount",
        "request.price.currency",
        "request.postbackURL",
        "request.chargebackURL",
    ] {
        let mut payload = claims();
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        let pointer =
            if parent.is_empty() { String::new() } else { format!("/{}", parent.replace('.', "/")) };
        payload.pointer_mut(&pointer).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        assert_eq!(refused(&[of(&payload)]), format!("requests[0].{path}"));
    }
    let mut more = claims();
    more["request"]["price"]["tax"] = json!("1");
    assert_eq!(refused(&[of(&more)]), "requests[0].request.price.tax");
    let mut others = claims();
    others["jti"] = json!("1");
    others["request"]["simulate"] = json!({"result": "postback"});
    assert!(MozPayRequest::parse_all(&[of(&others)], NOW).is_ok());
}

#[test]
fn a_request_holds_from_a_minute_before_it_was_made_until_it_expires() {
    let with = |iat: i64, exp: i64| {
        let mut payload = claims();
        (payload["iat"], payload["exp"]) = (json!(iat), json!(exp));
        payload
    };
    for (iat, exp) in [(NOW - 100, NOW + 1), (NOW + 60, NOW + 100), (NOW, NOW + 86_400)] {
        assert!(MozPayRequest::parse_all(&[of(&with(iat, exp))], NOW).is_ok(), "{iat} {exp}");
    }
    assert_eq!(refused(&[of(&with(NOW - 100, NOW))]), "requests[0].exp");
    assert_eq!(refused(&[of(&with(NOW + 61, NOW + 100))]), "requests[0].iat");
    let request = MozPayRequest::parse("request", &of(&with(NOW, NOW + 100))).unwrap();
    assert_eq!(request.check_time(NOW + 99), Ok(()));
    assert_eq!(request.check_time(NOW + 107), Err(TimeProblem::Expired { ago_s: 7 }));
    assert_eq!(request.check_time(NOW - 61), Err(TimeProblem::NotYet { ahead_s: 61 }));
    assert_eq!(request.check_time(i64::MAX), Err(TimeProblem::Expired { ago_s: i64::MAX - NOW - 100 }));
    assert!(request.check_time(i64::MIN).is_err());
}

#[test]
fn only_hs256_and_es256_are_taken_and_no_header_that_changes_what_they_mean() {
    let payload = claims().to_string();
    for (header, field) in [
        (r#"{"alg":"none"}"#, "header.alg"),
        (r#"{"alg":"None"}"#, "header.alg"),
        (r#"{"alg":"hs256"}"#, "header.alg"),
        (r#"{"alg":"HS384"}"#, "header.alg"),
        (r#"{"alg":"RS256"}"#, "header.alg"),
        (r#"{"alg":null}"#, "header.alg"),
        (r#"{"typ":"JWT"}"#, "header.alg"),
        (r#"{"alg":"HS256","typ":"JOSE"}"#, "header.typ"),
        (r#"{"alg":"HS256","kid":""}"#, "header.kid"),
        (r#"{"alg":"HS256","kid":7}"#, "header.kid"),
        (r#"{"alg":"HS256","crit":["exp"]}"#, "header.crit"),
        (r#"{"alg":"HS256","jku":"https://evil.example"}"#, "header.jku"),
        (r#"{"alg":"HS256","jwk":{}}"#, "header.jwk"),
        (r#"{"alg":"HS256","alg":"none"}"#, "header"),
        ("[]", "header"),
        ("x", "header"),
    ] {
        assert_eq!(refused(&[hs256(header, &payload)]), format!("requests[0].{field}"), "{header}");
    }
    // A signature of the other algorithm's length.
    assert_eq!(refused(&[hs256(r#"{"alg":"ES256"}"#, &payload)]), "requests[0].signature");
}

#[test]
fn what_is_not_exactly_a_jws_in_compact_form_is_refused() {
    let good = of(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let twice =
        claims().to_string().replace(r#""iss":"Space Shop""#, r#""iss":"Space Shop","iss":"Moon Shop""#);
    let fraction = claims().to_string().replace(r#""sku=42""#, "4.2");
    let not_utf8 = format!("{header}.{}.{signature}", encode([b'{', 0xff, b'}']));
    let padded = format!("{header}=.{payload}.{signature}");
    let stray = format!("{header}.{payload}.{}B", &signature[..signature.len() - 1]);
    let large = format!("{header}.{}.{signature}", "A".repeat(MAX_REQUEST_BYTES));
    for (text, field) in [
        (String::new(), ""),
        (header.to_owned(), ""),
        (format!("{header}.{payload}"), ""),
        (large, ""),
        (format!("{good}.{signature}"), ".payload"),
        (format!(" {good}"), ".header"),
        (format!("{good}\n"), ".signature"),
        (format!("{header}.{payload}."), ".signature"),
        (format!("{header}..{signature}"), ".payload"),
        (stray, ".signature"),
        (padded, ".header"),
        (hs256(r#"{"alg":"HS256"}"#, &twice), ".payload"),
        (hs256(r#"{"alg":"HS256"}"#, &fraction), ".payload"),
        (hs256(r#"{"alg":"HS256"}"#, "7"), ""),
        (hs256(r#"{"alg":"HS256"}"#, &("[".repeat(5000) + &"]".repeat(5000))), ".payload"),
        (not_utf8, ".payload"),
    ] {
        assert_eq!(refused(std::slice::from_ref(&text)), format!("requests[0]{field}"), "{text}");
    }
}

#[test]
fn there_are_one_to_eight_requests_each_for_another_provider() {
    let of_typ = |typ: &str| {
        let mut payload = claims();
        payload["typ"] = json!(typ);
        of(&payload)
    };
    let many = |n: usize| (0..n).map(|n| of_typ(&format!("typ/{n}"))).collect::<Vec<_>>();
    assert_eq!(MozPayRequest::parse_all(&many(8), NOW).unwrap().len(), 8);
    assert_eq!(refused(&many(9)), "requests");
    assert_eq!(refused(&[]), "requests");
    assert_eq!(refused(&[of_typ("a"), of_typ("b"), of_typ("a")]), "requests[2].typ");
    assert_eq!(refused(&[of_typ("a"), "x".to_owned()]), "requests[1]");
}

#[test]
fn es256_is_verified_by_the_key_that_is_named_or_by_each() {
    let (first, second, other) = (signing_key(1), signing_key(2), signing_key(3));
    let provider = provider(vec![provider_key("1", &first), provider_key("2", &second)]);
    let verify = |header: Json, key: &SigningKey| {
        MozPayRequest::parse("request", &es256(&header, &claims(), key)).unwrap().verify(&provider)
    };
    assert_eq!(verify(json!({"alg": "ES256", "kid": "2"}), &second), Ok(Verification::Verified));
    assert_eq!(verify(json!({"alg": "ES256"}), &first), Ok(Verification::Verified));
    assert_eq!(verify(json!({"alg": "ES256"}), &second), Ok(Verification::Verified));
    assert_eq!(verify(json!({"alg": "ES256"}), &other), Err(WrongSignature::Invalid));
    assert_eq!(verify(json!({"alg": "ES256", "kid": "1"}), &second), Err(WrongSignature::Invalid));
    assert_eq!(verify(json!({"alg": "ES256", "kid": "3"}), &first), Err(WrongSignature::UnknownKey));
}

#[test]
fn a_changed_request_and_a_signature_of_zeros_are_not_believed() {
    let key = signing_key(1);
    let provider = provider(vec![provider_key("1", &key)]);
    let good = es256(&json!({"alg": "ES256"}), &claims(), &key);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let mut dearer = claims();
    dearer["request"]["price"]["amount"] = json!("1.00");
    let forged = [
        format!("{header}.{}.{signature}", encode(dearer.to_string())),
        format!("{signed}.{}", encode([0; 64])),
        format!("{signed}.{}", encode([0xff; 64])),
    ];
    for text in forged {
        let request = MozPayRequest::parse("request", &text).unwrap();
        assert_eq!(request.verify(&provider), Err(WrongSignature::Invalid), "{text}");
    }
}

#[test]
fn without_a_public_key_the_wallet_does_not_claim_to_have_verified_anything() {
    let key = signing_key(1);
    let signed = MozPayRequest::parse("request", &es256(&json!({"alg": "ES256"}), &claims(), &key)).unwrap();
    assert_eq!(signed.verify(&provider(Vec::new())), Ok(Verification::NotPossible));
    let shared = MozPayRequest::parse("request", &of(&claims())).unwrap();
    assert_eq!(shared.verify(&provider(Vec::new())), Ok(Verification::NotPossible));
}

#[test]
fn a_request_of_a_provider_with_keys_does_not_pass_as_one_by_a_shared_secret() {
    let shared = MozPayRequest::parse("request", &of(&claims())).unwrap();
    let with_keys = provider(vec![provider_key("1", &signing_key(1))]);
    assert_eq!(shared.verify(&with_keys), Err(WrongSignature::Algorithm));
}

proptest! {
    #[test]
    fn any_text_gets_an_answer_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), parts in proptest::collection::vec(any::<String>(), 3)) {
        let _ = MozPayRequest::parse("request", &String::from_utf8_lossy(&bytes));
        let text = parts.iter().map(encode).collect::<Vec<_>>().join(".");
        let _ = MozPayRequest::parse("request", &text);
    }

    /// base64url has one text for the same bytes, and every bit of the text is signed.
    #[test]
    fn no_changed_character_of_a_signed_request_is_believed(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        let key = signing_key(1);
        let good = es256(&json!({"alg": "ES256"}), &claims(), &key);
        let at = at.index(good.len());
        let changed = format!("{}{to}{}", &good[..at], &good[at + 1..]);
        if let Ok(request) = MozPayRequest::parse("request", &changed) && changed != good {
            prop_assert!(request.verify(&provider(vec![provider_key("1", &key)])).is_err());
        }
    }
}
