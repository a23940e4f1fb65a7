//! Every ceremony with OpenSK as a smart card, through a real pcscd.

use crate::common::{transport, wait_for};
use ctap_core::transport::{Device, Transport};
use ctap_nfc::NfcTransport;
use virtual_keys::applet::{Applet, Manners};
use virtual_keys::suite::{Plan, Plugged, run};
use virtual_keys::vpcd::{Laid, lay};
use virtual_keys::{Key, Touch, opensk, pcscd};

/// A reader and the card on it.
struct Reader {
    transport: NfcTransport,
    port: u16,
    laid: Option<Laid>,
}

/// It keeps its power when the reader resets it, or three wrong PINs would block it for no longer than a ceremony.
fn lay_key(reader: &mut Reader, key: &Key) {
    reader.laid = Some(lay(Applet::new(key.device(), Manners::default()), reader.port).unwrap());
    wait_for(&reader.transport, 1);
}

fn replug(reader: &mut Reader, key: &Key) {
    reader.laid.take().map(Laid::lift);
    wait_for(&reader.transport, 0);
    key.power_cycle();
    lay_key(reader, key);
}

fn open(reader: &mut Reader, _: &Key) -> Box<dyn Device> {
    let devices = wait_for(&reader.transport, 1);
    reader.transport.open(&devices[0].id).unwrap()
}

#[test]
fn every_ceremony_with_opensk_over_nfc() {
    pcscd::run("every_ceremony::every_ceremony_with_opensk_over_nfc", |pcscd| {
        let mut turn = 0;
        run("opensk", "nfc (pcscd)", &Plan::everything(), |finger| {
            // While one key is used on this reader, pcscd sees that the last one has left the other.
            turn = 1 - turn;
            let mut reader = Reader { transport: transport(), port: pcscd.port(turn), laid: None };
            wait_for(&reader.transport, 0);
            let key = opensk::key_with_finger(Touch::AtOnce, finger);
            lay_key(&mut reader, &key);
            Box::new(Plugged { key, place: reader, open, replug })
        });
    });
}
