//! CBOR, FWP objects and JSON from outside.

use crate::{check, texts};
use fwp::credential::CardData;
use fwp::enrollment::{Attestation, IssuedCard, Offer};
use fwp::envelope::IssuerRequest;
use fwp::{Credential, EncryptedSad, PaymentRequest, SignedAuthorizationData};
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
