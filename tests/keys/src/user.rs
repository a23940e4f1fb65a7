//! The user at the computer, and a device that looks on.

use ctap_core::ceremony::{Event, PinRequest, User};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use ctap_core::{Pin, Random, RandomError};
use std::collections::VecDeque;

/// A user who types these PINs, one after the other, and then gives up.
#[derive(Debug, Default)]
pub struct Typist {
    /// What is left to type.
    pub pins: VecDeque<String>,
    /// Every question for a PIN.
    pub asked: Vec<PinRequest>,
    /// Everything that was shown.
    pub events: Vec<Event>,
    /// Cancels when the device wants a touch.
    pub cancel_at_touch: Option<CancelToken>,
}

impl Typist {
    /// One who types `pins`.
    pub fn new(pins: &[&str]) -> Self {
        Self { pins: pins.iter().map(|pin| (*pin).to_owned()).collect(), ..Self::default() }
    }
}

impl User for Typist {
    fn pin(&mut self, request: &PinRequest) -> Option<Pin> {
        self.asked.push(*request);
        self.pins.pop_front().map(|pin| Pin::new(&pin).expect("a PIN that can be one"))
    }

    fn status(&mut self, event: Event) {
        self.events.push(event);
        let wanted = matches!(event, Event::TouchWanted | Event::VerificationWanted);
        if let (true, Some(cancel)) = (wanted, &self.cancel_at_touch) {
            cancel.cancel();
        }
    }
}

/// The operating system's random bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(out).map_err(|_| RandomError)
    }
}

/// Command and response in, response out.
pub type ChangeResponse<'a> = Box<dyn FnMut(&[u8], Vec<u8>) -> Vec<u8> + Send + 'a>;

/// A device between, which sees every command and may change what is answered.
pub struct Between<'a, D> {
    /// The device behind it.
    pub device: D,
    /// Every command so far.
    pub commands: Vec<Vec<u8>>,
    change: ChangeResponse<'a>,
}

impl<'a, D: Device> Between<'a, D> {
    /// One that changes answers by `change`.
    pub fn new(device: D, change: impl FnMut(&[u8], Vec<u8>) -> Vec<u8> + Send + 'a) -> Self {
        Self { device, commands: Vec::new(), change: Box::new(change) }
    }
}

impl<D: Device> Device for Between<'_, D> {
    fn begin(&mut self) -> Result<(), TransportError> {
        self.device.begin()
    }

    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        self.commands.push(command.to_vec());
        let response = self.device.transact(command, on_keepalive, cancel)?;
        Ok((self.change)(command, response))
    }

    fn end(&mut self) {
        self.device.end();
    }

    fn wink(&mut self) -> Result<(), TransportError> {
        self.device.wink()
    }
}
