//! Offers, attestations, issued cards and credential records: what is taken, and what is refused by which field.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use fwp::credential::{CardData, CredentialError};
use fwp::enrollment::{Attestation, IssuedCard, Offer, client_data_hash};
use fwp::{Credential, RpId};
use fwp_cose::cbor::{Value, decode};
use proptest::prelude::*;
use serde_json::json;

const INTEROP: &str = include_str!("data/interop.jsonl");

fn credential_cbor() -> Vec<u8> {
    let case: serde_json::Value = serde_json::from_str(INTEROP.lines().next().unwrap()).unwrap();
    HEXLOWER.decode(case["credential"]["cbor"].as_str().unwrap().as_bytes()).unwrap()
}

/// The sample credential with `value` under `label`, or without it.
fn changed(label: i64, value: Option<Value>) -> Result<Credential, CredentialError> {
    let Value::Map(mut map) = decode(&credential_cbor()).unwrap() else { panic!("a credential is a map") };
    match value {
        Some(value) => drop(map.insert(Value::int(label), value)),
        None => drop(map.remove(&Value::int(label))),
    }
    Credential::decode(&Value::Map(map).encode())
}

fn offer() -> serde_json::Value {
    json!({
        "version": "fwpd-enrollment/1",
        "rpId": "mybank.fr",
        "rpName": "My Bank",
        "userId": "dXNlcg",
        "userName": "Jane Doe",
        "challenge": BASE64URL_NOPAD.encode(&[7; 32]),
        "algorithms": [-7, -8],
        "attestationUrl": "https://mybank.fr/enroll/1"
    })
}

#[test]
fn an_offer_goes_both_ways() {
    let parsed = Offer::parse(&offer().to_string()).unwrap();
    assert_eq!(parsed.to_json(), offer());
    assert_eq!(parsed.client_data_hash(), client_data_hash(&RpId::parse("mybank.fr").unwrap(), &[7; 32]));
}

#[test]
fn an_offer_with_anything_unknown_missing_or_wrong_is_refused_by_field() {
    let cases = [
        ("rpId", json!("MyBank.fr")),
        ("rpId", json!("127.0.0.1")),
        ("rpId", json!(null)),
        ("rpName", json!("My\u{202e}Bank")),
        ("userName", json!("")),
        ("userId", json!("")),
        ("userId", json!("dXNlcg==")),
        ("challenge", json!(BASE64URL_NOPAD.encode(&[7; 15]))),
        ("challenge", json!(BASE64URL_NOPAD.encode(&[7; 65]))),
        ("algorithms", json!([])),
        ("algorithms", json!(-7)),
        ("version", json!("fwpd-enrollment/2")),
        ("attestationUrl", json!(7)),
        ("surprise", json!(1)),
    ];
    for (field, value) in cases {
        let mut offer = offer();
        offer[field] = value.clone();
        assert_eq!(Offer::parse(&offer.to_string()).unwrap_err().field, format!("offer.{field}"), "{value}");
    }
    for algorithms in [json!([-7, -7]), json!([-9]), json!(["ES256"])] {
        let mut offer = offer();
        offer["algorithms"] = algorithms;
        assert!(Offer::parse(&offer.to_string()).unwrap_err().field.starts_with("offer.algorithms["));
    }
    for field in ["version", "rpId", "rpName", "userId", "userName", "challenge", "algorithms"] {
        let mut offer = offer();
        offer.as_object_mut().unwrap().remove(field);
        assert_eq!(Offer::parse(&offer.to_string()).unwrap_err().field, format!("offer.{field}"));
    }
}

#[test]
fn an_attestation_goes_both_ways() {
    let attestation = Attestation {
        rp_id: RpId::parse("mybank.fr").unwrap(),
        challenge: vec![7; 32],
        credential_id: fwp::CredentialId::new(vec![1, 2, 3]).unwrap(),
        attestation_object: vec![0xa0],
    };
    assert_eq!(Attestation::parse(&attestation.to_json().to_string()).unwrap(), attestation);
}

