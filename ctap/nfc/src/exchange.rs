//! SELECT and NFCCTAP_MSG as state machines without I/O (CTAP 2.1 sections 11.3.3 and 11.3.7): response APDUs in, command
//! APDUs out.
//!
//! What a card may cost is bounded here, but for time: a whole answer has at most [`MAX_MESSAGE`] bytes, a card that says
//! "more" and gives nothing is believed [`MAX_EMPTY`] times, and one that says "still at work" [`MAX_KEEPALIVES`] times.

use crate::apdu::{ApduError, Expected, Header, MAX_EXTENDED_DATA, MAX_SHORT_DATA, Response, StatusWord};
use ctap_core::messages::MAX_MESSAGE;
use ctap_core::transport::KeepaliveStatus;
use std::collections::VecDeque;

/// The FIDO applet's name.
pub const FIDO_AID: [u8; 8] = [0xa0, 0x00, 0x00, 0x06, 0x47, 0x2f, 0x00, 0x01];
/// How often in a row a card may announce more of its answer and give none.
pub const MAX_EMPTY: u32 = 4;
/// How often a card may say that it is still at work on one command: more than two minutes at one every 50 ms.
pub const MAX_KEEPALIVES: u32 = 3_000;

const SELECT: Header = Header { class: 0x00, instruction: 0xa4, p1: 0x04, p2: 0x00 };
/// P1 0x80: we know NFCCTAP_GETRESPONSE.
const MSG: Header = Header { class: 0x80, instruction: 0x10, p1: 0x80, p2: 0x00 };
const GETRESPONSE: Header = Header { class: 0x80, instruction: 0x11, p1: 0x00, p2: 0x00 };
const GETRESPONSE_CANCEL: Header = Header { class: 0x80, instruction: 0x11, p1: 0x11, p2: 0x00 };
/// GET RESPONSE of ISO 7816-4; the class is that of the command that it belongs to.
const ISO_GET_RESPONSE: u8 = 0xc0;

/// Why a card's answer ends the exchange.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// Bytes that are no APDU.
    #[error(transparent)]
    Apdu(#[from] ApduError),
    /// A status word other than success.
    #[error("status {0}")]
    Status(StatusWord),
    /// An answer in the middle of a command that was sent in parts.
    #[error("{0} bytes of answer in the middle of a chained command")]
    Chain(usize),
    /// An answer that grows beyond what a message can have.
    #[error("an answer of more than {MAX_MESSAGE} bytes")]
    TooLarge,
    /// 61xx again and again, with nothing in between.
    #[error("more and more answer is announced, but none comes")]
    Endless,
    /// 6Cxx again and again.
    #[error("the expected length is corrected again and again")]
    Correction,
    /// 9100 again and again.
    #[error("still at work after {MAX_KEEPALIVES} questions")]
    Keepalives,
    /// 9100 with something else than a status.
    #[error("a keepalive of {0} bytes")]
    Keepalive(usize),
    /// 9000 and nothing else.
    #[error("an empty answer")]
    Empty,
    /// The FIDO applet's version is none that is known here.
    #[error("the FIDO applet is of an unknown version")]
    Version,
}

/// How command APDUs are to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Short, chained where it takes several. Every authenticator takes it (section 11.3.6).
    Short,
    /// Extended where a command does not fit a short APDU, until the card refuses one with 6700.
    Extended,
    /// Short for the protocol T=0, where a command with data has no Le.
    ShortT0,
}

/// What is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this; the next input is the answer.
    Send(Vec<u8>),
    /// The card is at work. [`Exchange::ask_again`] says what to send next, after a pause.
    Keepalive(KeepaliveStatus),
    /// The whole answer.
    Done(Vec<u8>),
}

/// What the FIDO applet answered to SELECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `U2F_V2`: it speaks U2F, and CTAP2 perhaps.
    U2f,
    /// `FIDO_2_0` or later: it speaks CTAP2.
    Fido2,
}

impl Version {
    fn parse(answer: &[u8]) -> Result<Self, ExchangeError> {
        match answer {
            b"U2F_V2" => Ok(Self::U2f),
            _ if answer.starts_with(b"FIDO_2_") => Ok(Self::Fido2),
            _ => Err(ExchangeError::Version),
        }
    }
}

