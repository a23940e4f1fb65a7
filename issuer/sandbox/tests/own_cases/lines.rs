//! What is given with a case: clock, account, bank, keys; and lines that are no case.

use crate::builder::{Case, Fido, Issuer, RP_ID, Want, case, envelope, public_key, sample_sad, usual};
use serde_json::{Value, json};

const LINE: Want = Want::Reject(&["line"]);
/// The sample's time stamp in milliseconds.
const SIGNED_AT: i64 = 1_676_538_847_000;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    clock(&mut cases);
    account_and_bank(&mut cases);
    keys(&mut cases);
    no_case(&mut cases);
    cases
}

fn sample() -> Value {
    let sad = sample_sad(Fido::Es256);
    let request = envelope(&usual().esad(&sad.encode()).encode(), &sad);
    json!({ "id": "x", "issuerKeys": usual().issuer_keys(), "issuerRequest": request })
}

fn with(name: &str, value: Value) -> String {
    let mut line = sample();
    line[name] = value;
    line.to_string()
}

fn clock(cases: &mut Vec<Case>) {
    for (off, want) in [
        (0, Want::Accept),
        (599_999, Want::Accept),
        (600_000, Want::Reject(&["expired"])),
        (600_001, Want::Reject(&["expired"])),
        (86_400_000, Want::Reject(&["expired"])),
        (-59_999, Want::Accept),
        (-60_000, Want::Reject(&["from-the-future"])),
        (-60_001, Want::Reject(&["from-the-future"])),
        (-120_000, Want::Reject(&["from-the-future"])),
        (-SIGNED_AT, Want::Reject(&["from-the-future"])),
    ] {
        let now = SIGNED_AT + off;
        cases.push(case(format!("now = timeStamp {off:+} ms"), with("now", now.into()), want.clone()));
        cases.push(case(
            format!("now = timeStamp {off:+} ms, as text"),
            with("now", now.to_string().into()),
            want,
        ));
    }
    cases.push(case("now at the end of time", with("now", i64::MAX.into()), Want::Reject(&["expired"])));
    cases.push(case("now before all time", with("now", i64::MIN.into()), Want::Reject(&["from-the-future"])));
    cases.push(case("now is null: the authorization's own time", with("now", Value::Null), Want::Accept));
    for now in [json!("soon"), json!(1.5), json!({}), json!(""), json!(true), json!("99999999999999999999")] {
        cases.push(case(format!("now is {now}"), with("now", now), LINE));
    }
}

fn account_and_bank(cases: &mut Vec<Case>) {
    let key = data_encoding::HEXLOWER.encode(&public_key(Fido::Es256.public()).sha256());
    let account = json!({ "serialNumber": "0057162932", "accountId": "FR7630002111110020050014382", "publicKeySha256": key });
    cases.push(case("the account's", with("account", account.clone()), Want::Accept));
    let mut upper = account.clone();
    upper["publicKeySha256"] = key.to_uppercase().into();
    cases.push(case("the account's, the hash in upper case", with("account", upper), Want::Accept));
    for (name, wrong, code) in [
        ("serialNumber", "57162932", &["unknown-card"][..]),
        ("serialNumber", "", &["unknown-card"]),
        ("accountId", "fr7630002111110020050014382", &["unknown-card"]),
        ("publicKeySha256", "00", &["key-not-of-card"]),
        ("publicKeySha256", "", &["key-not-of-card"]),
    ] {
        let mut other = account.clone();
        other[name] = wrong.into();
        cases.push(case(
            format!("another account's {name}: {wrong:?}"),
            with("account", other),
            Want::Reject(code),
        ));
    }
    let bank = json!({ "rpId": RP_ID, "issuerIds": ["x", "https://mybank.fr/payment"], "networks": ["y", "https://banknet2.org"] });
    cases.push(case("the bank's", with("bank", bank.clone()), Want::Accept));
    cases.push(case("a bank of which nothing is given", with("bank", json!({})), Want::Accept));
    for name in ["rpId", "issuerIds", "networks"] {
        let mut less = bank.clone();
        less.as_object_mut().unwrap().remove(name);
        cases.push(case(format!("the bank's without {name}"), with("bank", less), Want::Accept));
    }
    for (name, wrong, code) in [
        ("rpId", json!("www.mybank.fr"), &["rp-id"][..]),
        ("rpId", json!("fr"), &["rp-id"]),
        ("rpId", json!("MyBank.fr"), &["line"]),
        ("issuerIds", json!([]), &["issuer-id"]),
        ("issuerIds", json!(["https://mybank.fr/payment/"]), &["issuer-id"]),
        ("networks", json!([]), &["network"]),
        ("networks", json!(["https://banknet2.org/"]), &["network"]),
        ("networks", json!("https://banknet2.org"), &["line"]),
    ] {
        let mut other = bank.clone();
        other[name] = wrong.clone();
        cases.push(case(format!("another bank's {name}: {wrong}"), with("bank", other), Want::Reject(code)));
    }
}

