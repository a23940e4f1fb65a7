//! What can go wrong on a channel.

use crate::frame::Command;
use ctap_core::transport::TransportError;
use std::fmt;

/// The code of a CTAPHID_ERROR (CTAP 2.1 section 11.2.9.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceError {
    /// ERR_INVALID_CMD: it does not know the command.
    InvalidCommand,
    /// ERR_INVALID_PAR: a parameter is wrong.
    InvalidParameter,
    /// ERR_INVALID_LEN: the length is wrong.
    InvalidLength,
    /// ERR_INVALID_SEQ: a packet is missing or out of turn.
    InvalidSequence,
    /// ERR_MSG_TIMEOUT: the message did not arrive in time.
    MessageTimeout,
    /// ERR_CHANNEL_BUSY: another channel's command is under way.
    ChannelBusy,
    /// ERR_LOCK_REQUIRED: the command needs a lock on the channel.
    LockRequired,
    /// ERR_INVALID_CHANNEL: it does not know the channel.
    InvalidChannel,
    /// ERR_OTHER.
    Other,
    /// A code that the standard does not have.
    Unknown(u8),
}

impl DeviceError {
    /// The error with this code.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            0x01 => Self::InvalidCommand,
            0x02 => Self::InvalidParameter,
            0x03 => Self::InvalidLength,
            0x04 => Self::InvalidSequence,
            0x05 => Self::MessageTimeout,
            0x06 => Self::ChannelBusy,
            0x0a => Self::LockRequired,
            0x0b => Self::InvalidChannel,
            0x7f => Self::Other,
            other => Self::Unknown(other),
        }
    }

    /// Whether the two sides lost each other before the command was carried out, so that it may be sent again on a
    /// channel that was synchronised.
    pub(crate) fn is_lost_sync(self) -> bool {
        matches!(self, Self::InvalidSequence | Self::MessageTimeout | Self::InvalidChannel)
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidCommand => "INVALID_CMD",
            Self::InvalidParameter => "INVALID_PAR",
            Self::InvalidLength => "INVALID_LEN",
            Self::InvalidSequence => "INVALID_SEQ",
            Self::MessageTimeout => "MSG_TIMEOUT",
            Self::ChannelBusy => "CHANNEL_BUSY",
            Self::LockRequired => "LOCK_REQUIRED",
            Self::InvalidChannel => "INVALID_CHANNEL",
            Self::Other => "OTHER",
            Self::Unknown(code) => return write!(f, "0x{code:02x}"),
        })
    }
}

/// Why a command did not come back with its response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HidError {
    /// A report of another size than 64 bytes.
    #[error("a report of {0} bytes instead of 64")]
    ReportLength(usize),
    /// A message longer than CTAPHID's packets can carry.
    #[error("a message of {0} bytes, at most 7609 are possible")]
    MessageLength(usize),
    /// A continuation packet that is not the next one.
    #[error("packet {got} where {expected} is next")]
    Sequence {
        /// The next sequence number.
        expected: u8,
        /// The one that came.
        got: u8,
    },
    /// A continuation packet without a beginning.
    #[error("a continuation packet that continues nothing")]
    Orphan,
    /// A new message in the middle of one.
    #[error("a message that begins in the middle of another")]
    Interrupted,
    /// The answer to something else.
    #[error("{got} in answer to {sent}")]
    Unexpected {
        /// What was sent.
        sent: Command,
        /// What came.
        got: Command,
    },
    /// A keepalive or error without its one byte, or an INIT response shorter than its 17.
    #[error("{0} of a wrong length")]
    Length(Command),
    /// A keepalive status that the standard does not have.
    #[error("keepalive status {0}")]
    Keepalive(u8),
    /// INIT was answered with a channel that can't be one.
    #[error("a channel that can't be one")]
    Channel,
    /// A CTAPHID protocol other than version 2.
    #[error("CTAPHID version {0} instead of 2")]
    Version(u8),
    /// CTAPHID_ERROR.
    #[error("error {0}")]
    Device(DeviceError),
    /// CHANNEL_BUSY for as long as it was tried again.
    #[error("busy")]
    Busy,
    /// Nothing came in time.
    #[error("no answer")]
    Silent,
    /// Cancelled by the caller.
    #[error("cancelled")]
    Cancelled,
    /// The device has no CTAPHID_CBOR.
    #[error("U2F only")]
    TooOld,
    /// The device has no CTAPHID_WINK.
    #[error("no wink")]
    NoWink,
}

impl From<HidError> for TransportError {
    fn from(error: HidError) -> Self {
        match error {
            HidError::Busy => Self::Busy,
            HidError::Silent => Self::Timeout,
            HidError::Cancelled => Self::Cancelled,
            HidError::TooOld => Self::TooOld,
            HidError::NoWink => Self::Unsupported("wink"),
            error => Self::Framing(error.to_string()),
        }
    }
}
