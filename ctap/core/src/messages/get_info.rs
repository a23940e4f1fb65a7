//! authenticatorGetInfo (CTAP 2.1 section 6.4).

use super::entities::{algorithms, algorithms_to_value};
use super::reader::{bad, option, optional_array, optional_bool, optional_unsigned, options, texts};
use super::{CommandCode, Response};
use crate::MessageError;
use crate::pin_uv_auth::Protocol;
use fwp_cose::cbor::{Fields, Map, Value};

const VERSIONS: i64 = 0x01;
const EXTENSIONS: i64 = 0x02;
const AAGUID: i64 = 0x03;
const OPTIONS: i64 = 0x04;
const MAX_MSG_SIZE: i64 = 0x05;
const PIN_UV_AUTH_PROTOCOLS: i64 = 0x06;
const MAX_CREDENTIAL_COUNT_IN_LIST: i64 = 0x07;
const MAX_CREDENTIAL_ID_LENGTH: i64 = 0x08;
const TRANSPORTS: i64 = 0x09;
const ALGORITHMS: i64 = 0x0a;
const FORCE_PIN_CHANGE: i64 = 0x0c;
const MIN_PIN_LENGTH: i64 = 0x0d;
const FIRMWARE_VERSION: i64 = 0x0e;
const PREFERRED_PLATFORM_UV_ATTEMPTS: i64 = 0x11;
const REMAINING_DISCOVERABLE_CREDENTIALS: i64 = 0x14;
const LONG_TOUCH_FOR_RESET: i64 = 0x18;
const TRANSPORTS_FOR_RESET: i64 = 0x1a;
const MAX_PIN_LENGTH: i64 = 0x1d;
/// maxMsgSize where getInfo does not say it, in bytes.
const DEFAULT_MAX_MSG_SIZE: u64 = 1024;

/// What an authenticator can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetInfo {
    /// `FIDO_2_0`, `FIDO_2_1` and so on.
    pub versions: Vec<String>,
    /// Extensions.
    pub extensions: Vec<String>,
    /// The model.
    pub aaguid: [u8; 16],
    /// Options by name; see [`GetInfo::option`].
    pub options: Vec<(String, bool)>,
    /// Bytes; `None` is 1024.
    pub max_msg_size: Option<u64>,
    /// Most preferred first.
    pub pin_uv_auth_protocols: Vec<u64>,
    /// How many credentials an allowList or excludeList may have.
    pub max_credential_count_in_list: Option<u64>,
    /// Bytes.
    pub max_credential_id_length: Option<u64>,
    /// `usb`, `nfc`, `internal` and so on.
    pub transports: Vec<String>,
    /// COSE algorithm identifiers; empty where it does not say.
    pub algorithms: Vec<i64>,
    /// The PIN must be changed before tokens are given.
    pub force_pin_change: bool,
    /// Unicode code points; `None` is 4.
    pub min_pin_length: Option<u64>,
    /// Unicode code points; `None` is 63 (CTAP 2.3).
    pub max_pin_length: Option<u64>,
    /// A reset wants a touch of ten seconds (CTAP 2.2).
    pub long_touch_for_reset: bool,
    /// Over which of [`transports`](Self::transports) it can be reset; empty where it does not say (CTAP 2.3).
    pub transports_for_reset: Vec<String>,
    /// How often the platform should try built-in verification before it falls back to the PIN.
    pub preferred_platform_uv_attempts: Option<u64>,
    /// The maker's number of the firmware.
    pub firmware_version: Option<u64>,
    /// How many more discoverable credentials it has room for, at least.
    pub remaining_discoverable_credentials: Option<u64>,
}

impl GetInfo {
    /// The command that it answers.
    pub const COMMAND: CommandCode = CommandCode::GetInfo;

    /// The option `name`: `None` is "not supported" for most, `false` is "supported, not set up" for `clientPin` and
    /// `uv`.
    pub fn option(&self, name: &str) -> Option<bool> {
        option(&self.options, name)
    }

    /// Whether it lists the extension `name`.
    pub fn extension(&self, name: &str) -> bool {
        self.extensions.iter().any(|extension| extension == name)
    }

    /// Whether it speaks CTAP2 at all, and not U2F (CTAP1) alone.
    pub fn speaks_ctap2(&self) -> bool {
        self.versions.iter().any(|version| version.starts_with("FIDO_2"))
    }

    /// The largest request that it takes, in bytes.
    pub fn max_request(&self) -> usize {
        let size = self.max_msg_size.unwrap_or(DEFAULT_MAX_MSG_SIZE).max(DEFAULT_MAX_MSG_SIZE);
        usize::try_from(size).unwrap_or(usize::MAX).min(super::MAX_MESSAGE)
    }

    /// The PIN/UV auth protocol to use: two before one. An authenticator that has a PIN and does not say speaks one
    /// (CTAP 2.0).
    pub fn protocol(&self) -> Option<Protocol> {
        if self.pin_uv_auth_protocols.is_empty() {
            return self.option("clientPin").map(|_| Protocol::One);
        }
        Protocol::PREFERRED.into_iter().find(|protocol| self.pin_uv_auth_protocols.contains(&protocol.id()))
    }

    /// The most code points of a new PIN, where it takes fewer than fit into the 63 bytes of any.
    pub fn max_pin_code_points(&self) -> Option<u32> {
        self.max_pin_length.map(|most| u32::try_from(most).unwrap_or(u32::MAX))
    }

