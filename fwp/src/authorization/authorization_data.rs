//! Authorization Data (AD): what the authenticator signs (FIDO Web Pay section 4.2).

use crate::credential::{AccountId, Credential};
use crate::host::PayeeHost;
use crate::payment_request::{NetworkNotAccepted, PaymentRequest, Prcd};
use crate::text::check_shown;
use crate::time_stamp::TimeStamp;
use fwp_cose::cbor::{Fields, Float, Map, SchemaError, Value};
use fwp_cose::{PublicKey, SignatureAlgorithm};
use sha2::{Digest, Sha256};

/// Most UTF-16 code units of each platform text.
pub const MAX_PLATFORM_TEXT: usize = 256;

/// platformData (7): operating system and user agent, name and version each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformData {
    /// Name of the operating system.
    pub os_name: String,
    /// Its version; may be empty or "N/A".
    pub os_version: String,
    /// Name of the user agent: the browser or program that asked.
    pub user_agent_name: String,
    /// Its version; may be empty or "N/A".
    pub user_agent_version: String,
}

/// location (8): where the payment was made, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    latitude: Float,
    longitude: Float,
}

/// Authorization Data: a payment request, the card that pays it, and the circumstances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationData {
    /// paymentRequest (1).
    pub payment_request: Prcd,
    /// payeeHost (2).
    pub payee_host: PayeeHost,
    /// accountId (3).
    pub account_id: AccountId,
    /// paymentNetworkId (4).
    pub payment_network_id: String,
    /// serialNumber (5).
    pub serial_number: String,
    /// networkOptions (6).
    pub network_options: Option<Value>,
    /// platformData (7).
    pub platform_data: PlatformData,
    /// location (8).
    pub location: Option<Location>,
    /// timeStamp (9).
    pub time_stamp: TimeStamp,
    /// signature (-1), signatureAlgorithm (1).
    pub signature_algorithm: SignatureAlgorithm,
    /// signature (-1), publicKey (2).
    pub public_key: PublicKey,
}

impl PlatformData {
    /// Reads the map with labels 1 (operating system) and 2 (user agent).
    pub(super) fn from_value(value: Value) -> Result<Self, SchemaError> {
        let mut fields = Fields::of("platformData", value)?;
        let mut name_and_version = |label, object| {
            let mut fields = Fields::of(object, fields.required(label)?)?;
            let both = (fields.text(3)?, fields.text(4)?);
            fields.finish().map(|()| both)
        };
        let (os_name, os_version) = name_and_version(1, "platformData operating system")?;
        let (user_agent_name, user_agent_version) = name_and_version(2, "platformData user agent")?;
        fields.finish()?;
        Ok(Self { os_name, os_version, user_agent_name, user_agent_version })
    }

    fn to_value(&self) -> Value {
        let name_and_version = |name: &str, version: &str| Map::new().with(3, name).with(4, version);
        Value::Map(
            Map::new()
                .with(1, name_and_version(&self.os_name, &self.os_version))
                .with(2, name_and_version(&self.user_agent_name, &self.user_agent_version)),
        )
    }

    /// Platform data with every text cut to what may be signed: treacherous characters out, at most
    /// [`MAX_PLATFORM_TEXT`] UTF-16 code units.
    #[must_use]
    pub fn sanitised(self) -> Self {
        let clean = |text: String| {
            let mut clean: String = text.chars().filter(|c| !crate::text::is_treacherous(*c)).collect();
            while !clean.is_empty() && check_shown(&clean, MAX_PLATFORM_TEXT).is_err() {
                clean.pop();
            }
            clean
        };
        Self {
            os_name: clean(self.os_name),
            os_version: clean(self.os_version),
            user_agent_name: clean(self.user_agent_name),
            user_agent_version: clean(self.user_agent_version),
        }
    }
}

impl Location {
    /// A place in degrees: latitude -90 ..= 90, longitude -180 ..= 180. `None` for anything else.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        // NaN and infinities are in no range.
        let valid = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        valid.then(|| Self { latitude: Float::new(latitude), longitude: Float::new(longitude) })
    }

    /// Degrees north.
    pub fn latitude(self) -> f64 {
        self.latitude.value()
    }

    /// Degrees east.
    pub fn longitude(self) -> f64 {
        self.longitude.value()
    }

    pub(super) fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Array(items) => match items.as_slice() {
                [Value::Float(latitude), Value::Float(longitude)] => {
                    Self::new(latitude.value(), longitude.value())
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn to_value(self) -> Value {
        Value::Array(vec![Value::Float(self.latitude), Value::Float(self.longitude)])
    }
}

impl AuthorizationData {
    /// Builds the AD of `request` paid with `card`. networkOptions are those that the merchant gave for the card's
    /// network, and none if it gave none; the JWT of a request by `navigator.mozPay`.
    ///
    /// # Errors
    /// [`NetworkNotAccepted`] if the request does not list the card's network.
    pub fn new(
        request: &PaymentRequest,
        card: &Credential,
        platform_data: PlatformData,
        location: Option<Location>,
        time_stamp: TimeStamp,
    ) -> Result<Self, NetworkNotAccepted> {
        let network_options = request.network_options(&card.card.payment_network_id)?;
        Ok(Self {
            payment_request: request.prcd().clone(),
            payee_host: request.payee_host().clone(),
            account_id: card.card.account_id.clone(),
            payment_network_id: card.card.payment_network_id.clone(),
            serial_number: card.card.serial_number.clone(),
            network_options,
            platform_data: platform_data.sanitised(),
            location,
            time_stamp,
            signature_algorithm: card.signature_algorithm,
            public_key: card.public_key.clone(),
        })
    }

    /// The deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        self.to_value(self.signature_map()).encode()
    }

    /// What the authenticator is given: SHA-256 of the encoding.
    pub fn client_data_hash(&self) -> [u8; 32] {
        Sha256::digest(self.encode()).into()
    }

    /// signature (-1) with the labels that AD has.
    pub(super) fn signature_map(&self) -> Map {
        Map::new().with(1, self.signature_algorithm.id()).with(2, self.public_key.to_value())
    }

    /// The whole map with `signature` under -1.
    pub(super) fn to_value(&self, signature: Map) -> Value {
        let mut map = Map::new()
            .with(1, self.payment_request.to_value())
            .with(2, self.payee_host.as_str())
            .with(3, self.account_id.as_str())
            .with(4, self.payment_network_id.as_str())
            .with(5, self.serial_number.as_str())
            .with(7, self.platform_data.to_value())
            .with(9, self.time_stamp.as_str())
            .with(-1, signature);
        if let Some(options) = &self.network_options {
            map = map.with(6, options.clone());
        }
        if let Some(location) = self.location {
            map = map.with(8, location.to_value());
        }
        Value::Map(map)
    }
}
