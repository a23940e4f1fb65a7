//! A key store that remembers how its hardware failed: a CTAP status has no words for that.

use crate::{CreatedKey, HardwareError, KeyStore, KeyStoreError, PinState, Unlock};
use ctap_core::PinHash;
use ctap_core::messages::CredentialId;
use fwp_cose::tpm::TpmStatement;

pub(crate) struct Recorder<K> {
    keys: K,
    failure: Option<HardwareError>,
}

impl<K> Recorder<K> {
    pub(crate) fn new(keys: K) -> Self {
        Self { keys, failure: None }
    }

    /// The last failure of the hardware since this was last called.
    pub(crate) fn take_failure(&mut self) -> Option<HardwareError> {
        self.failure.take()
    }

    fn record<T>(&mut self, result: Result<T, KeyStoreError>) -> Result<T, KeyStoreError> {
        if let Err(KeyStoreError::Hardware(error)) = &result {
            self.failure = Some(error.clone());
        }
        result
    }
}

impl<K: KeyStore> KeyStore for Recorder<K> {
    fn aaguid(&self) -> [u8; 16] {
        self.keys.aaguid()
    }

    fn max_credential_id_length(&self) -> usize {
        self.keys.max_credential_id_length()
    }

    fn pin_state(&mut self) -> Result<PinState, KeyStoreError> {
        let result = self.keys.pin_state();
        self.record(result)
    }

    fn set_pin(&mut self, pin: &PinHash) -> Result<(), KeyStoreError> {
        let result = self.keys.set_pin(pin);
        self.record(result)
    }

    fn unlock(&mut self, pin: &PinHash) -> Result<Unlock, KeyStoreError> {
        let result = self.keys.unlock(pin);
        self.record(result)
    }

    fn lock(&mut self) {
        self.keys.lock();
    }

    fn change_pin(&mut self, new: &PinHash) -> Result<(), KeyStoreError> {
        let result = self.keys.change_pin(new);
        self.record(result)
    }

    fn create_key(&mut self, rp_id_hash: &[u8; 32]) -> Result<CreatedKey, KeyStoreError> {
        let result = self.keys.create_key(rp_id_hash);
        self.record(result)
    }

    fn owns(&mut self, rp_id_hash: &[u8; 32], credential_id: &CredentialId) -> Result<bool, KeyStoreError> {
        let result = self.keys.owns(rp_id_hash, credential_id);
        self.record(result)
    }

    fn sign(
        &mut self,
        rp_id_hash: &[u8; 32],
        credential_id: &CredentialId,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, KeyStoreError> {
        let result = self.keys.sign(rp_id_hash, credential_id, digest);
        self.record(result)
    }

    fn attest(
        &mut self,
        rp_id_hash: &[u8; 32],
        credential_id: &CredentialId,
        digest: &[u8; 32],
    ) -> Result<Option<TpmStatement>, KeyStoreError> {
        let result = self.keys.attest(rp_id_hash, credential_id, digest);
        self.record(result)
    }

    fn next_counter(&mut self) -> Result<u32, KeyStoreError> {
        let result = self.keys.next_counter();
        self.record(result)
    }

    fn reset(&mut self) -> Result<(), KeyStoreError> {
        let result = self.keys.reset();
        self.record(result)
    }
}
