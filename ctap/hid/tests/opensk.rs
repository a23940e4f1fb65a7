//! Every ceremony with OpenSK behind a hidraw node: `ctap_core` over this crate's transport, as the daemon has it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_core::transport::{Device, Transport};
use ctap_hid::UsbTransport;
use mockdev::{Plugged, Testbed, UsbDevice};
use virtual_keys::suite::{self, Plan, Subject};
use virtual_keys::{Finger, Key, Touch, opensk};

/// A testbed with one port.
struct Port {
    testbed: Testbed,
    plugged: Option<Plugged>,
}

impl Port {
    fn plug(&mut self, key: &Key) {
        self.plugged = Some(self.testbed.plug_key(&UsbDevice::key(0), key).unwrap());
    }

    fn replug(&mut self, key: &Key) {
        self.testbed.unplug_key(self.plugged.take().unwrap(), key).unwrap();
        self.plug(key);
    }

    fn open(&mut self, _: &Key) -> Box<dyn Device> {
        let transport = UsbTransport::new();
        let keys = transport.devices().unwrap();
        assert_eq!(keys.len(), 1);
        transport.open(&keys[0].id).unwrap()
    }
}

fn subject(finger: Finger) -> Box<dyn Subject> {
    let key = opensk::key_with_finger(Touch::AtOnce, finger);
    let mut port = Port { testbed: Testbed::new().unwrap(), plugged: None };
    port.plug(&key);
    Box::new(suite::Plugged { key, place: port, open: Port::open, replug: Port::replug })
}

mockdev::test! {
    fn every_ceremony_goes_over_hidraw() {
        suite::run("opensk", "usb (umockdev)", &Plan::everything(), subject);
    }
}
