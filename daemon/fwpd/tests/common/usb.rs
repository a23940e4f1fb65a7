//! Another maker's security keys on hidraw nodes: libumockdev's, with the key at the far end of the node.
#![allow(dead_code, reason = "no test program uses all of it")]

use std::time::{Duration, Instant};

use mockdev::{FarEnd, Plugged, Testbed, UsbDevice};
use virtual_keys::key::{Key, Seen};

/// A machine's USB plugs.
pub(crate) struct Plugs(Testbed);

impl Plugs {
    pub(crate) fn new() -> Self {
        Self(Testbed::new().unwrap())
    }

    /// Plugs `key` in, to be `/dev/hidraw{node}`, which no key was before. The wallet has to run already if the key is pulled
    /// out later: a program that is started has a hold on nodes that there are.
    pub(crate) fn plug(&mut self, key: &Key, node: u8) -> Plugged {
        self.plug_as(key, &UsbDevice { product: "Key 9".to_owned(), ..UsbDevice::key(node) })
    }

    /// Plugs `key` in as this device.
    pub(crate) fn plug_as(&mut self, key: &Key, device: &UsbDevice) -> Plugged {
        self.0.plug_key(device, key).unwrap()
    }

    /// Plugs a key in that says to every command, for ever, that it works on it, until it is cancelled.
    pub(crate) fn plug_busybody(&mut self, node: u8) -> Plugged {
        let plugged = self.0.plug(&UsbDevice::key(node)).unwrap();
        let far_end = self.0.far_end(&plugged).unwrap();
        std::thread::spawn(move || keep_alive(far_end));
        plugged
    }

    /// Pulls `key` out.
    pub(crate) fn unplug(&mut self, key: &Key, plugged: Plugged) {
        self.0.unplug_key(plugged, key).unwrap();
    }

    /// Sets the permissions of a node.
    pub(crate) fn set_mode(&mut self, plugged: &Plugged, mode: u32) {
        self.0.set_mode(plugged, mode).unwrap();
    }
}

/// CTAPHID_INIT is answered as it should be, CTAPHID_CBOR by keepalives until CTAPHID_CANCEL.
fn keep_alive(mut far_end: FarEnd) {
    let mut working = false;
    loop {
        let received = far_end.receive(Duration::from_millis(50));
        let mut answer = [0; 64];
        match received {
            Some(packet) if packet[4] == 0x86 => {
                answer[..7].copy_from_slice(&[packet[0], packet[1], packet[2], packet[3], 0x86, 0, 17]);
                answer[7..15].copy_from_slice(&packet[7..15]);
                answer[15..24].copy_from_slice(&[0, 0, 0, 9, 2, 1, 0, 0, 0x04]);
            }
            Some(packet) if packet[4] == 0x91 => {
                working = false;
                answer[..8].copy_from_slice(&[0, 0, 0, 9, 0x90, 0, 1, 0x2d]);
            }
            other => {
                working |= other.is_some_and(|packet| packet[4] == 0x90);
                if !working {
                    continue;
                }
                answer[..8].copy_from_slice(&[0, 0, 0, 9, 0xbb, 0, 1, 1]);
            }
        }
        if far_end.send(&answer).is_err() {
            return;
        }
    }
}

/// Waits until `what` is seen of a key, while everything else goes on.
pub(crate) async fn sees(key: &Key, what: impl Fn(&Seen) -> bool) {
    let begun = Instant::now();
    while !what(&key.seen()) {
        assert!(begun.elapsed() < Duration::from_secs(20), "not seen of the key: {:?}", key.seen().blinking);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
