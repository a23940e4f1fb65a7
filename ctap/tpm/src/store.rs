//! The key store: each method of [`KeyStore`] as TPM commands.

use crate::attestation::{AttestationKey, Certified};
use crate::connection::{Connection, Tried};
use crate::failure::{Code, Failure};
use crate::pin_object::{self, SECRET, Secret};
use crate::policy::{PolicyDigest, written_nv_name};
use crate::primary::{self, Identity};
use crate::state::{Bound, MAX_RETRIES, State};
use crate::tpm::{Lockout, Tpm};
use crate::unlocked::{Unlocked, load};
use crate::{counter, credential, nv_change_auth, wipe};
use ctap_authenticator::software::{Durability, StateStorage};
use ctap_authenticator::{CreatedKey, HardwareError, KeyStore, KeyStoreError, PinState, Unlock};
use ctap_core::messages::CredentialId;
use ctap_core::{PinHash, Random};
use fwp_cose::SignatureAlgorithm;
use fwp_cose::tpm::TpmStatement;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;
use tss_esapi::handles::{KeyHandle, NvIndexHandle};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::Auth;
use zeroize::Zeroizing;

/// The model "fwpd, keys in a TPM", 88d08c45-9cb0-4089-ab1a-ab39fd266a62, so that a bank can tell such keys from those in software.
pub const AAGUID: [u8; 16] =
    [0x88, 0xd0, 0x8c, 0x45, 0x9c, 0xb0, 0x40, 0x89, 0xab, 0x1a, 0xab, 0x39, 0xfd, 0x26, 0x6a, 0x62];

/// How many NV indices are tried for a new PIN object before chance is given up.
const INDEX_ATTEMPTS: usize = 8;

/// Keys in the TPM, for one wallet.
pub struct TpmKeyStore<S> {
    tpm: Arc<Tpm>,
    storage: S,
    random: Box<dyn Random + Send>,
    state: State,
    unlocked: Option<Unlocked>,
    attestation: Option<Attestation>,
}

/// What vouches for new keys: kept by whoever opens the store, made by the steps of [`AttestationKey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The attestation key.
    pub key: AttestationKey,
    /// DER: its certificate first, then those of the CA, at most 8.
    pub certificates: Vec<Vec<u8>>,
}

impl<S> fmt::Debug for TpmKeyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TpmKeyStore").field("unlocked", &self.unlocked.is_some()).finish_non_exhaustive()
    }
}

impl<S: StateStorage> TpmKeyStore<S> {
    /// Opens the store whose state is in `storage`. Sends nothing to the TPM; a new state is saved only when its PIN is set.
    ///
    /// # Errors
    /// [`KeyStoreError`].
    pub fn open(
        tpm: Arc<Tpm>,
        mut storage: S,
        random: impl Random + Send + 'static,
    ) -> Result<Self, KeyStoreError> {
        let mut random: Box<dyn Random + Send> = Box::new(random);
        let state = match storage.load()? {
            Some(bytes) => State::decode(&bytes)?,
            None => fresh_state(&mut *random)?,
        };
        Ok(Self { tpm, storage, random, state, unlocked: None, attestation: None })
    }

    /// Whether the TPM still has what the keys need: it is the one that the state is bound to, and the PIN is in it. Where no PIN
    /// is set, nothing is asked. Costs up to four commands, the first time of a process one more.
    ///
    /// # Errors
    /// [`HardwareError::Cleared`], [`HardwareError::Replaced`], [`HardwareError::PinDeleted`] and others.
    pub fn check(&self) -> Result<(), KeyStoreError> {
        if !self.state.pin_set() {
            return Ok(());
        }
        let (mut connection, ..) = self.connect()?;
        Ok(self.pin_object(&mut connection).map(drop)?)
    }

    /// Has new keys attested in the `tpm` format from now on. Once the TPM was cleared its attestation key is gone, and making a
    /// key fails ([`HardwareError::AttestationKeyLost`]) until this is left out or is for a new one.
    #[must_use]
    pub fn attested_by(self, attestation: Attestation) -> Self {
        Self { attestation: Some(attestation), ..self }
    }

