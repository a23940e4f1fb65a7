//! Both authenticators that every ceremony is tried on, and what they share.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test program uses its part")]

use ctap_authenticator::software::{Durability, SoftwareKeyStore, StateStorage, StorageError};
use ctap_authenticator::{Authenticator, Environment, PlatformDevice, Presence, UserPresence};
use ctap_core::ceremony::{
    AssertionRequest, ChangePin, CredentialRequest, GetAssertion, MakeCredential, NewCredential, SetPin, run,
};
use ctap_core::messages::{RelyingParty, UserAccount};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use ctap_core::{Error, Random, RandomError};
use fwp_cose::SignatureAlgorithm;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use virtual_keys::suite::Subject;
pub use virtual_keys::{Between, Finger, Key, Touch, Typist, opensk};
use zeroize::Zeroizing;

pub const RP_ID: &str = "bank.example";
pub const PIN: &str = "4711-pin";
pub const HASH: [u8; 32] = [7; 32];

/// Bytes that look random and are the same in every run: SHA-256 in counter mode.
#[derive(Clone, Debug)]
pub struct Fixed {
    seed: u64,
    block: u64,
    /// The clock, which stands still unless a test moves it.
    pub now: Arc<Mutex<Duration>>,
}

impl Fixed {
    pub fn new(seed: u64) -> Self {
        Self { seed, block: 0, now: Arc::default() }
    }
}

impl Random for Fixed {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        for chunk in out.chunks_mut(32) {
            self.block += 1;
            let bytes = Sha256::new()
                .chain_update(self.seed.to_be_bytes())
                .chain_update(self.block.to_be_bytes())
                .finalize();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

impl Environment for Fixed {
    fn now(&mut self) -> Duration {
        *self.now.lock().unwrap()
    }
}

/// The state in memory, shared so that a test can power-cycle; counts its saves.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub Arc<Mutex<MemoryState>>);

#[derive(Debug, Default)]
pub struct MemoryState {
    /// What was saved last, durably or not.
    pub state: Option<Vec<u8>>,
    /// What a power failure leaves.
    pub durable_state: Option<Vec<u8>>,
    pub durable: usize,
    pub lazy: usize,
    pub fail: bool,
    /// How often it was loaded: no two openings have the same random bytes.
    pub loads: u64,
}

impl Memory {
    pub fn power_failure(&self) {
        let mut memory = self.0.lock().unwrap();
        memory.state = memory.durable_state.clone();
    }

    pub fn saves(&self) -> (usize, usize) {
        let memory = self.0.lock().unwrap();
        (memory.durable, memory.lazy)
    }
}

impl StateStorage for Memory {
    fn load(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, StorageError> {
        let mut memory = self.0.lock().unwrap();
        memory.loads += 1;
        Ok(memory.state.clone().map(Zeroizing::new))
    }

    fn save(&mut self, state: &[u8], durability: Durability) -> Result<(), StorageError> {
        let mut memory = self.0.lock().unwrap();
        if memory.fail {
            return Err(StorageError("disk full".to_owned()));
        }
        memory.state = Some(state.to_vec());
        match durability {
            Durability::Durable => {
                memory.durable_state = memory.state.clone();
                memory.durable += 1;
            }
            Durability::Lazy => memory.lazy += 1,
        }
        Ok(())
    }
}

/// The user of the platform authenticator. Clones are the same user, who can change their mind.
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

/// The platform authenticator's memory and its user: what stays when the program that runs it ends.
#[derive(Clone, Debug, Default)]
pub struct Platform {
    pub memory: Memory,
    pub hand: Hand,
}

pub type PlatformAuthenticator = PlatformDevice<SoftwareKeyStore<Memory>, Hand>;

impl Platform {
    pub fn start(&self) -> PlatformAuthenticator {
        let seed = 1000 + 2 * self.memory.0.lock().unwrap().loads;
        let store = SoftwareKeyStore::open(self.memory.clone(), Fixed::new(seed)).unwrap();
        PlatformDevice::new(Authenticator::new(store, Fixed::new(seed + 1)).unwrap(), self.hand.clone())
    }
}

impl Subject for Platform {
    fn open(&mut self) -> Box<dyn Device> {
        Box::new(self.start())
    }