/// The selection of the FIDO applet.
#[derive(Clone, Debug)]
pub struct Select(Transfer);

impl Select {
    /// A selection and the command APDU that it begins with.
    pub fn new(encoding: Encoding) -> (Self, Vec<u8>) {
        let (transfer, apdu) = Transfer::new(SELECT, &FIDO_AID, encoding);
        (Self(transfer), apdu)
    }

    /// Takes an answer: the applet's version, or what to send next.
    ///
    /// # Errors
    /// [`ExchangeError`]; [`ExchangeError::Status`] is what a card without the applet gives.
    pub fn answer(&mut self, bytes: &[u8]) -> Result<Result<Version, Vec<u8>>, ExchangeError> {
        match self.0.answer(bytes)? {
            Transferred::Send(apdu) => Ok(Err(apdu)),
            Transferred::Done(StatusWord::SUCCESS) => Version::parse(&self.0.data).map(Ok),
            Transferred::Done(status) => Err(ExchangeError::Status(status)),
        }
    }
}

/// One CTAP2 command and its response.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What to send if the card takes no extended APDU.
    command: Vec<u8>,
    transfer: Transfer,
    encoding: Encoding,
    extended_refused: bool,
    keepalives: u32,
}

impl Exchange {
    /// An exchange of `command` (command byte and CBOR) and the command APDU that it begins with.
    ///
    /// # Errors
    /// [`ApduError::DataTooLong`] for more than [`MAX_EXTENDED_DATA`] bytes, however they are encoded.
    pub fn new(command: &[u8], encoding: Encoding) -> Result<(Self, Vec<u8>), ApduError> {
        if command.len() > MAX_EXTENDED_DATA {
            return Err(ApduError::DataTooLong { len: command.len(), limit: MAX_EXTENDED_DATA });
        }
        let (transfer, apdu) = Transfer::new(MSG, command, encoding);
        let command = command.to_vec();
        Ok((Self { command, transfer, encoding, extended_refused: false, keepalives: 0 }, apdu))
    }

    /// Takes an answer and says what is next.
    ///
    /// # Errors
    /// [`ExchangeError`]; the exchange is over then.
    pub fn answer(&mut self, bytes: &[u8]) -> Result<Step, ExchangeError> {
        let status = match self.transfer.answer(bytes)? {
            Transferred::Send(apdu) => return Ok(Step::Send(apdu)),
            Transferred::Done(status) => status,
        };
        let data = std::mem::take(&mut self.transfer.data);
        match status {
            StatusWord::SUCCESS if data.is_empty() => Err(ExchangeError::Empty),
            StatusWord::SUCCESS => Ok(Step::Done(data)),
            StatusWord::KEEPALIVE => self.keepalive(&data),
            // Nothing of the command was carried out, so it can be sent again.
            StatusWord::WRONG_LENGTH if self.transfer.extended => {
                self.extended_refused = true;
                self.encoding = Encoding::Short;
                let (transfer, apdu) = Transfer::new(MSG, &self.command, self.encoding);
                self.transfer = transfer;
                Ok(Step::Send(apdu))
            }
            status => Err(ExchangeError::Status(status)),
        }
    }

    /// The question for the answer after [`Step::Keepalive`] (NFCCTAP_GETRESPONSE); with `cancel` it asks the card to
    /// stop as well.
    pub fn ask_again(&mut self, cancel: bool) -> Vec<u8> {
        let header = if cancel { GETRESPONSE_CANCEL } else { GETRESPONSE };
        let (transfer, apdu) = Transfer::new(header, &[], self.encoding);
        self.transfer = transfer;
        apdu
    }

    /// Whether the card refused an extended APDU: the next exchange had better be [`Encoding::Short`].
    pub fn extended_refused(&self) -> bool {
        self.extended_refused
    }

    fn keepalive(&mut self, data: &[u8]) -> Result<Step, ExchangeError> {
        self.keepalives += 1;
        if self.keepalives > MAX_KEEPALIVES {
            return Err(ExchangeError::Keepalives);
        }
        match data {
            // Without a status, or with one of a later standard, it works.
            [] => Ok(Step::Keepalive(KeepaliveStatus::Processing)),
            [byte] => {
                Ok(Step::Keepalive(KeepaliveStatus::from_byte(*byte).unwrap_or(KeepaliveStatus::Processing)))
            }
            _ => Err(ExchangeError::Keepalive(data.len())),
        }
    }
}

