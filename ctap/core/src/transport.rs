//! What a transport implements: blocking devices, keepalives, cancellation, hot-plug.
//!
//! A device belongs to one thread at a time and blocks it. What blocks ends soon after its [`CancelToken`] is cancelled,
//! without polling it: see [`CancelToken::on_cancel`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a device says while it works on a command (CTAPHID_KEEPALIVE, CTAP 2.1 section 11.2.9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeepaliveStatus {
    /// It works on the command.
    Processing,
    /// It waits for the user: a touch, or a finger where it verifies by itself.
    UserPresenceNeeded,
}

impl KeepaliveStatus {
    /// The status with this byte, of 1 and 2.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Processing),
            2 => Some(Self::UserPresenceNeeded),
            _ => None,
        }
    }
}

/// Asks, from any thread, that what runs be cancelled. Clones are the same token.
#[derive(Clone, Default)]
pub struct CancelToken(Arc<Mutex<Cancellation>>);

#[derive(Default)]
struct Cancellation {
    cancelled: bool,
    next: u64,
    callbacks: BTreeMap<u64, Box<dyn FnOnce() + Send>>,
}

impl CancelToken {
    /// A token that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels, once and for all. Runs the callbacks, on this thread.
    pub fn cancel(&self) {
        let callbacks = {
            let mut cancellation = self.lock();
            cancellation.cancelled = true;
            std::mem::take(&mut cancellation.callbacks)
        };
        callbacks.into_values().for_each(|callback| callback());
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.lock().cancelled
    }

    /// Calls `callback` once, when the token is cancelled: at once where it was already, else on the thread that
    /// cancels, where it must not block for long. Not any more once the registration is dropped (a call that has begun
    /// by then goes on).
    #[must_use = "dropping the registration takes the callback back"]
    pub fn on_cancel(&self, callback: impl FnOnce() + Send + 'static) -> OnCancel {
        let mut cancellation = self.lock();
        let id = cancellation.next;
        if cancellation.cancelled {
            drop(cancellation);
            callback();
        } else {
            cancellation.next += 1;
            cancellation.callbacks.insert(id, Box::new(callback));
        }
        OnCancel { token: self.clone(), id }
    }

    fn lock(&self) -> MutexGuard<'_, Cancellation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// A callback of a [`CancelToken`]; dropping it takes the callback back.
#[derive(Debug)]
pub struct OnCancel {
    token: CancelToken,
    id: u64,
}

impl Drop for OnCancel {
    fn drop(&mut self) {
        let callback = self.token.lock().callbacks.remove(&self.id);
        // What it holds is dropped outside the lock: it may use the token.
        drop(callback);
    }
}

/// Why a command could not be brought to a device, or its answer back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The token was cancelled; the device has been told to stop.
    #[error("cancelled")]
    Cancelled,
    /// The device is gone.
    #[error("the security key was removed: plug it in and try again")]
    Gone,
    /// Another program has the device.
    #[error("another program uses the security key: close it and try again")]
    Busy,
    /// No permission to open the device.
    #[error("no permission to use the security key: install the udev rules and log in again")]
    Permission,
    /// The device did not answer in time.
    #[error("the security key does not answer: unplug it and plug it in again")]
    Timeout,
    /// It speaks U2F (CTAP1) alone.
    #[error("the security key speaks U2F only, which is too old for payments: use one with FIDO2")]
    TooOld,
    /// The device has no such function (wink, say).
    #[error("the security key can't do that: {0}")]
    Unsupported(&'static str),
    /// What the whole transport needs is not there, a service say. Says what to do.
    #[error("{0}")]
    Unavailable(String),
    /// The device breaks its transport's framing.
    #[error("the security key breaks its transport's rules: {0}")]
    Framing(String),
    /// The operating system's error.
    #[error("the security key can't be used: {0}")]
    Io(String),
}

/// A device that speaks CTAP2.
pub trait Device: Send {
    /// Begins a ceremony: several commands that belong together. A place for what must hold over all of them, an NFC
    /// session say.
    ///
    /// # Errors
    /// [`TransportError`].
    fn begin(&mut self) -> Result<(), TransportError> {
        Ok(())
    }

    /// Sends `command` (command byte and CBOR) and blocks until the response (status byte and CBOR) is there. Calls
    /// `on_keepalive` for every keepalive. Once `cancel` is cancelled, it tells the device to stop (CTAPHID_CANCEL or
    /// its like) and returns soon: with the device's own answer (`CTAP2_ERR_KEEPALIVE_CANCEL`) or, if there is none
    /// in time, with [`TransportError::Cancelled`]. The device is fit for the next command afterwards.
    ///
    /// # Errors
    /// [`TransportError`].
    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError>;

    /// Ends the ceremony, however it went.
    fn end(&mut self) {}

    /// Makes itself noticed, by blinking say (CTAPHID_WINK).
    ///
    /// # Errors
    /// [`TransportError::Unsupported`] where it can't.
    fn wink(&mut self) -> Result<(), TransportError> {
        Err(TransportError::Unsupported("wink"))
    }
}

/// How a device is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TransportKind {
    /// USB HID.
    Usb,
    /// NFC, by PC/SC.
    Nfc,
    /// The platform authenticator with keys in the TPM.
    Tpm,
    /// The platform authenticator with keys in software.
    Software,
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Usb => "usb",
            Self::Nfc => "nfc",
            Self::Tpm => "tpm",
            Self::Software => "software",
        })
    }
}

/// A device that is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceDescription {
    /// How it is connected.
    pub kind: TransportKind,
    /// Which of its transport's devices it is, as long as it is plugged in (or lies on the reader): never the same for a
    /// device that came later.
    pub id: String,
    /// A name for people, as the device gives it: untrusted.
    pub name: String,
    /// The seat that it is plugged in at (systemd's sd-login(3)): `seat0` where nothing says otherwise.
    pub seat: String,
}

/// A transport: finds devices and opens them.
pub trait Transport: Send + Sync {
    /// What its devices are.
    fn kind(&self) -> TransportKind;

    /// The devices that are there now.
    ///
    /// # Errors
    /// [`TransportError`].
    fn devices(&self) -> Result<Vec<DeviceDescription>, TransportError>;

    /// Opens the device with the `id` of a [`DeviceDescription`].
    ///
    /// # Errors
    /// [`TransportError`], `Gone` if it is no longer there.
    fn open(&self, id: &str) -> Result<Box<dyn Device>, TransportError>;

    /// Begins to watch for devices that come and go. What happens after this call is not missed.
    ///
    /// # Errors
    /// [`TransportError`].
    fn watch(&self) -> Result<Box<dyn Watcher>, TransportError>;
}

/// Sees devices come and go.
pub trait Watcher: Send {
    /// Blocks until devices may have come or gone since the watch began or this last returned. Wakes for nothing else
    /// (no polling).
    ///
    /// # Errors
    /// [`TransportError`], `Cancelled` once `cancel` is cancelled.
    fn wait(&mut self, cancel: &CancelToken) -> Result<(), TransportError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn callbacks_run_once_on_cancellation_and_not_after_they_were_taken_back() {
        let count = Arc::new(AtomicU32::new(0));
        let counting = |token: &CancelToken| {
            let count = Arc::clone(&count);
            token.on_cancel(move || {
                count.fetch_add(1, Ordering::SeqCst);
            })
        };
        let token = CancelToken::new();
        let _kept = counting(&token);
        drop(counting(&token));
        token.clone().cancel();
        token.cancel();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let _late = counting(&token);
        assert_eq!(count.load(Ordering::SeqCst), 2, "at once where it was cancelled already");
    }
}
