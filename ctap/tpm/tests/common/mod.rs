//! A TPM of the test's own, what stays of a wallet when its program ends, and tpm2-tools to look from outside.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test program uses its part")]

use ctap_authenticator::software::{Durability, StateStorage, StorageError};
use ctap_authenticator::{Authenticator, Os, PlatformDevice, Presence, UserPresence};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus};
use ctap_core::{Pin, PinHash};
use ctap_tpm::{Tpm, TpmKeyStore};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use virtual_keys::suite::Subject;
pub use virtual_keys::{Finger, Touch, Typist};
pub use virtual_tpm::*;
use zeroize::Zeroizing;

pub const RP: [u8; 32] = [1; 32];
pub const PIN: &str = "4711-pin";

pub fn hash(pin: &str) -> PinHash {
    Pin::new(pin).unwrap().hash()
}

/// The store's state in memory, shared so that a test can end and start the program, copy it and put the copy back.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub Arc<Mutex<MemoryState>>);

#[derive(Debug, Default)]
pub struct MemoryState {
    pub state: Option<Vec<u8>>,
    pub durable: usize,
    pub lazy: usize,
    pub fail: bool,
}

impl Memory {
    pub fn copy(&self) -> Self {
        let state = self.0.lock().unwrap().state.clone();
        Self(Arc::new(Mutex::new(MemoryState { state, ..MemoryState::default() })))
    }

    pub fn saves(&self) -> (usize, usize) {
        let memory = self.0.lock().unwrap();
        (memory.durable, memory.lazy)
    }
}

impl StateStorage for Memory {
    fn load(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, StorageError> {
        Ok(self.0.lock().unwrap().state.clone().map(Zeroizing::new))
    }

    fn save(&mut self, state: &[u8], durability: Durability) -> Result<(), StorageError> {
        let mut memory = self.0.lock().unwrap();
        if memory.fail {
            return Err(StorageError("disk full".to_owned()));
        }
        memory.state = Some(state.to_vec());
        match durability {
            Durability::Durable => memory.durable += 1,
            Durability::Lazy => memory.lazy += 1,
        }
        Ok(())
    }
}

pub type Store = TpmKeyStore<Memory>;

pub fn open(tpm: &Arc<Tpm>, memory: &Memory) -> Store {
    TpmKeyStore::open(tpm.clone(), memory.clone(), Os::new()).unwrap()
}

/// The user. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Hand(Arc<Mutex<Touch>>);

impl UserPresence for Hand {
    fn confirm(&mut self, on_keepalive: &mut dyn FnMut(KeepaliveStatus), cancel: &CancelToken) -> Presence {
        loop {
            match *self.0.lock().unwrap() {
                Touch::AtOnce => return Presence::Confirmed,
                Touch::Declines => return Presence::Declined,
                Touch::Waits => {}
            }
            on_keepalive(KeepaliveStatus::UserPresenceNeeded);
            if cancel.is_cancelled() {
                return Presence::Cancelled;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A computer with a TPM, a wallet and its user.
pub struct Computer {
    pub swtpm: Swtpm,
    pub tpm: Arc<Tpm>,
    pub memory: Memory,
    pub hand: Hand,
}

impl Computer {
    pub fn new() -> Self {
        let swtpm = Swtpm::new();
        let tpm = swtpm.tpm();
        Self { swtpm, tpm, memory: Memory::default(), hand: Hand::default() }
    }

    pub fn device(&self) -> PlatformDevice<Store, Hand> {
        let store = open(&self.tpm, &self.memory);
        PlatformDevice::new(Authenticator::new(store, Os::new()).unwrap(), self.hand.clone())
    }
}

impl Subject for Computer {
    fn open(&mut self) -> Box<dyn Device> {
        Box::new(self.device())
    }

    /// It starts anew whenever it is opened; the TPM starts anew here.
    fn power_cycle(&mut self) {
        self.swtpm.restart();
    }

    fn set_touch(&mut self, touch: Touch) {
        *self.hand.0.lock().unwrap() = touch;
    }

    fn set_finger(&mut self, _: Finger) {}
}

impl Drop for Computer {
    /// Every test ends with a look at what it left.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.swtpm.left(), Vec::<String>::new(), "objects and sessions are left in the TPM");
        }
    }
}