    /// Has the attestation key say that the key of a credential ID is in this TPM, over `extra_data` (TPM2_Certify, Part 3, section
    /// 18.2).
    ///
    /// # Errors
    /// [`KeyStoreError::Locked`], [`KeyStoreError::NotOurs`] and others.
    pub fn certify(
        &mut self,
        rp_id_hash: &[u8; 32],
        credential_id: &CredentialId,
        attestation_key: &AttestationKey,
        extra_data: &[u8; 32],
    ) -> Result<Certified, KeyStoreError> {
        let (policy, _) = self.policy(rp_id_hash)?;
        let certified = self.with_unlocked(|unlocked| {
            let Some(key) = unlocked.load(&policy, credential_id)? else { return Ok(None) };
            unlocked.certify(key, credential_id, attestation_key, extra_data).map(Some)
        })?;
        certified.ok_or(KeyStoreError::NotOurs)
    }

    /// Saves `state` durably, and makes it the current one only then.
    fn replace(&mut self, state: State) -> Result<(), KeyStoreError> {
        self.storage.save(&state.encode(), Durability::Durable)?;
        self.state = state;
        Ok(())
    }

    /// A connection with the primary loaded, on the TPM that the state is bound to.
    fn connect(&self) -> Result<(Connection, KeyHandle, Bound), KeyStoreError> {
        let bound = self.state.tpm.clone().ok_or(KeyStoreError::PinNotSet)?;
        let mut connection = self.tpm.connect()?;
        let primary = self.tpm.load_primary(&mut connection)?;
        self.tpm.check_identity(&mut connection, primary, &bound.identity)?;
        Ok((connection, primary, bound))
    }

    /// The policy of this wallet's keys for an rpId, and the policyRef in it.
    fn policy(&self, rp_id_hash: &[u8; 32]) -> Result<(PolicyDigest, credential::PolicyRef), KeyStoreError> {
        let public = pin_object::public(self.state.pin_index).map_err(|failure| failure.meaning())?;
        let policy_ref = credential::policy_ref(&self.state.wallet, rp_id_hash);
        Ok((credential::policy(&written_nv_name(&public), &policy_ref), policy_ref))
    }

    /// The PIN object, if it is there and what it should be.
    fn pin_object(&self, connection: &mut Connection) -> Result<NvIndexHandle, HardwareError> {
        let public = pin_object::public(self.state.pin_index).map_err(|failure| failure.meaning())?;
        let handle = match connection.nv_index(public.nv_index()) {
            Ok(handle) => handle,
            Err(failure) if failure.is(&[Code::HANDLE]) => return Err(HardwareError::PinDeleted),
            Err(failure) => return Err(self.tpm.explain(connection, &failure)),
        };
        let name = connection.name(handle).map_err(|failure| failure.meaning())?;
        if name == written_nv_name(&public) { Ok(handle) } else { Err(HardwareError::PinDeleted) }
    }

    /// Runs `work` with the TPM and what is unlocked.
    fn with_unlocked<T>(&mut self, work: impl FnOnce(&mut Unlocked) -> Tried<T>) -> Result<T, KeyStoreError> {
        let mut unlocked = self.unlocked.take().ok_or(KeyStoreError::Locked)?;
        match work(&mut unlocked) {
            Ok(done) => {
                self.unlocked = Some(unlocked);
                Ok(done)
            }
            // It stays locked, and nothing is left in the TPM.
            Err(failure) => Err(self.tpm.explain(&mut unlocked.connection, &failure).into()),
        }
    }

    /// Refuses an attempt, were it with the right PIN, where one more wrong PIN could lock the TPM for all users: to whoever was
    /// wrong already, and to whoever has used up half of what the TPM takes. The TPM forgives with time, and so does this.
    fn keep_below_lockout(&mut self, connection: &mut Connection) -> Result<(), KeyStoreError> {
        let was_wrong = self.state.retries < MAX_RETRIES;
        if !was_wrong && self.state.share == 0 {
            return Ok(());
        }
        let lockout = Lockout::read(connection).map_err(|failure| self.tpm.explain(connection, &failure))?;
        let seconds = lockout.interval;
        self.state.share = self.state.share.min(u8::try_from(lockout.failures).unwrap_or(u8::MAX));
        let used_up = u32::from(self.state.share) >= lockout.fair_share();
        match lockout {
            lockout if lockout.is_locked() => Err(HardwareError::LockedOut { seconds }.into()),
            lockout if was_wrong && lockout.is_near() => Err(HardwareError::NearLockout { seconds }.into()),
            _ if used_up => Err(HardwareError::NearLockout { seconds }.into()),
            _ => Ok(()),
        }
    }

