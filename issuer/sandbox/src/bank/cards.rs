//! The cards that the sandbox bank issues: two for every FIDO key, on two networks, with all their keys and algorithms
//! different, so that a wallet is tried on both.

use crate::bank::keys::{BankKeys, X25519_KEY_ID};
use data_encoding::BASE64URL_NOPAD;
use fwp::AccountId;
use fwp::authorization::{ContentEncryption, KeyEncryption};
use fwp::credential::CardData;
use fwp_cose::cbor::Value;
use fwp_verifier::NetworkTerms;
use fwp_verifier::terms::{is_card_issuer_number, is_iban, is_issuer_url};

/// The customer whose accounts these are.
pub const CUSTOMER: &str = "Ada Sandbox";

/// A kind of card.
#[derive(Debug)]
pub struct Product {
    /// paymentNetworkId.
    pub network: &'static str,
    /// issuerId: how the network names this bank.
    pub issuer_id: &'static str,
    /// Whether an issuerId has the form that the network wants.
    pub issuer_id_form: fn(&str) -> bool,
    /// accountId of the customer's account.
    pub account_id: &'static str,
    /// Whether networkOptions are what the bank wants on the network.
    pub network_options: fn(Option<&Value>) -> bool,
    key: fn(&BankKeys) -> (fwp_cose::PublicKey, Option<Value>),
    content_encryption: ContentEncryption,
    key_encryption: KeyEncryption,
    colours: [&'static str; 2],
}

/// An account-to-account network, as in the FIDO Web Pay document's sample, and a card network.
pub const PRODUCTS: [Product; 2] = [
    Product {
        network: "https://banknet2.org",
        issuer_id: "https://mybank.fr/payment",
        issuer_id_form: is_issuer_url,
        account_id: "FR7630002111110020050014382",
        network_options: |options| {
            options.is_none_or(|options| matches!(options, Value::Text(text) if !is_signed_request(text)))
        },
        key: |keys| (keys.x25519.clone(), Some(X25519_KEY_ID.into())),
        content_encryption: ContentEncryption::A256Gcm,
        key_encryption: KeyEncryption::EcdhEsA256Kw,
        colours: ["#0b6e4f", "#08a045"],
    },
    Product {
        network: "https://visa.com/fwp",
        issuer_id: "4972039000000004",
        issuer_id_form: |id| is_card_issuer_number(id) || is_issuer_url(id),
        account_id: "4532562005003239",
        network_options: |options| options.is_none(),
        key: |keys| (keys.p256.clone(), None),
        content_encryption: ContentEncryption::A128Gcm,
        key_encryption: KeyEncryption::EcdhEs,
        colours: ["#1a2a6c", "#4361ee"],
    },
];

/// Whether `options` is a signed request of a provider's (JWS compact, RFC 7515 section 7.1). Who authorized one wants it to be
/// verified by the provider, so it does not come by a way on which nobody does.
pub fn is_signed_request(options: &str) -> bool {
    let mut parts = options.split('.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let header = BASE64URL_NOPAD.decode(header.as_bytes()).ok();
    let header = header.and_then(|header| serde_json::from_slice::<serde_json::Value>(&header).ok());
    header.is_some_and(|header| header.get("alg").is_some())
}

impl Product {
    /// What the bank expects of payments with this card.
    pub fn terms(&self) -> NetworkTerms {
        NetworkTerms::live(self.network, self.issuer_id, is_iban, self.network_options)
    }

    /// The account that the card pays from.
    pub fn account(&self) -> AccountId {
        AccountId::new(self.account_id)
    }

    /// The card with this serial number.
    pub fn card(&self, keys: &BankKeys, serial_number: String) -> CardData {
        let (encryption_key, encryption_key_id) = (self.key)(keys);
        CardData {
            encryption_key,
            encryption_key_id,
            content_encryption: self.content_encryption,
            key_encryption: self.key_encryption,
            account_id: self.account(),
            payment_network_id: self.network.to_owned(),
            issuer_id: self.issuer_id.to_owned(),
            serial_number,
            card_image: self.image(),
        }
    }

    /// The card's face as SVG, 300 by 180: a gradient, a chip and the bank's mark; no text, so that it needs no fonts.
    fn image(&self) -> String {
        let [from, to] = self.colours;
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 180" width="300" height="180">
<defs><linearGradient id="g" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="{from}"/><stop offset="1" stop-color="{to}"/></linearGradient></defs>
<rect width="300" height="180" rx="14" fill="url(#g)"/>
<g fill="#ffffff" fill-opacity="0.92"><path d="M24 46 L48 26 L72 46 Z"/><rect x="26" y="50" width="44" height="5"/><rect x="30" y="58" width="6" height="20"/><rect x="45" y="58" width="6" height="20"/><rect x="60" y="58" width="6" height="20"/><rect x="26" y="81" width="44" height="5"/></g>
<rect x="26" y="104" width="40" height="30" rx="5" fill="#e9c46a"/><path d="M26 119 H40 M52 119 H66 M40 104 V134 M52 104 V134" stroke="#8a6d1d" stroke-width="1.5" fill="none"/>
<circle cx="238" cy="136" r="22" fill="#ffffff" fill-opacity="0.35"/><circle cx="262" cy="136" r="22" fill="#ffffff" fill-opacity="0.55"/>
</svg>"##
        )
    }
}