/// One command with its answer: sent in a chain or whole, gathered by GET RESPONSE.
#[derive(Clone, Debug)]
struct Transfer {
    class: u8,
    /// Links of a chain that are to be sent yet.
    chain: VecDeque<Vec<u8>>,
    /// The last APDU that was sent, without its Le, where that is one byte: what 6Cxx wants again.
    last: Option<Vec<u8>>,
    /// Le of the command.
    expected: Expected,
    /// The command was sent as an extended APDU.
    extended: bool,
    asked_for_more: bool,
    corrected: bool,
    empty: u32,
    data: Vec<u8>,
}

enum Transferred {
    Send(Vec<u8>),
    Done(StatusWord),
}

impl Transfer {
    fn new(header: Header, data: &[u8], encoding: Encoding) -> (Self, Vec<u8>) {
        let extended = encoding == Encoding::Extended && data.len() > MAX_SHORT_DATA;
        let expected = match encoding {
            Encoding::ShortT0 if !data.is_empty() => Expected::None,
            _ => Expected::All,
        };
        let whole = extended.then(|| header.extended(data, expected).ok()).flatten();
        let mut chain: VecDeque<_> = match whole {
            Some(apdu) => [apdu].into(),
            None => header.chain(data, expected).into(),
        };
        let first = chain.pop_front().unwrap_or_default();
        let mut transfer = Self {
            class: header.class,
            chain,
            last: None,
            expected,
            extended,
            asked_for_more: false,
            corrected: false,
            empty: 0,
            data: Vec::new(),
        };
        transfer.sent(&first, expected);
        (transfer, first)
    }

    fn answer(&mut self, bytes: &[u8]) -> Result<Transferred, ExchangeError> {
        let Response { data, status } = Response::parse(bytes)?;
        if let Some(next) = self.chain.pop_front() {
            return match status {
                StatusWord::SUCCESS if data.is_empty() => {
                    self.sent(&next, self.expected);
                    Ok(Transferred::Send(next))
                }
                StatusWord::SUCCESS => Err(ExchangeError::Chain(data.len())),
                status => Err(ExchangeError::Status(status)),
            };
        }
        if self.data.len() + data.len() > MAX_MESSAGE {
            return Err(ExchangeError::TooLarge);
        }
        self.data.extend_from_slice(data);
        match status.sw1() {
            0x61 => self.more(data, status.sw2()).map(Transferred::Send),
            0x6c if self.corrected => Err(ExchangeError::Correction),
            0x6c => {
                self.corrected = true;
                let mut apdu = self.last.clone().ok_or(ExchangeError::Status(status))?;
                apdu.push(status.sw2());
                Ok(Transferred::Send(apdu))
            }
            // Some cards know GET RESPONSE in the interindustry class only.
            0x6d | 0x6e if self.asked_for_more && self.class != 0 => {
                self.class = 0;
                Ok(Transferred::Send(self.get_response(Expected::All)))
            }
            _ => Ok(Transferred::Done(status)),
        }
    }

    fn more(&mut self, data: &[u8], sw2: u8) -> Result<Vec<u8>, ExchangeError> {
        self.empty = if data.is_empty() { self.empty + 1 } else { 0 };
        if self.empty > MAX_EMPTY {
            return Err(ExchangeError::Endless);
        }
        self.asked_for_more = true;
        self.corrected = false;
        Ok(self.get_response(Expected::of_sw2(sw2)))
    }

    fn get_response(&mut self, expected: Expected) -> Vec<u8> {
        let header = Header { class: self.class, instruction: ISO_GET_RESPONSE, p1: 0, p2: 0 };
        // No data, so no error.
        let apdu = header.short(&[], expected).unwrap_or_default();
        self.sent(&apdu, expected);
        apdu
    }

    fn sent(&mut self, apdu: &[u8], expected: Expected) {
        let one_byte = expected != Expected::None && (!self.extended || self.asked_for_more);
        self.last = apdu.split_last().filter(|_| one_byte).map(|(_, rest)| rest.to_vec());
    }
}
