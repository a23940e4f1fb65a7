//! The desktop's keyring: the slot's own key is an item of the Secret Service, reached through keyring's interface.
//!
//! Its back end blocks, and waits for as long as a prompt stands. So each call runs on a thread of its own with a
//! deadline; a thread whose deadline has passed ends with its prompt. The connection to the bus lives as long as the
//! call: an idle daemon holds none.
//!
//! What travels over the bus and stands in the keyring is the slot's own key, worth nothing without the store's file. The
//! back end's encryption on the way draws from a generator that is not made for keys; nothing here relies on it, since
//! whoever can listen on the user's session bus can ask the keyring as well.

use super::wrap::WrappingKey;
use super::{KeySlot, SlotError, SlotKind};
use crate::seal::{DataKey, WalletId};
use dbus_secret_service_keyring_store::Store;
use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Error};
use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use zeroize::Zeroizing;

/// The attribute `service` of our items.
const SERVICE: &str = "io.github.fwpd";
/// What the user reads in the keyring's own program.
const LABEL: &str = "Key of the payment wallet (fwpd)";

/// A slot whose own key stands in the user's default keyring.
#[derive(Clone, Debug)]
pub struct SecretServiceSlot {
    deadline: Duration,
}

impl SecretServiceSlot {
    /// The slot in the keyring of this session (`DBUS_SESSION_BUS_ADDRESS`); `deadline` is how long a call may wait for
    /// the user to unlock it.
    pub fn new(deadline: Duration) -> Self {
        Self { deadline }
    }

    fn with_item<T: Send + 'static>(
        &self,
        wallet: &WalletId,
        work: impl FnOnce(Entry) -> Result<T, SlotError> + Send + 'static,
    ) -> Result<T, SlotError> {
        let user = format!("wallet-{wallet}");
        let (sender, receiver) = sync_channel(1);
        let call = move || {
            let store = Store::new().map_err(|error| SlotError::NoService(error.to_string()))?;
            let entry =
                store.build(SERVICE, &user, Some(&HashMap::from([("label", LABEL)]))).map_err(outcome)?;
            work(entry)
        };
        std::thread::Builder::new()
            .name("secret-service".to_owned())
            .spawn(move || sender.send(call()))
            .map_err(|error| SlotError::Other(error.to_string()))?;
        receiver.recv_timeout(self.deadline).map_err(|error| match error {
            RecvTimeoutError::Timeout => SlotError::TimedOut { seconds: self.deadline.as_secs() },
            RecvTimeoutError::Disconnected => SlotError::Other("the keyring's client failed".to_owned()),
        })?
    }
}

impl KeySlot for SecretServiceSlot {
    fn kind(&self) -> SlotKind {
        SlotKind::SecretService
    }

    fn wrap(&self, wallet: &WalletId, key: &DataKey) -> Result<Vec<u8>, SlotError> {
        let own = self.with_item(wallet, |entry| match read(&entry) {
            Err(SlotError::Missing(_)) => {
                let key = WrappingKey::generate()?;
                entry.set_secret(key.as_bytes()).map_err(outcome)?;
                Ok(key)
            }
            other => other,
        })?;
        own.wrap(self.kind(), wallet, key)
    }

    fn unwrap(&self, wallet: &WalletId, wrapped: &[u8]) -> Result<DataKey, SlotError> {
        self.with_item(wallet, |entry| read(&entry))?.unwrap(self.kind(), wallet, wrapped)
    }
}

fn read(entry: &Entry) -> Result<WrappingKey, SlotError> {
    let secret = Zeroizing::new(entry.get_secret().map_err(outcome)?);
    WrappingKey::from_slice(&secret)
}

/// What a failure of the keyring means for us.
fn outcome(error: Error) -> SlotError {
    use dbus_secret_service::Error as Service;
    let text = error.to_string();
    match &error {
        Error::NoEntry => SlotError::Missing(format!("the keyring has no \"{LABEL}\" for this wallet")),
        Error::Ambiguous(_) => {
            SlotError::Malformed(format!("the keyring has several \"{LABEL}\" for this wallet"))
        }
        Error::NoStorageAccess(cause) | Error::PlatformFailure(cause) => {
            match cause.downcast_ref::<Service>() {
                Some(Service::Locked | Service::Prompt) => SlotError::Locked(text),
                Some(Service::NoResult) => SlotError::Missing("there is no default keyring".to_owned()),
                Some(Service::Unavailable) => SlotError::NoService(text),
                _ => SlotError::Other(text),
            }
        }
        _ => SlotError::Other(text),
    }
}
