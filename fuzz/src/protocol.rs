//! CBOR, FWP objects and JSON from outside.

use crate::{check, texts};
use data_encoding::BASE64URL_NOPAD;
use fwp::credential::CardData;
use fwp::enrollment::{Attestation, IssuedCard, Offer};
use fwp::envelope::IssuerRequest;
use fwp::json::Json;
use fwp::moz_pay::{Algorithm, MozPayRequest, WrongSignature};
use fwp::{Credential, EncryptedSad, PaymentRequest, Provider, SignedAuthorizationData};
use fwp_cose::cbor;

/// Deterministic CBOR: what is read is written the same.
pub fn cbor(data: &[u8]) {
    if let Ok(value) = cbor::decode(data) {
        check(value.encode() == data, "what was read is written differently");
        check(value.depth() <= 2 * cbor::MAX_DEPTH, "deeper than the decoder's limit");
    }
}

/// A payment request: host, methodData, details and an update, separated by 0xff.
pub fn payment_request(data: &[u8]) {
    let [host, method_data, details, update] = texts(data);
    if let Ok(request) = PaymentRequest::from_json(&host, &method_data, &details) {
        let shown = [&request.prcd().payee_name, &request.prcd().request_id];
        check(shown.iter().all(|text| fwp::text::check_shown(text, 1024).is_ok()), "treacherous text got in");
        if let Ok(updated) = request.updated(&update) {
            check(updated.prcd().request_id == request.prcd().request_id, "an update changed the id");
            check(updated.networks() == request.networks(), "an update changed the networks");
        }
    }
}

/// A request of `navigator.mozPay`: as text, and made of header, payload and signature, separated by 0xff.
pub fn moz_pay(data: &[u8]) {
    let [text] = texts(data);
    moz_pay_request(&text);
    let mut parts = data.splitn(3, |byte| *byte == 0xff);
    let parts: [String; 3] =
        std::array::from_fn(|_| BASE64URL_NOPAD.encode(parts.next().unwrap_or_default()));
    moz_pay_request(&parts.join("."));
}

fn moz_pay_request(text: &str) {
    let Ok(request) = MozPayRequest::parse("request", text) else { return };
    check(request.jwt() == text, "another text than the shop's would be signed");
    let prcd = request.prcd();
    let shown = [&prcd.payee_name, &prcd.request_id, request.name(), request.description()];
    check(shown.iter().all(|text| fwp::text::check_shown(text, 1024).is_ok()), "treacherous text got in");
    check(request.check_time(i64::MAX).is_err(), "a request that holds for ever");
    // P-256, the generator: no fuzzer makes its signatures.
    let cose = [
        0xa4, 0x01, 0x02, 0x20, 0x01, 0x21, 0x58, 0x20, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8,
        0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1,
        0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x22, 0x58, 0x20, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b,
        0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb,
        0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
    ];
    let provider = serde_json::json!([{
        "typ": request.typ().as_str(),
        "deliveryUrl": "https://psp.example/",
        "keys": [{"kid": request.kid().unwrap_or("1"), "publicKey": BASE64URL_NOPAD.encode(&cose)}],
    }]);
    let provider = Json::parse(&provider.to_string()).ok().map(|json| Provider::parse_all("providers", json));
    let Some(Ok([provider])) = provider.as_ref().map(|parsed| parsed.as_deref()) else {
        return check(false, "a provider of this type can't be");
    };
    match request.verify(provider) {
        Ok(_) => check(false, "a signature out of nowhere"),
        Err(wrong) => check(
            (wrong == WrongSignature::Algorithm) == (request.algorithm() == Algorithm::Hs256),
            "a request was found wrong for another reason",
        ),
    }
}

/// An offer, an attestation, or issued cards.
pub fn enrollment(data: &[u8]) {
    let [text] = texts(data);
    if let Ok(offer) = Offer::parse(&text) {
        check(Offer::parse(&offer.to_json().to_string()) == Ok(offer), "an offer reads differently again");
    }
    if let Ok(attestation) = Attestation::parse(&text) {
        check(
            Attestation::parse(&attestation.to_json().to_string()) == Ok(attestation),
            "an attestation reads differently again",
        );
    }
    if let Ok(cards) = IssuedCard::parse_all(&text) {
        let again = serde_json::Value::Array(cards.iter().map(IssuedCard::to_json).collect()).to_string();
        check(IssuedCard::parse_all(&again) == Ok(cards), "cards read differently again");
    }
}

/// A credential record.
pub fn credential(data: &[u8]) {
    if let Ok(credential) = Credential::decode(data) {
        check(credential.encode() == data, "a credential is written differently");
    }
}

/// Card data, labels 6 to 14.
pub fn card_data(data: &[u8]) {
    if let Ok(card) = CardData::decode(data) {
        check(card.encode() == data, "card data is written differently");
    }
}

/// An ESAD.
pub fn esad(data: &[u8]) {
    if let Ok(esad) = EncryptedSad::decode(data) {
        check(esad.encode() == data, "an ESAD is written differently");
        check(esad.aad().len() < data.len(), "the AAD is no part of the ESAD");
    }
}

/// A SAD, its signature too.
pub fn sad(data: &[u8]) {
    if let Ok(sad) = SignedAuthorizationData::decode(data) {
        check(sad.encode() == data, "a SAD is written differently");
        let _ = sad.verify();
    }
}

/// An IssuerRequest.
pub fn envelope(data: &[u8]) {
    let [text] = texts(data);
    if let Ok(request) = IssuerRequest::parse(&text) {
        check(
            IssuerRequest::parse(&request.to_json().to_string()) == Ok(request),
            "an IssuerRequest reads differently again",
        );
    }
}
