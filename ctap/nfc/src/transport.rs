//! Readers and the cards on them, as a transport.

use crate::device::{Limits, NfcDevice, NotSelected, Selected};
use crate::reader::{Reader, connect, of_service, readers};
use crate::session::Leaving;
use crate::watcher::NfcWatcher;
use ctap_core::transport::{Device, DeviceDescription, Transport, TransportError, TransportKind, Watcher};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The seat of every reader: PC/SC knows no seats.
const SEAT: &str = "seat0";

/// Security keys on NFC readers (and in contact readers), by pcscd.
///
/// * A card is listed if it has the FIDO applet, once that is known. It is asked once per laying-on; a card that another
///   program has meanwhile is asked as soon as it is free.
/// * PC/SC knows no seats: every reader is said to be at `seat0`.
/// * There is a connection to pcscd only while something is listed, watched or used.
pub struct NfcTransport(Arc<Shared>);

/// What transport, devices and watchers know together.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    cards: Mutex<BTreeMap<String, Card>>,
    /// Held while a card is connected to: that a card is asked what it is must not look like a card in use.
    connecting: Mutex<()>,
}

/// What is known of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Card {
    Fido,
    Other,
    /// Another program has it.
    Busy,
}

impl NfcTransport {
    /// The readers of this machine.
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// The readers of this machine, with other limits of time.
    pub fn with_limits(limits: Limits) -> Self {
        Self(Arc::new(Shared { limits, cards: Mutex::default(), connecting: Mutex::default() }))
    }
}

impl Default for NfcTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    /// Connects to the card `id` on `reader` and selects its FIDO applet.
    pub(crate) fn open(
        &self,
        reader: &CString,
        id: &str,
    ) -> Result<Selected, (NotSelected, Option<Leaving>)> {
        let _connecting = self.connecting.lock().unwrap_or_else(PoisonError::into_inner);
        Selected::open(reader, id, &self.limits)
    }

    /// Whether `id` is a card that could not be asked what it is.
    pub(crate) fn is_unknown(&self, id: &str) -> bool {
        self.cards().get(id) == Some(&Card::Busy)
    }

    fn cards(&self) -> MutexGuard<'_, BTreeMap<String, Card>> {
        self.cards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fido(&self, reader: &Reader, id: &str) -> Result<bool, TransportError> {
        let known = self.cards().get(id).copied();
        let card = match known {
            Some(Card::Fido | Card::Other) => known,
            Some(Card::Busy) | None => self.ask(reader, id)?,
        };
        self.cards().extend(card.map(|card| (id.to_owned(), card)));
        Ok(card == Some(Card::Fido))
    }

    /// Selects the FIDO applet to see whether it is there. `None` if the card left meanwhile.
    fn ask(&self, reader: &Reader, id: &str) -> Result<Option<Card>, TransportError> {
        let (card, leaving) = match self.open(&reader.name, id) {
            Ok(selected) => (Some(Card::Fido), Some(selected.leave())),
            Err((NotSelected::Failed(TransportError::Gone), leaving)) => (None, leaving),
            Err((NotSelected::Failed(TransportError::Busy), leaving)) => (Some(Card::Busy), leaving),
            Err((NotSelected::Failed(error @ TransportError::Unavailable(_)), _)) => return Err(error),
            Err((NotSelected::NotFido | NotSelected::Failed(_), leaving)) => (Some(Card::Other), leaving),
        };
        if let Some(leaving) = leaving {
            // Until it is free again, so that who opens it next does not find it in use.
            leaving.wait(self.limits.select);
        }
        Ok(card)
    }
}

impl Transport for NfcTransport {
    fn kind(&self) -> TransportKind {
        TransportKind::Nfc
    }

    fn devices(&self) -> Result<Vec<DeviceDescription>, TransportError> {
        let context = connect()?;
        let there: Vec<_> = readers(&context)
            .map_err(of_service)?
            .into_iter()
            .filter_map(|reader| reader.card_id().map(|id| (reader, id)))
            .collect();
        self.0.cards().retain(|id, _| there.iter().any(|(_, there)| there == id));
        let mut devices = Vec::new();
        for (reader, id) in there {
            if self.0.is_fido(&reader, &id)? {
                let (name, seat) = (reader.shown_name(), SEAT.to_owned());
                devices.push(DeviceDescription { kind: TransportKind::Nfc, id, name, seat });
            }
        }
        Ok(devices)
    }

    fn open(&self, id: &str) -> Result<Box<dyn Device>, TransportError> {
        let context = connect()?;
        let reader = readers(&context)
            .map_err(of_service)?
            .into_iter()
            .find(|reader| reader.card_id().as_deref() == Some(id))
            .ok_or(TransportError::Gone)?;
        Ok(Box::new(NfcDevice::new(Arc::clone(&self.0), reader.name, id.to_owned())))
    }

    fn watch(&self) -> Result<Box<dyn Watcher>, TransportError> {
        Ok(Box::new(NfcWatcher::begin(Arc::clone(&self.0))?))
    }
}
