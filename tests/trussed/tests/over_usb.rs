//! Every ceremony with Trussed's authenticator behind a hidraw node: its makers' CTAPHID layer speaks with ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_core::transport::{Device, Transport};
use ctap_hid::UsbTransport;
use mockdev::{Plugged, Testbed, UsbDevice};
use virtual_keys::suite::{self, Ceremony, Plan};
use virtual_keys::{Key, Touch};

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

mockdev::test! {
    fn every_ceremony_with_trussed_over_usb() {
        let plan = Plan::everything().without(&[Ceremony::DeclinedTouch], "this key has one button, which can't say no");
        suite::run("trussed", "usb (umockdev)", &plan, |_| {
            let key = trussed_key::key(Touch::AtOnce);
            let mut port = Port { testbed: Testbed::new().unwrap(), plugged: None };
            port.plug(&key);
            Box::new(suite::Plugged { key, place: port, open: Port::open, replug: Port::replug })
        });
    }
}
