//! A key on a smart card: the FIDO applet (CTAP 2.1 section 11.3) with any [`Device`] behind.
//!
//! It has its own reading of ISO 7816-4, so that the client's is held against a second one.

use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What lies on a reader.
pub trait Card: Send {
    /// The answer to reset.
    fn atr(&self) -> Vec<u8>;

    /// The reader gives power, takes it or resets.
    fn power(&mut self, power: Power);

    /// Answers a command APDU.
    fn apdu(&mut self, apdu: &[u8]) -> Reply;
}

/// What a reader does with a card's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Gives it.
    On,
    /// Takes it.
    Off,
    /// Takes it and gives it back.
    Reset,
}

/// What a card does with a command APDU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Answers.
    Apdu(Vec<u8>),
    /// Is silent for ever.
    Silence,
    /// Leaves the reader.
    Leave,
}

/// How a card speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manners {
    /// What it answers to SELECT.
    pub version: &'static [u8],
    /// It knows NFCCTAP_MSG, not U2F only.
    pub ctap2: bool,
    /// It takes extended APDUs.
    pub extended: bool,
    /// It answers 9100 while it is at work; otherwise the reader waits.
    pub keepalives: bool,
    /// The answer to reset.
    pub atr: Vec<u8>,
}

impl Default for Manners {
    /// FIDO2, short and extended APDUs, keepalives, an answer to reset of a contactless card that says so.
    fn default() -> Self {
        Self {
            version: b"FIDO_2_0",
            ctap2: true,
            extended: true,
            keepalives: true,
            atr: contactless_atr(true),
        }
    }
}

/// The answer to reset of a contactless card (PC/SC part 3) with card capabilities in its historical bytes.
pub fn contactless_atr(extended: bool) -> Vec<u8> {
    let capabilities = if extended { 0xc0 } else { 0x80 };
    let mut atr = vec![0x3b, 0x85, 0x80, 0x01, 0x80, 0x73, 0xc0, 0x21, capabilities];
    let check = atr.iter().skip(1).fold(0, |check, byte| check ^ byte);
    atr.push(check);
    atr
}

/// The shortest answer to reset there is: a contact card that speaks T=0 only.
pub fn t0_atr() -> Vec<u8> {
    vec![0x3b, 0x00]
}

const AID: [u8; 8] = [0xa0, 0x00, 0x00, 0x06, 0x47, 0x2f, 0x00, 0x01];
/// The most that commands in a chain add up to, in bytes.
const MAX_COMMAND: usize = 7_609;
/// How long it works until it says so.
const KEEPALIVE_DELAY: Duration = Duration::from_millis(100);

const SUCCESS: u16 = 0x9000;
const AT_WORK: u16 = 0x9100;
const WRONG_LENGTH: u16 = 0x6700;
const CONDITIONS: u16 = 0x6985;
const WRONG_DATA: u16 = 0x6a80;
const NOT_FOUND: u16 = 0x6a82;
const INSTRUCTION: u16 = 0x6d00;

/// The FIDO applet.
pub struct Applet {
    manners: Manners,
    work: Sender<Work>,
    on_power: Box<dyn FnMut(Power) + Send>,
    log: ApduLog,
    selected: bool,
    /// What came in a chain so far.
    chained: Vec<u8>,
    running: Option<Running>,
    /// What GET RESPONSE gets, and the status after it.
    outgoing: (VecDeque<u8>, u16),
}

/// Every command APDU that a card got. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct ApduLog(Arc<Mutex<Vec<Vec<u8>>>>);

impl ApduLog {
    /// The APDUs so far, oldest first.
    pub fn apdus(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add(&self, apdu: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(apdu.to_vec());
    }
}

struct Work {
    command: Vec<u8>,
    cancel: CancelToken,
    report: Sender<Report>,
}

enum Report {
    Keepalive(KeepaliveStatus),
    Response(Result<Vec<u8>, TransportError>),
}

struct Running {
    cancel: CancelToken,
    reports: Receiver<Report>,
}

impl Applet {
    /// An applet with `device` behind, which gets a thread of its own.
    pub fn new(mut device: impl Device + 'static, manners: Manners) -> Self {
        let (work, orders) = channel::<Work>();
        std::thread::spawn(move || {
            while let Ok(Work { command, cancel, report }) = orders.recv() {
                let mut on_keepalive = |status| drop(report.send(Report::Keepalive(status)));
                let response = device.transact(&command, &mut on_keepalive, &cancel);
                let _ = report.send(Report::Response(response));
            }
        });
        Self {
            manners,
            work,
            on_power: Box::new(|_| ()),
            log: ApduLog::default(),
            selected: false,
            chained: Vec::new(),
            running: None,
            outgoing: (VecDeque::new(), SUCCESS),
        }
    }