    fn wrong_pin(&mut self) -> Result<Unlock, KeyStoreError> {
        self.tpm.attempts.was_wrong(self.state.wallet);
        self.save_wrong_pins()?;
        Ok(Unlock::Wrong)
    }

    /// Saves the wrong PINs that could not be saved when they were typed, for lack of room say.
    fn save_wrong_pins(&mut self) -> Result<(), KeyStoreError> {
        let wallet = self.state.wallet;
        let wrong = self.tpm.attempts.to_be_saved(wallet);
        if wrong > 0 {
            let State { retries, share, .. } = self.state;
            let (retries, share) = (retries.saturating_sub(wrong), share.saturating_add(wrong));
            self.replace(State { retries, share, ..self.state.clone() })?;
            self.tpm.attempts.saved(wallet);
        }
        Ok(())
    }

    /// A state without keys or PIN: what the TPM holds against this user stays.
    fn fresh_state(&mut self) -> Result<State, KeyStoreError> {
        let fresh = fresh_state(&mut *self.random)?;
        Ok(State { share: self.state.share, ..fresh })
    }

    /// Makes the PIN object at a free index; the index is saved before, so that a crash leaves nothing that nobody knows.
    fn define_pin_object(
        &mut self,
        connection: &mut Connection,
        session: AuthSession,
        bound: &Bound,
        pin: &Auth,
        secret: &Secret,
    ) -> Result<(), KeyStoreError> {
        for _ in 0..INDEX_ATTEMPTS {
            let fresh = self.fresh_state()?;
            self.replace(State { tpm: Some(bound.clone()), ..fresh })?;
            let public = pin_object::public(self.state.pin_index).map_err(|failure| failure.meaning())?;
            match pin_object::define(connection, session, public, pin, secret) {
                Ok(()) => return Ok(()),
                Err(failure) if failure.is(&[Code::NV_DEFINED]) => {}
                Err(failure) => return Err(self.tpm.explain_owner(connection, &failure).into()),
            }
        }
        Err(HardwareError::IndexTaken { index: self.state.pin_index }.into())
    }

    /// Deletes the PIN object of a setup that was not finished, or of before a reset. Not what is another's.
    fn delete_pin_object(&self, connection: &mut Connection) -> Result<(), HardwareError> {
        let public = pin_object::public(self.state.pin_index).map_err(|failure| failure.meaning())?;
        let mut delete = || -> Tried<()> {
            let handle = match connection.nv_index(public.nv_index()) {
                Ok(handle) => handle,
                Err(failure) if failure.is(&[Code::HANDLE]) => return Ok(()),
                Err(failure) => return Err(failure),
            };
            let name = connection.name(handle)?;
            if name == written_nv_name(&public) || name == crate::policy::unwritten_nv_name(&public) {
                pin_object::delete(connection, handle)?;
            }
            Ok(())
        };
        let deleted = delete();
        deleted.map_err(|failure| self.tpm.explain_owner(connection, &failure))
    }

    fn new_secret(&mut self) -> Result<Secret, KeyStoreError> {
        let mut secret = Zeroizing::new([0; SECRET]);
        // The TPM drops zeros at the end of authorization values, libtss2 does not.
        while secret.last() == Some(&0) {
            self.random.fill(&mut *secret)?;
        }
        Ok(secret)
    }
}

impl<S: StateStorage> KeyStore for TpmKeyStore<S> {
    fn aaguid(&self) -> [u8; 16] {
        AAGUID
    }

    fn max_credential_id_length(&self) -> usize {
        credential::MAX_CREDENTIAL_ID
    }

    fn pin_state(&mut self) -> Result<PinState, KeyStoreError> {
        Ok(PinState { set: self.state.pin_set(), retries: self.state.retries })
    }

