//! Command and response APDUs (ISO 7816-4 section 5): encoded short, extended or as a chain; parsed with bounds.

use std::fmt;

/// The most data that a short command APDU carries, in bytes.
pub const MAX_SHORT_DATA: usize = 255;
/// The most data that an extended command APDU carries, in bytes.
pub const MAX_EXTENDED_DATA: usize = 65_535;
/// The longest response APDU, in bytes: 65,536 of data and the status word.
pub const MAX_RESPONSE: usize = 65_538;
/// The bit of the class byte that says "more of this command follows" (section 5.3.3).
const CHAINING: u8 = 0x10;

/// Why bytes are no APDU, or no APDU can be made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApduError {
    /// More data than the encoding carries.
    #[error("{len} bytes do not fit a command APDU, which carries {limit}")]
    DataTooLong {
        /// Bytes.
        len: usize,
        /// Bytes.
        limit: usize,
    },
    /// Not even a status word.
    #[error("an answer of {0} bytes, which is less than a status word")]
    TooShort(usize),
    /// More than an answer can have.
    #[error("an answer of {0} bytes, which is more than an APDU carries")]
    TooLong(usize),
}

/// The four bytes that say what a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// CLA.
    pub class: u8,
    /// INS.
    pub instruction: u8,
    /// P1.
    pub p1: u8,
    /// P2.
    pub p2: u8,
}

/// How many bytes of answer a command takes (Le).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// The field is absent.
    None,
    /// As many as there are: 256 for a short APDU, 65,536 for an extended one.
    All,
    /// That many, 1 to 255.
    Exactly(u8),
}

impl Expected {
    /// What `SW2` of 61xx and 6Cxx says: 0 is 256.
    pub fn of_sw2(sw2: u8) -> Self {
        if sw2 == 0 { Self::All } else { Self::Exactly(sw2) }
    }

    fn byte(self) -> Option<u8> {
        match self {
            Self::None => None,
            Self::All => Some(0),
            Self::Exactly(count) => Some(count),
        }
    }
}

impl Header {
    /// A short command APDU.
    ///
    /// # Errors
    /// [`ApduError::DataTooLong`] for more than [`MAX_SHORT_DATA`] bytes.
    pub fn short(self, data: &[u8], expected: Expected) -> Result<Vec<u8>, ApduError> {
        let too_long = ApduError::DataTooLong { len: data.len(), limit: MAX_SHORT_DATA };
        let len = u8::try_from(data.len()).map_err(|_| too_long)?;
        let mut apdu = self.bytes();
        if len > 0 {
            apdu.push(len);
            apdu.extend_from_slice(data);
        }
        apdu.extend(expected.byte());
        Ok(apdu)
    }

    /// An extended command APDU.
    ///
    /// # Errors
    /// [`ApduError::DataTooLong`] for more than [`MAX_EXTENDED_DATA`] bytes.
    pub fn extended(self, data: &[u8], expected: Expected) -> Result<Vec<u8>, ApduError> {
        let too_long = ApduError::DataTooLong { len: data.len(), limit: MAX_EXTENDED_DATA };
        let len = u16::try_from(data.len()).map_err(|_| too_long)?;
        let mut apdu = self.bytes();
        if len > 0 {
            apdu.push(0);
            apdu.extend_from_slice(&len.to_be_bytes());
            apdu.extend_from_slice(data);
        }
        if let Some(count) = expected.byte() {
            // Without data the zero that marks the extended form stands before Le.
            apdu.extend_from_slice(if len > 0 { &[] } else { &[0] });
            apdu.extend_from_slice(&[0, count]);
        }
        Ok(apdu)
    }

    /// The short command APDUs that carry `data` of any length, in order (command chaining). Only the last expects an
    /// answer.
    pub fn chain(self, data: &[u8], expected: Expected) -> Vec<Vec<u8>> {
        let link = Self { class: self.class | CHAINING, ..self };
        let mut rest = data;
        let mut chain = Vec::new();
        while let Some((part, more)) =
            rest.split_at_checked(MAX_SHORT_DATA).filter(|(_, more)| !more.is_empty())
        {
            chain.extend(link.short(part, Expected::None));
            rest = more;
        }
        chain.extend(self.short(rest, expected));
        chain
    }

    fn bytes(self) -> Vec<u8> {
        vec![self.class, self.instruction, self.p1, self.p2]
    }
}

/// SW1 and SW2, how a command went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatusWord(pub u16);

impl StatusWord {
    /// It went well.
    pub const SUCCESS: Self = Self(0x9000);
    /// NFCCTAP_GETRESPONSE is to be sent for the answer (CTAP 2.1 section 11.3.7.2).
    pub const KEEPALIVE: Self = Self(0x9100);
    /// Lc or Le is wrong: no extended length, say.
    pub const WRONG_LENGTH: Self = Self(0x6700);
    /// The instruction is not known.
    pub const INSTRUCTION: Self = Self(0x6d00);
    /// The class is not known.
    pub const CLASS: Self = Self(0x6e00);

    /// SW1.
    pub fn sw1(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// SW2.
    pub fn sw2(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    fn meaning(self) -> &'static str {
        match self.0 {
            0x9000 => "success",
            0x9100 => "still at work",
            0x6700 => "wrong length",
            0x6882 => "secure messaging is not supported",
            0x6884 => "command chaining is not supported",
            0x6982 => "security status not satisfied",
            0x6985 => "conditions of use not satisfied",
            0x6999 => "applet selection failed",
            0x6a80 => "wrong data",
            0x6a82 => "no such applet or file",
            0x6a86 => "wrong P1 or P2",
            0x6d00 => "instruction not supported",
            0x6e00 => "class not supported",
            0x6f00 => "no precise diagnosis",
            _ => "a status that is not known here",
        }
    }
}

impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x} ({})", self.0, self.meaning())
    }
}

/// A response APDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// All but the status word.
    pub data: &'a [u8],
    /// The last two bytes.
    pub status: StatusWord,
}

impl<'a> Response<'a> {
    /// Reads a response APDU.
    ///
    /// # Errors
    /// [`ApduError`] for less than 2 and more than [`MAX_RESPONSE`] bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ApduError> {
        if bytes.len() > MAX_RESPONSE {
            return Err(ApduError::TooLong(bytes.len()));
        }
        let (data, status) = bytes.split_last_chunk::<2>().ok_or(ApduError::TooShort(bytes.len()))?;
        Ok(Self { data, status: StatusWord(u16::from_be_bytes(*status)) })
    }
}
