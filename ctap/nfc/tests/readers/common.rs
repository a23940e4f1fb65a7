//! A user, requests and short ways to ceremonies, for tests with real readers.

use ctap_core::ceremony::{
    Assertion, AssertionRequest, CredentialRequest, Event, GetAssertion, MakeCredential, NewCredential,
    PinRequest, SetPin, User, run,
};
use ctap_core::messages::{RelyingParty, UserAccount};
use ctap_core::transport::{CancelToken, Device, DeviceDescription, Transport};
use ctap_core::{Error, Pin, Random, RandomError};
use ctap_nfc::{Limits, NfcTransport};
use fwp_cose::SignatureAlgorithm;
use std::time::{Duration, Instant};
use virtual_keys::Key;
use virtual_keys::applet::{Applet, Manners};

pub(crate) const PIN: &str = "4711-pin";

/// The operating system's randomness.
pub(crate) struct System;

impl Random for System {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(out).map_err(|_| RandomError)
    }
}

/// A user who knows the PIN and does something when the key wants a touch.
pub(crate) struct Holder<'a> {
    pub(crate) at_touch: Box<dyn FnMut() + 'a>,
    pub(crate) events: Vec<Event>,
}

impl<'a> Holder<'a> {
    pub(crate) fn new() -> Self {
        Self::who(|| ())
    }

    pub(crate) fn who(at_touch: impl FnMut() + 'a) -> Self {
        Self { at_touch: Box::new(at_touch), events: Vec::new() }
    }
}

impl User for Holder<'_> {
    fn pin(&mut self, _: &PinRequest) -> Option<Pin> {
        Some(Pin::new(PIN).unwrap())
    }

    fn status(&mut self, event: Event) {
        self.events.push(event);
        if event == Event::TouchWanted {
            (self.at_touch)();
        }
    }
}

/// A transport that loses its patience soon.
pub(crate) fn transport() -> NfcTransport {
    NfcTransport::with_limits(Limits {
        select: Duration::from_secs(4),
        command: Duration::from_secs(20),
        cancel: Duration::from_secs(2),
        pause: Duration::from_millis(10),
    })
}

/// OpenSK as a card, and the APDUs that it gets.
pub(crate) fn card(key: &Key, manners: Manners) -> Applet {
    let powered = key.clone();
    Applet::new(key.device(), manners).on_power(move |_| powered.power_cycle())
}

/// Waits until exactly `count` security keys are listed.
pub(crate) fn wait_for(transport: &NfcTransport, count: usize) -> Vec<DeviceDescription> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let devices = transport.devices().unwrap();
        if devices.len() == count {
            return devices;
        }
        assert!(
            Instant::now() < until,
            "{count} keys wanted, {devices:?} there, readers: {:?}",
            reader_states()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What pcscd says of its readers.
fn reader_states() -> Vec<pcsc::State> {
    let context = pcsc::Context::establish(pcsc::Scope::System).unwrap();
    let names = context.list_readers_owned().unwrap().into_iter();
    let mut states: Vec<_> = names.map(|name| pcsc::ReaderState::new(name, pcsc::State::UNAWARE)).collect();
    context.get_status_change(Duration::ZERO, &mut states).unwrap();
    states.iter().map(pcsc::ReaderState::event_state).collect()
}

/// The only security key there is, opened.
pub(crate) fn open_only(transport: &NfcTransport) -> Box<dyn Device> {
    let devices = wait_for(transport, 1);
    transport.open(&devices[0].id).unwrap()
}

/// A request with names so long that it takes more than 255 bytes.
pub(crate) fn credential_request() -> CredentialRequest {
    CredentialRequest {
        rp: RelyingParty { id: "bank.example".to_owned(), name: Some("B".repeat(64)) },
        user: UserAccount { id: vec![1; 64], name: Some("a".repeat(64)), display_name: Some("A".repeat(64)) },
        client_data_hash: [7; 32],
        algorithms: vec![SignatureAlgorithm::Es256],
        exclude: Vec::new(),
    }
}

pub(crate) fn set_pin(device: &mut dyn Device) -> Result<(), Error> {
    run(&mut SetPin::new(), device, &mut Holder::new(), &mut System, &CancelToken::new())
}

pub(crate) fn enroll(
    device: &mut dyn Device,
    user: &mut Holder<'_>,
    cancel: &CancelToken,
) -> Result<NewCredential, Error> {
    run(&mut MakeCredential::new(credential_request()), device, user, &mut System, cancel)
}

pub(crate) fn pay(device: &mut dyn Device, credential: &NewCredential) -> Result<Assertion, Error> {
    let request = AssertionRequest {
        rp_id: "bank.example".to_owned(),
        client_data_hash: [9; 32],
        credential_id: credential.credential_id.clone(),
        public_key: credential.public_key.clone(),
        algorithm: credential.algorithm,
    };
    run(&mut GetAssertion::new(request), device, &mut Holder::new(), &mut System, &CancelToken::new())
}
