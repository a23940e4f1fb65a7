//! Google's OpenSK as a [`Key`]: CTAP 2.1, PIN/UV auth protocols one and two, ES256 and EdDSA, fingerprints.
//!
//! Its environment is OpenSK's own for tests, but for the parts that such a key needs in order to be held in a hand: the touch,
//! packets out, a clock that runs, a finger.

use crate::Packet;
use crate::body::{Answers, Body, ToKey, Wait};
use crate::key::{Finger, Key, Touch};
use ctap_core::transport::KeepaliveStatus;
use opensk::api::clock::Clock;
use opensk::api::connection::{HidConnection, RecvStatus, UsbEndpoint};
use opensk::api::fingerprint::{Ctap2EnrollFeedback, Fingerprint, FingerprintCheckError, FingerprintKind};
use opensk::api::user_presence::{UserPresence, UserPresenceError, UserPresenceWaitResult};
use opensk::ctap::hid::ChannelID;
use opensk::ctap::main_hid::MainHid;
use opensk::ctap::status_code::CtapResult;
use opensk::ctap::{Channel, CtapState, KEEPALIVE_DELAY_MS};
use opensk::env::Env;
use opensk::env::test::TestEnv;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// The channel that commands without framing seem to come from.
const IN_PROCESS: Channel = Channel::MainHid([1, 0, 0, 0]);

/// How long OpenSK waits between two packets of one message, and how long it does so here: a machine that is busy with
/// other tests is not a broken line.
const BETWEEN_PACKETS: (usize, usize) = (100, 3_000);

/// A new key, whose user touches it as `touch` says.
pub fn key(touch: Touch) -> Key {
    key_with_finger(touch, Finger::None)
}

/// A new key; with a sensor and a finger enrolled unless `finger` is none.
pub fn key_with_finger(touch: Touch, finger: Finger) -> Key {
    Key::start("opensk", touch, finger, move |body| firmware(body, finger != Finger::None))
}

fn firmware(body: Body, sensor: bool) {
    let mut inner = TestEnv::default();
    // Else all keys would be the same one, with the same master key.
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).expect("random bytes");
    inner.seed_rng_from_u64(u64::from_le_bytes(seed));
    if sensor {
        inner.create_fingerprint().expect("a fingerprint");
    }
    let body = Rc::new(RefCell::new(body));
    let mut opensk = Opensk::power_on(inner, &body);
    let mut usb = None;
    loop {
        let Some(message) = body.borrow_mut().receive() else { return };
        match message {
            ToKey::Packet(packet) => {
                if let Some(packets) = &usb {
                    opensk.packet(&body, packet, packets);
                }
            }
            ToKey::Command { bytes, answers, .. } => opensk.command(&body, &bytes, &answers),
            ToKey::PowerCycle(on) => {
                opensk = opensk.power_cycle(&body);
                let _ = on.send(());
            }
            ToKey::PlugIn(packets) => {
                opensk = opensk.power_cycle(&body);
                usb = Some(packets);
            }
            ToKey::Unplug => usb = None,
            ToKey::Cancel { .. } | ToKey::Look => {}
        }
    }
}

/// OpenSK under power.
struct Opensk {
    env: KeyEnv,
    state: CtapState<KeyEnv>,
    hid: MainHid<KeyEnv>,
}

impl Opensk {
    fn power_on(inner: TestEnv, body: &Rc<RefCell<Body>>) -> Self {
        let mut env = KeyEnv::new(inner, body);
        let state = CtapState::new(&mut env);
        Self { env, state, hid: MainHid::default() }
    }

    /// Starts anew with the flash as it is.
    fn power_cycle(self, body: &Rc<RefCell<Body>>) -> Self {
        body.borrow().powered();
        Self::power_on(self.env.inner, body)
    }

    fn command(&mut self, body: &Rc<RefCell<Body>>, command: &[u8], answers: &Sender<Answers>) {
        let begin = body.borrow_mut().work_begins();
        self.env.output.to = To::Device(answers.clone());
        let response = self.state.process_command(&mut self.env, command, IN_PROCESS);
        self.env.output.to = To::Nowhere;
        body.borrow_mut().work_ends(begin);
        if !body.borrow().power_lost() {
            let _ = answers.send(Answers::Response(response));
        }
    }

