//! Payments by way of a provider: networkOptions must be exactly the request that it was given, whatever the network's terms say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use data_encoding::HEXLOWER;
use fwp_cose::cbor::{Value, decode};
use fwp_verifier::{IssuerKey, KeyRing, NetworkTerms, Refusal, Terms, verify};

/// Another author's payments: IssuerRequest, keys, and what the user authorized as networkOptions.
fn cases() -> Vec<(String, KeyRing, Option<Value>)> {
    include_str!("../../../fwp/tests/data/interop.jsonl")
        .lines()
        .map(|line| {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let hex =
                |value: &serde_json::Value| HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap();
            let keys = case["issuerKeys"].as_array().unwrap().iter().map(|key| {
                let key_id = key.get("keyId").filter(|id| !id.is_null()).map(|id| decode(&hex(id)).unwrap());
                IssuerKey::from_cose_private(&hex(&key["cosePrivate"]), key_id.as_ref()).unwrap()
            });
            let keys = KeyRing::new(keys.collect());
            let request =
                case.get("issuerRequestText").and_then(serde_json::Value::as_str).map(str::to_owned);
            let request = request.unwrap_or_else(|| case["issuerRequest"].to_string());
            let payment = verify(&request, &keys, &Terms::default(), None).unwrap();
            let options = payment.authorization().network_options.clone();
            (request, keys, options)
        })
        .collect()
}

/// A network that wants no options.
fn wants_none() -> Terms {
    let network =
        NetworkTerms { network_options: Some(|options| options.is_none()), ..NetworkTerms::default() };
    Terms { networks: Some(vec![network]), ..Terms::default() }
}

#[test]
fn only_the_very_request_is_taken_and_the_networks_terms_are_not_asked() {
    let mut with_text = 0;
    for (request, keys, options) in cases() {
        let Some(Value::Text(authorized)) = options else { continue };
        with_text += 1;
        let outcome = |terms: &Terms| verify(&request, &keys, terms, None).map(|_| ());
        assert_eq!(outcome(&wants_none()), Err(Refusal::NetworkOptions), "by the ordinary way");
        assert_eq!(outcome(&wants_none().for_provider(&authorized)), Ok(()));
        let shorter: String = authorized.chars().skip(1).collect();
        let others = [format!("{authorized} "), format!("{authorized}x"), shorter, "a.b.c".to_owned()];
        for other in others.into_iter().filter(|other| *other != authorized) {
            assert_eq!(
                outcome(&wants_none().for_provider(&other)),
                Err(Refusal::ProviderRequest),
                "{other:?}"
            );
        }
    }
    assert!(with_text > 0);
}

#[test]
fn an_authorization_without_options_is_of_no_request() {
    let mut without = 0;
    for (request, keys, options) in cases() {
        if options.is_none() {
            without += 1;
            let outcome = verify(&request, &keys, &wants_none().for_provider("a.b.c"), None);
            assert_eq!(outcome.unwrap_err().code(), "provider-request");
        }
    }
    assert!(without > 0);
}
