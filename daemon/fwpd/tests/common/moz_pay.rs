//! Shops that sign requests for navigator.mozPay, and cards with providers.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use fwp_cose::PublicKey;
use fwp_cose::key::P256Key;
use fwp_dbus::types::EnrollmentOptions;
use fwp_dbus::{Client, ClientError, Event};
use fwp_tests::requests::BANKNET;
use fwp_tests::{Bank, soon};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use zbus::OwnedObjectPath;

pub(crate) const TYP: &str = "sandbox/payments/pay/v1";

/// A shop: with a key of its own, or (HS256) a secret that the wallet doesn't know anyway.
pub(crate) struct Shop(Option<SigningKey>);

impl Shop {
    pub(crate) fn hs256() -> Self {
        Self(None)
    }

    pub(crate) fn es256(n: u8) -> Self {
        Self(Some(SigningKey::from_slice(&[n; 32]).unwrap()))
    }

    pub(crate) fn claims() -> Value {
        Self::claims_for(TYP)
    }

    pub(crate) fn claims_for(typ: &str) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        json!({
            "iss": "Space Shop", "aud": "psp.example", "typ": typ, "iat": now, "exp": now + 3600,
            "request": {
                "id": "order-1", "name": "Rocket boots", "description": "A pair, size 42",
                "price": {"amount": "435.00", "currency": "EUR"},
                "postbackURL": "https://spaceshop.com/p", "chargebackURL": "https://spaceshop.com/c",
            },
        })
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let alg = if self.0.is_some() { "ES256" } else { "HS256" };
        let header = json!({"alg": alg, "typ": "JWT"}).to_string();
        let text = format!("{}.{}", encode(header.as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = match &self.0 {
            Some(key) => {
                let signature: Signature = key.sign(text.as_bytes());
                encode(&signature.to_bytes())
            }
            None => encode(&[7; 32]),
        };
        format!("{text}.{signature}")
    }

    fn public_key(&self) -> String {
        let point = self.0.as_ref().unwrap().verifying_key().to_sec1_point(false);
        let key = PublicKey::P256(P256Key::from_sec1(point.as_bytes()).unwrap());
        BASE64URL_NOPAD.encode(&key.to_value().encode())
    }
}

/// A provider as it stands in the cards message.
pub(crate) fn provider(typ: &str, url: &str, keys: &[(&str, &Shop)]) -> Value {
    let keys: Vec<_> =
        keys.iter().map(|(kid, shop)| json!({"kid": kid, "publicKey": shop.public_key()})).collect();
    json!({"typ": typ, "deliveryUrl": url, "keys": keys})
}

/// Enrolls one card for this account, with these providers.
pub(crate) async fn enroll_with_providers(
    client: &Client,
    bank: &Bank,
    account: &str,
    providers: &Value,
    options: &EnrollmentOptions,
) -> Result<Vec<OwnedObjectPath>, ClientError> {
    let offer = bank.offer();
    let wallet = client.wallet().await?;
    let path = wallet.begin_enrollment(&offer.to_json().to_string(), offer.rp_id.as_str(), options).await?;
    let mut events = client.events(&path);
    let enrollment = client.enrollment(&path).await?;
    enrollment.start().await?;
    let Event::Attestation(attestation) = soon("the attestation", events.next()).await? else { panic!() };
    let mut cards: Value = serde_json::from_str(&bank.issue(&attestation, &[(BANKNET, account)])).unwrap();
    cards[0]["providers"] = providers.clone();
    enrollment.store_cards(&cards.to_string()).await
}
