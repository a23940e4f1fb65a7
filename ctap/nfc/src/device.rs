//! A card with the FIDO applet as a device.

use crate::exchange::{Encoding, Exchange, ExchangeError, Select, Step, Version};
use crate::session::{Facts, Leaving, NoAnswer, Session};
use crate::transport::Shared;
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use pcsc::Protocol;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long things may take with a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To connect and to select the applet.
    pub select: Duration,
    /// For a command, the user's touch included.
    pub command: Duration,
    /// For the card's answer once a command is cancelled.
    pub cancel: Duration,
    /// Between two questions whether a card that is still at work is done.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            select: Duration::from_secs(5),
            command: Duration::from_secs(120),
            cancel: Duration::from_secs(1),
            pause: Duration::from_millis(50),
        }
    }
}

/// A card on a reader. Between [`begin`](Device::begin) and [`end`](Device::end) nobody else can use it; a command
/// outside of them has a session of its own.
pub(crate) struct NfcDevice {
    shared: Arc<Shared>,
    reader: CString,
    id: String,
    selected: Option<Selected>,
    leaving: Option<Leaving>,
    /// It was seen that the card does not take extended APDUs.
    extended_refused: bool,
    gone: bool,
    begun: bool,
}

/// A session with the applet selected.
pub(crate) struct Selected {
    session: Session,
    version: Version,
    /// It has answered a CTAP2 command.
    speaks_ctap2: bool,
}

/// Why the applet could not be selected.
pub(crate) enum NotSelected {
    /// A card without the FIDO applet.
    NotFido,
    /// Everything else; the card may have one.
    Failed(TransportError),
}

impl Selected {
    /// Connects to the card and selects the applet.
    pub(crate) fn open(
        reader: &CString,
        id: &str,
        limits: &Limits,
    ) -> Result<Self, (NotSelected, Option<Leaving>)> {
        let until = Instant::now() + limits.select;
        let session =
            Session::open(reader, id, limits.select).map_err(|error| (NotSelected::Failed(error), None))?;
        match select(&session, until) {
            Ok(version) => Ok(Self { session, version, speaks_ctap2: false }),
            Err(not_selected) => Err((not_selected, Some(session.leave()))),
        }
    }

    pub(crate) fn leave(self) -> Leaving {
        self.session.leave()
    }
}

fn select(session: &Session, until: Instant) -> Result<Version, NotSelected> {
    let (mut select, mut apdu) = Select::new(encoding(session.facts, false));
    loop {
        session.send(apdu).map_err(NotSelected::Failed)?;
        let answer = session.answer(until).map_err(|no_answer| match no_answer {
            NoAnswer::NotYet => NotSelected::Failed(TransportError::Timeout),
            NoAnswer::Failed(error) => NotSelected::Failed(error),
        })?;
        match select.answer(&answer) {
            Ok(Ok(version)) => return Ok(version),
            Ok(Err(next)) => apdu = next,
            Err(ExchangeError::Status(_) | ExchangeError::Version) => return Err(NotSelected::NotFido),
            Err(error) => return Err(NotSelected::Failed(TransportError::Framing(error.to_string()))),
        }
        if Instant::now() > until {
            return Err(NotSelected::Failed(TransportError::Timeout));
        }
    }
}

fn encoding(facts: Facts, extended_refused: bool) -> Encoding {
    match facts.protocol {
        Some(Protocol::T0) => Encoding::ShortT0,
        _ if facts.extended && !extended_refused => Encoding::Extended,
        _ => Encoding::Short,
    }
}

impl NfcDevice {
    pub(crate) fn new(shared: Arc<Shared>, reader: CString, id: String) -> Self {
        let (selected, leaving) = (None, None);
        Self { shared, reader, id, selected, leaving, extended_refused: false, gone: false, begun: false }
    }

