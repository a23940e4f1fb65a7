//! A wallet for the tests: a software FIDO key of each algorithm, and the steps of FIDO Web Pay with the `fwp` crate.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod server;
pub mod tpm;

use fwp::authorization::Randomness;
use fwp::credential::CardData;
use fwp::enrollment::{Attestation, IssuedCard, Offer};
use fwp::{
    AuthorizationData, Credential, CredentialId, EncryptedSad, FwpAssertion, PaymentRequest, PlatformData,
    RpId, SignedAuthorizationData, TimeStamp,
};
use fwp_cose::cbor::{Map, Value};
use fwp_cose::key::{Ed25519Key, P256Key};
use fwp_cose::{PublicKey, SignatureAlgorithm};
use p256::ecdsa::signature::Signer;
use sha2::{Digest, Sha256};

/// Flags UP and UV.
pub const UP_UV: u8 = 0x05;

/// A software FIDO key.
pub enum FidoKey {
    Es256(p256::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

impl FidoKey {
    pub fn es256(seed: u8) -> Self {
        Self::Es256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    pub fn ed25519(seed: u8) -> Self {
        Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[seed; 32]))
    }

    pub fn algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::Es256(_) => SignatureAlgorithm::Es256,
            Self::Ed25519(_) => SignatureAlgorithm::Ed25519,
        }
    }

    pub fn public(&self) -> PublicKey {
        match self {
            Self::Es256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                PublicKey::P256(P256Key::from_sec1(point.as_bytes()).unwrap())
            }
            Self::Ed25519(key) => {
                PublicKey::Ed25519(Ed25519Key::new(key.verifying_key().to_bytes()).unwrap())
            }
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            Self::Ed25519(key) => {
                use ed25519_dalek::Signer;
                key.sign(message).to_bytes().to_vec()
            }
        }
    }

    /// authenticatorData for an assertion.
    pub fn authenticator_data(rp_id: &str, flags: u8, count: u32) -> Vec<u8> {
        [&Sha256::digest(rp_id)[..], &[flags], &count.to_be_bytes()].concat()
    }

    /// A packed self attestation over `client_data_hash`, with these flags (AT is added).
    pub fn attestation_object(
        &self,
        rp_id: &str,
        credential_id: &[u8],
        flags: u8,
        client_data_hash: &[u8],
    ) -> Vec<u8> {
        let mut data = Self::authenticator_data(rp_id, flags | 0x40, 0);
        data.extend_from_slice(&[0xa5; 16]);
        data.extend_from_slice(&(credential_id.len() as u16).to_be_bytes());
        data.extend_from_slice(credential_id);
        data.extend_from_slice(&self.public().to_credential_value(self.algorithm()).encode());
        let signature = self.sign(&[&data[..], client_data_hash].concat());
        attestation_object("packed", self.algorithm().id(), &signature, &data, &[])
    }

    /// The answer to `offer`.
    pub fn attest(&self, offer: &Offer, credential_id: &[u8]) -> Attestation {
        Attestation {
            rp_id: offer.rp_id.clone(),
            challenge: offer.challenge.clone(),
            credential_id: CredentialId::new(credential_id.to_vec()).unwrap(),
            attestation_object: self.attestation_object(
                offer.rp_id.as_str(),
                credential_id,
                UP_UV,
                &offer.client_data_hash(),
            ),
        }
    }
}

/// A map with text keys.
pub fn text_map(entries: Vec<(&str, Value)>) -> Value {
    let mut map = Map::new();
    for (name, value) in entries {
        map.insert(name.into(), value);
    }
    Value::Map(map)
}

/// An attestation object from its parts.
pub fn attestation_object(
    format: &str,
    algorithm: i64,
    signature: &[u8],
    data: &[u8],
    more: &[(&str, Value)],
) -> Vec<u8> {
    let mut statement = vec![("alg", algorithm.into()), ("sig", signature.into())];
    statement.extend(more.iter().cloned());
    text_map(vec![("fmt", format.into()), ("attStmt", text_map(statement)), ("authData", data.into())])
        .encode()
}