#[test]
fn issued_cards_go_both_ways_and_are_bounded() {
    let credential = Credential::decode(&credential_cbor()).unwrap();
    let card =
        IssuedCard { credential_id: credential.credential_id, card: credential.card, providers: Vec::new() };
    let cards = json!([card.to_json(), card.to_json()]).to_string();
    assert_eq!(IssuedCard::parse_all(&cards).unwrap(), [card.clone(), card.clone()]);
    assert_eq!(IssuedCard::parse_all("[]").unwrap_err().field, "cards");
    assert_eq!(IssuedCard::parse_all("{}").unwrap_err().field, "cards");
    let many = serde_json::Value::Array(vec![card.to_json(); 17]).to_string();
    assert_eq!(IssuedCard::parse_all(&many).unwrap_err().field, "cards");
    let broken = json!([{"credentialId": "AQID", "cardData": "AQID"}]).to_string();
    assert_eq!(IssuedCard::parse_all(&broken).unwrap_err().field, "cards[0].cardData");
}

fn p256_key() -> String {
    // The generator of P-256.
    let point = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                 4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let key = fwp_cose::key::P256Key::from_sec1(&HEXLOWER.decode(point.as_bytes()).unwrap()).unwrap();
    BASE64URL_NOPAD.encode(&fwp_cose::PublicKey::P256(key).to_value().encode())
}

fn provider(typ: &str) -> serde_json::Value {
    json!({
        "typ": typ,
        "deliveryUrl": "https://psp.example/mozpay",
        "keys": [{"kid": "1", "publicKey": p256_key()}, {"kid": "2", "publicKey": p256_key()}],
    })
}

fn card_with(providers: serde_json::Value) -> String {
    let credential = Credential::decode(&credential_cbor()).unwrap();
    let card =
        IssuedCard { credential_id: credential.credential_id, card: credential.card, providers: Vec::new() };
    let mut card = card.to_json();
    card["providers"] = providers;
    json!([card]).to_string()
}

