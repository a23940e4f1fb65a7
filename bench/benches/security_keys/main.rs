//! Security keys over USB: our client beside the bare I/O, ctap-hid-fido2 and python-fido2, on one OpenSK behind a hidraw node of
//! umockdev. Needs the release build of `fwpd` (`make bench` makes it), Debian's umockdev and python3-venv.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, missing_docs)]

mod clients;
mod floor;
mod idle;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ctap_core::ceremony::{
    self, AssertionRequest, CredentialRequest, GetAssertion, MakeCredential, NewCredential, SetPin,
};
use ctap_core::messages::{RelyingParty, UserAccount};
use ctap_core::transport::{CancelToken, Device};
use ctap_hid::UsbKey;
use fwp_bench::{Row, print};
use fwp_cose::SignatureAlgorithm;
use mockdev::{Plugged, Testbed, UsbDevice};
use virtual_keys::{Endpoint, Key, OsRandom, Touch, Typist, opensk};

const ROUNDS: usize = 61;
pub(crate) const PIN: &str = "123456";
pub(crate) const RP_ID: &str = "bank.example";
/// What is signed for is its SHA-256.
pub(crate) const CHALLENGE: &[u8] = b"what is signed for";
/// The node of the key, of the one whose packets are written down, and of the device that knows them by heart: each is
/// another one, since libumockdev gives none out twice.
pub(crate) const NODE: u8 = 1;
const LOGGED: u8 = 0;
pub(crate) const BY_HEART: u8 = 2;
/// Set by mockdev in a process with libumockdev preloaded.
const INSIDE: &str = "MOCKDEV_INSIDE";

fn main() {
    if std::env::args().nth(1).as_deref() == Some(clients::OURS) {
        return clients::serve();
    }
    if !mockdev::is_inside() {
        idle::print_wake_ups();
        clients::prepare();
        let this = std::env::current_exe().unwrap();
        let error = Command::new("umockdev-wrapper").arg(this).env(INSIDE, "1").exec();
        panic!("umockdev-wrapper (Debian package umockdev): {error}");
    }
    let mut port = Port { testbed: Testbed::new().unwrap(), plugged: None };

    // The packets of one exchange are written down; with another key, since that costs time.
    let (log, logged) = (Log::default(), opensk::key(Touch::AtOnce));
    port.plug_logged(&logged, &log);
    let mut device = open(LOGGED);
    let made = prepare_key(&mut device);
    log.lock().unwrap().clear();
    assert_with(&mut device, &made).unwrap();
    let exchange = floor::exchange(&log.lock().unwrap());
    drop(device);
    port.unplug(&logged);

    let key = opensk::key(Touch::AtOnce);
    port.plug(&key);
    let made = prepare_key(&mut open(NODE));
    let beside = clients::beside_others(&made);
    print(
        "getInfo, attempts left, getAssertion with PIN, verified; on the same OpenSK over CTAPHID, in turns; the floor is the other client",
        &beside,
    );
    let overhead = overhead(&mut port, &key, &made, &exchange);
    print("getAssertion with PIN over CTAPHID, without the key's own time", &[overhead]);
    cancellations(&key, &made);
}

type Log = Arc<Mutex<Vec<(floor::Way, [u8; 64])>>>;

/// The testbed's port.
struct Port {
    testbed: Testbed,
    plugged: Option<Plugged>,
}

impl Port {
    fn plug(&mut self, key: &Key) {
        self.plugged = Some(self.testbed.plug_key(&UsbDevice::key(NODE), key).unwrap());
    }

    fn plug_logged(&mut self, key: &Key, log: &Log) {
        let plugged = self.testbed.plug(&UsbDevice::key(LOGGED)).unwrap();
        let Endpoint { packets_in, packets_out } = key.plug_in();
        let (to_key, from_key) = (Arc::clone(log), Arc::clone(log));
        let (sender, logged) = channel();
        std::thread::spawn(move || {
            for packet in packets_out {
                from_key.lock().unwrap().push((floor::Way::FromKey, packet));
                if sender.send(packet).is_err() {
                    return;
                }
            }
        });
        let to_device = move |packet| {
            to_key.lock().unwrap().push((floor::Way::ToKey, packet));
            packets_in.send(packet);
        };
        self.testbed.connect(&plugged, to_device, logged).unwrap();
        self.plugged = Some(plugged);
    }

    fn unplug(&mut self, key: &Key) {
        self.testbed.unplug_key(self.plugged.take().unwrap(), key).unwrap();
    }
}