    fn open(&mut self) -> Result<(), TransportError> {
        if self.gone {
            return Err(TransportError::Gone);
        }
        if self.selected.is_some() {
            return Ok(());
        }
        // The session before may still have its card: a command was given up before the card had answered.
        if let Some(leaving) = self.leaving.take()
            && !leaving.wait(self.shared.limits.select)
        {
            self.leaving = Some(leaving);
            return Err(TransportError::Timeout);
        }
        match self.shared.open(&self.reader, &self.id) {
            Ok(selected) => self.selected = Some(selected),
            Err((not_selected, leaving)) => {
                self.leaving = leaving;
                return Err(match not_selected {
                    NotSelected::NotFido => TransportError::Framing("it has no FIDO applet".to_owned()),
                    NotSelected::Failed(error) => self.failed(error),
                });
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some(selected) = self.selected.take() {
            self.leaving = Some(selected.leave());
        }
    }

    /// Once gone it stays gone: what lies on the reader later is another device.
    fn failed(&mut self, error: TransportError) -> TransportError {
        self.gone |= error == TransportError::Gone;
        error
    }

    fn exchange(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        let Some(selected) = &mut self.selected else { return Err(TransportError::Gone) };
        let limits = self.shared.limits;
        let encoding = encoding(selected.session.facts, self.extended_refused);
        let framing = |error: &dyn std::fmt::Display| TransportError::Framing(error.to_string());
        let (mut exchange, mut apdu) = Exchange::new(command, encoding).map_err(|error| framing(&error))?;
        let waker = selected.session.waker();
        let _wake = cancel.on_cancel(move || waker.wake());
        let mut patience = Patience::new(&limits, cancel);
        loop {
            selected.session.send(apdu)?;
            let answer = patience.answer(&selected.session)?;
            let step = exchange.answer(&answer);
            self.extended_refused |= exchange.extended_refused();
            apdu = match step {
                Ok(Step::Done(response)) => {
                    selected.speaks_ctap2 = true;
                    return Ok(response);
                }
                Ok(Step::Send(apdu)) => apdu,
                Ok(Step::Keepalive(status)) => {
                    selected.speaks_ctap2 = true;
                    on_keepalive(status);
                    if !cancel.is_cancelled() {
                        selected.session.pause(limits.pause);
                    }
                    exchange.ask_again(cancel.is_cancelled())
                }
                Err(ExchangeError::Status(_))
                    if selected.version == Version::U2f && !selected.speaks_ctap2 =>
                {
                    return Err(TransportError::TooOld);
                }
                Err(error) => return Err(framing(&error)),
            };
        }
    }
}

/// How long is waited for a card.
struct Patience<'a> {
    cancel: &'a CancelToken,
    after_cancel: Duration,
    until: Instant,
    cancelled: bool,
}

impl<'a> Patience<'a> {
    fn new(limits: &Limits, cancel: &'a CancelToken) -> Self {
        let until = Instant::now() + limits.command;
        Self { cancel, after_cancel: limits.cancel, until, cancelled: false }
    }

    fn answer(&mut self, session: &Session) -> Result<Vec<u8>, TransportError> {
        loop {
            if self.cancel.is_cancelled() && !self.cancelled {
                self.cancelled = true;
                self.until = self.until.min(Instant::now() + self.after_cancel);
            }
            // Looked at before each wait: a card that answers at once, for ever, must not keep us either.
            if Instant::now() >= self.until {
                return Err(if self.cancelled { TransportError::Cancelled } else { TransportError::Timeout });
            }
            match session.answer(self.until) {
                Ok(answer) => return Ok(answer),
                Err(NoAnswer::Failed(error)) => return Err(error),
                Err(NoAnswer::NotYet) => {}
            }
        }
    }
}

impl Device for NfcDevice {
    fn begin(&mut self) -> Result<(), TransportError> {
        self.open()?;
        self.begun = true;
        Ok(())
    }

    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        if cancel.is_cancelled() {
            return Err(TransportError::Cancelled);
        }
        self.open()?;
        let result = self.exchange(command, on_keepalive, cancel).map_err(|error| self.failed(error));
        // After an error nobody knows what the card would answer next: only the reset tells.
        if !self.begun || result.is_err() {
            self.close();
        }
        result
    }

    fn end(&mut self) {
        self.begun = false;
        self.close();
    }
}
