//! A bank: makes offers, checks attestations, issues cards, opens authorizations.

use fwp::authorization::{ContentEncryption, KeyEncryption, SignedAuthorizationData};
use fwp::credential::CardData;
use fwp::enrollment::{Attestation, IssuedCard, Offer};
use fwp::json::Attributes;
use fwp::{AccountId, FwpAssertion, RpId};
use fwp_cose::cbor::{Map, Value};
use fwp_cose::key::X25519Key;
use fwp_cose::{PublicKey, SignatureAlgorithm};
use fwp_verifier::{IssuerKey, KeyRing, verify_attestation};
use x25519_dalek::StaticSecret;

/// A bank with one key.
#[derive(Debug)]
pub struct Bank {
    rp_id: RpId,
    public: PublicKey,
    keys: KeyRing,
}

impl Bank {
    /// The bank of this rpId. Its key follows from that, so that a test can be repeated.
    ///
    /// # Panics
    /// If it is no rpId.
    pub fn new(rp_id: &str) -> Self {
        let mut seed = [0x42; 32];
        seed.iter_mut().zip(rp_id.bytes()).for_each(|(to, from)| *to ^= from);
        let secret = StaticSecret::from(seed);
        let public = X25519Key::new(x25519_dalek::PublicKey::from(&secret).to_bytes());
        let private = Map::new()
            .with(1, 1)
            .with(-1, 4)
            .with(-2, public.as_bytes().as_slice())
            .with(-4, secret.to_bytes().as_slice());
        let key = IssuerKey::from_cose_private(&Value::Map(private).encode(), None).expect("a key");
        Self {
            rp_id: RpId::parse(rp_id).expect("an rpId"),
            public: PublicKey::X25519(public),
            keys: KeyRing::new(vec![key]),
        }
    }

    /// An offer to enroll.
    pub fn offer(&self) -> Offer {
        Offer {
            rp_id: self.rp_id.clone(),
            rp_name: "My Bank".to_owned(),
            user_id: vec![7; 16],
            user_name: "Luke Skywalker".to_owned(),
            challenge: vec![9; 32],
            algorithms: vec![SignatureAlgorithm::Es256],
            attestation_url: None,
        }
    }

    /// Checks the attestation and issues a card for each of these (network, account), as JSON.
    ///
    /// # Panics
    /// If the attestation is not good for cards.
    pub fn issue(&self, attestation: &str, cards: &[(&str, &str)]) -> String {
        let attestation = Attestation::parse(attestation).expect("an attestation");
        verify_attestation(&attestation, &self.offer()).expect("a good attestation");
        let issued = cards.iter().map(|(network, account)| {
            let card = IssuedCard {
                credential_id: attestation.credential_id.clone(),
                card: self.card_data(network, account),
                providers: Vec::new(),
            };
            card.to_json()
        });
        serde_json::Value::Array(issued.collect()).to_string()
    }

    fn card_data(&self, network: &str, account: &str) -> CardData {
        CardData {
            encryption_key: self.public.clone(),
            encryption_key_id: None,
            content_encryption: ContentEncryption::A256Gcm,
            key_encryption: KeyEncryption::EcdhEsA256Kw,
            account_id: AccountId::new(account),
            payment_network_id: network.to_owned(),
            issuer_id: format!("https://{}/payment", self.rp_id.as_str()),
            serial_number: format!("serial-{account}"),
            card_image: "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"300\" height=\"180\"/>".to_owned(),
        }
    }

    /// Decrypts an FWP assertion and verifies its signature.
    ///
    /// # Panics
    /// If it isn't good.
    pub fn open(&self, assertion: &str) -> SignedAuthorizationData {
        let attributes = Attributes::parse("assertion", assertion).expect("JSON");
        let assertion = FwpAssertion::from_json(attributes).expect("an FWP assertion");
        fwp_verifier::open_and_verify(&assertion.user_authorization, &self.keys)
            .expect("a good authorization")
    }
}
