//! The handle of a key: what a hand, a cable and an eye are to a real one.

use crate::Packet;
use crate::body::{Answers, Body, ToKey};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the user does when the key blinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Touch {
    /// Touches it at once.
    #[default]
    AtOnce,
    /// Nothing, until the test touches it ([`Key::touch`]).
    Waits,
    /// Says no (on a key with two buttons).
    Declines,
}

/// Whose finger touches a key with a sensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finger {
    /// The key has no finger enrolled.
    #[default]
    None,
    /// The one that is enrolled.
    Right,
    /// Another one.
    Wrong,
}

/// What was seen of a key so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// It blinks: it waits for a touch.
    pub blinking: bool,
    /// How often it began to blink.
    pub blinked: u64,
    /// How often it was touched while it blinked.
    pub touched: u64,
    /// How often it stopped blinking because the computer cancelled.
    pub cancelled: u64,
    /// How often it was asked to make itself noticed.
    pub winks: u64,
    /// How often it got power.
    pub powered: u64,
    /// Every CTAP2 command that reached it: command byte and CBOR.
    pub commands: Vec<Vec<u8>>,
    /// The time that it has worked on commands and packets, waiting for the user taken off.
    pub own_time: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) touch: Touch,
    /// A touch that the key has not noticed yet.
    pub(crate) touched: bool,
    pub(crate) finger: Finger,
    /// How far the key's clock is ahead.
    pub(crate) ahead: Duration,
    pub(crate) u2f_only: bool,
    pub(crate) seen: Seen,
}

/// What the handles and the key's thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    made: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn new() -> Self {
        Self { made: Instant::now(), state: Mutex::default(), changed: Condvar::new() }
    }

    /// The key's clock.
    pub(crate) fn now(&self) -> Duration {
        self.made.elapsed() + self.lock().ahead
    }

    /// Changes the state and tells those that wait for it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that runs on a thread of its own, until all its handles, devices and endpoints are gone. Clones are the same key.
#[derive(Clone, Debug)]
pub struct Key {
    to_key: Sender<ToKey>,
    shared: Arc<Shared>,
    commands: Arc<AtomicU64>,
}

impl Key {
    /// Starts a key: `run` is its firmware, on a new thread. It ends when [`Body::receive`] says so.
    pub fn start(name: &str, touch: Touch, finger: Finger, run: impl FnOnce(Body) + Send + 'static) -> Self {
        let (to_key, inbox) = channel();
        let shared = Arc::new(Shared::new());
        shared.change(|state| {
            state.touch = touch;
            state.finger = finger;
            state.seen.powered = 1;
        });
        let body = Body::new(inbox, Arc::clone(&shared));
        std::thread::Builder::new().name(name.to_owned()).spawn(move || run(body)).expect("a thread");
        Self { to_key, shared, commands: Arc::default() }
    }

    /// What the user does from now on when the key blinks (and if it blinks already).
    pub fn set_touch(&self, touch: Touch) {
        self.shared.change(|state| state.touch = touch);
        self.tell(ToKey::Look);
    }

    /// Touches the key: `false` if it did not blink, and nothing came of it.
    pub fn touch(&self) -> bool {
        let blinking = self.shared.change(|state| {
            state.touched = state.seen.blinking;
            state.touched
        });
        self.tell(ToKey::Look);
        blinking
    }

    /// Whose finger it is from now on. Only a key that was made with a finger has a sensor.
    pub fn set_finger(&self, finger: Finger) {
        self.shared.change(|state| state.finger = finger);
    }

    /// Lets `time` pass for the key, at once.
    pub fn advance(&self, time: Duration) {
        self.shared.change(|state| state.ahead += time);
        self.tell(ToKey::Look);
    }

    /// Over USB it now is a key that knows U2F alone: no CBOR in its capabilities, and an error to every CTAP2 command.
    pub fn set_u2f_only(&self, u2f_only: bool) {
        self.shared.change(|state| state.u2f_only = u2f_only);
    }

