use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn parsed(message: &Value) -> Result<Request, Failure> {
    Request::parse(message.to_string().as_bytes())
        .map(|(_, request)| request)
        .map_err(|unreadable| unreadable.failure)
}

fn request(method: &str, params: Value) -> Value {
    json!({"id": 7, "method": method, "params": params})
}

const ORIGIN: &str = "https://spaceshop.com";

/// One good request of each method.
fn samples() -> Vec<Value> {
    vec![
        request("hello", json!({"protocol": 1, "browser": {"name": "Chromium", "version": "156.0"}})),
        request("canMakePayment", json!({"origin": ORIGIN})),
        request("createPayment", json!({"origin": ORIGIN, "methodData": "[]", "details": "{}"})),
        request("createMozPayment", json!({"origin": ORIGIN, "requests": ["a.b.c"]})),
        request(
            "beginEnrollment",
            json!({"origin": ORIGIN, "offer": "{}", "attachment": "platform", "replace": true}),
        ),
        request("show", json!({"payment": "p1"})),
        request("abort", json!({"payment": "p1"})),
        request("update", json!({"payment": "p1", "details": "{}"})),
        request("retry", json!({"payment": "p1", "errorFields": "{}"})),
        request("complete", json!({"payment": "p1", "result": "success"})),
        request("storeCards", json!({"enrollment": "e1", "cards": "[]"})),
        request("cancelEnrollment", json!({"enrollment": "e1"})),
        request("forget", json!({"payments": ["p1"], "enrollments": ["e1", "e2"]})),
        request("status", json!({})),
        request("listCards", json!({})),
        request("cardImage", json!({"card": "c1"})),
    ]
}

#[test]
fn each_method_is_read() {
    for sample in samples() {
        assert!(parsed(&sample).is_ok(), "{sample}");
    }
    assert_eq!(
        parsed(&request("show", json!({"payment": "p12"}))),
        Ok(Request::OfPayment(Name(12), PaymentCall::Show))
    );
    let enroll = json!({"origin": "http://localhost:8080", "offer": "{}"});
    let Ok(Request::BeginEnrollment { host, attachment: None, replace: None, .. }) =
        parsed(&request("beginEnrollment", enroll))
    else {
        panic!("not an enrollment")
    };
    assert_eq!(host.as_str(), "localhost");
}

#[test]
fn each_parameter_is_needed_and_of_its_type_and_no_other_may_stand_there() {
    let optional = ["attachment", "replace"];
    let mut tried = 0;
    for sample in samples() {
        let params = sample["params"].as_object().unwrap().clone();
        for name in params.keys() {
            let mut without = sample.clone();
            without["params"].as_object_mut().unwrap().remove(name);
            assert_eq!(parsed(&without).is_ok(), optional.contains(&name.as_str()), "{without}");
            for wrong in [json!(null), json!(9), json!([1]), json!({"a": 1}), json!("\0")] {
                if wrong.is_null() && optional.contains(&name.as_str()) {
                    continue;
                }
                let mut other = sample.clone();
                other["params"][name] = wrong;
                assert!(parsed(&other).is_err(), "{other}");
                tried += 1;
            }
        }
        let mut more = sample.clone();
        more["params"]["more"] = json!(1);
        assert!(parsed(&more).is_err(), "{more}");
        let twice = sample.to_string().replacen("\"params\":{", "\"params\":{\"origin\":1,\"origin\":1,", 1);
        assert!(Request::parse(twice.as_bytes()).is_err(), "{twice}");
        for wrong in [json!([]), json!("{}"), json!(null), json!(1)] {
            let mut other = sample.clone();
            other["params"] = wrong;
            assert!(parsed(&other).is_err(), "{other}");
        }
    }
    assert!(tried >= 100, "{tried}");
}

#[test]
fn an_origin_that_may_not_pay_is_refused_by_name() {
    for method in ["canMakePayment", "createPayment", "createMozPayment", "beginEnrollment"] {
        for origin in ["null", "http://spaceshop.com", "https://spaceshop.com/", "file://"] {
            let mut message = samples().into_iter().find(|sample| sample["method"] == method).unwrap();
            message["params"]["origin"] = json!(origin);
            assert_eq!(parsed(&message).unwrap_err().name, "fwp-host.Refused", "{message}");
        }
    }
}

#[test]
fn names_are_written_in_one_way_only() {
    for name in ["p", "e1", "p01", "p+1", "p-1", "p 1", "P1", "p1.0", "p18446744073709551616", "", "1"] {
        assert!(parsed(&request("show", json!({"payment": name}))).is_err(), "{name}");
    }
    for card in ["", "a/b", "../x", "c 1", "é"] {
        assert!(parsed(&request("cardImage", json!({"card": card}))).is_err(), "{card}");
    }
}