/// Opens a key's node.
pub(crate) fn open(node: u8) -> UsbKey {
    UsbKey::open(Path::new(&format!("/dev/hidraw{node}"))).unwrap()
}

/// Sets the PIN and makes a credential.
fn prepare_key(device: &mut dyn Device) -> NewCredential {
    let (mut user, cancel) = (Typist::new(&[PIN]), CancelToken::new());
    ceremony::run(&mut SetPin::new(), device, &mut user, &mut OsRandom, &cancel).unwrap();
    let request = CredentialRequest {
        rp: RelyingParty { id: RP_ID.to_owned(), name: None },
        user: UserAccount { id: vec![1], name: Some("alice".to_owned()), display_name: None },
        client_data_hash: clients::client_data_hash(),
        algorithms: vec![SignatureAlgorithm::Es256],
        exclude: Vec::new(),
    };
    let mut user = Typist::new(&[PIN]);
    ceremony::run(&mut MakeCredential::new(request), device, &mut user, &mut OsRandom, &cancel).unwrap()
}

fn assert_with(device: &mut dyn Device, made: &NewCredential) -> Result<(), ctap_core::Error> {
    assert_until(device, made, &CancelToken::new())
}

fn assert_until(
    device: &mut dyn Device,
    made: &NewCredential,
    cancel: &CancelToken,
) -> Result<(), ctap_core::Error> {
    let request = AssertionRequest {
        rp_id: RP_ID.to_owned(),
        client_data_hash: clients::client_data_hash(),
        credential_id: made.credential_id.clone(),
        public_key: made.public_key.clone(),
        algorithm: made.algorithm,
    };
    let mut user = Typist::new(&[PIN]);
    ceremony::run(&mut GetAssertion::new(request), device, &mut user, &mut OsRandom, cancel).map(|_| ())
}

/// Ours without the key's own time, beside the same packets to a device that answers at once, and the primitives.
fn overhead(port: &mut Port, key: &Key, made: &NewCredential, exchange: &[floor::Step]) -> Row {
    let mut bare = floor::Bare::new(&mut port.testbed, exchange);
    let primitives = floor::Primitives::new();
    let mut device = open(NODE);
    // A round of each that doesn't count: the first one opens the channel.
    assert_with(&mut device, made).unwrap();
    bare.run();
    let rounds: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| {
            let own = key.seen().own_time;
            let ours = timed(|| assert_with(&mut device, made).unwrap());
            let ours = ours.saturating_sub(key.seen().own_time - own);
            let floor = timed(|| {
                bare.run();
                primitives.run();
            });
            (ours.as_secs_f64(), floor.as_secs_f64())
        })
        .collect();
    Row::from_rounds("client, key's own time taken off : bare frame I/O + primitives", 1.2, &rounds)
}

pub(crate) fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

/// From the request to cancel until the key's answer: over CTAPHID, and of the key itself, without any transport.
fn cancellations(key: &Key, made: &NewCredential) {
    key.set_touch(Touch::Waits);
    let over = |device: &mut dyn Device| {
        let mut times: Vec<Duration> = (0..ROUNDS).map(|_| cancellation(key, device, made)).collect();
        times.sort();
        [times[ROUNDS / 2], times[ROUNDS / 4], times[ROUNDS * 3 / 4]].map(|time| time.as_secs_f64() * 1e6)
    };
    let [key_alone, low, high] = over(&mut key.device());
    let [median, from, to] = over(&mut open(NODE));
    println!("\nCancel, from the request to the key's answer\n\n| | median (middle half) |\n|---|---|");
    println!("| over CTAPHID, at the next frame boundary | {median:.0} µs ({from:.0} - {to:.0}) |");
    println!("| the key's own, without a transport | {key_alone:.0} µs ({low:.0} - {high:.0}) |");
}

fn cancellation(key: &Key, device: &mut dyn Device, made: &NewCredential) -> Duration {
    let cancel = CancelToken::new();
    let blinking = {
        let (key, cancel) = (key.clone(), cancel.clone());
        std::thread::spawn(move || {
            assert!(key.wait_until_blinking());
            let requested = Instant::now();
            cancel.cancel();
            requested
        })
    };
    let result = assert_until(device, made, &cancel);
    let answered = Instant::now();
    assert_eq!(result, Err(ctap_core::Error::Cancelled));
    answered - blinking.join().unwrap()
}