    /// The fewest code points of a new PIN.
    pub fn min_pin_code_points(&self) -> u32 {
        let least = crate::pin::MIN_CODE_POINTS as u64;
        u32::try_from(self.min_pin_length.unwrap_or(least).max(least)).unwrap_or(u32::MAX)
    }
}

fn text_array(texts: &[String]) -> Value {
    Value::Array(texts.iter().map(|text| Value::from(text.as_str())).collect())
}

impl Response for GetInfo {
    fn to_map(&self) -> Map {
        let mut map =
            Map::new().with(VERSIONS, text_array(&self.versions)).with(AAGUID, self.aaguid.as_slice());
        let lists = [
            (EXTENSIONS, &self.extensions),
            (TRANSPORTS, &self.transports),
            (TRANSPORTS_FOR_RESET, &self.transports_for_reset),
        ];
        for (label, list) in lists {
            if !list.is_empty() {
                map = map.with(label, text_array(list));
            }
        }
        if !self.options.is_empty() {
            let mut options = Map::new();
            for (name, value) in &self.options {
                options.insert(Value::from(name.as_str()), Value::Bool(*value));
            }
            map = map.with(OPTIONS, options);
        }
        if !self.pin_uv_auth_protocols.is_empty() {
            let ids = self.pin_uv_auth_protocols.iter().map(|id| Value::Unsigned(*id)).collect::<Vec<_>>();
            map = map.with(PIN_UV_AUTH_PROTOCOLS, ids);
        }
        if !self.algorithms.is_empty() {
            map = map.with(ALGORITHMS, algorithms_to_value(&self.algorithms));
        }
        let flags =
            [(FORCE_PIN_CHANGE, self.force_pin_change), (LONG_TOUCH_FOR_RESET, self.long_touch_for_reset)];
        for (label, _) in flags.into_iter().filter(|(_, set)| *set) {
            map = map.with(label, true);
        }
        let numbers = [
            (MAX_MSG_SIZE, self.max_msg_size),
            (MAX_CREDENTIAL_COUNT_IN_LIST, self.max_credential_count_in_list),
            (MAX_CREDENTIAL_ID_LENGTH, self.max_credential_id_length),
            (MIN_PIN_LENGTH, self.min_pin_length),
            (MAX_PIN_LENGTH, self.max_pin_length),
            (PREFERRED_PLATFORM_UV_ATTEMPTS, self.preferred_platform_uv_attempts),
            (FIRMWARE_VERSION, self.firmware_version),
            (REMAINING_DISCOVERABLE_CREDENTIALS, self.remaining_discoverable_credentials),
        ];
        numbers
            .into_iter()
            .filter_map(|(label, n)| n.map(|n| (label, n)))
            .fold(map, |map, (label, n)| map.with(label, Value::Unsigned(n)))
    }

    fn from_value(value: Value) -> Result<Self, MessageError> {
        let mut fields = Fields::of("getInfo response", value)?;
        let versions = texts(&mut fields, VERSIONS)?;
        if versions.is_empty() {
            return Err(bad("versions", "missing or empty"));
        }
        let protocols = optional_array(&mut fields, PIN_UV_AUTH_PROTOCOLS)?.unwrap_or_default();
        let protocols = protocols.into_iter().map(|id| match id {
            Value::Unsigned(id) => Ok(id),
            _ => Err(bad("pinUvAuthProtocols", "not an array of unsigned integers")),
        });
        Ok(Self {
            versions,
            pin_uv_auth_protocols: protocols.collect::<Result<_, _>>()?,
            extensions: texts(&mut fields, EXTENSIONS)?,
            aaguid: fields.byte_array(AAGUID)?,
            options: options(&mut fields, OPTIONS)?,
            max_msg_size: optional_unsigned(&mut fields, MAX_MSG_SIZE)?,
            max_credential_count_in_list: optional_unsigned(&mut fields, MAX_CREDENTIAL_COUNT_IN_LIST)?,
            max_credential_id_length: optional_unsigned(&mut fields, MAX_CREDENTIAL_ID_LENGTH)?,
            transports: texts(&mut fields, TRANSPORTS)?,
            algorithms: algorithms(optional_array(&mut fields, ALGORITHMS)?.unwrap_or_default())?,
            force_pin_change: optional_bool(&mut fields, FORCE_PIN_CHANGE)?.unwrap_or(false),
            min_pin_length: optional_unsigned(&mut fields, MIN_PIN_LENGTH)?,
            max_pin_length: optional_unsigned(&mut fields, MAX_PIN_LENGTH)?,
            long_touch_for_reset: optional_bool(&mut fields, LONG_TOUCH_FOR_RESET)?.unwrap_or(false),
            transports_for_reset: texts(&mut fields, TRANSPORTS_FOR_RESET)?,
            preferred_platform_uv_attempts: optional_unsigned(&mut fields, PREFERRED_PLATFORM_UV_ATTEMPTS)?,
            firmware_version: optional_unsigned(&mut fields, FIRMWARE_VERSION)?,
            remaining_discoverable_credentials: optional_unsigned(
                &mut fields,
                REMAINING_DISCOVERABLE_CREDENTIALS,
            )?,
        })
    }
}
