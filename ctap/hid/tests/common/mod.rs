//! A device that is played by a script at the far end of a hidraw node.
#![allow(dead_code, reason = "each test program uses its part")]

use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, Transport, TransportError};
use ctap_hid::UsbTransport;
use ctap_hid::frame::{ChannelId, Command, Frame, Message, Reassembly, Report};
use mockdev::{FarEnd, Plugged, Testbed, UsbDevice};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The channel that a player gives out.
pub(crate) const ID: ChannelId = ChannelId([0, 1, 2, 3]);
/// Capabilities: wink and CBOR.
pub(crate) const WINK_AND_CBOR: u8 = 0x05;
/// For what comes soon if it comes.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The device's side, message by message.
pub(crate) struct Player {
    pub(crate) far_end: FarEnd,
    pub(crate) capabilities: u8,
    /// Every report that was received.
    pub(crate) reports: Vec<Report>,
    /// Every message that was received.
    pub(crate) messages: Vec<(Command, Vec<u8>)>,
}

impl Player {
    /// The next message that is not INIT, which is answered. `None` if there is none soon, or the device is unplugged.
    pub(crate) fn receive(&mut self) -> Option<(Command, Vec<u8>)> {
        self.receive_for(SOON)
    }

    pub(crate) fn receive_for(&mut self, patience: Duration) -> Option<(Command, Vec<u8>)> {
        let mut reassembly = Reassembly::default();
        loop {
            let report = self.far_end.receive(patience)?;
            self.reports.push(report);
            let Some(message) = reassembly.push(Frame::parse(&report).unwrap()).unwrap() else { continue };
            self.messages.push((message.command, message.payload().to_vec()));
            if message.command != Command::INIT {
                return self.messages.last().cloned();
            }
            let id_and_rest = [&ID.0[..], &[2, 1, 0, 0, self.capabilities]].concat();
            let answer = [message.payload(), &id_and_rest].concat();
            self.send_on(message.channel, Command::INIT, &answer);
        }
    }

    pub(crate) fn send(&mut self, command: Command, payload: &[u8]) {
        self.send_on(ID, command, payload);
    }

    pub(crate) fn send_on(&mut self, channel: ChannelId, command: Command, payload: &[u8]) {
        let message = Message::new(channel, command, payload.to_vec()).unwrap();
        for report in message.reports() {
            // The computer may have left by now.
            let _ = self.far_end.send(&report);
        }
    }

    /// How many messages of `command` were received.
    pub(crate) fn count(&self, command: Command) -> usize {
        self.messages.iter().filter(|(received, _)| *received == command).count()
    }
}

/// Plays the device `plugged` by `script`, on a thread of its own, which returns the player.
pub(crate) fn play(
    testbed: &mut Testbed,
    plugged: &Plugged,
    script: impl FnOnce(&mut Player) + Send + 'static,
) -> JoinHandle<Player> {
    let far_end = testbed.far_end(plugged).unwrap();
    let mut player =
        Player { far_end, capabilities: WINK_AND_CBOR, reports: Vec::new(), messages: Vec::new() };
    std::thread::spawn(move || {
        script(&mut player);
        player
    })
}

/// A testbed with one key, that is played by `script`.
pub(crate) fn played_key(
    script: impl FnOnce(&mut Player) + Send + 'static,
) -> (Testbed, Plugged, JoinHandle<Player>) {
    let mut testbed = Testbed::new().unwrap();
    let plugged = testbed.plug(&UsbDevice::key(0)).unwrap();
    let player = play(&mut testbed, &plugged, script);
    (testbed, plugged, player)
}

/// Opens the one key that is there.
pub(crate) fn open_the_key() -> Box<dyn Device> {
    let transport = UsbTransport::new();
    let keys = transport.devices().unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    transport.open(&keys[0].id).unwrap()
}

/// The same, for what is more than a [`Device`].
pub(crate) fn open_node() -> ctap_hid::UsbKey {
    ctap_hid::UsbKey::open(Path::new("/dev/hidraw0")).unwrap()
}

pub(crate) fn transact(device: &mut dyn Device, command: &[u8]) -> Result<Vec<u8>, TransportError> {
    device.transact(command, &mut |_: KeepaliveStatus| {}, &CancelToken::new())
}

/// The result and how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}
