//! authenticatorClientPIN (CTAP 2.1 section 6.5).

use super::reader::{bad, optional_bool, optional_bytes, optional_text, optional_unsigned};
use super::{CommandCode, Response};
use crate::MessageError;
use crate::pin_uv_auth::{KeyAgreementKey, Permissions, Protocol};
use fwp_cose::cbor::{Fields, Map, Value};

const PIN_UV_AUTH_PROTOCOL: i64 = 0x01;
const SUBCOMMAND: i64 = 0x02;
const KEY_AGREEMENT: i64 = 0x03;
const PIN_UV_AUTH_PARAM: i64 = 0x04;
const NEW_PIN_ENC: i64 = 0x05;
const PIN_HASH_ENC: i64 = 0x06;
const PERMISSIONS: i64 = 0x09;
const RP_ID: i64 = 0x0a;

const RESPONSE_KEY_AGREEMENT: i64 = 0x01;
const PIN_UV_AUTH_TOKEN: i64 = 0x02;
const PIN_RETRIES: i64 = 0x03;
const POWER_CYCLE_STATE: i64 = 0x04;
const UV_RETRIES: i64 = 0x05;

/// A subcommand with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientPinSubcommand {
    /// How many attempts are left?
    GetPinRetries,
    /// Your key for the key agreement?
    GetKeyAgreement,
    /// Set the first PIN.
    SetPin {
        /// The platform's key.
        key_agreement: KeyAgreementKey,
        /// The padded PIN, encrypted.
        new_pin_enc: Vec<u8>,
        /// The MAC of `new_pin_enc`.
        pin_uv_auth_param: Vec<u8>,
    },
    /// Change the PIN.
    ChangePin {
        /// The platform's key.
        key_agreement: KeyAgreementKey,
        /// The hash of the old PIN, encrypted.
        pin_hash_enc: Vec<u8>,
        /// The padded new PIN, encrypted.
        new_pin_enc: Vec<u8>,
        /// The MAC of `new_pin_enc || pin_hash_enc`.
        pin_uv_auth_param: Vec<u8>,
    },
    /// A token with the default permissions, for the PIN (CTAP 2.0).
    GetPinToken {
        /// The platform's key.
        key_agreement: KeyAgreementKey,
        /// The hash of the PIN, encrypted.
        pin_hash_enc: Vec<u8>,
    },
    /// A token for built-in verification.
    GetPinUvAuthTokenUsingUvWithPermissions {
        /// The platform's key.
        key_agreement: KeyAgreementKey,
        /// What for.
        permissions: Permissions,
        /// For which rpId.
        rp_id: Option<String>,
    },
    /// How many attempts of built-in verification are left?
    GetUvRetries,
    /// A token for the PIN.
    GetPinUvAuthTokenUsingPinWithPermissions {
        /// The platform's key.
        key_agreement: KeyAgreementKey,
        /// The hash of the PIN, encrypted.
        pin_hash_enc: Vec<u8>,
        /// What for.
        permissions: Permissions,
        /// For which rpId.
        rp_id: Option<String>,
    },
}

/// A clientPIN request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPinRequest {
    /// Every subcommand but getPINRetries and getUVRetries needs it; we always send it.
    pub protocol: Option<Protocol>,
    /// What to do.
    pub subcommand: ClientPinSubcommand,
}

impl ClientPinRequest {
    /// The command.
    pub const COMMAND: CommandCode = CommandCode::ClientPin;

    pub(super) fn to_map(&self) -> Map {
        use ClientPinSubcommand as S;
        let map = Map::new();
        let map = match &self.subcommand {
            S::GetPinRetries => map.with(SUBCOMMAND, 1),
            S::GetKeyAgreement => map.with(SUBCOMMAND, 2),
            S::SetPin { key_agreement, new_pin_enc, pin_uv_auth_param } => map
                .with(SUBCOMMAND, 3)
                .with(KEY_AGREEMENT, key_agreement.to_value())
                .with(PIN_UV_AUTH_PARAM, pin_uv_auth_param.as_slice())
                .with(NEW_PIN_ENC, new_pin_enc.as_slice()),
            S::ChangePin { key_agreement, pin_hash_enc, new_pin_enc, pin_uv_auth_param } => map
                .with(SUBCOMMAND, 4)
                .with(KEY_AGREEMENT, key_agreement.to_value())
                .with(PIN_UV_AUTH_PARAM, pin_uv_auth_param.as_slice())
                .with(NEW_PIN_ENC, new_pin_enc.as_slice())
                .with(PIN_HASH_ENC, pin_hash_enc.as_slice()),
            S::GetPinToken { key_agreement, pin_hash_enc } => map
                .with(SUBCOMMAND, 5)
                .with(KEY_AGREEMENT, key_agreement.to_value())
                .with(PIN_HASH_ENC, pin_hash_enc.as_slice()),
            S::GetPinUvAuthTokenUsingUvWithPermissions { key_agreement, permissions, rp_id } => {
                let map = map.with(SUBCOMMAND, 6).with(KEY_AGREEMENT, key_agreement.to_value());
                with_permissions(map, *permissions, rp_id.as_deref())
            }
            S::GetUvRetries => map.with(SUBCOMMAND, 7),
            S::GetPinUvAuthTokenUsingPinWithPermissions {
                key_agreement,
                pin_hash_enc,
                permissions,
                rp_id,
            } => {
                let map = map
                    .with(SUBCOMMAND, 9)
                    .with(KEY_AGREEMENT, key_agreement.to_value())
                    .with(PIN_HASH_ENC, pin_hash_enc.as_slice());
                with_permissions(map, *permissions, rp_id.as_deref())
            }
        };
        match self.protocol {
            Some(protocol) => map.with(PIN_UV_AUTH_PROTOCOL, Value::Unsigned(protocol.id())),
            None => map,
        }
    }