    /// A PIN that is set is changed by [`KeyStore::change_pin`] alone: this is [`KeyStoreError::Locked`] then.
    fn set_pin(&mut self, pin: &PinHash) -> Result<(), KeyStoreError> {
        if self.state.pin_set() {
            return Err(KeyStoreError::Locked);
        }
        let mut connection = self.tpm.connect()?;
        let primary = self.tpm.load_primary(&mut connection)?;
        let identity = Identity::read(&mut connection, primary)
            .map_err(|failure| self.tpm.explain(&mut connection, &failure))?;
        // What an attempt before this one left on this TPM.
        if self.state.tpm.as_ref().is_some_and(|before| before.identity.primary == identity.primary) {
            self.delete_pin_object(&mut connection)?;
        }
        counter::check(&mut connection)?;
        let session = connection
            .salted_session(primary)
            .map_err(|failure| self.tpm.explain(&mut connection, &failure))?;
        let bound = Bound { identity, secret_digest: None };
        let secret = self.new_secret()?;
        let auth = pin_object::auth(pin).map_err(|failure| failure.meaning())?;
        self.define_pin_object(&mut connection, session, &bound, &auth, &secret)?;
        let bound = Bound { secret_digest: Some(secret_digest(&secret)), ..bound };
        self.replace(State { tpm: Some(bound), ..self.state.clone() })
    }

    /// The TPM counts a wrong PIN before it says that it is one; what is counted here besides, for CTAP, follows.
    fn unlock(&mut self, pin: &PinHash) -> Result<Unlock, KeyStoreError> {
        self.lock();
        if !self.state.pin_set() {
            return Err(KeyStoreError::PinNotSet);
        }
        self.save_wrong_pins()?;
        if self.state.retries == 0 {
            return Err(KeyStoreError::PinBlocked);
        }
        let (mut connection, primary, bound) = self.connect()?;
        let before = self.state.clone();
        let tpm = Arc::clone(&self.tpm);
        let turn = tpm.attempts.turn();
        self.keep_below_lockout(&mut connection)?;
        let pin_object = self.pin_object(&mut connection)?;
        let pin = pin_object::auth(pin).map_err(|failure| failure.meaning())?;
        let read = |connection: &mut Connection| -> Tried<(AuthSession, Secret)> {
            let session = connection.salted_session(primary)?;
            connection.set_auth(pin_object, &pin)?;
            Ok((session, pin_object::read(connection, session, pin_object)?))
        };
        let (session, secret) = match read(&mut connection) {
            Ok(read) => read,
            Err(failure) if failure.is(&[Code::AUTH_FAIL]) => {
                drop((connection, turn));
                return self.wrong_pin();
            }
            Err(failure) => return Err(self.tpm.explain(&mut connection, &failure).into()),
        };
        drop(turn);
        if bound.secret_digest != Some(secret_digest(&secret)) {
            return Err(HardwareError::PinDeleted.into());
        }
        self.state.retries = MAX_RETRIES;
        if self.state != before {
            self.storage.save(&self.state.encode(), Durability::Lazy)?;
        }
        let secret = Auth::try_from(secret.as_slice())
            .map_err(|error| Failure::new("TPM2_NV_Read", &error).meaning())?;
        self.unlocked = Some(Unlocked::new(connection, (primary, session), pin_object, (pin, secret)));
        Ok(Unlock::Unlocked)
    }

    fn lock(&mut self) {
        self.unlocked = None;
        wipe::stack();
    }

    fn change_pin(&mut self, new: &PinHash) -> Result<(), KeyStoreError> {
        let old = self.unlocked.take().ok_or(KeyStoreError::Locked)?.pin;
        let new = pin_object::auth(new).map_err(|failure| failure.meaning())?;
        let primary = self.tpm.primary.context().ok_or(HardwareError::Gone)?;
        nv_change_auth::nv_change_auth(&self.tpm, primary, self.state.pin_index, &old, &new)
            .map_err(|failure| match self.tpm.connect() {
                Ok(mut connection) => self.tpm.explain(&mut connection, &failure),
                Err(error) => error,
            })
            .map_err(KeyStoreError::from)
    }

    /// Locked as signing is: the new key gets the secret of the PIN object.
    fn create_key(&mut self, rp_id_hash: &[u8; 32]) -> Result<CreatedKey, KeyStoreError> {
        let (policy, _) = self.policy(rp_id_hash)?;
        self.with_unlocked(|unlocked| {
            let template = credential::public(&policy, None)?;
            let (primary, secret) = (unlocked.primary, unlocked.secret.clone());
            let session = unlocked.session()?;
            let made = unlocked.connection.run_with("TPM2_Create", session, |context| {
                context.create(primary, template, Some(secret), None, None, None)
            })?;
            Ok(CreatedKey {
                credential_id: credential::encode(&made.out_public, &made.out_private)?,
                public_key: credential::public_key(&made.out_public)?,
            })
        })
    }

