//! Items of the desktop's keyring (Secret Service), reached through keyring's interface.
//!
//! Its back end blocks, and waits for as long as a prompt stands. So each call runs on a thread of its own with a
//! deadline; a thread whose deadline has passed ends with its prompt, and until then no other call is made: each would wait
//! as long. The connection to the bus lives as long as the call: an idle daemon holds none.
//!
//! The back end's encryption on the way draws from a generator that is not made for keys; nothing here relies on it, since
//! whoever can listen on the user's session bus can ask the keyring as well.

use crate::seal::WalletId;
use crate::slot::SlotError;
use dbus_secret_service_keyring_store::Store;
use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Error};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// The attribute `service` of our items.
const SERVICE: &str = "io.github.fwpd";

/// The way to one item for each wallet.
#[derive(Clone, Debug)]
pub(crate) struct KeyringItem {
    /// What our items of this sort are found by, with the wallet's name.
    prefix: &'static str,
    /// What the user reads in the keyring's own program.
    label: &'static str,
    deadline: Duration,
    /// A call has not come back yet.
    waiting: Arc<AtomicBool>,
}

impl KeyringItem {
    pub(crate) fn new(prefix: &'static str, label: &'static str, deadline: Duration) -> Self {
        Self { prefix, label, deadline, waiting: Arc::default() }
    }

    /// Does `work` with the item of `wallet`, which may or may not be there.
    pub(crate) fn with<T: Send + 'static>(
        &self,
        wallet: &WalletId,
        work: impl FnOnce(Entry) -> Result<T, SlotError> + Send + 'static,
    ) -> Result<T, SlotError> {
        if self.waiting.swap(true, Ordering::AcqRel) {
            return Err(SlotError::TimedOut { seconds: self.deadline.as_secs() });
        }
        let (user, label) = (format!("{}-{wallet}", self.prefix), self.label);
        let (sender, receiver) = sync_channel(1);
        let no_longer = NoLonger(Arc::clone(&self.waiting));
        let call = move || {
            let outcome = call(&user, label, work);
            drop(no_longer);
            sender.send(outcome)
        };
        std::thread::Builder::new()
            .name("secret-service".to_owned())
            .spawn(call)
            .map_err(|error| SlotError::Other(error.to_string()))?;
        receiver.recv_timeout(self.deadline).map_err(|error| match error {
            RecvTimeoutError::Timeout => SlotError::TimedOut { seconds: self.deadline.as_secs() },
            RecvTimeoutError::Disconnected => SlotError::Other("the keyring's client failed".to_owned()),
        })?
    }
}

/// Takes the mark of a call away with it, however it ends.
struct NoLonger(Arc<AtomicBool>);

impl Drop for NoLonger {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn call<T>(
    user: &str,
    label: &str,
    work: impl FnOnce(Entry) -> Result<T, SlotError>,
) -> Result<T, SlotError> {
    let store = Store::new().map_err(|error| SlotError::NoService(error.to_string()))?;
    let entry = store.build(SERVICE, user, Some(&HashMap::from([("label", label)]))).map_err(outcome)?;
    work(entry)
}

/// What a failure of the keyring means for us.
pub(crate) fn outcome(error: Error) -> SlotError {
    use dbus_secret_service::Error as Service;
    let text = error.to_string();
    match &error {
        Error::NoEntry => SlotError::Missing("the keyring has no such item for this wallet".to_owned()),
        Error::Ambiguous(_) => {
            SlotError::Malformed("the keyring has several items for this wallet".to_owned())
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
