//! CTAP2 messages (CTAP 2.1 section 6): a command byte and a CBOR map one way, a status byte and a CBOR map the other.
//!
//! Decoding is strict about what it knows (types, lengths, canonical CBOR) and skips members that it does not know:
//! later versions of the standard add some.

mod client_pin;
mod cred_protect;
mod entities;
mod get_assertion;
mod get_info;
mod make_credential;
mod reader;

pub use client_pin::{ClientPinRequest, ClientPinResponse, ClientPinSubcommand};
pub use cred_protect::CredProtect;
pub use entities::{CredentialId, MAX_CREDENTIAL_ID, RelyingParty, UserAccount};
pub use get_assertion::{GetAssertionRequest, GetAssertionResponse};
pub use get_info::GetInfo;
pub use make_credential::{MakeCredentialRequest, MakeCredentialResponse};

use crate::MessageError;
use crate::pin_uv_auth::Protocol;
use crate::status::Status;
use fwp_cose::cbor::{Map, Value, decode};
use std::fmt;

/// The largest message that is taken, in bytes: the most that NFC with extended length and SPI carry. USB HID frames
/// carry 7609.
pub const MAX_MESSAGE: usize = 65_535;

/// A command that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandCode {
    /// authenticatorMakeCredential.
    MakeCredential,
    /// authenticatorGetAssertion.
    GetAssertion,
    /// authenticatorGetInfo.
    GetInfo,
    /// authenticatorClientPIN.
    ClientPin,
    /// authenticatorReset.
    Reset,
    /// authenticatorGetNextAssertion.
    GetNextAssertion,
    /// authenticatorSelection.
    Selection,
}

impl CommandCode {
    const ALL: [Self; 7] = [
        Self::MakeCredential,
        Self::GetAssertion,
        Self::GetInfo,
        Self::ClientPin,
        Self::Reset,
        Self::GetNextAssertion,
        Self::Selection,
    ];

    /// The command byte.
    pub fn byte(self) -> u8 {
        match self {
            Self::MakeCredential => 0x01,
            Self::GetAssertion => 0x02,
            Self::GetInfo => 0x04,
            Self::ClientPin => 0x06,
            Self::Reset => 0x07,
            Self::GetNextAssertion => 0x08,
            Self::Selection => 0x0b,
        }
    }

    /// The command with this byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.byte() == byte)
    }
}

impl fmt::Display for CommandCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MakeCredential => "authenticatorMakeCredential",
            Self::GetAssertion => "authenticatorGetAssertion",
            Self::GetInfo => "authenticatorGetInfo",
            Self::ClientPin => "authenticatorClientPIN",
            Self::Reset => "authenticatorReset",
            Self::GetNextAssertion => "authenticatorGetNextAssertion",
            Self::Selection => "authenticatorSelection",
        })
    }
}

/// A request to an authenticator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Make a new key.
    MakeCredential(MakeCredentialRequest),
    /// Sign with a key.
    GetAssertion(GetAssertionRequest),
    /// Sign with the next key that fits the last getAssertion.
    GetNextAssertion,
    /// What can you do?
    GetInfo,
    /// PINs and tokens.
    ClientPin(ClientPinRequest),
    /// Forget everything.
    Reset,
    /// Let the user choose this authenticator by a touch.
    Selection,
}

impl Request {
    /// The command.
    pub fn code(&self) -> CommandCode {
        match self {
            Self::MakeCredential(_) => CommandCode::MakeCredential,
            Self::GetAssertion(_) => CommandCode::GetAssertion,
            Self::GetNextAssertion => CommandCode::GetNextAssertion,
            Self::GetInfo => CommandCode::GetInfo,
            Self::ClientPin(_) => CommandCode::ClientPin,
            Self::Reset => CommandCode::Reset,
            Self::Selection => CommandCode::Selection,
        }
    }

    /// Command byte and CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.code().byte()];
        match self {
            Self::MakeCredential(request) => Value::Map(request.to_map()).encode_to(&mut out),
            Self::GetAssertion(request) => Value::Map(request.to_map()).encode_to(&mut out),
            Self::ClientPin(request) => Value::Map(request.to_map()).encode_to(&mut out),
            Self::GetNextAssertion | Self::GetInfo | Self::Reset | Self::Selection => {}
        }
        out
    }

    /// Reads command byte and CBOR.
    ///
    /// # Errors
    /// [`MessageError`]; [`MessageError::status`] is what to answer.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (byte, parameters) = split(bytes)?;
        let code = CommandCode::from_byte(byte).ok_or(MessageError::Command(byte))?;
        let parameters = || decode(parameters);
        Ok(match code {
            CommandCode::MakeCredential => {
                Self::MakeCredential(MakeCredentialRequest::from_value(parameters()?)?)
            }
            CommandCode::GetAssertion => Self::GetAssertion(GetAssertionRequest::from_value(parameters()?)?),
            CommandCode::ClientPin => Self::ClientPin(ClientPinRequest::from_value(parameters()?)?),
            CommandCode::GetNextAssertion => Self::GetNextAssertion,
            CommandCode::GetInfo => Self::GetInfo,
            CommandCode::Reset => Self::Reset,
            CommandCode::Selection => Self::Selection,
        })
    }
}

fn split(bytes: &[u8]) -> Result<(u8, &[u8]), MessageError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(MessageError::TooLarge { len: bytes.len(), limit: MAX_MESSAGE });
    }
    bytes.split_first().map(|(first, rest)| (*first, rest)).ok_or(MessageError::Empty)
}

/// A response that has one form, whichever request it answers.
pub trait Response: Sized {
    /// The CBOR map.
    fn to_map(&self) -> Map;

    /// Reads the CBOR map.
    ///
    /// # Errors
    /// [`MessageError`].
    fn from_value(value: Value) -> Result<Self, MessageError>;

    /// Status byte 0 and CBOR.
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![Status::OK.0];
        Value::Map(self.to_map()).encode_to(&mut out);
        out
    }

    /// Reads status byte and CBOR: the inner error is the authenticator's status where it is not 0.
    ///
    /// # Errors
    /// [`MessageError`].
    fn decode(bytes: &[u8]) -> Result<Result<Self, Status>, MessageError> {
        match split(bytes)? {
            (0, map) => Self::from_value(decode(map)?).map(Ok),
            (status, _) => Ok(Err(Status(status))),
        }
    }
}

/// A response without members: that of setPIN, changePIN, reset and selection. Some authenticators send an empty map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmptyResponse;

impl EmptyResponse {
    /// Reads status byte and nothing, or an empty map.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Result<Self, Status>, MessageError> {
        match split(bytes)? {
            (0, []) => Ok(Ok(Self)),
            (0, map) => match decode(map)? {
                Value::Map(_) => Ok(Ok(Self)),
                _ => Err(MessageError::Member { member: "response", problem: "not a map" }),
            },
            (status, _) => Ok(Err(Status(status))),
        }
    }
}

/// pinUvAuthParam with its protocol, as makeCredential and getAssertion carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinUvAuthParam {
    /// The protocol of the token.
    pub protocol: Protocol,
    /// The MAC of clientDataHash under the token. An empty one asks for a touch only (CTAP 2.0's way to select).
    pub param: Vec<u8>,
}