    /// What was seen of it so far.
    pub fn seen(&self) -> Seen {
        self.shared.lock().seen.clone()
    }

    /// Waits until `what` is seen, at most for `patience`: whether it was.
    pub fn wait_until(&self, patience: Duration, what: impl Fn(&Seen) -> bool) -> bool {
        let state = self.shared.lock();
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, patience, |state| !what(&state.seen))
            .unwrap_or_else(PoisonError::into_inner);
        what(&state.seen)
    }

    /// Waits until it blinks, some seconds at most: whether it does.
    pub fn wait_until_blinking(&self) -> bool {
        self.wait_until(Duration::from_secs(20), |seen| seen.blinking)
    }

    /// Waits until it stops blinking, some seconds at most: whether it did.
    pub fn wait_until_dark(&self) -> bool {
        self.wait_until(Duration::from_secs(20), |seen| !seen.blinking)
    }

    /// Takes its power away and gives it back. What it waited for ends without an answer; what it has stored stays.
    pub fn power_cycle(&self) {
        let (done, on) = channel();
        self.tell(ToKey::PowerCycle(done));
        on.recv().expect("the key's thread runs");
    }

    /// Pulls it out of USB: its endpoint is closed, and what it waited for ends without an answer.
    pub fn unplug(&self) {
        self.tell(ToKey::Unplug);
    }

    /// Plugs it into USB, anew each time: it starts with what it has stored, and what was its endpoint before is closed.
    pub fn plug_in(&self) -> Endpoint {
        let (packets, packets_out) = channel();
        self.tell(ToKey::PlugIn(packets));
        Endpoint { packets_in: PacketsIn(self.to_key.clone()), packets_out }
    }

    /// Speaks CTAP to it directly, without a transport's framing.
    pub fn device(&self) -> KeyDevice {
        KeyDevice { key: self.clone() }
    }

    fn tell(&self, message: ToKey) {
        // A thread that has ended, by a panic say, is told apart where an answer is waited for.
        let _ = self.to_key.send(message);
    }
}

/// The interrupt endpoints of a key that is plugged in.
#[derive(Debug)]
pub struct Endpoint {
    /// From the computer to the key.
    pub packets_in: PacketsIn,
    /// From the key to the computer. Closed once the key is unplugged or plugged in elsewhere.
    pub packets_out: Receiver<Packet>,
}

/// From the computer to the key. Clones are the same endpoint.
#[derive(Clone, Debug)]
pub struct PacketsIn(Sender<ToKey>);

impl PacketsIn {
    /// Sends a packet; one to a key that is not there goes nowhere.
    pub fn send(&self, packet: Packet) {
        let _ = self.0.send(ToKey::Packet(packet));
    }
}

/// A key as a [`Device`], without a transport's framing.
#[derive(Clone, Debug)]
pub struct KeyDevice {
    key: Key,
}

/// How long a key may be silent: it says every tenth of a second that it waits for its user.
const SILENCE: Duration = Duration::from_secs(60);

impl Device for KeyDevice {
    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        let number = self.key.commands.fetch_add(1, Ordering::Relaxed);
        let (answers, from_key) = channel();
        let command = ToKey::Command { number, bytes: command.to_vec(), answers };
        self.key.to_key.send(command).map_err(|_| TransportError::Gone)?;
        let key = self.key.clone();
        let _on_cancel = cancel.on_cancel(move || key.tell(ToKey::Cancel { number }));
        let mut deadline = Instant::now() + SILENCE;
        loop {
            match from_key.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Answers::Response(response)) => return Ok(response),
                Ok(Answers::Keepalive(status)) => {
                    on_keepalive(status);
                    deadline = Instant::now() + SILENCE;
                }
                Err(_) if Instant::now() >= deadline => return Err(TransportError::Timeout),
                Err(_) => return Err(TransportError::Gone),
            }
        }
    }

    fn wink(&mut self) -> Result<(), TransportError> {
        self.key.shared.change(|state| state.seen.winks += 1);
        Ok(())
    }
}