    fn packet(&mut self, body: &Rc<RefCell<Body>>, packet: Packet, packets: &Sender<Packet>) {
        let u2f_only = body.borrow().u2f_only();
        if u2f_only && packet[4] == CBOR {
            let mut error = [0; 64];
            error[..4].copy_from_slice(&packet[..4]);
            error[4..8].copy_from_slice(&[ERROR, 0, 1, INVALID_COMMAND]);
            let _ = packets.send(error);
            return;
        }
        let begin = body.borrow_mut().work_begins();
        self.env.output.to = To::Usb(packets.clone());
        self.env.channel.set([packet[0], packet[1], packet[2], packet[3]]);
        let answer = self.hid.process_hid_packet(&mut self.env, &packet, false, &mut self.state);
        self.env.output.to = To::Nowhere;
        body.borrow_mut().work_ends(begin);
        if packet[4] == WINK && self.hid.should_wink(&mut self.env) {
            body.borrow().button().wink();
        }
        if body.borrow().power_lost() {
            return;
        }
        for mut packet in answer {
            if u2f_only && packet[4] == INIT {
                packet[CAPABILITIES] &= !CAPABILITY_CBOR;
            }
            let _ = packets.send(packet);
        }
    }
}

/// CTAPHID commands (CTAP 2.1 section 11.2.9) with the bit of an initialization packet.
const INIT: u8 = 0x86;
const WINK: u8 = 0x88;
const CBOR: u8 = 0x90;
const CANCEL: u8 = 0x91;
const ERROR: u8 = 0xbf;
const INVALID_COMMAND: u8 = 0x01;
/// Where an answer to INIT has the capabilities, and the one for CBOR.
const CAPABILITIES: usize = 7 + 16;
const CAPABILITY_CBOR: u8 = 0x04;

/// What OpenSK runs in.
struct KeyEnv {
    /// Flash, random numbers, customization: OpenSK's own for tests.
    inner: TestEnv,
    /// The channel of the command under way, over USB.
    channel: Rc<Cell<ChannelID>>,
    presence: Presence,
    output: Output,
    clock: KeyClock,
    sensor: Sensor,
}

impl KeyEnv {
    fn new(inner: TestEnv, body: &Rc<RefCell<Body>>) -> Self {
        let body = || Rc::clone(body);
        let channel = Rc::<Cell<ChannelID>>::default();
        Self {
            inner,
            presence: Presence { body: body(), channel: Rc::clone(&channel), began: false },
            output: Output { to: To::Nowhere },
            clock: KeyClock { body: body() },
            sensor: Sensor { body: body(), channel: Rc::clone(&channel), given_up: false },
            channel,
        }
    }
}

impl Env for KeyEnv {
    type Rng = <TestEnv as Env>::Rng;
    type UserPresence = Presence;
    type Persist = TestEnv;
    type KeyStore = TestEnv;
    type Write = <TestEnv as Env>::Write;
    type Customization = <TestEnv as Env>::Customization;
    type HidConnection = Output;
    type Clock = KeyClock;
    type Crypto = <TestEnv as Env>::Crypto;
    type Fingerprint = Sensor;

    fn rng(&mut self) -> &mut Self::Rng {
        self.inner.rng()
    }

    fn user_presence(&mut self) -> &mut Presence {
        &mut self.presence
    }

    fn persist(&mut self) -> &mut TestEnv {
        &mut self.inner
    }

    fn key_store(&mut self) -> &mut TestEnv {
        &mut self.inner
    }

    fn clock(&mut self) -> &mut KeyClock {
        &mut self.clock
    }

    fn fingerprint(&mut self) -> &mut Sensor {
        &mut self.sensor
    }

    fn write(&mut self) -> Self::Write {
        self.inner.write()
    }

    fn customization(&self) -> &Self::Customization {
        self.inner.customization()
    }

    fn hid_connection(&mut self) -> &mut Output {
        &mut self.output
    }

    fn boots_after_soft_reset(&self) -> bool {
        false
    }

    fn process_vendor_command(&mut self, bytes: &[u8], _: Channel) -> Option<Vec<u8>> {
        self.presence.body.borrow().command(bytes);
        None
    }
}

/// The key's button.
struct Presence {
    body: Rc<RefCell<Body>>,
    channel: Rc<Cell<ChannelID>>,
    /// It has begun to blink.
    began: bool,
}

/// Whether `packet` cancels what is under way on `channel`.
fn cancels(packet: &Packet, channel: &Cell<ChannelID>) -> bool {
    packet[..4] == channel.get() && packet[4] == CANCEL
}

impl UserPresence for Presence {
    fn check_init(&mut self) {
        self.began = false;
    }

