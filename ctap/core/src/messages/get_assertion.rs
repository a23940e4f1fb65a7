//! authenticatorGetAssertion and authenticatorGetNextAssertion (CTAP 2.1 sections 6.2 and 6.3).

use super::entities::credential_list;
use super::reader::{
    option, optional_array, optional_map, optional_unsigned, options, options_map, pin_uv_auth,
};
use super::{CommandCode, CredentialId, PinUvAuthParam, Response};
use crate::MessageError;
use fwp_cose::cbor::{Fields, Map, Value};

const RP_ID: i64 = 0x01;
const CLIENT_DATA_HASH: i64 = 0x02;
const ALLOW_LIST: i64 = 0x03;
const OPTIONS: i64 = 0x05;
const PIN_UV_AUTH_PARAM: i64 = 0x06;
const PIN_UV_AUTH_PROTOCOL: i64 = 0x07;

const CREDENTIAL: i64 = 0x01;
const AUTH_DATA: i64 = 0x02;
const SIGNATURE: i64 = 0x03;
const USER: i64 = 0x04;
const NUMBER_OF_CREDENTIALS: i64 = 0x05;

/// Sign with a key. Extensions are not sent by us, and skipped where they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetAssertionRequest {
    /// Whose key.
    pub rp_id: String,
    /// What is signed, besides authenticatorData: for payments SHA-256(AD).
    pub client_data_hash: [u8; 32],
    /// Which keys; empty: any discoverable one.
    pub allow: Vec<CredentialId>,
    /// Option `up`; `None` is `true`.
    pub user_presence: Option<bool>,
    /// Option `uv`: built-in verification.
    pub user_verification: Option<bool>,
    /// By a token. Never together with `user_verification`.
    pub pin_uv_auth: Option<PinUvAuthParam>,
}

impl GetAssertionRequest {
    /// The command.
    pub const COMMAND: CommandCode = CommandCode::GetAssertion;

    pub(super) fn to_map(&self) -> Map {
        let mut map = Map::new()
            .with(RP_ID, self.rp_id.as_str())
            .with(CLIENT_DATA_HASH, self.client_data_hash.as_slice());
        if !self.allow.is_empty() {
            map =
                map.with(ALLOW_LIST, self.allow.iter().map(CredentialId::to_descriptor).collect::<Vec<_>>());
        }
        if let Some(options) = options_map(&[("up", self.user_presence), ("uv", self.user_verification)]) {
            map = map.with(OPTIONS, options);
        }
        if let Some(auth) = &self.pin_uv_auth {
            map = map
                .with(PIN_UV_AUTH_PARAM, auth.param.as_slice())
                .with(PIN_UV_AUTH_PROTOCOL, Value::Unsigned(auth.protocol.id()));
        }
        map
    }

    pub(super) fn from_value(value: Value) -> Result<Self, MessageError> {
        let mut fields = Fields::of("getAssertion request", value)?;
        let rp_id = fields.text(RP_ID)?;
        let client_data_hash = fields.byte_array(CLIENT_DATA_HASH)?;
        let allow = credential_list(optional_array(&mut fields, ALLOW_LIST)?.unwrap_or_default())?;
        let options = options(&mut fields, OPTIONS)?;
        Ok(Self {
            rp_id,
            client_data_hash,
            allow,
            user_presence: option(&options, "up"),
            user_verification: option(&options, "uv"),
            pin_uv_auth: pin_uv_auth(&mut fields, PIN_UV_AUTH_PARAM, PIN_UV_AUTH_PROTOCOL)?,
        })
    }
}

/// An assertion: a signature over authenticatorData and clientDataHash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetAssertionResponse {
    /// Which key signed; an authenticator may leave it out where the allowList had one only (CTAP 2.0).
    pub credential: Option<CredentialId>,
    /// What is signed first.
    pub auth_data: Vec<u8>,
    /// In the algorithm's form.
    pub signature: Vec<u8>,
    /// The account, of discoverable keys.
    pub user: Option<Map>,
    /// How many keys fit, where there are several.
    pub number_of_credentials: Option<u64>,
}

impl Response for GetAssertionResponse {
    fn to_map(&self) -> Map {
        let mut map =
            Map::new().with(AUTH_DATA, self.auth_data.as_slice()).with(SIGNATURE, self.signature.as_slice());
        if let Some(credential) = &self.credential {
            map = map.with(CREDENTIAL, credential.to_descriptor());
        }
        if let Some(user) = &self.user {
            map = map.with(USER, user.clone());
        }
        if let Some(n) = self.number_of_credentials {
            map = map.with(NUMBER_OF_CREDENTIALS, Value::Unsigned(n));
        }
        map
    }

    fn from_value(value: Value) -> Result<Self, MessageError> {
        let mut fields = Fields::of("getAssertion response", value)?;
        let credential = match fields.optional(CREDENTIAL) {
            None => None,
            Some(descriptor) => Some(
                CredentialId::from_descriptor(descriptor)?
                    .ok_or_else(|| fields.wrong_type(CREDENTIAL, "a public-key credential"))?,
            ),
        };
        Ok(Self {
            credential,
            auth_data: fields.bytes(AUTH_DATA)?,
            signature: fields.bytes(SIGNATURE)?,
            user: optional_map(&mut fields, USER)?,
            number_of_credentials: optional_unsigned(&mut fields, NUMBER_OF_CREDENTIALS)?,
        })
    }
}