    /// It starts anew whenever it is opened.
    fn power_cycle(&mut self) {}

    fn set_touch(&mut self, touch: Touch) {
        *self.hand.0.lock().unwrap() = touch;
    }

    fn set_finger(&mut self, _: Finger) {}
}

/// A device of one of the two kinds, which can be unplugged and plugged in again.
#[allow(clippy::large_enum_variant, reason = "there are only ever a few")]
pub enum AnyDevice {
    Platform { device: PlatformAuthenticator, platform: Platform },
    Opensk(Key),
}

impl AnyDevice {
    pub fn platform(touch: Touch) -> Self {
        let mut platform = Platform::default();
        platform.set_touch(touch);
        Self::Platform { device: platform.start(), platform }
    }

    pub fn opensk(touch: Touch) -> Self {
        Self::Opensk(opensk::key(touch))
    }

    /// Both kinds, each for one run of a test.
    pub fn both(touch: Touch) -> [(&'static str, Self); 2] {
        [("platform", Self::platform(touch)), ("opensk", Self::opensk(touch))]
    }

    pub fn power_cycle(&mut self) {
        match self {
            Self::Platform { device, platform } => *device = platform.start(),
            Self::Opensk(key) => key.power_cycle(),
        }
    }

    pub fn set_touch(&mut self, touch: Touch) {
        match self {
            Self::Platform { platform, .. } => platform.set_touch(touch),
            Self::Opensk(key) => key.set_touch(touch),
        }
    }
}

impl Device for &mut AnyDevice {
    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        (**self).transact(command, on_keepalive, cancel)
    }
}

impl Device for AnyDevice {
    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        match self {
            Self::Platform { device, .. } => device.transact(command, on_keepalive, cancel),
            Self::Opensk(key) => key.device().transact(command, on_keepalive, cancel),
        }
    }
}

pub fn credential_request() -> CredentialRequest {
    CredentialRequest {
        rp: RelyingParty { id: RP_ID.to_owned(), name: Some("Bank".to_owned()) },
        user: UserAccount {
            id: vec![1; 16],
            name: Some("alice".to_owned()),
            display_name: Some("Alice".to_owned()),
        },
        client_data_hash: HASH,
        algorithms: vec![SignatureAlgorithm::Es256],
        exclude: Vec::new(),
    }
}

pub fn assertion_request(credential: &NewCredential) -> AssertionRequest {
    AssertionRequest {
        rp_id: RP_ID.to_owned(),
        client_data_hash: [9; 32],
        credential_id: credential.credential_id.clone(),
        public_key: credential.public_key.clone(),
        algorithm: credential.algorithm,
    }
}

pub fn set_pin(device: &mut dyn Device, pin: &str) -> Result<(), Error> {
    run(&mut SetPin::new(), device, &mut Typist::new(&[pin]), &mut Fixed::new(10), &CancelToken::new())
}

pub fn change_pin(device: &mut dyn Device, user: &mut Typist) -> Result<(), Error> {
    run(&mut ChangePin::new(), device, user, &mut Fixed::new(11), &CancelToken::new())
}

pub fn make_credential(
    device: &mut dyn Device,
    user: &mut Typist,
    request: CredentialRequest,
) -> Result<NewCredential, Error> {
    run(&mut MakeCredential::new(request), device, user, &mut Fixed::new(12), &CancelToken::new())
}

pub fn get_assertion(
    device: &mut dyn Device,
    user: &mut Typist,
    request: AssertionRequest,
) -> Result<ctap_core::ceremony::Assertion, Error> {
    run(&mut GetAssertion::new(request), device, user, &mut Fixed::new(13), &CancelToken::new())
}

/// A device with a PIN and a key.
pub fn enrolled(mut device: AnyDevice) -> (AnyDevice, NewCredential) {
    set_pin(&mut device, PIN).unwrap();
    let credential = make_credential(&mut device, &mut Typist::new(&[PIN]), credential_request()).unwrap();
    (device, credential)
}