#[test]
fn requests_of_moz_pay_are_one_to_eight_and_bounded() {
    let with = |requests: Vec<String>| {
        parsed(&request("createMozPayment", json!({"origin": ORIGIN, "requests": requests})))
    };
    assert!(with(vec![]).is_err());
    assert!(with(vec!["j".into(); 8]).is_ok());
    assert!(with(vec!["j".into(); 9]).is_err());
    assert!(with(vec!["j".repeat(MAX_MOZ_REQUEST_BYTES)]).is_ok());
    assert!(with(vec!["j".repeat(MAX_MOZ_REQUEST_BYTES + 1)]).is_err());
}

#[test]
fn a_browser_has_a_short_name_and_version_and_speaks_this_protocol() {
    let hello = |protocol: Value, name: &str| {
        parsed(&request("hello", json!({"protocol": protocol, "browser": {"name": name, "version": "1"}})))
    };
    assert!(hello(json!(1), "Firefox").is_ok());
    let array = json!({"protocol": 1, "browser": ["Firefox", "153.0"]});
    assert!(parsed(&request("hello", array)).is_err());
    assert!(hello(json!(2), "Firefox").unwrap_err().message.contains("update the older one"));
    for name in ["", "a\nb", "\u{202e}xof", &"x".repeat(65)] {
        assert!(hello(json!(1), name).is_err(), "{name:?}");
    }
}

#[test]
fn the_number_of_a_broken_request_is_known_where_it_can_be() {
    let id = |text: &str| Request::parse(text.as_bytes()).unwrap_err().id;
    for text in [
        r#"{"id": 7, "method": "nope", "params": {}}"#,
        r#"{"id": 7, "method": "status", "params": {"x": 1}}"#,
        r#"{"id": 7, "method": "status"}"#,
        r#"{"id": 7, "method": 8, "params": {}}"#,
        r#"{"id": 7, "method": "status", "params": {}, "more": 1}"#,
        r#"{"id": 7}"#,
    ] {
        assert_eq!(id(text), Some(RequestId(7)), "{text}");
    }
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "7",
        "[7]",
        r#"[7, "status", {}]"#,
        r#"{"id": 0, "method": "status", "params": {}}"#,
        r#"{"id": -1, "method": "status", "params": {}}"#,
        r#"{"id": 1.5, "method": "status", "params": {}}"#,
        r#"{"id": "7", "method": "status", "params": {}}"#,
        r#"{"id": 9007199254740992, "method": "status", "params": {}}"#,
        r#"{"id": 7, "id": 7, "method": "status", "params": {}}"#,
        r#"{"id": 7, "method": "status", "params": {}} {}"#,
        r#"{"id": 7, "method": "status", "params": {}"#,
    ] {
        assert_eq!(id(text), None, "{text}");
    }
    let largest = format!(r#"{{"id": {MAX_ID}, "method": "status", "params": {{}}}}"#);
    assert_eq!(Request::parse(largest.as_bytes()), Ok((RequestId(MAX_ID), Request::Status)));
}

#[test]
fn hostile_text_is_refused_without_recursion() {
    let deep = "[".repeat(500_000) + &"]".repeat(500_000);
    for text in [
        deep.clone(),
        format!(r#"{{"id": 7, "method": "status", "params": {deep}}}"#),
        format!(r#"{{"id": 7, "method": "status", "params": {{"a": {deep}}}}}"#),
        format!(r#"{{"id": 7, "method": "show", "params": {{"payment": {deep}}}}}"#),
        "{\"a\":".repeat(300_000),
    ] {
        assert!(Request::parse(text.as_bytes()).is_err());
    }
    for bytes in
        [&b"\xff\xfe"[..], b"{\"id\": 1, \"method\": \"\xff\", \"params\": {}}", b"\xef\xbb\xbf{}", b"\0"]
    {
        assert!(Request::parse(bytes).is_err());
    }
    let surrogate = r#"{"id": 7, "method": "createPayment", "params": {"origin": "https://a.example", "methodData": "\ud800", "details": ""}}"#;
    assert!(Request::parse(surrogate.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic_and_a_refusal_is_short(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(unreadable) = Request::parse(&bytes) {
            prop_assert!(unreadable.failure.message.len() < 8 << 10);
        }
    }

    #[test]
    fn text_of_a_page_arrives_as_it_was(details in "\\PC{0,40}", id in 1..=MAX_ID) {
        let message = json!({"id": id, "method": "update", "params": {"payment": "p3", "details": details}});
        let (read, request) = Request::parse(message.to_string().as_bytes()).unwrap();
        prop_assert_eq!(read, RequestId(id));
        prop_assert_eq!(request, Request::OfPayment(Name(3), PaymentCall::Update(Text(details))));
    }
}
