//! Messages as packets of 64 bytes, and back (CTAP 2.1 section 11.2.4).

use crate::error::HidError;
use std::fmt;

/// Bytes of a report (packet).
pub const REPORT_LEN: usize = 64;
/// Bytes of a message at most: an initialization packet and 128 continuation packets.
pub const MAX_MESSAGE_LEN: usize = INIT_DATA_LEN + 128 * CONTINUATION_DATA_LEN;

/// Payload bytes of an initialization packet.
const INIT_DATA_LEN: usize = REPORT_LEN - 7;
/// Payload bytes of a continuation packet.
const CONTINUATION_DATA_LEN: usize = REPORT_LEN - 5;
/// The bit of the fifth byte that an initialization packet has.
const INIT_BIT: u8 = 0x80;

/// A packet as it is on the wire, without hidraw's report number.
pub type Report = [u8; REPORT_LEN];

/// A channel ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelId(pub [u8; 4]);

impl ChannelId {
    /// The channel on which channels are allocated.
    pub const BROADCAST: Self = Self([0xff; 4]);

    /// Whether it can be an application's channel.
    pub(crate) fn is_ordinary(self) -> bool {
        self != Self::BROADCAST && self != Self([0; 4])
    }
}

/// A CTAPHID command, 7 bits (CTAP 2.1 section 11.2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Command(pub u8);

impl Command {
    /// CTAPHID_PING.
    pub const PING: Self = Self(0x01);
    /// CTAPHID_MSG: U2F.
    pub const MSG: Self = Self(0x03);
    /// CTAPHID_INIT.
    pub const INIT: Self = Self(0x06);
    /// CTAPHID_WINK.
    pub const WINK: Self = Self(0x08);
    /// CTAPHID_CBOR: CTAP2.
    pub const CBOR: Self = Self(0x10);
    /// CTAPHID_CANCEL.
    pub const CANCEL: Self = Self(0x11);
    /// CTAPHID_KEEPALIVE.
    pub const KEEPALIVE: Self = Self(0x3b);
    /// CTAPHID_ERROR.
    pub const ERROR: Self = Self(0x3f);
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::PING => "PING",
            Self::MSG => "MSG",
            Self::INIT => "INIT",
            Self::WINK => "WINK",
            Self::CBOR => "CBOR",
            Self::CANCEL => "CANCEL",
            Self::KEEPALIVE => "KEEPALIVE",
            Self::ERROR => "ERROR",
            Self(other) => return write!(f, "command 0x{other:02x}"),
        })
    }
}

/// A message: what one or more packets carry.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its channel.
    pub channel: ChannelId,
    /// Its command.
    pub command: Command,
    payload: Vec<u8>,
}

impl Message {
    /// A message with `payload`.
    ///
    /// # Errors
    /// [`HidError::MessageLength`] for more than [`MAX_MESSAGE_LEN`] bytes.
    pub fn new(channel: ChannelId, command: Command, payload: Vec<u8>) -> Result<Self, HidError> {
        if payload.len() > MAX_MESSAGE_LEN {
            return Err(HidError::MessageLength(payload.len()));
        }
        Ok(Self { channel, command, payload })
    }

    /// Its payload, at most [`MAX_MESSAGE_LEN`] bytes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Its payload.
    pub fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// Its packets, in the order in which they are sent; the last one padded with zeros.
    pub fn reports(&self) -> impl Iterator<Item = Report> + '_ {
        let (first, rest) = self.payload.split_at(self.payload.len().min(INIT_DATA_LEN));
        // At most 7609, by `new`.
        let [high, low] = u16::try_from(self.payload.len()).unwrap_or(u16::MAX).to_be_bytes();
        let init = packet(self.channel, &[self.command.0 | INIT_BIT, high, low], first);
        let continuations = rest
            .chunks(CONTINUATION_DATA_LEN)
            .zip(0u8..)
            .map(|(data, sequence)| packet(self.channel, &[sequence], data));
        std::iter::once(init).chain(continuations)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The payload can be a PIN's ciphertext: its length is enough.
        write!(f, "{} of {} bytes on {:02x?}", self.command, self.payload.len(), self.channel.0)
    }
}

