//! Payment providers of a card: who books payments that a page asks for by a signed request of its provider's
//! (`navigator.mozPay`, [`crate::moz_pay`]). A bank registers them with the card, at enrollment.

use crate::assertion::decode_base64url;
use crate::json::{Attributes, FieldError, Json};
use crate::text::check_shown;
use data_encoding::BASE64URL_NOPAD;
use fwp_cose::PublicKey;
use fwp_cose::cbor::{self, Fields, Map, SchemaError, Value};
use fwp_cose::key::{KeyError, P256Key};
use std::fmt;
use url::{Host, Url};

/// Most providers of one card.
pub const MAX_PROVIDERS: usize = 4;
/// Most keys of one provider.
pub const MAX_PROVIDER_KEYS: usize = 8;
/// Most bytes of a delivery URL.
pub const MAX_DELIVERY_URL: usize = 2048;
/// Most bytes of a provider's type.
const MAX_TYPE: usize = 128;
/// Most UTF-16 code units of a key's name.
pub(crate) const MAX_KID: usize = 64;
/// Most bytes of a COSE_Key on P-256: 77 in its one encoding.
const MAX_KEY_BYTES: usize = 128;

/// Names what a provider takes, in requests (`typ`) and at a card, such as `sandbox/payments/pay/v1`: 1 to 128 characters
/// of `A-Za-z0-9._/-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderType(String);

/// Text is no [`ProviderType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a provider's type has 1 to {MAX_TYPE} characters of A-Z, a-z, 0-9, '.', '_', '/' and '-'")]
pub struct ProviderTypeError;

/// Where a provider takes paid requests: https, or http on this machine; no user name, no password, no fragment. Kept as
/// the URL standard writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryUrl(String);

/// Text is no [`DeliveryUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryUrlError {
    /// Longer than [`MAX_DELIVERY_URL`].
    #[error("it has more than {MAX_DELIVERY_URL} bytes")]
    TooLong,
    /// No URL.
    #[error("it is not a URL; it looks like https://psp.example/mozpay")]
    NotAUrl,
    /// Neither https, nor http on this machine.
    #[error("only https is taken (http for localhost, names below it, 127.0.0.0/8 and [::1])")]
    NotSecure,
    /// A user name, a password or a fragment.
    #[error("it must have no user name, password or fragment")]
    Extra,
}

/// A key that a provider's shops have their requests signed with (ES256).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderKey {
    /// What a request calls it, 1 to 64 characters; distinct within the provider.
    pub kid: String,
    /// The key.
    pub public_key: P256Key,
}

/// One provider of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// What it takes.
    pub typ: ProviderType,
    /// Where it takes it.
    pub delivery_url: DeliveryUrl,
    /// Keys that requests are verified with; without any the wallet can't check them, and the provider alone does.
    pub keys: Vec<ProviderKey>,
}

/// Why CBOR is no provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Labels or types are off.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Its type is none.
    #[error(transparent)]
    Type(#[from] ProviderTypeError),
    /// Its URL is none.
    #[error(transparent)]
    DeliveryUrl(#[from] DeliveryUrlError),
    /// A key is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key on another curve than P-256.
    #[error("a provider's key is on P-256")]
    Curve,
    /// More entries than may be, or two that are called the same.
    #[error(
        "a card has at most {MAX_PROVIDERS} providers, each with at most {MAX_PROVIDER_KEYS} keys, and no two called the same"
    )]
    Entries,
    /// A key's name is too long, empty or could lie.
    #[error("the name of a provider's key {0}")]
    Kid(#[from] crate::text::TextError),
}

