//! What a transport implements: blocking devices, keepalives, cancellation, hot-plug.
//!
//! A device belongs to one thread at a time and blocks it; a transport reads with time-outs, so that it sees a
//! [`CancelToken`] soon (within about 100 ms) and an unplugged device at all.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels, once and for all.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
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
    /// Which of its transport's devices it is, as long as it is plugged in: a path or a reader's name.
    pub id: String,
    /// A name for people, as the device gives it: untrusted.
    pub name: String,
}

/// A transport: finds devices and opens them.
pub trait Transport: Send {
    /// The devices that are there now.
    ///
    /// # Errors
    /// [`TransportError`].
    fn devices(&mut self) -> Result<Vec<DeviceDescription>, TransportError>;

    /// Opens the device with the `id` of a [`DeviceDescription`].
    ///
    /// # Errors
    /// [`TransportError`], `Gone` if it is no longer there.
    fn open(&mut self, id: &str) -> Result<Box<dyn Device>, TransportError>;

    /// Blocks until devices may have come or gone (`true`), or `timeout` is over or `cancel` cancelled (`false`).
    /// A transport without hot-plug just waits.
    ///
    /// # Errors
    /// [`TransportError`].
    fn wait_for_change(&mut self, timeout: Duration, cancel: &CancelToken) -> Result<bool, TransportError>;
}
