//! The machine's TPM: whether it can be used, the authenticator with keys in it, and what its errors mean to a caller.

use std::sync::Arc;
use std::time::Duration;

use ctap_authenticator::software::ReadOnly;
use ctap_authenticator::{Authenticator, HardwareError, ImpliedPresence, KeyStoreError, PlatformDevice};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use ctap_tpm::{Health, Tpm, TpmKeyStore};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::AuthenticatorState;
use tokio::sync::{Mutex, OwnedMutexGuard};
use zbus::names::OwnedUniqueName;

use super::certification::Certification;
use super::piggyback::VaultStorage;
use super::platform::{Home, unopened};
use super::{Os, Piggyback, attestation};
use crate::wallets::Wallet;

/// How long the TPM may take to say how it is, the wait for other questions included.
const ANSWERING: Duration = Duration::from_secs(5);

/// What a wallet has of the TPM besides its state.
#[derive(Debug, Default)]
pub(crate) struct TpmDesk {
    pub(super) turn: Turn,
    /// The certification that was begun last.
    pub(super) certification: Certification,
}

impl TpmDesk {
    /// A connection ended.
    pub(crate) fn connection_ended(&self, name: &OwnedUniqueName) {
        self.certification.connection_ended(name);
    }

    /// Whether no certification is open and no ceremony is at the TPM, not even one that was given up.
    pub(crate) fn is_quiet(&self) -> bool {
        self.certification.is_none() && self.turn.0.try_lock().is_ok()
    }
}

/// A wallet's ceremonies at the TPM: one at a time. Where one was given up because the TPM didn't answer, its thread may still
/// wait, and must not write an old state over a new one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(Arc<Mutex<()>>);

impl Turn {
    fn take(&self) -> Result<OwnedMutexGuard<()>, Error> {
        Arc::clone(&self.0).try_lock_owned().map_err(|_| {
            let text = "the TPM still works on what was cancelled: try again in a moment";
            Error::new(ErrorName::Busy, text)
        })
    }
}

/// Who asks the TPM something outside of ceremonies: one at a time, so that one that doesn't answer holds one thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct TpmDoor(Arc<Mutex<()>>);

/// Does something with the TPM on another thread, for at most `limit`, after which it goes on alone and its result is lost.
///
/// # Errors
/// Those of the work, and [`HardwareError::Busy`].
pub(super) async fn elsewhere<T: Send + 'static>(
    wallet: &Wallet,
    tpm: &Arc<Tpm>,
    limit: Duration,
    work: impl FnOnce(&Arc<Tpm>) -> Result<T, HardwareError> + Send + 'static,
) -> Result<T, HardwareError> {
    let busy = || HardwareError::Busy { cause: format!("no answer within {} seconds", limit.as_secs()) };
    let context = &wallet.context;
    let door = Arc::clone(&context.tpm_door.0);
    let asked = async {
        let share = context.shares.tpm.take(wallet.uid).await;
        let guard = door.lock_owned().await;
        let tpm = Arc::clone(tpm);
        let thread = tokio::task::spawn_blocking(move || {
            let _guard = (guard, share);
            work(&tpm)
        });
        thread.await.unwrap_or_else(|error| {
            tracing::error!(%error, "asking the TPM ended abruptly");
            Err(HardwareError::Gone)
        })
    };
    tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| Err(busy()))
}

/// What the wallet is told about the TPM for diagnosis, in `Wallet1.Status`.
pub(crate) struct TpmStatus {
    /// `ready`, `off` or `unavailable`.
    pub(crate) state: String,
    /// Why not, and what to do.
    pub(crate) problem: Option<String>,
    /// What could be better about it.
    pub(crate) advice: Option<String>,
}

/// How it stands with the TPM.
pub(crate) async fn tpm_status(wallet: &Wallet) -> TpmStatus {
    let status = |state: &str, problem, advice| TpmStatus { state: state.to_owned(), problem, advice };
    let Some(tpm) = &wallet.context.tpm else {
        return status(
            "off",
            Some("the wallet's settings say not to use it ([tpm] address)".to_owned()),
            None,
        );
    };
    match elsewhere(wallet, tpm, ANSWERING, |tpm| tpm.health()).await {
        Ok(health) => {
            let advice = (!health.lockout_password).then(|| LOCKOUT_ADVICE.to_owned());
            match trouble(&health) {
                None => status("ready", None, advice),
                Some(error) => status("unavailable", Some(error.to_string()), advice),
            }
        }
        Err(error) => status("unavailable", Some(error.to_string()), None),
    }
}

const LOCKOUT_ADVICE: &str = "the TPM's lockout hierarchy has no password, so that whoever may use the TPM may have wrong PINs \
                              forgiven and try on: give it one (tpm2_changeauth -c lockout NEW) and keep it";

/// Why a TPM that answers can't be used all the same.
fn trouble(health: &Health) -> Option<HardwareError> {
    if health.owner_password {
        return Some(HardwareError::OwnerPassword);
    }
    let seconds = health.lockout.interval;
    health.lockout.is_locked().then_some(HardwareError::LockedOut { seconds })
}