/// A card with its key.
pub struct Card {
    pub credential: Credential,
    pub key: FidoKey,
}

impl Card {
    pub fn new(key: FidoKey, credential_id: &[u8], rp_id: &str, card: CardData) -> Self {
        let credential = Credential {
            credential_id: CredentialId::new(credential_id.to_vec()).unwrap(),
            rp_id: RpId::parse(rp_id).unwrap(),
            public_key: key.public(),
            signature_algorithm: key.algorithm(),
            card,
        };
        Self { credential, key }
    }

    /// The AD of a request paid with this card at `at_ms`.
    pub fn authorization(&self, request: &PaymentRequest, at_ms: i64) -> AuthorizationData {
        let platform = PlatformData {
            os_name: "Linux".into(),
            os_version: "12".into(),
            user_agent_name: "test".into(),
            user_agent_version: "1".into(),
        };
        let time_stamp = TimeStamp::from_unix_ms(at_ms, Some(60)).unwrap();
        AuthorizationData::new(request, &self.credential, platform, None, time_stamp).unwrap()
    }

    /// The AD signed, with the counter.
    pub fn signed(&self, ad: AuthorizationData, count: u32) -> SignedAuthorizationData {
        let data = FidoKey::authenticator_data(self.credential.rp_id.as_str(), UP_UV, count);
        let message = [&data[..], &ad.client_data_hash()].concat();
        let signature = self.key.sign(&message);
        ad.signed(data, signature).unwrap()
    }

    /// The SAD encrypted with fresh randomness, as an FWP assertion.
    pub fn assertion(&self, sad: &SignedAuthorizationData) -> FwpAssertion {
        let mut randomness = Randomness { ephemeral_secret: [0; 32], content_key: [0; 32], iv: [0; 12] };
        getrandom::fill(&mut randomness.ephemeral_secret).unwrap();
        getrandom::fill(&mut randomness.content_key).unwrap();
        getrandom::fill(&mut randomness.iv).unwrap();
        let esad: EncryptedSad = sad.encrypt(&self.credential, &randomness).unwrap();
        FwpAssertion {
            payment_network_id: self.credential.card.payment_network_id.clone(),
            issuer_id: self.credential.card.issuer_id.clone(),
            user_authorization: esad.encode(),
        }
    }

    /// The assertion for a request, at `at_ms`, with the counter.
    pub fn pay(&self, request: &PaymentRequest, at_ms: i64, count: u32) -> FwpAssertion {
        self.assertion(&self.signed(self.authorization(request, at_ms), count))
    }
}

/// The cards of a bank that is not asked over HTTP, for a new key.
pub fn enroll(bank: &fwp_sandbox::bank::Bank, key: fn(u8) -> FidoKey, seed: u8, now_ms: i64) -> Vec<Card> {
    let offer = bank.offer("http://localhost:1/bank/attestation".into(), now_ms).unwrap();
    let credential_id = [seed; 20];
    let attestation = key(seed).attest(&offer, &credential_id).to_json().to_string();
    cards(key, seed, bank.enroll(&attestation, now_ms).unwrap().unwrap())
}

/// Cards as issued, with their key.
pub fn cards(key: fn(u8) -> FidoKey, seed: u8, issued: Vec<IssuedCard>) -> Vec<Card> {
    issued.into_iter().map(|issued| Card::new(key(seed), &[seed; 20], "localhost", issued.card)).collect()
}

/// The Space Shop's request.
pub fn space_shop(id: &str, amount: &str) -> PaymentRequest {
    let method_data = serde_json::json!([{
        "supportedMethods": "fido-web-pay/v1",
        "data": { "payeeName": "Space Shop", "networks": [
            { "id": "https://mastercard.com/fwp" }, { "id": "https://visa.com/fwp" },
            { "id": "https://banknet2.org", "networkOptions": "additional stuff..." },
        ] },
    }]);
    let details = serde_json::json!({ "id": id, "total": { "label": null, "amount": { "currency": "EUR", "value": amount } } });
    PaymentRequest::from_json("spaceshop.com", &method_data.to_string(), &details.to_string()).unwrap()
}
