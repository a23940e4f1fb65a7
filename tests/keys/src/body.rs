//! The side of a key that its firmware sees: what arrives, and the user's finger.

use crate::Packet;
use crate::key::{Finger, Shared, Touch};
use ctap_core::transport::KeepaliveStatus;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// What arrives at a key.
#[derive(Debug)]
pub enum ToKey {
    /// A packet from USB.
    Packet(Packet),
    /// A command that came without framing.
    Command {
        /// Which one: a cancellation names it.
        number: u64,
        /// Command byte and CBOR.
        bytes: Vec<u8>,
        /// Where keepalives and the response go.
        answers: Sender<Answers>,
    },
    /// The command with this number is no longer wanted.
    Cancel {
        /// Which one.
        number: u64,
    },
    /// What the user does has changed, or the time.
    Look,
    /// Power off and on; the answer says that it is on.
    PowerCycle(Sender<()>),
    /// Power off and on, with USB at its end.
    PlugIn(Sender<Packet>),
    /// Power off.
    Unplug,
}

/// What a key answers to a command that came without framing.
#[derive(Debug)]
pub enum Answers {
    /// It still works or waits.
    Keepalive(KeepaliveStatus),
    /// Status byte and CBOR.
    Response(Vec<u8>),
}

/// What comes of waiting for the user.
#[derive(Debug, PartialEq, Eq)]
pub enum Wait {
    /// A touch.
    Touched,
    /// The user said no.
    Declined,
    /// Nothing yet.
    NotYet,
    /// The command is no longer wanted.
    Cancelled,
    /// A packet arrived meanwhile, from USB: the firmware's to read.
    Packet(Packet),
    /// The power is gone; what it was doing leads nowhere.
    PowerLost,
}

/// What the user does with a key's button, for firmware that looks at it from another thread. Clones are the same button.
#[derive(Clone, Debug)]
pub struct Button {
    shared: Arc<Shared>,
}

impl Button {
    /// The key begins to blink.
    pub fn blink(&self) {
        self.shared.change(|state| {
            state.seen.blinking = true;
            state.seen.blinked += 1;
            state.touched = false;
        });
    }

    /// It stops blinking.
    pub fn dark(&self) {
        self.shared.change(|state| {
            state.seen.blinking = false;
            state.touched = false;
        });
    }

    /// Whether it blinks.
    pub fn is_blinking(&self) -> bool {
        self.shared.lock().seen.blinking
    }

    /// What the user has done: touched it, declined, or nothing (`None`).
    pub fn look(&self) -> Option<Wait> {
        self.shared.change(|state| {
            let touched = std::mem::take(&mut state.touched);
            match state.touch {
                _ if touched => {}
                Touch::AtOnce => {}
                Touch::Declines => return Some(Wait::Declined),
                Touch::Waits => return None,
            }
            state.seen.touched += 1;
            Some(Wait::Touched)
        })
    }

    /// The key was asked to make itself noticed.
    pub fn wink(&self) {
        self.shared.change(|state| state.seen.winks += 1);
    }

    /// The time since the key was made, as it believes.
    pub fn now(&self) -> Duration {
        self.shared.now()
    }
}

/// The key's body, on the thread of its firmware.
#[derive(Debug)]
pub struct Body {
    inbox: Receiver<ToKey>,
    later: VecDeque<ToKey>,
    shared: Arc<Shared>,
    /// The number of the command under way.
    command: Option<u64>,
    /// Time spent in waiting for the user, since the beginning of the command or packet.
    waited: Duration,
}

impl Body {
    pub(crate) fn new(inbox: Receiver<ToKey>, shared: Arc<Shared>) -> Self {
        Self { inbox, later: VecDeque::new(), shared, command: None, waited: Duration::ZERO }
    }