    fn owns(&mut self, rp_id_hash: &[u8; 32], credential_id: &CredentialId) -> Result<bool, KeyStoreError> {
        let (policy, _) = self.policy(rp_id_hash)?;
        if self.unlocked.is_some() {
            let loaded = self.with_unlocked(|unlocked| unlocked.load(&policy, credential_id))?;
            return Ok(loaded.is_some());
        }
        if !self.state.pin_set() {
            return Ok(false);
        }
        let decoded = credential::decode(credential_id, &policy).map_err(|failure| failure.meaning())?;
        let Some(parts) = decoded else { return Ok(false) };
        let (mut connection, primary, _) = self.connect()?;
        let loaded = load(&mut connection, AuthSession::Password, primary, parts);
        Ok(loaded.map_err(|failure| self.tpm.explain(&mut connection, &failure))?.is_some())
    }

    fn sign(
        &mut self,
        rp_id_hash: &[u8; 32],
        credential_id: &CredentialId,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, KeyStoreError> {
        let (policy, policy_ref) = self.policy(rp_id_hash)?;
        let signed = self.with_unlocked(|unlocked| {
            let Some(key) = unlocked.load(&policy, credential_id)? else { return Ok(None) };
            unlocked.sign(key, &policy_ref, digest).map(Some)
        })?;
        signed.ok_or(KeyStoreError::NotOurs)
    }

    fn attest(
        &mut self,
        rp_id_hash: &[u8; 32],
        credential_id: &CredentialId,
        digest: &[u8; 32],
    ) -> Result<Option<TpmStatement>, KeyStoreError> {
        let Some(Attestation { key, certificates }) = self.attestation.clone() else { return Ok(None) };
        let certified = self.certify(rp_id_hash, credential_id, &key, digest)?;
        Ok(Some(TpmStatement {
            alg: SignatureAlgorithm::Es256.id(),
            certificates,
            signature: certified.signature,
            cert_info: certified.cert_info,
            pub_area: certified.public,
        }))
    }

    fn next_counter(&mut self) -> Result<u32, KeyStoreError> {
        let value = if self.unlocked.is_some() {
            self.with_unlocked(|unlocked| {
                let session = unlocked.session()?;
                counter::next(&mut unlocked.connection, session)
            })?
        } else {
            let mut connection = self.tpm.connect()?;
            counter::next(&mut connection, AuthSession::Password)
                .map_err(|failure| self.tpm.explain(&mut connection, &failure))?
        };
        u32::try_from(value).map_err(|_| KeyStoreError::Damaged("the counter is used up"))
    }

    /// Where the TPM is not the one that the state is bound to any more, there is nothing of this wallet in it to delete.
    fn reset(&mut self) -> Result<(), KeyStoreError> {
        self.lock();
        self.save_wrong_pins()?;
        let mut connection = self.tpm.connect()?;
        if let Some(bound) = self.state.tpm.clone() {
            let primary = self.tpm.load_primary(&mut connection)?;
            let found = primary::name(&mut connection, primary).map_err(|failure| failure.meaning())?;
            if found == bound.identity.primary {
                // Forgotten first: if the TPM fails after that, the next PIN that is set deletes what is left.
                let forgotten = Bound { secret_digest: None, ..bound };
                self.replace(State { tpm: Some(forgotten), ..self.state.clone() })?;
                self.delete_pin_object(&mut connection)?;
            }
        }
        let fresh = self.fresh_state()?;
        self.replace(fresh)
    }
}

fn fresh_state(random: &mut dyn Random) -> Result<State, KeyStoreError> {
    let (mut wallet, mut low) = ([0; 16], [0; 2]);
    random.fill(&mut wallet)?;
    random.fill(&mut low)?;
    let pin_index = pin_object::INDICES.start | u32::from(u16::from_be_bytes(low));
    Ok(State { retries: MAX_RETRIES, share: 0, wallet, pin_index, tpm: None })
}

fn secret_digest(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.as_slice()).into()
}
