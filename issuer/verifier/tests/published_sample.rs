//! The published sample of FIDO Web Pay - Crypto: its ESAD is decrypted to its SAD, to the byte, and nothing but that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use fwp::EncryptedSad;
use fwp_cose::cbor::{Map, Value};
use fwp_verifier::decrypt::decrypt;
use fwp_verifier::{IssuerKey, KeyRing, Refusal, open_and_verify};

struct Sample {
    key: IssuerKey,
    esad: Vec<u8>,
    sad: Vec<u8>,
}

fn sample() -> Sample {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../fwp/tests/data/vectors.json")).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().as_bytes().to_vec();
    let hex = |name: &str| HEXLOWER.decode(&text(&vectors[name])).unwrap();
    let of_key = |name: &str| BASE64URL_NOPAD.decode(&text(&vectors["encryptionKey"][name])).unwrap();
    let cose_private = Map::new().with(1, 1).with(-1, 4).with(-2, of_key("x")).with(-4, of_key("d"));
    let key_id = Value::from(vectors["encryptionKeyId"].as_str().unwrap());
    Sample {
        key: IssuerKey::from_cose_private(&Value::Map(cose_private).encode(), Some(&key_id)).unwrap(),
        esad: hex("esadHex"),
        sad: hex("sadHex"),
    }
}

#[test]
fn the_published_esad_decrypts_to_the_published_sad_to_the_byte() {
    let Sample { key, esad, sad } = sample();
    let decrypted = decrypt(&EncryptedSad::decode(&esad).unwrap(), &key).unwrap();
    assert_eq!(HEXLOWER.encode(&decrypted), HEXLOWER.encode(&sad));
}

#[test]
fn the_published_esad_opens_by_its_key_id_and_its_signature_is_good() {
    let Sample { key, esad, sad } = sample();
    assert_eq!(open_and_verify(&esad, &KeyRing::new(vec![key])).unwrap().encode(), sad);
}

#[test]
fn a_changed_byte_anywhere_in_the_published_esad_is_refused() {
    let Sample { key, esad, .. } = sample();
    let keys = KeyRing::new(vec![key]);
    for at in 0..esad.len() {
        let mut changed = esad.clone();
        changed[at] ^= 1;
        let refusal = open_and_verify(&changed, &keys).expect_err("a changed ESAD");
        assert!(!matches!(refusal, Refusal::UserNotPresent | Refusal::UserNotVerified), "at {at}: {refusal}");
    }
}