    /// What arrives next; `None` if nothing will any more. Blocks.
    pub fn receive(&mut self) -> Option<ToKey> {
        let message = self.later.pop_front().or_else(|| self.inbox.recv().ok())?;
        self.command = match &message {
            ToKey::Command { number, .. } => Some(*number),
            _ => None,
        };
        Some(message)
    }

    /// What arrives within `timeout`: `Ok(None)` if nothing does.
    ///
    /// # Errors
    /// If nothing will any more.
    pub fn receive_within(&mut self, timeout: Duration) -> Result<Option<ToKey>, RecvError> {
        match self.inbox.recv_timeout(timeout) {
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(RecvError),
        }
    }

    /// Work on a command or packet begins: give the instant to [`work_ends`](Self::work_ends).
    pub fn work_begins(&mut self) -> Instant {
        self.waited = Duration::ZERO;
        Instant::now()
    }

    /// Work that began then has ended.
    pub fn work_ends(&mut self, begin: Instant) {
        let own_time = begin.elapsed().saturating_sub(self.waited);
        self.shared.change(|state| state.seen.own_time += own_time);
    }

    /// Whether the power went away during the command under way: nothing of it may be answered.
    pub fn power_lost(&self) -> bool {
        let power =
            |message: &ToKey| matches!(message, ToKey::PowerCycle(_) | ToKey::PlugIn(_) | ToKey::Unplug);
        self.later.iter().any(power)
    }

    /// The time since the key was made, as it believes.
    pub fn now(&self) -> Duration {
        self.shared.now()
    }

    /// Whose finger the user has.
    pub fn finger(&self) -> Finger {
        self.shared.lock().finger
    }

    /// Whether it plays a key without CTAP2 over USB.
    pub fn u2f_only(&self) -> bool {
        self.shared.lock().u2f_only
    }

    /// Its button.
    pub fn button(&self) -> Button {
        Button { shared: Arc::clone(&self.shared) }
    }

    /// It begins to blink.
    pub fn blink(&self) {
        self.button().blink();
    }

    /// It stops blinking.
    pub fn dark(&self) {
        self.button().dark();
    }

    /// It was cancelled while it blinked.
    pub fn cancelled(&self) {
        self.shared.change(|state| state.seen.cancelled += 1);
    }

    /// It got power.
    pub fn powered(&self) {
        self.shared.change(|state| state.seen.powered += 1);
    }

    /// A CTAP2 command reached it.
    pub fn command(&self, bytes: &[u8]) {
        self.shared.change(|state| state.seen.commands.push(bytes.to_vec()));
    }

    /// Waits for the user's touch, at most for `timeout`. The user's mind may change meanwhile, packets may arrive.
    pub fn wait_for_touch(&mut self, timeout: Duration) -> Wait {
        let begin = Instant::now();
        let wait = self.touch_or_message(begin + timeout);
        self.waited += begin.elapsed();
        wait
    }

    fn touch_or_message(&mut self, deadline: Instant) -> Wait {
        if self.power_lost() {
            return Wait::PowerLost;
        }
        loop {
            if let Some(wait) = self.button().look() {
                return wait;
            }
            match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(ToKey::Look) => {
                    if Instant::now() >= deadline {
                        return Wait::NotYet;
                    }
                }
                Ok(ToKey::Packet(packet)) if self.command.is_none() => return Wait::Packet(packet),
                Ok(ToKey::Cancel { number }) if self.command == Some(number) => {
                    self.cancelled();
                    return Wait::Cancelled;
                }
                Ok(ToKey::Cancel { .. }) => {}
                Ok(message @ (ToKey::Command { .. } | ToKey::Packet(_))) => self.later.push_back(message),
                Ok(power) => {
                    self.later.push_back(power);
                    return Wait::PowerLost;
                }
                Err(RecvTimeoutError::Timeout) => return Wait::NotYet,
                // Nobody is left who could touch it or hear of it.
                Err(RecvTimeoutError::Disconnected) => return Wait::PowerLost,
            }
        }
    }
}
