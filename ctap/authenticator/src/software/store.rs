//! The software key store.

use super::seal::{CREDENTIAL_ID, open, seal};
use super::state::{MAX_RETRIES, SaltedPin, State};
use super::{Durability, StateStorage, StorageError};
use crate::{CreatedKey, KeyStore, KeyStoreError, PinState, Unlock};
use ctap_core::messages::CredentialId;
use ctap_core::{PinHash, Random, RandomError};
use fwp_cose::key::P256Key;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};
use std::fmt;
use zeroize::Zeroizing;

/// The model "fwpd, keys in software", e24d570b-af0a-43a6-af39-847134ed4840, so that a bank can tell such keys from those in hardware.
pub const AAGUID: [u8; 16] =
    [0xe2, 0x4d, 0x57, 0x0b, 0xaf, 0x0a, 0x43, 0xa6, 0xaf, 0x39, 0x84, 0x71, 0x34, 0xed, 0x48, 0x40];

/// How often a random scalar may be out of range before the source of randomness is given up (each: 2^-32).
const SCALAR_ATTEMPTS: usize = 8;

/// Keys sealed under a master key, in software.
pub struct SoftwareKeyStore<S> {
    storage: S,
    random: Box<dyn Random + Send>,
    state: State,
    /// The last counter value that was given; up to `state.counter` is reserved.
    counter: u32,
    unlocked: bool,
}

impl<S> fmt::Debug for SoftwareKeyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareKeyStore").field("unlocked", &self.unlocked).finish_non_exhaustive()
    }
}

impl From<StorageError> for KeyStoreError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error.0)
    }
}

impl<S: StateStorage> SoftwareKeyStore<S> {
    /// Opens the store whose state is in `storage`. A new one is saved only when its PIN is set.
    ///
    /// # Errors
    /// [`KeyStoreError`].
    pub fn open(mut storage: S, random: impl Random + Send + 'static) -> Result<Self, KeyStoreError> {
        let mut random: Box<dyn Random + Send> = Box::new(random);
        let state = match storage.load()? {
            Some(bytes) => State::decode(&bytes)?,
            None => State::new(&mut *random)?,
        };
        // Reserved values may have been given before a crash.
        let counter = state.counter;
        Ok(Self { storage, random, state, counter, unlocked: false })
    }

    /// Saves `state` durably, and makes it the current one only then.
    fn replace(&mut self, state: State) -> Result<(), KeyStoreError> {
        self.storage.save(&state.encode(), Durability::Durable)?;
        self.state = state;
        Ok(())
    }

    fn generate(&mut self) -> Result<SigningKey, RandomError> {
        let mut scalar = Zeroizing::new([0; 32]);
        for _ in 0..SCALAR_ATTEMPTS {
            self.random.fill(&mut *scalar)?;
            if let Ok(key) = SigningKey::from_slice(scalar.as_slice()) {
                return Ok(key);
            }
        }
        Err(RandomError)
    }
}

impl<S: StateStorage> KeyStore for SoftwareKeyStore<S> {
    fn aaguid(&self) -> [u8; 16] {
        AAGUID
    }

    fn max_credential_id_length(&self) -> usize {
        CREDENTIAL_ID
    }

    fn pin_state(&mut self) -> Result<PinState, KeyStoreError> {
        Ok(PinState { set: self.state.pin.is_some(), retries: self.state.retries })
    }

    fn set_pin(&mut self, pin: &PinHash) -> Result<(), KeyStoreError> {
        let pin = SaltedPin::new(pin, &mut *self.random)?;
        self.replace(State { pin: Some(pin), retries: MAX_RETRIES, ..self.state.clone() })
    }

    fn unlock(&mut self, pin: &PinHash) -> Result<Unlock, KeyStoreError> {
        self.unlocked = false;
        if self.state.pin.is_none() {
            return Err(KeyStoreError::PinNotSet);
        }
        let retries = self.state.retries.checked_sub(1).ok_or(KeyStoreError::PinBlocked)?;
        // One durable save for both: an attempt less, and the counter of the signature that may follow.
        let counter = self.state.counter.max(self.counter.saturating_add(1));
        self.replace(State { retries, counter, ..self.state.clone() })?;
        if !self.state.pin.as_ref().is_some_and(|set| set.is(pin)) {
            return Ok(Unlock::Wrong);
        }
        self.state.retries = MAX_RETRIES;
        self.storage.save(&self.state.encode(), Durability::Lazy)?;
        self.unlocked = true;
        Ok(Unlock::Unlocked)
    }

    fn lock(&mut self) {
        self.unlocked = false;
    }

    fn change_pin(&mut self, new: &PinHash) -> Result<(), KeyStoreError> {
        if !std::mem::take(&mut self.unlocked) {
            return Err(KeyStoreError::Locked);
        }
        self.set_pin(new)
    }

    fn create_key(&mut self, rp_id_hash: &[u8; 32]) -> Result<CreatedKey, KeyStoreError> {
        let key = self.generate()?;
        let credential_id = seal(&self.state.master_key, rp_id_hash, &key, &mut *self.random)?;
        let point = key.verifying_key().to_sec1_point(false);
        let public_key = P256Key::from_sec1(point.as_bytes())
            .map_err(|error| KeyStoreError::Backend(error.to_string()))?;
        Ok(CreatedKey { credential_id, public_key })
    }

    fn owns(&mut self, rp_id_hash: &[u8; 32], credential_id: &CredentialId) -> Result<bool, KeyStoreError> {
        match open(&self.state.master_key, rp_id_hash, credential_id) {
            Ok(_) => Ok(true),
            Err(KeyStoreError::NotOurs) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sign(
        &mut self,
        rp_id_hash: &[u8; 32],
        credential_id: &CredentialId,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, KeyStoreError> {
        if !self.unlocked {
            return Err(KeyStoreError::Locked);
        }
        let key = open(&self.state.master_key, rp_id_hash, credential_id)?;
        // Deterministic nonces (RFC 6979): a bad source of randomness cannot give the key away.
        let signature: Signature =
            key.sign_prehash(digest).map_err(|_| KeyStoreError::Backend("ECDSA".to_owned()))?;
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn next_counter(&mut self) -> Result<u32, KeyStoreError> {
        let next = self.counter.checked_add(1).ok_or(KeyStoreError::Damaged("the counter is used up"))?;
        if next > self.state.counter {
            self.replace(State { counter: next, ..self.state.clone() })?;
        }
        self.counter = next;
        Ok(next)
    }

    fn reset(&mut self) -> Result<(), KeyStoreError> {
        self.unlocked = false;
        // The counter goes on: nothing may ever see it step back.
        let fresh = State { counter: self.state.counter, ..State::new(&mut *self.random)? };
        self.replace(fresh)
    }
}