impl ProviderType {
    /// Reads a provider's type.
    ///
    /// # Errors
    /// [`ProviderTypeError`].
    pub fn parse(text: &str) -> Result<Self, ProviderTypeError> {
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-');
        if (1..=MAX_TYPE).contains(&text.len()) && text.bytes().all(known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ProviderTypeError)
        }
    }

    /// The type.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DeliveryUrl {
    /// Reads a URL (WHATWG URL).
    ///
    /// # Errors
    /// [`DeliveryUrlError`].
    pub fn parse(text: &str) -> Result<Self, DeliveryUrlError> {
        if text.len() > MAX_DELIVERY_URL {
            return Err(DeliveryUrlError::TooLong);
        }
        let url = Url::parse(text).map_err(|_| DeliveryUrlError::NotAUrl)?;
        match (url.scheme(), url.host()) {
            ("https", Some(_)) => {}
            ("http", Some(host)) if is_loopback(&host) => {}
            ("https" | "http", None) => return Err(DeliveryUrlError::NotAUrl),
            _ => return Err(DeliveryUrlError::NotSecure),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(DeliveryUrlError::Extra);
        }
        // Written out, it may have grown.
        if url.as_str().len() > MAX_DELIVERY_URL {
            return Err(DeliveryUrlError::TooLong);
        }
        Ok(Self(url.into()))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names and addresses of this machine, as browsers count them (Secure Contexts section 3.1).
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(domain) => *domain == "localhost" || domain.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

impl Provider {
    /// Reads the array of a card's providers: at most [`MAX_PROVIDERS`], no two of the same type.
    ///
    /// # Errors
    /// [`FieldError`]; `path` names the array.
    pub fn parse_all(path: &str, value: Json) -> Result<Vec<Self>, FieldError> {
        let Json::Array(entries) = value else { return Err(FieldError::not_a(path, "an array")) };
        if entries.len() > MAX_PROVIDERS {
            return Err(FieldError::invalid(
                path,
                format_args!("it must have at most {MAX_PROVIDERS} entries"),
            ));
        }
        let mut providers: Vec<Self> = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let entry = Attributes::of(format!("{path}[{index}]"), entry)?;
            let typ = entry.path("typ");
            let provider = Self::from_json(entry)?;
            if providers.iter().any(|other| other.typ == provider.typ) {
                return Err(FieldError::invalid(typ, "another provider of the card has it"));
            }
            providers.push(provider);
        }
        Ok(providers)
    }

    fn from_json(mut entry: Attributes) -> Result<Self, FieldError> {
        let path = entry.path("keys");
        let provider = Self {
            typ: entry.parsed("typ", ProviderType::parse)?,
            delivery_url: entry.parsed("deliveryUrl", DeliveryUrl::parse)?,
            keys: if entry.has("keys") { read_keys(&path, entry.array("keys")?)? } else { Vec::new() },
        };
        entry.finish()?;
        Ok(provider)
    }

    /// The provider as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json =
            serde_json::json!({ "typ": self.typ.as_str(), "deliveryUrl": self.delivery_url.as_str() });
        if let (false, Some(object)) = (self.keys.is_empty(), json.as_object_mut()) {
            object.insert("keys".to_owned(), self.keys.iter().map(ProviderKey::to_json).collect());
        }
        json
    }

    /// A card's providers in CBOR, as a store keeps them.
    pub fn to_value(providers: &[Self]) -> Value {
        let key = |key: &ProviderKey| {
            let public_key = PublicKey::P256(key.public_key.clone()).to_value();
            Value::Map(Map::new().with(1, key.kid.as_str()).with(2, public_key))
        };
        let provider = |provider: &Self| {
            let keys: Vec<Value> = provider.keys.iter().map(key).collect();
            let map = Map::new().with(1, provider.typ.as_str()).with(2, provider.delivery_url.as_str());
            Value::Map(map.with(3, keys))
        };
        Value::Array(providers.iter().map(provider).collect())
    }

    /// Reads a card's providers from CBOR.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub fn from_value(value: Value) -> Result<Vec<Self>, ProviderError> {
        let Value::Array(entries) = value else { return Err(ProviderError::Entries) };
        let providers = entries.into_iter().map(|entry| {
            let mut fields = Fields::of("provider", entry)?;
            let Value::Array(keys) = fields.required(3)? else { return Err(ProviderError::Entries) };
            let provider = Self {
                typ: ProviderType::parse(&fields.text(1)?)?,
                delivery_url: DeliveryUrl::parse(&fields.text(2)?)?,
                keys: keys.into_iter().map(ProviderKey::from_value).collect::<Result<_, _>>()?,
            };
            fields.finish()?;
            let kids = provider.keys.iter().map(|key| key.kid.as_str());
            distinct(kids, MAX_PROVIDER_KEYS).then_some(provider).ok_or(ProviderError::Entries)
        });
        let providers: Vec<Self> = providers.collect::<Result<_, _>>()?;
        let types = providers.iter().map(|provider| provider.typ.as_str());
        if distinct(types, MAX_PROVIDERS) { Ok(providers) } else { Err(ProviderError::Entries) }
    }
}

impl ProviderKey {
    fn from_json(mut entry: Attributes) -> Result<Self, FieldError> {
        let key = Self {
            kid: entry.parsed("kid", |text| check_shown(text, MAX_KID).map(|()| text.to_owned()))?,
            public_key: entry.parsed("publicKey", |text| {
                let bytes = decode_base64url(text, MAX_KEY_BYTES)?;
                let value = cbor::decode(&bytes).map_err(|error| error.to_string())?;
                p256(value).map_err(|error| error.to_string())
            })?,
        };
        entry.finish()?;
        Ok(key)
    }