    /// Calls `on_power` when the reader gives or takes power: [`crate::Key::power_cycle`], say.
    #[must_use]
    pub fn on_power(self, on_power: impl FnMut(Power) + Send + 'static) -> Self {
        Self { on_power: Box::new(on_power), ..self }
    }

    /// The list that it writes every APDU to.
    pub fn log(&self) -> ApduLog {
        self.log.clone()
    }

    fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(apdu) = Apdu::parse(bytes).filter(|apdu| self.manners.extended || !apdu.extended) else {
            return status(WRONG_LENGTH);
        };
        match (apdu.class, apdu.instruction) {
            (0x00, 0xa4) => self.select(&apdu),
            _ if !self.selected => status(CONDITIONS),
            (_, 0xc0) => self.outgoing_part(apdu.limit()),
            (0x80 | 0x90, 0x10) if self.manners.ctap2 => self.message(&apdu),
            (0x80, 0x11) if self.manners.ctap2 => self.get_response(&apdu),
            (0x80, 0x12) => {
                self.deselect();
                status(SUCCESS)
            }
            _ => status(INSTRUCTION),
        }
    }

    fn select(&mut self, apdu: &Apdu<'_>) -> Vec<u8> {
        self.deselect();
        if apdu.p1 != 0x04 || apdu.data != AID {
            return status(NOT_FOUND);
        }
        self.selected = true;
        self.send(self.manners.version.to_vec(), SUCCESS, apdu)
    }

    fn deselect(&mut self) {
        self.selected = false;
        self.chained.clear();
        self.outgoing = (VecDeque::new(), SUCCESS);
        if let Some(running) = self.running.take() {
            running.cancel.cancel();
        }
    }

    fn message(&mut self, apdu: &Apdu<'_>) -> Vec<u8> {
        if self.running.is_some() {
            return status(CONDITIONS);
        }
        self.chained.extend_from_slice(apdu.data);
        if self.chained.len() > MAX_COMMAND {
            self.chained.clear();
            return status(WRONG_DATA);
        }
        if apdu.class == 0x90 {
            return status(SUCCESS);
        }
        let (report, reports) = channel();
        let cancel = CancelToken::new();
        let command = std::mem::take(&mut self.chained);
        let _ = self.work.send(Work { command, cancel: cancel.clone(), report });
        self.running = Some(Running { cancel, reports });
        self.wait(apdu, apdu.p1 & 0x80 != 0 && self.manners.keepalives)
    }

    fn get_response(&mut self, apdu: &Apdu<'_>) -> Vec<u8> {
        let Some(running) = &self.running else { return status(CONDITIONS) };
        if apdu.p1 == 0x11 {
            running.cancel.cancel();
        }
        self.wait(apdu, true)
    }

    fn wait(&mut self, apdu: &Apdu<'_>, keepalives: bool) -> Vec<u8> {
        loop {
            let Some(running) = &self.running else { return status(CONDITIONS) };
            let keepalive = match running.reports.recv_timeout(KEEPALIVE_DELAY) {
                Ok(Report::Response(Ok(response))) => {
                    self.running = None;
                    return self.send(response, SUCCESS, apdu);
                }
                Ok(Report::Response(Err(_))) | Err(RecvTimeoutError::Disconnected) => {
                    self.running = None;
                    return status(CONDITIONS);
                }
                Ok(Report::Keepalive(KeepaliveStatus::UserPresenceNeeded)) => 2,
                Ok(Report::Keepalive(KeepaliveStatus::Processing)) | Err(RecvTimeoutError::Timeout) => 1,
            };
            if keepalives {
                return self.send(vec![keepalive], AT_WORK, apdu);
            }
        }
    }

