//! OpenSK, a security key by another author, in a thread of its own (its state can't move between threads).

use super::Touch;
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use opensk::api::fingerprint::Fingerprint;
use opensk::api::user_presence::UserPresenceError;
use opensk::ctap::{Channel, CtapState};
use opensk::env::Env;
use opensk::env::test::TestEnv;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

enum ToKey {
    Command(Vec<u8>),
    PowerCycle,
}

enum FromKey {
    Keepalive,
    Response(Vec<u8>),
    On,
}

/// OpenSK as a device.
pub struct OpenskDevice {
    to_key: Sender<ToKey>,
    from_key: Receiver<FromKey>,
    cancel: Arc<AtomicBool>,
    touch: Arc<AtomicU8>,
}

impl OpenskDevice {
    pub fn new(touch: Touch) -> Self {
        Self::with_finger(touch, None)
    }

    /// One with a fingerprint enrolled, and a user whose finger is that one (`Some(true)`) or another.
    pub fn with_finger(touch: Touch, finger: Option<bool>) -> Self {
        let (to_key, commands) = channel();
        let (answers, from_key) = channel();
        let cancel = Arc::new(AtomicBool::new(false));
        let touch = Arc::new(AtomicU8::new(touch as u8));
        let device = Self { to_key, from_key, cancel: cancel.clone(), touch: touch.clone() };
        std::thread::spawn(move || key(&commands, &answers, cancel, touch, finger));
        device
    }

    pub fn set_touch(&mut self, touch: Touch) {
        self.touch.store(touch as u8, Ordering::SeqCst);
    }

    pub fn power_cycle(&mut self) {
        self.to_key.send(ToKey::PowerCycle).unwrap();
        assert!(matches!(self.from_key.recv(), Ok(FromKey::On)));
    }
}

fn key(
    commands: &Receiver<ToKey>,
    answers: &Sender<FromKey>,
    cancel: Arc<AtomicBool>,
    touch: Arc<AtomicU8>,
    finger: Option<bool>,
) {
    let mut env = TestEnv::default();
    let keepalives = Mutex::new(answers.clone());
    env.user_presence().set(move || {
        if touch.load(Ordering::SeqCst) == Touch::AtOnce as u8 {
            return Ok(());
        }
        if touch.load(Ordering::SeqCst) == Touch::Declines as u8 {
            return Err(UserPresenceError::Declined);
        }
        loop {
            let _ = keepalives.lock().unwrap().send(FromKey::Keepalive);
            if cancel.load(Ordering::SeqCst) {
                return Err(UserPresenceError::Canceled);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let mut state = CtapState::new(&mut env);
    if let Some(matches) = finger {
        let template = env.create_fingerprint().unwrap();
        if !matches {
            // The key believes that a finger is enrolled; the sensor knows none.
            env.fingerprint().remove_enrollment(&template).unwrap();
        }
    }
    while let Ok(command) = commands.recv() {
        let answer = match command {
            ToKey::Command(bytes) => {
                FromKey::Response(state.process_command(&mut env, &bytes, Channel::MainHid([1, 0, 0, 0])))
            }
            ToKey::PowerCycle => {
                state = CtapState::new(&mut env);
                FromKey::On
            }
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}

impl Device for OpenskDevice {
    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        self.cancel.store(false, Ordering::SeqCst);
        self.to_key.send(ToKey::Command(command.to_vec())).map_err(|_| TransportError::Gone)?;
        loop {
            if cancel.is_cancelled() {
                self.cancel.store(true, Ordering::SeqCst);
            }
            match self.from_key.recv_timeout(Duration::from_secs(10)) {
                Ok(FromKey::Response(response)) => return Ok(response),
                Ok(FromKey::Keepalive) => on_keepalive(KeepaliveStatus::UserPresenceNeeded),
                Ok(FromKey::On) => {}
                Err(_) => return Err(TransportError::Gone),
            }
        }
    }
}