    fn to_json(&self) -> serde_json::Value {
        let public_key = PublicKey::P256(self.public_key.clone()).to_value().encode();
        serde_json::json!({ "kid": self.kid, "publicKey": BASE64URL_NOPAD.encode(&public_key) })
    }

    fn from_value(value: Value) -> Result<Self, ProviderError> {
        let mut fields = Fields::of("provider's key", value)?;
        let kid = fields.text(1)?;
        check_shown(&kid, MAX_KID)?;
        let key = Self { kid, public_key: p256(fields.required(2)?)? };
        fields.finish()?;
        Ok(key)
    }
}

fn read_keys(path: &str, entries: Vec<Json>) -> Result<Vec<ProviderKey>, FieldError> {
    if entries.len() > MAX_PROVIDER_KEYS {
        return Err(FieldError::invalid(
            path,
            format_args!("it must have at most {MAX_PROVIDER_KEYS} entries"),
        ));
    }
    let mut keys: Vec<ProviderKey> = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let entry = Attributes::of(format!("{path}[{index}]"), entry)?;
        let kid = entry.path("kid");
        let key = ProviderKey::from_json(entry)?;
        if keys.iter().any(|other| other.kid == key.kid) {
            return Err(FieldError::invalid(kid, "another key of the provider has it"));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn p256(value: Value) -> Result<P256Key, ProviderError> {
    match PublicKey::from_value(value)? {
        PublicKey::P256(key) => Ok(key),
        _ => Err(ProviderError::Curve),
    }
}

/// Whether no name comes twice, and there are at most `max`.
fn distinct<'n>(names: impl ExactSizeIterator<Item = &'n str>, max: usize) -> bool {
    let count = names.len();
    count <= max && names.collect::<std::collections::HashSet<_>>().len() == count
}

impl fmt::Display for ProviderType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivery_urls_are_https_or_of_this_machine() {
        for (text, written) in [
            ("https://psp.example/mozpay", "https://psp.example/mozpay"),
            ("HTTPS://PSP.example:443", "https://psp.example/"),
            ("http://localhost:8080/psp?x=1", "http://localhost:8080/psp?x=1"),
            ("http://psp.localhost/", "http://psp.localhost/"),
            ("http://127.9.8.7/", "http://127.9.8.7/"),
            ("http://[::1]:1/", "http://[::1]:1/"),
        ] {
            assert_eq!(DeliveryUrl::parse(text).unwrap().as_str(), written, "{text}");
        }
        for (text, error) in [
            ("http://psp.example/", DeliveryUrlError::NotSecure),
            ("http://localhost.example/", DeliveryUrlError::NotSecure),
            ("http://128.0.0.1/", DeliveryUrlError::NotSecure),
            ("ftp://localhost/", DeliveryUrlError::NotSecure),
            ("javascript:alert(1)", DeliveryUrlError::NotSecure),
            ("/mozpay", DeliveryUrlError::NotAUrl),
            ("https://", DeliveryUrlError::NotAUrl),
            ("https://user@psp.example/", DeliveryUrlError::Extra),
            ("https://:secret@psp.example/", DeliveryUrlError::Extra),
            ("https://psp.example/#x", DeliveryUrlError::Extra),
        ] {
            assert_eq!(DeliveryUrl::parse(text), Err(error), "{text}");
        }
        let long = format!("https://psp.example/{}", "a".repeat(MAX_DELIVERY_URL));
        assert_eq!(DeliveryUrl::parse(&long), Err(DeliveryUrlError::TooLong));
        let grows = format!("https://psp.example/{}", "\"".repeat(MAX_DELIVERY_URL / 2));
        assert_eq!(DeliveryUrl::parse(&grows), Err(DeliveryUrlError::TooLong));
    }

    #[test]
    fn types_are_plain_and_short() {
        assert_eq!(
            ProviderType::parse("sandbox/payments/pay/v1").unwrap().as_str(),
            "sandbox/payments/pay/v1"
        );
        assert!(ProviderType::parse(&"a".repeat(128)).is_ok());
        for text in ["", "a b", "a\n", "é", &"a".repeat(129)] {
            assert_eq!(ProviderType::parse(text), Err(ProviderTypeError), "{text:?}");
        }
    }
}
