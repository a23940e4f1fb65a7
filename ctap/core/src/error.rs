//! What can go wrong, one type each for messages and for ceremonies, with what the user can do about it.

use crate::messages::CommandCode;
use crate::status::Status;
use crate::transport::TransportError;
use crate::{PinError, RandomError};
use fwp_cose::cbor::{DecodeError, SchemaError};
use fwp_cose::{KeyError, SignatureError};

/// Why bytes are not the message that they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// There is not even a first byte.
    #[error("the message is empty")]
    Empty,
    /// A command byte that is not one of ours.
    #[error("the command 0x{0:02x} is not known")]
    Command(u8),
    /// A clientPIN subcommand that is not one of ours.
    #[error("the clientPIN subcommand {0} is not known")]
    Subcommand(i64),
    /// Not the canonical CBOR of CTAP.
    #[error("the message is not canonical CBOR: {0}")]
    Cbor(#[from] DecodeError),
    /// A member is missing or of another type.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A COSE key that is none.
    #[error("the message has a bad COSE key: {0}")]
    Key(#[from] KeyError),
    /// A member of a length or value that the standard does not allow.
    #[error("{member} is {problem}")]
    Member {
        /// The standard's name of the member.
        member: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Larger than a message can be.
    #[error("the message has {len} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Bytes.
        len: usize,
        /// Bytes.
        limit: usize,
    },
}

impl MessageError {
    /// The status with which an authenticator answers such a request.
    pub fn status(&self) -> Status {
        match self {
            Self::Empty => Status::INVALID_LENGTH,
            Self::Command(_) => Status::INVALID_COMMAND,
            Self::Subcommand(_) => Status::INVALID_SUBCOMMAND,
            Self::Cbor(_) => Status::INVALID_CBOR,
            Self::Schema(SchemaError::Missing { .. }) => Status::MISSING_PARAMETER,
            Self::Schema(_) => Status::CBOR_UNEXPECTED_TYPE,
            Self::Key(_) | Self::Member { .. } => Status::INVALID_PARAMETER,
            Self::TooLarge { .. } => Status::REQUEST_TOO_LARGE,
        }
    }
}

/// How a well-formed response is not the answer to what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// rpIdHash is not SHA-256 of the rpId.
    #[error("rpIdHash is that of another site")]
    RpIdHash,
    /// The flag UP is not set.
    #[error("the user was not present (flag UP)")]
    UserPresence,
    /// The flag UV is not set.
    #[error("the user was not verified (flag UV)")]
    UserVerification,
    /// An assertion by another credential.
    #[error("another credential answered than the one asked for")]
    CredentialId,
    /// The signature is not the credential's over authenticatorData and hash.
    #[error("the signature does not verify: {0}")]
    Signature(#[from] SignatureError),
    /// makeCredential without attestedCredentialData, or getAssertion with it.
    #[error("attestedCredentialData is missing or where it must not be")]
    AttestedCredential,
    /// A key for an algorithm that was not asked for.
    #[error("the new key is for an algorithm that was not asked for")]
    Algorithm,
    /// The attestation statement is not what its format says.
    #[error("the attestation statement does not fit: {0}")]
    Attestation(&'static str),
}

/// Why a ceremony ended without its result. The texts can be shown to the user: each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The user or the caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The user said no on the security key.
    #[error("declined on the security key")]
    Denied,
    /// The security key waited too long for the user.
    #[error("the security key waited too long for a touch: try again")]
    Timeout,
    /// The security key has no PIN and no other way to verify its user: [`SetPin`](crate::ceremony::SetPin) helps.
    #[error("the security key has no PIN yet: set one first")]
    PinNotSet,
    /// A PIN is set already.
    #[error("the security key has a PIN already: change it instead")]
    PinAlreadySet,
    /// No attempts are left.
    #[error(
        "the PIN is blocked for good after too many wrong ones: only a reset, which deletes its keys, helps"
    )]
    PinBlocked,
    /// Soft-blocked: three wrong PINs in a row.
    #[error("too many wrong PINs in a row: unplug the security key, plug it in again and retry")]
    PinAuthBlocked,
    /// The PIN must be changed before it may be used: [`ChangePin`](crate::ceremony::ChangePin) does, and then the
    /// ceremony can be run again.
    #[error("the security key wants its PIN changed before it is used")]
    PinChangeRequired,
    /// The new PIN breaks a rule of this security key.
    #[error(
        "the security key does not take this PIN: it wants at least {min_code_points} characters and no PIN that it forbids"
    )]
    PinPolicy {
        /// Unicode code points.
        min_code_points: u32,
    },
    /// The new PIN is longer than this security key takes.
    #[error("the security key does not take this PIN: it wants at most {max_code_points} characters")]
    PinTooLong {
        /// Unicode code points.
        max_code_points: u32,
    },
    /// A PIN that cannot be one on any security key.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// Biometric verification is blocked and there is no PIN to fall back to.
    #[error("fingerprint or other built-in verification is blocked, and there is no PIN to use instead")]
    UvBlocked,
    /// Biometric verification failed and there is no PIN to fall back to.
    #[error("the security key did not recognise you: try again")]
    UvInvalid,
    /// A fingerprint or the like is what this security key wants, and none is enrolled; a PIN would not do.
    #[error(
        "the security key wants a fingerprint or the like for this: enroll one first, with its maker's program"
    )]
    UvNotSetUp,
    /// The security key cannot verify its user at all.
    #[error("the security key cannot verify its user (no PIN, no fingerprint): use another one")]
    NoUserVerification,
    /// PIN/UV auth protocols other than one and two only.
    #[error("the security key speaks no PIN protocol that is known here (1, 2)")]
    PinUvAuthProtocol,
    /// The credential is not on this security key.
    #[error("the card's key is not on this security key: use the one it was enrolled with")]
    NoCredentials,
    /// A credential of the exclude list is on this security key.
    #[error("this security key has been enrolled here already")]
    CredentialExcluded,
    /// None of the algorithms asked for.
    #[error("the security key has none of the signature algorithms asked for")]
    UnsupportedAlgorithm,
    /// No room for another key.
    #[error("the security key has no room for another key")]
    KeyStoreFull,
    /// The request is larger than the security key takes.
    #[error("the request has {len} bytes, the security key takes {limit}")]
    RequestTooLarge {
        /// Bytes.
        len: usize,
        /// Bytes.
        limit: usize,
    },
    /// Any other status.
    #[error("the security key answered {command} with {status}")]
    Status {
        /// The command.
        command: CommandCode,
        /// The answer.
        status: Status,
    },
    /// A response that is malformed.
    #[error("the security key's answer to {command} is malformed: {error}")]
    Response {
        /// The command.
        command: CommandCode,
        /// How.
        error: MessageError,
    },
    /// A response that is well-formed but not to what was asked.
    #[error("the security key's answer is refused: {0}")]
    Mismatch(#[from] Mismatch),
    /// The transport failed.
    #[error(transparent)]
    Transport(TransportError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The caller gave an input that the ceremony was not waiting for.
    #[error("the ceremony was not waiting for {0}")]
    OutOfTurn(&'static str),
}

impl Error {
    /// The error that `status`, answered to `command`, means to the user.
    pub(crate) fn of_status(command: CommandCode, status: Status) -> Self {
        match status {
            Status::KEEPALIVE_CANCEL => Self::Cancelled,
            Status::OPERATION_DENIED => Self::Denied,
            Status::USER_ACTION_TIMEOUT | Status::ACTION_TIMEOUT | Status::TIMEOUT => Self::Timeout,
            Status::PIN_NOT_SET => Self::PinNotSet,
            Status::PIN_BLOCKED => Self::PinBlocked,
            Status::PIN_AUTH_BLOCKED => Self::PinAuthBlocked,
            Status::UV_BLOCKED => Self::UvBlocked,
            Status::UV_INVALID => Self::UvInvalid,
            Status::NO_CREDENTIALS => Self::NoCredentials,
            Status::CREDENTIAL_EXCLUDED => Self::CredentialExcluded,
            Status::UNSUPPORTED_ALGORITHM => Self::UnsupportedAlgorithm,
            Status::KEY_STORE_FULL => Self::KeyStoreFull,
            _ => Self::Status { command, status },
        }
    }
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Cancelled => Self::Cancelled,
            error => Self::Transport(error),
        }
    }
}