    pub(super) fn from_value(value: Value) -> Result<Self, MessageError> {
        use ClientPinSubcommand as S;
        let mut fields = Fields::of("clientPIN request", value)?;
        let protocol = match optional_unsigned(&mut fields, PIN_UV_AUTH_PROTOCOL)? {
            None => None,
            Some(id) => Some(Protocol::from_id(id).ok_or(bad("pinUvAuthProtocol", "not one of 1 and 2"))?),
        };
        let subcommand = match fields.int(SUBCOMMAND)? {
            1 => S::GetPinRetries,
            2 => S::GetKeyAgreement,
            3 => S::SetPin {
                key_agreement: key_agreement(&mut fields)?,
                new_pin_enc: fields.bytes(NEW_PIN_ENC)?,
                pin_uv_auth_param: fields.bytes(PIN_UV_AUTH_PARAM)?,
            },
            4 => S::ChangePin {
                key_agreement: key_agreement(&mut fields)?,
                pin_hash_enc: fields.bytes(PIN_HASH_ENC)?,
                new_pin_enc: fields.bytes(NEW_PIN_ENC)?,
                pin_uv_auth_param: fields.bytes(PIN_UV_AUTH_PARAM)?,
            },
            5 => {
                let no_permissions =
                    fields.optional(PERMISSIONS).is_none() && fields.optional(RP_ID).is_none();
                if !no_permissions {
                    return Err(bad("getPinToken", "with permissions or rpId, which it does not take"));
                }
                S::GetPinToken {
                    key_agreement: key_agreement(&mut fields)?,
                    pin_hash_enc: fields.bytes(PIN_HASH_ENC)?,
                }
            }
            6 => S::GetPinUvAuthTokenUsingUvWithPermissions {
                key_agreement: key_agreement(&mut fields)?,
                permissions: permissions(&mut fields)?,
                rp_id: optional_text(&mut fields, RP_ID)?,
            },
            7 => S::GetUvRetries,
            9 => S::GetPinUvAuthTokenUsingPinWithPermissions {
                key_agreement: key_agreement(&mut fields)?,
                pin_hash_enc: fields.bytes(PIN_HASH_ENC)?,
                permissions: permissions(&mut fields)?,
                rp_id: optional_text(&mut fields, RP_ID)?,
            },
            other => return Err(MessageError::Subcommand(other)),
        };
        Ok(Self { protocol, subcommand })
    }
}

fn with_permissions(map: Map, permissions: Permissions, rp_id: Option<&str>) -> Map {
    let map = map.with(PERMISSIONS, i64::from(permissions.0));
    match rp_id {
        Some(rp_id) => map.with(RP_ID, rp_id),
        None => map,
    }
}

fn key_agreement(fields: &mut Fields) -> Result<KeyAgreementKey, MessageError> {
    KeyAgreementKey::from_value(fields.required(KEY_AGREEMENT)?)
}

fn permissions(fields: &mut Fields) -> Result<Permissions, MessageError> {
    match u8::try_from(fields.int(PERMISSIONS)?) {
        Ok(0) | Err(_) => Err(bad("permissions", "not 1 to 255")),
        Ok(bits) => Ok(Permissions(bits)),
    }
}

/// A clientPIN response: which members are there depends on the subcommand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientPinResponse {
    /// The authenticator's key.
    pub key_agreement: Option<KeyAgreementKey>,
    /// Encrypted.
    pub pin_uv_auth_token: Option<Vec<u8>>,
    /// Attempts left.
    pub pin_retries: Option<u64>,
    /// Attempts only after a power cycle.
    pub power_cycle_state: Option<bool>,
    /// Attempts of built-in verification left.
    pub uv_retries: Option<u64>,
}

impl Response for ClientPinResponse {
    fn to_map(&self) -> Map {
        let mut map = Map::new();
        if let Some(key) = &self.key_agreement {
            map = map.with(RESPONSE_KEY_AGREEMENT, key.to_value());
        }
        if let Some(token) = &self.pin_uv_auth_token {
            map = map.with(PIN_UV_AUTH_TOKEN, token.as_slice());
        }
        if let Some(retries) = self.pin_retries {
            map = map.with(PIN_RETRIES, Value::Unsigned(retries));
        }
        if let Some(state) = self.power_cycle_state {
            map = map.with(POWER_CYCLE_STATE, state);
        }
        if let Some(retries) = self.uv_retries {
            map = map.with(UV_RETRIES, Value::Unsigned(retries));
        }
        map
    }

    fn from_value(value: Value) -> Result<Self, MessageError> {
        let mut fields = Fields::of("clientPIN response", value)?;
        Ok(Self {
            key_agreement: fields
                .optional(RESPONSE_KEY_AGREEMENT)
                .map(KeyAgreementKey::from_value)
                .transpose()?,
            pin_uv_auth_token: optional_bytes(&mut fields, PIN_UV_AUTH_TOKEN)?,
            pin_retries: optional_unsigned(&mut fields, PIN_RETRIES)?,
            power_cycle_state: optional_bool(&mut fields, POWER_CYCLE_STATE)?,
            uv_retries: optional_unsigned(&mut fields, UV_RETRIES)?,
        })
    }
}