/// Whether the wallet's user can use keys in the TPM now, and why not. `None`: there is no TPM, or it is not to be used.
pub(super) async fn fitness(wallet: &Wallet) -> Option<Result<(), Error>> {
    let tpm = wallet.context.tpm.as_ref()?;
    // What is wrong with the store is said where the store is needed.
    let state = wallet
        .vault
        .read(|store| store.map_or(Ok(None), |store| store.authenticator_state(AuthenticatorState::Tpm)))
        .await
        .unwrap_or_default();
    let look = move |tpm: &Arc<Tpm>| {
        if let Some(error) = trouble(&tpm.health()?) {
            return Err(error);
        }
        match TpmKeyStore::open(Arc::clone(tpm), ReadOnly(state), Os::default()).and_then(|keys| keys.check())
        {
            Err(KeyStoreError::Hardware(error)) => Err(error),
            // What else is wrong with its state is said when it is opened.
            _ => Ok(()),
        }
    };
    match elsewhere(wallet, tpm, ANSWERING, look).await {
        Err(HardwareError::Missing { .. }) => None,
        fit => Some(fit.map_err(|error| refusal(&error))),
    }
}

type TpmDevice = PlatformDevice<TpmKeyStore<VaultStorage>>;

/// The authenticator with keys in the TPM. Nothing is sent to the TPM yet.
///
/// # Errors
/// `NoAuthenticator`, `AuthenticatorFailed`, those of the store.
pub(super) fn open(home: &Home, piggyback: &Piggyback) -> Result<TpmDevice, Error> {
    let tpm = home.tpm.clone().ok_or_else(off)?;
    let storage = VaultStorage {
        vault: home.vault.clone(),
        which: AuthenticatorState::Tpm,
        piggyback: piggyback.clone(),
    };
    let keys = TpmKeyStore::open(tpm, storage, Os::default()).map_err(|error| unopened(&error));
    let mut keys = piggyback.explain(keys)?;
    if let Some(attestation) = attestation::read(&home.vault)? {
        keys = keys.attested_by(attestation);
    }
    let authenticator = Authenticator::new(keys, Os::default()).map_err(|error| unopened(&error))?;
    let noted = piggyback.clone();
    let device = PlatformDevice::new(authenticator, ImpliedPresence);
    Ok(device.on_hardware_error(move |error| noted.hardware_fails(&error)))
}

/// As [`open`], for a ceremony.
///
/// # Errors
/// As [`open`], and `Busy`.
pub(super) fn open_alone(home: &Home, piggyback: &Piggyback) -> Result<Box<dyn Device>, Error> {
    let turn = home.turn.take()?;
    let device = open(home, piggyback)?;
    Ok(Box::new(Alone { device, _turn: turn }))
}

pub(super) fn off() -> Error {
    let text =
        "the wallet's settings say not to use the TPM ([tpm] address): change that, or use a security key";
    Error::new(ErrorName::NoAuthenticator, text)
}

/// The device of a ceremony that no other is beside. The fields are dropped in this order.
struct Alone {
    device: TpmDevice,
    _turn: OwnedMutexGuard<()>,
}

impl Device for Alone {
    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        self.device.transact(command, on_keepalive, cancel)
    }

    fn end(&mut self) {
        self.device.end();
    }
}

/// What a failure of the TPM means to a caller. Its texts are made for users: each says what to do.
pub(super) fn refusal(error: &HardwareError) -> Error {
    let name = match error {
        HardwareError::Missing { .. } | HardwareError::NoPermission { .. } => ErrorName::NoAuthenticator,
        HardwareError::Busy { .. } => ErrorName::Busy,
        HardwareError::LockedOut { .. } | HardwareError::NearLockout { .. } => ErrorName::AuthenticatorLocked,
        HardwareError::Cleared
        | HardwareError::Replaced
        | HardwareError::ClearedOrReplaced
        | HardwareError::PinDeleted
        | HardwareError::AttestationKeyLost => ErrorName::KeysLost,
        HardwareError::Gone
        | HardwareError::IndexTaken { .. }
        | HardwareError::OwnerPassword
        | HardwareError::NoRoom
        | HardwareError::Failed { .. } => ErrorName::AuthenticatorFailed,
    };
    Error::new(name, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_name_and_keeps_its_remedy() {
        let failed = |command| HardwareError::Failed { command, cause: "0x101".to_owned() };
        let address = || "device:/dev/tpmrm0".to_owned();
        for (error, name) in [
            (
                HardwareError::Missing { address: address(), cause: "no".to_owned() },
                ErrorName::NoAuthenticator,
            ),
            (HardwareError::NoPermission { address: address() }, ErrorName::NoAuthenticator),
            (HardwareError::Busy { cause: "no".to_owned() }, ErrorName::Busy),
            (HardwareError::Gone, ErrorName::AuthenticatorFailed),
            (HardwareError::LockedOut { seconds: 600 }, ErrorName::AuthenticatorLocked),
            (HardwareError::NearLockout { seconds: 600 }, ErrorName::AuthenticatorLocked),
            (HardwareError::Cleared, ErrorName::KeysLost),
            (HardwareError::Replaced, ErrorName::KeysLost),
            (HardwareError::ClearedOrReplaced, ErrorName::KeysLost),
            (HardwareError::PinDeleted, ErrorName::KeysLost),
            (HardwareError::AttestationKeyLost, ErrorName::KeysLost),
            (HardwareError::IndexTaken { index: 1 }, ErrorName::AuthenticatorFailed),
            (HardwareError::OwnerPassword, ErrorName::AuthenticatorFailed),
            (HardwareError::NoRoom, ErrorName::AuthenticatorFailed),
            (failed("TPM2_Sign"), ErrorName::AuthenticatorFailed),
        ] {
            let told = refusal(&error);
            assert_eq!((told.name, told.message), (name, error.to_string()));
        }
    }
}