    fn wait_with_timeout(&mut self, packet: &mut Packet, timeout_ms: usize) -> UserPresenceWaitResult {
        let mut body = self.body.borrow_mut();
        // Not before OpenSK has looked at the clock: what is seen to blink is counting its time.
        if !std::mem::replace(&mut self.began, true) {
            body.blink();
        }
        // Not longer than between two keepalives.
        let timeout = Duration::from_millis(timeout_ms.min(KEEPALIVE_DELAY_MS) as u64);
        Ok(match body.wait_for_touch(timeout) {
            Wait::Touched => (Ok(()), RecvStatus::Timeout),
            Wait::Declined => (Err(UserPresenceError::Declined), RecvStatus::Timeout),
            Wait::NotYet => (Err(UserPresenceError::Timeout), RecvStatus::Timeout),
            Wait::Cancelled | Wait::PowerLost => (Err(UserPresenceError::Canceled), RecvStatus::Timeout),
            Wait::Packet(received) => {
                if cancels(&received, &self.channel) {
                    body.cancelled();
                }
                *packet = received;
                (Err(UserPresenceError::Timeout), RecvStatus::Received(UsbEndpoint::MainHid))
            }
        })
    }

    fn check_complete(&mut self) {
        self.body.borrow().dark();
    }
}

enum To {
    Nowhere,
    Usb(Sender<Packet>),
    Device(Sender<Answers>),
}

/// Where OpenSK's packets go that it sends while it works: keepalives, and errors to other channels.
struct Output {
    to: To,
}

impl HidConnection for Output {
    fn send(&mut self, packet: &Packet, _: UsbEndpoint) -> CtapResult<()> {
        match &self.to {
            To::Nowhere => {}
            To::Usb(packets) => {
                let _ = packets.send(*packet);
            }
            To::Device(answers) => {
                if let Some(status) = KeepaliveStatus::from_byte(packet[7]) {
                    let _ = answers.send(Answers::Keepalive(status));
                }
            }
        }
        Ok(())
    }

    fn recv(&mut self, _: &mut Packet, _: usize) -> CtapResult<RecvStatus> {
        Ok(RecvStatus::Timeout)
    }
}

/// A clock that runs, and that a test can put forward.
struct KeyClock {
    body: Rc<RefCell<Body>>,
}

impl Clock for KeyClock {
    /// When it elapses; the default has elapsed.
    type Timer = Duration;

    fn make_timer(&mut self, milliseconds: usize) -> Duration {
        let (theirs, ours) = BETWEEN_PACKETS;
        let milliseconds = if milliseconds == theirs { ours } else { milliseconds };
        self.body.borrow().now() + Duration::from_millis(milliseconds as u64)
    }

    fn is_elapsed(&mut self, timer: &Duration) -> bool {
        self.body.borrow().now() >= *timer
    }
}

/// The fingerprint sensor: sees the user's finger and knows whether it is the enrolled one.
struct Sensor {
    body: Rc<RefCell<Body>>,
    channel: Rc<Cell<ChannelID>>,
    /// The command was cancelled, or the power went.
    given_up: bool,
}

impl Fingerprint for Sensor {
    fn prepare_enrollment(&mut self) -> CtapResult<()> {
        Ok(())
    }

    fn capture_sample(
        &mut self,
        _timeout_ms: Option<usize>,
    ) -> CtapResult<(Ctap2EnrollFeedback, usize, Option<Vec<u8>>)> {
        Ok((Ctap2EnrollFeedback::FpGood, 0, Some(vec![1])))
    }

    fn cancel_enrollment(&mut self) -> CtapResult<()> {
        Ok(())
    }

    fn remove_enrollment(&mut self, _template_id: &[u8]) -> CtapResult<()> {
        Ok(())
    }

    fn check_fingerprint_init(&mut self) -> CtapResult<()> {
        self.given_up = false;
        self.body.borrow().blink();
        Ok(())
    }

    /// OpenSK knows no way to cancel here: it is told that no finger came, for as often as it asks, and answers so.
    fn check_fingerprint(&mut self, timeout_ms: usize) -> Result<(), FingerprintCheckError> {
        if self.given_up {
            return Err(FingerprintCheckError::Timeout);
        }
        let mut body = self.body.borrow_mut();
        match body.wait_for_touch(Duration::from_millis(timeout_ms as u64)) {
            Wait::Touched if body.finger() == Finger::Right => return Ok(()),
            Wait::Touched => return Err(FingerprintCheckError::NoMatch),
            Wait::Packet(packet) if cancels(&packet, &self.channel) => {
                body.cancelled();
                self.given_up = true;
            }
            Wait::Cancelled | Wait::PowerLost => self.given_up = true,
            Wait::NotYet | Wait::Packet(_) | Wait::Declined => {}
        }
        Err(FingerprintCheckError::Timeout)
    }

    fn check_fingerprint_complete(&mut self) -> CtapResult<()> {
        self.body.borrow().dark();
        Ok(())
    }

    fn fingerprint_kind(&self) -> FingerprintKind {
        FingerprintKind::Touch
    }

    fn max_capture_samples_required_for_enroll(&self) -> usize {
        1
    }
}
