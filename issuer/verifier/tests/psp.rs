//! What a PSP lets through to the bank (FIDO Web Pay section 6 step 8).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fwp::{PayeeHost, TimeStamp};
use fwp_verifier::Refusal;
use fwp_verifier::psp::{Merchant, ServedNetwork, forward};
use fwp_verifier::terms::{is_card_issuer_number, is_issuer_url};
use serde_json::{Value, json};

fn host(name: &str) -> PayeeHost {
    PayeeHost::parse(name).unwrap()
}

fn merchant() -> Merchant {
    Merchant {
        payee_name: "Space Shop".into(),
        payee_hosts: vec![host("spaceshop.com"), host("localhost")],
        receive_accounts: vec!["DE89370400440532013000".into(), "SE35 5000 0000 0549 1000 0003".into()],
    }
}

fn networks() -> Vec<ServedNetwork> {
    vec![
        ServedNetwork { id: "https://banknet2.org".into(), issuer_id: is_issuer_url },
        ServedNetwork { id: "visa".into(), issuer_id: is_card_issuer_number },
    ]
}

/// The document's sample.
fn sample() -> Value {
    json!({
        "paymentRequest": { "payeeName": "Space Shop", "requestId": "7040566321", "amount": "435.00", "currency": "EUR" },
        "fwpAssertion": {
            "paymentNetworkId": "https://banknet2.org", "issuerId": "https://mybank.fr/payment", "userAuthorization": "2QPy",
        },
        "receiveAccount": "DE89370400440532013000",
        "clientIpAddress": "220.13.198.144",
        "timeStamp": "2023-02-16T09:14:22Z",
    })
}

fn send(request: &Value) -> Result<fwp::envelope::IssuerRequest, Refusal> {
    send_text(&request.to_string())
}

fn send_text(request: &str) -> Result<fwp::envelope::IssuerRequest, Refusal> {
    send_from(request, "spaceshop.com")
}

fn send_from(request: &str, from: &str) -> Result<fwp::envelope::IssuerRequest, Refusal> {
    let now = TimeStamp::parse("2023-02-16T09:14:23Z").unwrap();
    forward(request, &merchant(), &host(from), &networks(), now)
}

/// The sample with `pointer` replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut request = sample();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    request.pointer_mut(parent).unwrap()[name] = value;
    request
}

#[test]
fn the_sample_goes_on_with_the_registered_host_and_the_psps_time() {
    let request = send(&sample()).unwrap();
    assert_eq!(request.payee_host.as_str(), "spaceshop.com");
    assert_eq!(request.time_stamp.as_str(), "2023-02-16T09:14:23Z");
    assert_eq!(request.psp_request.to_json(), sample(), "verbatim");
}

#[test]
fn each_of_the_merchants_hosts_is_taken_and_no_other() {
    for name in ["spaceshop.com", "localhost"] {
        assert_eq!(send_from(&sample().to_string(), name).unwrap().payee_host.as_str(), name);
    }
    for name in ["moonshop.example", "www.spaceshop.com", "com"] {
        assert_eq!(send_from(&sample().to_string(), name).unwrap_err(), Refusal::MerchantHost, "{name}");
    }
}

#[test]
fn what_is_not_the_merchants_own_or_not_served_is_refused() {
    for (pointer, value, refusal) in [
        ("/paymentRequest/payeeName", "Space Shop ", Refusal::PayeeName),
        ("/paymentRequest/payeeName", "space shop", Refusal::PayeeName),
        ("/fwpAssertion/paymentNetworkId", "https://banknet2.org/", Refusal::Network),
        ("/fwpAssertion/paymentNetworkId", "", Refusal::Network),
        ("/fwpAssertion/issuerId", "4972039000000004", Refusal::IssuerIdForm),
        ("/fwpAssertion/issuerId", "ftp://mybank.fr", Refusal::IssuerIdForm),
        ("/fwpAssertion/paymentNetworkId", "visa", Refusal::IssuerIdForm),
        ("/receiveAccount", "DE89370400440532013001", Refusal::ReceiveAccount),
        ("/receiveAccount", "", Refusal::ReceiveAccount),
    ] {
        assert_eq!(send(&with(pointer, value.into())).unwrap_err(), refusal, "{pointer} {value}");
    }
    let mut visa = with("/fwpAssertion/paymentNetworkId", "visa".into());
    visa["fwpAssertion"]["issuerId"] = "4972039000000004".into();
    assert!(send(&visa).is_ok());
    assert!(send(&with("/receiveAccount", "SE35 5000 0000 0549 1000 0003".into())).is_ok());
}

#[test]
fn time_stamps_are_good_for_600_s_either_way() {
    for (text, ok) in [
        ("2023-02-16T09:04:24Z", true),
        ("2023-02-16T09:04:23Z", false),
        ("2023-02-16T09:24:22Z", true),
        ("2023-02-16T09:24:23Z", false),
        ("2023-02-16T10:14:22+01:00", true),
        ("2023-02-16T09:14:22+01:00", false),
    ] {
        let sent = send(&with("/timeStamp", text.into()));
        assert_eq!(sent.is_ok(), ok, "{text}");
        assert!(ok || sent.unwrap_err().code() == "envelope-time");
    }
}

#[test]
fn nothing_may_be_missing_or_unknown_or_of_another_type_anywhere() {
    fn attributes(prefix: &str, value: &Value, out: &mut Vec<String>) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let pointer = format!("{prefix}/{name}");
            attributes(&pointer, value, out);
            out.push(pointer);
        }
    }
    let mut pointers = Vec::new();
    attributes("", &sample(), &mut pointers);
    assert_eq!(pointers.len(), 12);
    for pointer in pointers {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut missing = sample();
        missing.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        assert!(send(&missing).unwrap_err().to_string().ends_with("is missing"), "{pointer}");
        for value in [Value::Null, json!(1), json!([]), json!(true)] {
            assert_eq!(send(&with(&pointer, value)).unwrap_err().code(), "envelope", "{pointer}");
        }
        let beside = format!("{parent}/x");
        assert_eq!(send(&with(&beside, json!("x"))).unwrap_err().code(), "envelope", "{beside}");
    }
}

#[test]
fn a_payment_request_must_be_well_formed() {
    for (pointer, value) in [
        ("/paymentRequest/amount", "-1"),
        ("/paymentRequest/amount", "1."),
        ("/paymentRequest/amount", "1e2"),
        ("/paymentRequest/currency", "eur"),
        ("/paymentRequest/currency", "EURO"),
        ("/clientIpAddress", "spaceshop.com"),
        ("/timeStamp", "2023-02-16 09:14:22Z"),
        ("/fwpAssertion/userAuthorization", "2QPy="),
    ] {
        let code = send(&with(pointer, value.into())).unwrap_err().code();
        assert!(matches!(code, "envelope" | "base64url"), "{pointer} {value}: {code}");
    }
    for text in ["", "[]", "null", "{", "{\"paymentRequest\":{},\"paymentRequest\":{}}"] {
        assert_eq!(send_text(text).unwrap_err().code(), "envelope", "{text:?}");
    }
}