fn packet(channel: ChannelId, header: &[u8], data: &[u8]) -> Report {
    let mut report = [0; REPORT_LEN];
    let bytes = channel.0.iter().chain(header).chain(data);
    report.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    report
}

/// A packet, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// An initialization packet.
    Init {
        /// The channel.
        channel: ChannelId,
        /// The command.
        command: Command,
        /// Bytes of the whole message's payload, as declared.
        len: u16,
        /// The first 57 bytes of it, or it all and padding.
        data: &'a [u8; INIT_DATA_LEN],
    },
    /// A continuation packet.
    Continuation {
        /// The channel.
        channel: ChannelId,
        /// 0 to 127.
        sequence: u8,
        /// 59 bytes of the message, or its rest and padding.
        data: &'a [u8; CONTINUATION_DATA_LEN],
    },
}

impl<'a> Frame<'a> {
    /// The packet in `report`.
    ///
    /// # Errors
    /// [`HidError::ReportLength`] unless it has 64 bytes.
    pub fn parse(report: &'a [u8]) -> Result<Self, HidError> {
        let wrong = HidError::ReportLength(report.len());
        if report.len() != REPORT_LEN {
            return Err(wrong);
        }
        let Some((&[a, b, c, d, kind], rest)) = report.split_first_chunk() else { return Err(wrong) };
        let channel = ChannelId([a, b, c, d]);
        if kind & INIT_BIT == 0 {
            let Ok(data) = rest.try_into() else { return Err(wrong) };
            return Ok(Self::Continuation { channel, sequence: kind, data });
        }
        let Some((&len, data)) = rest.split_first_chunk() else { return Err(wrong) };
        let Ok(data) = data.try_into() else { return Err(wrong) };
        Ok(Self::Init { channel, command: Command(kind & !INIT_BIT), len: u16::from_be_bytes(len), data })
    }

    /// Its channel.
    pub fn channel(&self) -> ChannelId {
        match *self {
            Self::Init { channel, .. } | Self::Continuation { channel, .. } => channel,
        }
    }
}

/// Puts one channel's messages together. Holds [`MAX_MESSAGE_LEN`] bytes at most.
#[derive(Debug, Default)]
pub struct Reassembly {
    unfinished: Option<Unfinished>,
}

#[derive(Debug)]
struct Unfinished {
    message: Message,
    len: usize,
    next: u8,
}

impl Reassembly {
    /// Whether a message has begun.
    pub fn is_under_way(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Takes the channel's next packet, and returns the message that it completes. After an error nothing is under way.
    ///
    /// # Errors
    /// [`HidError`] for a packet that isn't the next of a message.
    pub fn push(&mut self, frame: Frame<'_>) -> Result<Option<Message>, HidError> {
        let (mut unfinished, data) = match (frame, self.unfinished.take()) {
            (Frame::Init { .. }, Some(_)) => return Err(HidError::Interrupted),
            (Frame::Continuation { .. }, None) => return Err(HidError::Orphan),
            (Frame::Init { channel, command, len, data }, None) => {
                let len = usize::from(len);
                if len > MAX_MESSAGE_LEN {
                    return Err(HidError::MessageLength(len));
                }
                let message = Message { channel, command, payload: Vec::with_capacity(len) };
                (Unfinished { message, len, next: 0 }, &data[..])
            }
            (Frame::Continuation { sequence, data, .. }, Some(mut unfinished)) => {
                if sequence != unfinished.next {
                    return Err(HidError::Sequence { expected: unfinished.next, got: sequence });
                }
                unfinished.next += 1;
                (unfinished, &data[..])
            }
        };
        let missing = unfinished.len - unfinished.message.payload.len();
        unfinished.message.payload.extend(data.iter().take(missing));
        if unfinished.message.payload.len() == unfinished.len {
            return Ok(Some(unfinished.message));
        }
        self.unfinished = Some(unfinished);
        Ok(None)
    }
}
