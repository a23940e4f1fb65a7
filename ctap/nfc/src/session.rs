//! A card, connected: a thread of its own talks to PC/SC, so that who waits for an answer can stop waiting.
//!
//! PC/SC has no way to stop an exchange that is under way, and a card may take as long as it likes. A session that is
//! dropped ends once the card has answered, by a reset.

use crate::atr;
use crate::reader::{connect, find, of_pcsc};
use ctap_core::transport::TransportError;
use pcsc::{Card, Context, Disposition, Error, MAX_BUFFER_SIZE_EXTENDED, Protocol, Protocols, ShareMode};
use std::ffi::{CStr, CString};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What wakes the one who waits.
enum Event {
    Connected(Result<Facts, TransportError>),
    Answer(Result<Vec<u8>, Error>),
    /// Nothing happened in the card; there may be something else to see to.
    Wake,
}

/// What is known of card and reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) protocol: Option<Protocol>,
    /// The card says that it takes extended APDUs, and the reader does not say otherwise.
    pub(crate) extended: bool,
}

/// Wakes a [`Session`] that waits.
#[derive(Clone)]
pub(crate) struct Waker(Sender<Event>);

impl Waker {
    pub(crate) fn wake(&self) {
        // Nobody there any more, nobody to wake.
        let _ = self.0.send(Event::Wake);
    }
}

/// Why there is no answer.
pub(crate) enum NoAnswer {
    /// Its time is over, or [`Waker::wake`] was called; the card may answer yet.
    NotYet,
    /// The card or its reader failed.
    Failed(TransportError),
}

/// The end of a session, as its thread reports it.
pub(crate) struct Leaving(Receiver<()>);

impl Leaving {
    /// Waits until the card is free again, `limit` at most; whether it is.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        self.0.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
    }
}

/// A card that nobody else uses meanwhile.
pub(crate) struct Session {
    requests: Sender<Vec<u8>>,
    events: Receiver<Event>,
    waker: Waker,
    pub(crate) facts: Facts,
    leaving: Receiver<()>,
}

impl Session {
    /// Connects to the card `id` on `reader`, within `limit`.
    pub(crate) fn open(reader: &CStr, id: &str, limit: Duration) -> Result<Self, TransportError> {
        let (requests, work) = channel();
        let (report, events) = channel();
        let (left, leaving) = channel();
        let waker = Waker(report.clone());
        let (reader, id) = (reader.to_owned(), id.to_owned());
        thread::Builder::new()
            .name("nfc-card".to_owned())
            .spawn(move || {
                serve(&reader, &id, &work, &report);
                drop::<Sender<()>>(left);
            })
            .map_err(|error| TransportError::Io(error.to_string()))?;
        match events.recv_timeout(limit) {
            Ok(Event::Connected(facts)) => Ok(Self { requests, events, waker, facts: facts?, leaving }),
            Ok(_) | Err(_) => Err(TransportError::Timeout),
        }
    }

    /// Sends a command APDU; [`answer`](Self::answer) waits for what comes back.
    pub(crate) fn send(&self, apdu: Vec<u8>) -> Result<(), TransportError> {
        self.requests.send(apdu).map_err(|_| TransportError::Gone)
    }

    /// Waits for the answer to what was sent.
    pub(crate) fn answer(&self, until: Instant) -> Result<Vec<u8>, NoAnswer> {
        match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::Answer(Ok(answer))) => Ok(answer),
            Ok(Event::Answer(Err(error))) => Err(NoAnswer::Failed(of_pcsc(error))),
            Ok(Event::Connected(_) | Event::Wake) | Err(RecvTimeoutError::Timeout) => Err(NoAnswer::NotYet),
            Err(RecvTimeoutError::Disconnected) => Err(NoAnswer::Failed(TransportError::Gone)),
        }
    }

    /// Waits while nothing is sent, until it is time or somebody wakes it.
    pub(crate) fn pause(&self, pause: Duration) {
        let _ = self.events.recv_timeout(pause);
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Lets go of the card; the thread resets it as soon as it can.
    pub(crate) fn leave(self) -> Leaving {
        Leaving(self.leaving)
    }
}