fn keys(cases: &mut Vec<Case>) {
    let key = |work: &dyn Fn(&mut Value)| {
        let mut keys = usual().issuer_keys();
        work(&mut keys[0]);
        keys
    };
    let other = crate::builder::encryption(Issuer::P256, 3, -31).issuer_keys()[0].clone();
    cases.push(case("a second key before it", with("issuerKeys", json!([{ "publicKey": other["publicKey"], "cosePrivate": other["cosePrivate"] }, usual().issuer_keys()[0]])), Want::Accept));
    cases.push(case(
        "in upper case",
        with(
            "issuerKeys",
            key(&|key| key["cosePrivate"] = key["cosePrivate"].as_str().unwrap().to_uppercase().into()),
        ),
        Want::Accept,
    ));
    cases.push(case("no key", with("issuerKeys", json!([])), LINE));
    cases.push(case(
        "another bank's key",
        with("issuerKeys", json!([other])),
        Want::Reject(&["key-agreement"]),
    ));
    cases.push(case(
        "without keyId",
        with(
            "issuerKeys",
            key(&|key| {
                key.as_object_mut().unwrap().remove("keyId");
            }),
        ),
        Want::Reject(&["unknown-issuer-key"]),
    ));
    for (what, keys) in [
        ("no hexadecimal", key(&|key| key["cosePrivate"] = "xx".into())),
        ("no CBOR", key(&|key| key["cosePrivate"] = "ff".into())),
        ("no key", key(&|key| key["cosePrivate"] = "a0".into())),
        ("no private key", key(&|key| key["cosePrivate"] = key["publicKey"].clone())),
        ("another public key", key(&|key| key["publicKey"] = other["publicKey"].clone())),
        ("keyId no CBOR", key(&|key| key["keyId"] = "7f".into())),
        (
            "without publicKey",
            key(&|key| {
                key.as_object_mut().unwrap().remove("publicKey");
            }),
        ),
        ("text", json!("x")),
        ("65 keys", Value::Array(vec![usual().issuer_keys()[0].clone(); 65])),
    ] {
        cases.push(case(format!("issuerKeys: {what}"), with("issuerKeys", keys), LINE));
    }
}

fn no_case(cases: &mut Vec<Case>) {
    let without = |name: &str| {
        let mut line = sample();
        line.as_object_mut().unwrap().remove(name);
        line.to_string()
    };
    cases.push(case("without id", without("id"), Want::Accept));
    cases.push(case("an id that is no text", with("id", json!({ "a": [1] })), Want::Accept));
    cases.push(case("attributes of others", with("fidoKeyType", json!({ "x": 1.5 })), Want::Accept));
    for (what, line) in [
        ("without keys", without("issuerKeys").into_bytes()),
        ("without a request", without("issuerRequest").into_bytes()),
        ("with both forms of a request", with("issuerRequestText", json!("{}")).into_bytes()),
        (
            "a request's text that is no text",
            json!({ "id": "x", "issuerKeys": usual().issuer_keys(), "issuerRequestText": 1 })
                .to_string()
                .into_bytes(),
        ),
        ("empty", vec![]),
        ("blank", b"   ".to_vec()),
        ("an array", b"[]".to_vec()),
        ("cut off", sample().to_string().into_bytes()[..100].to_vec()),
        ("not UTF-8", [&b"{\"id\":\""[..], &[0xff, 0xfe], b"\"}"].concat()),
        ("100000 arrays", vec![b'['; 100_000]),
        ("id twice", sample().to_string().replacen('{', "{\"id\":\"y\",", 1).into_bytes()),
        ("something after it", format!("{} x", sample()).into_bytes()),
    ] {
        cases.push(case(what, line, LINE));
    }
}
