//! Cards and requests.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use fwp::authorization::{ContentEncryption, KeyEncryption, PlatformData};
use fwp::credential::{AccountId, CardData};
use fwp::{Credential, CredentialId, PaymentRequest, RpId};
use fwp_cose::key::{Ed25519Key, X25519Key};
use fwp_cose::{PublicKey, SignatureAlgorithm};
use fwp_wallet::{Card, CardHandle, Moment};
use std::sync::Arc;

pub(crate) const BANKNET: &str = "https://banknet2.org";
pub(crate) const SUPERCARD: &str = "https://supercard.com";

/// The base point of Ed25519: a valid public key.
pub(crate) fn key() -> PublicKey {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    PublicKey::Ed25519(Ed25519Key::new(point).unwrap())
}

pub(crate) fn card_data(n: u32, network: &str) -> CardData {
    CardData {
        encryption_key: PublicKey::X25519(X25519Key::new([9; 32])),
        encryption_key_id: None,
        content_encryption: ContentEncryption::A256Gcm,
        key_encryption: KeyEncryption::EcdhEsA256Kw,
        account_id: AccountId::new(format!("account {n}")),
        payment_network_id: network.to_owned(),
        issuer_id: "https://bank.example/pay".to_owned(),
        serial_number: format!("{n:08}"),
        card_image: "<svg/>".to_owned(),
    }
}

pub(crate) fn card(n: u32, network: &str) -> Arc<Card> {
    let credential = Credential {
        credential_id: CredentialId::new(vec![1, 2, 3]).unwrap(),
        rp_id: RpId::parse("bank.example").unwrap(),
        public_key: key(),
        signature_algorithm: SignatureAlgorithm::Ed25519,
        card: card_data(n, network),
    };
    Arc::new(Card::new(CardHandle(i64::from(n)), Arc::new(credential)))
}

/// Three cards on two networks.
pub(crate) fn cards() -> Vec<Arc<Card>> {
    vec![card(1, BANKNET), card(2, SUPERCARD), card(3, BANKNET)]
}

/// A request of `host` that takes `networks`.
pub(crate) fn request_for(host: &str, id: &str, amount: &str, networks: &[&str]) -> PaymentRequest {
    let networks: Vec<String> = networks.iter().map(|network| format!("{{\"id\":\"{network}\"}}")).collect();
    let method_data = format!(
        "[{{\"supportedMethods\":\"fido-web-pay/v1\",\"data\":{{\"payeeName\":\"Shop\",\"networks\":[{}]}}}}]",
        networks.join(",")
    );
    PaymentRequest::from_json(host, &method_data, &details(id, amount)).unwrap()
}

pub(crate) fn request(id: &str, amount: &str) -> PaymentRequest {
    request_for("spaceshop.com", id, amount, &[SUPERCARD, BANKNET])
}

pub(crate) fn details(id: &str, amount: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"total\":{{\"label\":null,\"amount\":{{\"currency\":\"EUR\",\"value\":\"{amount}\"}}}}}}"
    )
}

/// A moment, `ms` milliseconds after the first one.
pub(crate) fn at(ms: u64) -> Moment {
    Moment { monotonic_ms: 1_000_000 + ms, unix_ms: 1_790_000_000_000 + i64::try_from(ms).unwrap() }
}

pub(crate) fn platform() -> PlatformData {
    PlatformData {
        os_name: "Linux".to_owned(),
        os_version: "6.1".to_owned(),
        user_agent_name: "Browser".to_owned(),
        user_agent_version: "1".to_owned(),
    }
}