    fn send(&mut self, data: Vec<u8>, status: u16, apdu: &Apdu<'_>) -> Vec<u8> {
        self.outgoing = (data.into(), status);
        self.outgoing_part(apdu.limit())
    }

    fn outgoing_part(&mut self, limit: usize) -> Vec<u8> {
        let (data, last) = &mut self.outgoing;
        let mut part: Vec<u8> = data.drain(..limit.min(data.len())).collect();
        let status = match data.len() {
            0 => *last,
            rest => 0x6100 | u16::try_from(rest).ok().filter(|rest| *rest < 256).unwrap_or(0),
        };
        part.extend_from_slice(&status.to_be_bytes());
        part
    }
}

impl Card for Applet {
    fn atr(&self) -> Vec<u8> {
        self.manners.atr.clone()
    }

    fn power(&mut self, power: Power) {
        self.deselect();
        (self.on_power)(power);
    }

    fn apdu(&mut self, apdu: &[u8]) -> Reply {
        self.log.add(apdu);
        Reply::Apdu(self.answer(apdu))
    }
}

/// A card that answers as a function says: one that is hostile, or has another applet.
pub struct Scripted<F> {
    atr: Vec<u8>,
    answer: F,
    log: ApduLog,
}

impl<F: FnMut(&[u8]) -> Reply + Send> Scripted<F> {
    /// A contactless card.
    pub fn new(answer: F) -> Self {
        Self { atr: contactless_atr(true), answer, log: ApduLog::default() }
    }

    /// The list that it writes every APDU to.
    pub fn log(&self) -> ApduLog {
        self.log.clone()
    }
}

impl<F: FnMut(&[u8]) -> Reply + Send> Card for Scripted<F> {
    fn atr(&self) -> Vec<u8> {
        self.atr.clone()
    }

    fn power(&mut self, _: Power) {}

    fn apdu(&mut self, apdu: &[u8]) -> Reply {
        self.log.add(apdu);
        (self.answer)(apdu)
    }
}

/// A function from command to response as a device.
pub struct FnDevice<F>(pub F);

impl<F: FnMut(&[u8]) -> Vec<u8> + Send> Device for FnDevice<F> {
    fn transact(
        &mut self,
        command: &[u8],
        _: &mut dyn FnMut(KeepaliveStatus),
        _: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        Ok((self.0)(command))
    }
}

fn status(status: u16) -> Vec<u8> {
    status.to_be_bytes().to_vec()
}

/// A command APDU, as a card reads it (ISO 7816-4 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apdu<'a> {
    /// CLA.
    pub class: u8,
    /// INS.
    pub instruction: u8,
    /// P1.
    pub p1: u8,
    /// P2.
    pub p2: u8,
    /// The data.
    pub data: &'a [u8],
    /// Le, 0 for the most there can be.
    pub le: Option<u16>,
    /// It is extended.
    pub extended: bool,
}

impl<'a> Apdu<'a> {
    /// Reads one; `None` if the lengths do not fit.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&[class, instruction, p1, p2], body) = bytes.split_first_chunk::<4>()?;
        let (data, le, extended): (&[u8], _, _) = match *body {
            [] => (&[], None, false),
            [le] => (&[], Some(le.into()), false),
            [0, high, low] => (&[], Some(u16::from_be_bytes([high, low])), true),
            [0, high, low, ref rest @ ..] => {
                let (data, le) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
                match *le {
                    [] => (data, None, true),
                    [high, low] => (data, Some(u16::from_be_bytes([high, low])), true),
                    _ => return None,
                }
            }
            [len, ref rest @ ..] => {
                let (data, le) = rest.split_at_checked(len.into())?;
                match *le {
                    [] => (data, None, false),
                    [le] => (data, Some(le.into()), false),
                    _ => return None,
                }
            }
        };
        Some(Self { class, instruction, p1, p2, data, le, extended })
    }

    /// How much answer it takes, in bytes.
    fn limit(&self) -> usize {
        match (self.le, self.extended) {
            (None, _) => 0,
            (Some(0), false) => 256,
            (Some(0), true) => 65_536,
            (Some(le), _) => le.into(),
        }
    }
}
