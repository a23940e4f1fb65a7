//! Every ceremony with Trussed's authenticator on a virtual reader: behind its makers' APDU layer, through a real pcscd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_core::transport::{Device, DeviceDescription, Transport};
use ctap_nfc::NfcTransport;
use pcsc::{ReaderState, State};
use std::time::Duration;
use virtual_keys::dispatched::DispatchedCard;
use virtual_keys::suite::{Ceremony, Plan, Plugged, run};
use virtual_keys::vpcd::{Laid, lay};
use virtual_keys::{Key, Touch, pcscd};

/// A reader and the card on it.
struct Reader {
    transport: NfcTransport,
    /// Its place in pcscd's list.
    number: usize,
    port: u16,
    laid: Option<Laid>,
}

impl Reader {
    fn lay(&mut self, key: &Key) {
        self.laid = Some(lay(DispatchedCard::new(key.device(), true), self.port).unwrap());
        self.wait_for(1);
    }

    fn replug(&mut self, key: &Key) {
        self.laid.take().map(Laid::lift);
        self.wait_for(0);
        wait_until_empty(self.number);
        key.power_cycle();
        self.lay(key);
    }

    fn open(&mut self, _: &Key) -> Box<dyn Device> {
        let devices = self.wait_for(1);
        self.transport.open(&devices[0].id).unwrap()
    }

    fn wait_for(&self, count: usize) -> Vec<DeviceDescription> {
        let mut devices = Vec::new();
        pcscd::wait_until("the security keys on the readers", || {
            devices = self.transport.devices().unwrap();
            devices.len() == count
        });
        devices
    }
}

/// A card that leaves while it is reset is mute at first: not listed, but not gone for pcscd either.
fn wait_until_empty(reader: usize) {
    let context = pcsc::Context::establish(pcsc::Scope::System).unwrap();
    pcscd::wait_until("an empty reader", || {
        let names = context.list_readers_owned().unwrap().into_iter();
        let mut states: Vec<_> = names.map(|name| ReaderState::new(name, State::UNAWARE)).collect();
        context.get_status_change(Duration::ZERO, &mut states).unwrap();
        states[reader].event_state().contains(State::EMPTY)
    });
}

#[test]
fn every_ceremony_with_trussed_over_nfc() {
    let plan = Plan::everything()
        .without(&[Ceremony::DeclinedTouch], "this key has one button, which can't say no")
        .without(
            &[Ceremony::CancelAtTouch, Ceremony::Selection],
            "this key's APDU layer has no keepalives, so nothing can be cancelled; a card on a reader counts as touched",
        );
    pcscd::run("every_ceremony_with_trussed_over_nfc", |pcscd| {
        let mut turn = 0;
        run("trussed", "nfc (pcscd)", &plan, |_| {
            // While one key is used on this reader, pcscd sees that the last one has left the other.
            turn = 1 - turn;
            let number = usize::from(turn);
            wait_until_empty(number);
            let mut reader =
                Reader { transport: NfcTransport::new(), number, port: pcscd.port(turn), laid: None };
            reader.wait_for(0);
            let key = trussed_key::key(Touch::AtOnce);
            reader.lay(&key);
            Box::new(Plugged { key, place: reader, open: Reader::open, replug: Reader::replug })
        });
    });
}
