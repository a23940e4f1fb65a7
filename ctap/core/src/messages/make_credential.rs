//! authenticatorMakeCredential (CTAP 2.1 section 6.1).

use super::entities::{algorithms, algorithms_to_value, credential_list};
use super::reader::{bad, option, optional_array, optional_map, options, options_map, pin_uv_auth};
use super::{CommandCode, CredProtect, CredentialId, PinUvAuthParam, RelyingParty, Response, UserAccount};
use crate::MessageError;
use crate::attestation::AttestationObject;
use fwp_cose::cbor::{Fields, Map, Value};

const CLIENT_DATA_HASH: i64 = 0x01;
const RP: i64 = 0x02;
const USER: i64 = 0x03;
const PUB_KEY_CRED_PARAMS: i64 = 0x04;
const EXCLUDE_LIST: i64 = 0x05;
const EXTENSIONS: i64 = 0x06;
const OPTIONS: i64 = 0x07;
const PIN_UV_AUTH_PARAM: i64 = 0x08;
const PIN_UV_AUTH_PROTOCOL: i64 = 0x09;

const FMT: i64 = 0x01;
const AUTH_DATA: i64 = 0x02;
const ATT_STMT: i64 = 0x03;

/// Make a new key. Enterprise attestation and extensions other than credProtect are not sent by us, and skipped where
/// they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MakeCredentialRequest {
    /// What the attestation signs, besides authenticatorData.
    pub client_data_hash: [u8; 32],
    /// For whom.
    pub rp: RelyingParty,
    /// For which account.
    pub user: UserAccount,
    /// COSE algorithm identifiers, most wanted first.
    pub algorithms: Vec<i64>,
    /// Not if one of these is there already.
    pub exclude: Vec<CredentialId>,
    /// The extension credProtect: what it takes to see the key.
    pub cred_protect: Option<CredProtect>,
    /// Option `rk`: a key that the authenticator finds without its ID.
    pub resident_key: Option<bool>,
    /// Option `up`, which must not be `false`.
    pub user_presence: Option<bool>,
    /// Option `uv`: built-in verification.
    pub user_verification: Option<bool>,
    /// By a token. Never together with `user_verification`.
    pub pin_uv_auth: Option<PinUvAuthParam>,
}

impl MakeCredentialRequest {
    /// The command.
    pub const COMMAND: CommandCode = CommandCode::MakeCredential;

    pub(super) fn to_map(&self) -> Map {
        let mut map = Map::new()
            .with(CLIENT_DATA_HASH, self.client_data_hash.as_slice())
            .with(RP, self.rp.to_value())
            .with(USER, self.user.to_value())
            .with(PUB_KEY_CRED_PARAMS, algorithms_to_value(&self.algorithms));
        if !self.exclude.is_empty() {
            map = map
                .with(EXCLUDE_LIST, self.exclude.iter().map(CredentialId::to_descriptor).collect::<Vec<_>>());
        }
        if let Some(policy) = self.cred_protect {
            map = map.with(EXTENSIONS, policy.to_extensions());
        }
        let options = options_map(&[
            ("rk", self.resident_key),
            ("up", self.user_presence),
            ("uv", self.user_verification),
        ]);
        if let Some(options) = options {
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
        let mut fields = Fields::of("makeCredential request", value)?;
        let client_data_hash = fields.byte_array(CLIENT_DATA_HASH)?;
        let rp = RelyingParty::from_value(fields.required(RP)?)?;
        let user = UserAccount::from_value(fields.required(USER)?)?;
        let Value::Array(params) = fields.required(PUB_KEY_CRED_PARAMS)? else {
            return Err(fields.wrong_type(PUB_KEY_CRED_PARAMS, "an array").into());
        };
        let exclude = credential_list(optional_array(&mut fields, EXCLUDE_LIST)?.unwrap_or_default())?;
        let extensions = optional_map(&mut fields, EXTENSIONS)?.unwrap_or_default();
        let options = options(&mut fields, OPTIONS)?;
        Ok(Self {
            client_data_hash,
            rp,
            user,
            algorithms: algorithms(params)?,
            exclude,
            cred_protect: CredProtect::from_extensions(&extensions)?,
            resident_key: option(&options, "rk"),
            user_presence: option(&options, "up"),
            user_verification: option(&options, "uv"),
            pin_uv_auth: pin_uv_auth(&mut fields, PIN_UV_AUTH_PARAM, PIN_UV_AUTH_PROTOCOL)?,
        })
    }
}

/// A new key with its attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MakeCredentialResponse {
    /// Format, statement and authenticatorData.
    pub attestation: AttestationObject,
}

impl Response for MakeCredentialResponse {
    fn to_map(&self) -> Map {
        Map::new()
            .with(FMT, self.attestation.fmt.as_str())
            .with(AUTH_DATA, self.attestation.auth_data.as_slice())
            .with(ATT_STMT, self.attestation.att_stmt.clone())
    }

    fn from_value(value: Value) -> Result<Self, MessageError> {
        let mut fields = Fields::of("makeCredential response", value)?;
        let fmt = fields.text(FMT)?;
        let auth_data = fields.bytes(AUTH_DATA)?;
        let Value::Map(att_stmt) = fields.required(ATT_STMT)? else {
            return Err(bad("attStmt", "not a map"));
        };
        Ok(Self { attestation: AttestationObject { fmt, att_stmt, auth_data } })
    }
}