#[test]
fn providers_come_with_a_card_and_go_both_ways() {
    let mut without_keys = provider("other/pay/v1");
    without_keys.as_object_mut().unwrap().remove("keys");
    let cards = IssuedCard::parse_all(&card_with(json!([provider("sandbox/payments/pay/v1"), without_keys])))
        .unwrap();
    let [card] = cards.as_slice() else { panic!("one card") };
    let [first, second] = card.providers.as_slice() else { panic!("two providers") };
    assert_eq!(first.typ.as_str(), "sandbox/payments/pay/v1");
    assert_eq!(first.delivery_url.as_str(), "https://psp.example/mozpay");
    assert_eq!(first.keys.iter().map(|key| key.kid.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    assert!(second.keys.is_empty());
    let again = json!([card.to_json()]).to_string();
    assert_eq!(IssuedCard::parse_all(&again).unwrap(), cards);
    let value = fwp::Provider::to_value(&card.providers);
    assert_eq!(fwp::Provider::from_value(value).unwrap(), card.providers);
    assert_eq!(IssuedCard::parse_all(&card_with(json!([]))).unwrap()[0].providers, []);
}

#[test]
fn providers_that_break_a_rule_are_refused_by_the_field() {
    let with = |name: &str, value: serde_json::Value| {
        let mut one = provider("a");
        one[name] = value;
        json!([one])
    };
    let five: Vec<_> = ["a", "b", "c", "d", "e"].map(provider).into();
    let key = |kid: &str| json!({"kid": kid, "publicKey": p256_key()});
    let nine: Vec<_> = (0..9).map(|n| key(&n.to_string())).collect();
    let x25519 = {
        let key = fwp_cose::PublicKey::X25519(fwp_cose::key::X25519Key::new([9; 32]));
        BASE64URL_NOPAD.encode(&key.to_value().encode())
    };
    for (field, providers) in [
        ("providers", json!({})),
        ("providers", json!(five)),
        ("providers[0]", json!([7])),
        ("providers[1].typ", json!([provider("a"), provider("a")])),
        ("providers[0].typ", with("typ", json!("a b"))),
        ("providers[0].deliveryUrl", with("deliveryUrl", json!("http://psp.example/"))),
        ("providers[0].keys", with("keys", json!(nine))),
        ("providers[0].keys", with("keys", json!("none"))),
        ("providers[0].keys[1].kid", with("keys", json!([key("1"), key("1")]))),
        ("providers[0].keys[0].kid", with("keys", json!([key("")]))),
        ("providers[0].keys[0].publicKey", with("keys", json!([{"kid": "1", "publicKey": "AQID"}]))),
        ("providers[0].keys[0].publicKey", with("keys", json!([{"kid": "1", "publicKey": x25519}]))),
        ("providers[0].keys[0].x", with("keys", json!([{"kid": "1", "publicKey": p256_key(), "x": 1}]))),
        ("providers[0].surprise", with("surprise", json!(1))),
    ] {
        let error = IssuedCard::parse_all(&card_with(providers.clone())).unwrap_err();
        assert_eq!(error.field, format!("cards[0].{field}"), "{providers}");
    }
}

#[test]
fn every_label_of_a_credential_but_the_key_id_must_be_there() {
    for label in (1..=14).filter(|label| *label != 7) {
        assert!(matches!(changed(label, None), Err(CredentialError::Schema(_))), "label {label}");
    }
    assert_eq!(changed(7, None).unwrap().card.encryption_key_id, None);
    assert!(matches!(changed(15, Some(Value::Null)), Err(CredentialError::Schema(_))));
}

#[test]
fn a_credential_of_another_version_or_with_keys_that_do_not_fit_is_refused() {
    assert_eq!(
        changed(1, Some("https://fido-web-pay.github.io/ns/w2".into())),
        Err(CredentialError::Version)
    );
    assert_eq!(changed(5, Some(Value::int(-7))), Err(CredentialError::SignatureAlgorithm(-7)));
    let rsa = Credential::decode(&credential_cbor()).unwrap().public_key;
    assert_eq!(changed(6, Some(rsa.to_value())), Err(CredentialError::EncryptionKey));
    assert!(matches!(
        changed(8, Some(Value::int(4))),
        Err(CredentialError::EncryptionAlgorithm { id: 4, .. })
    ));
    assert!(matches!(
        changed(9, Some(Value::int(-26))),
        Err(CredentialError::EncryptionAlgorithm { id: -26, .. })
    ));
    assert!(matches!(changed(3, Some("not a host".into())), Err(CredentialError::RpId(_))));
    assert!(matches!(changed(13, Some("a\u{1b}b".into())), Err(CredentialError::Text { .. })));
    assert_eq!(changed(14, Some(Value::Bytes(vec![0xff]))), Err(CredentialError::CardImage));
    assert!(matches!(changed(2, Some(Value::Bytes(vec![]))), Err(CredentialError::Length { .. })));
}

#[test]
fn account_numbers_do_not_show_in_debug_output() {
    let credential = Credential::decode(&credential_cbor()).unwrap();
    let account = credential.card.account_id.as_str().to_owned();
    assert!(!format!("{credential:?}").contains(&account));
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Credential::decode(&bytes);
        let _ = CardData::decode(&bytes);
        let _ = fwp::SignedAuthorizationData::decode(&bytes);
        let _ = fwp::EncryptedSad::decode(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = Offer::parse(&text);
        let _ = IssuedCard::parse_all(&text);
        let _ = Attestation::parse(&text);
        let _ = fwp::envelope::IssuerRequest::parse(&text);
    }

    #[test]
    fn a_changed_byte_never_panics_and_what_is_taken_is_written_the_same(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = credential_cbor();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(credential) = Credential::decode(&bytes) {
            prop_assert_eq!(credential.encode(), bytes);
        }
    }
}