/// The thread: connects, exchanges until nobody asks any more, resets.
fn serve(reader: &CString, id: &str, work: &Receiver<Vec<u8>>, report: &Sender<Event>) {
    let card = match begin(reader, id) {
        Ok((card, facts)) => {
            let _ = report.send(Event::Connected(Ok(facts)));
            card
        }
        Err(error) => {
            let _ = report.send(Event::Connected(Err(error)));
            return;
        }
    };
    let mut buffer = vec![0; MAX_BUFFER_SIZE_EXTENDED];
    // The reset ends what is under way in the card: the selection, a pinUvAuthToken.
    let mut disposition = Disposition::ResetCard;
    while let Ok(apdu) = work.recv() {
        let answer = match card.transmit(&apdu, &mut buffer) {
            // Some drivers say nothing at all of a card that leaves meanwhile.
            Ok([]) => Err(Error::RemovedCard),
            answer => answer.map(<[u8]>::to_vec),
        };
        if answer.is_err() {
            // A card that has left can't be reset, and pcscd, once it has tried, takes the next one for mute or absent
            // until that is lifted too. Left alone, pcscd takes its power away by itself.
            disposition = Disposition::LeaveCard;
        }
        if report.send(Event::Answer(answer)).is_err() {
            break;
        }
    }
    let _ = card.disconnect(disposition);
}

/// Exclusive: a program between two of our commands could select another applet.
fn begin(reader: &CStr, id: &str) -> Result<(Card, Facts), TransportError> {
    let context = connect()?;
    let there = |context: &Context| {
        let reader = find(context, reader).map_err(of_pcsc)?;
        let same = reader.and_then(|reader| reader.card_id()).is_some_and(|there| there == id);
        if same { Ok(()) } else { Err(TransportError::Gone) }
    };
    there(&context)?;
    let card =
        context.connect(reader, ShareMode::Exclusive, Protocols::T0 | Protocols::T1).map_err(of_pcsc)?;
    // What was changed before the connection is another card; what is changed after it, PC/SC tells.
    there(&context)?;
    let status = card.status2_owned().map_err(of_pcsc)?;
    let protocol = status.protocol2();
    let extended = protocol != Some(Protocol::T0)
        && atr::takes_extended(status.atr())
        && max_apdu(&card).is_none_or(|max| max > 261);
    Ok((card, Facts { protocol, extended }))
}

/// The longest APDU that the reader takes, in bytes, where it says so (PC/SC part 10, FEATURE_GET_TLV_PROPERTIES,
/// dwMaxAPDUDataSize; little-endian).
fn max_apdu(card: &Card) -> Option<u32> {
    const GET_FEATURE_REQUEST: pcsc::ffi::DWORD = 3400;
    const GET_TLV_PROPERTIES: u8 = 0x12;
    const MAX_APDU_DATA_SIZE: u8 = 0x0a;
    let mut buffer = [0; 512];
    let features = card.control(pcsc::ctl_code(GET_FEATURE_REQUEST), &[], &mut buffer).ok()?;
    let code = u32::from_be_bytes(tlv(features, GET_TLV_PROPERTIES)?.try_into().ok()?);
    let mut buffer = [0; 512];
    let properties = card.control(code.into(), &[], &mut buffer).ok()?;
    // 0: short APDUs only.
    Some(u32::from_le_bytes(tlv(properties, MAX_APDU_DATA_SIZE)?.try_into().ok()?))
}

fn tlv(mut bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [tag, len, rest @ ..] = bytes {
        let (value, next) = rest.split_at_checked(usize::from(*len))?;
        if *tag == wanted {
            return Some(value);
        }
        bytes = next;
    }
    None
}
