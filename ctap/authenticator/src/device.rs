//! The authenticator as a device of the client.

use crate::{Authenticator, HardwareError, KeyStore, Presence};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};

/// Asks whether the user is there.
pub trait UserPresence: Send {
    /// Blocks until the user has confirmed or not. While it waits it calls `on_keepalive`, so that the client can tell
    /// the user, and gives up soon after `cancel` was cancelled.
    fn confirm(&mut self, on_keepalive: &mut dyn FnMut(KeepaliveStatus), cancel: &CancelToken) -> Presence;
}

/// The user is there: whoever drives the device has asked already, in a dialog that named what is signed.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImpliedPresence;

impl UserPresence for ImpliedPresence {
    fn confirm(&mut self, _: &mut dyn FnMut(KeepaliveStatus), cancel: &CancelToken) -> Presence {
        if cancel.is_cancelled() { Presence::Cancelled } else { Presence::Confirmed }
    }
}

/// An [`Authenticator`] as a [`Device`].
pub struct PlatformDevice<K, P = ImpliedPresence> {
    authenticator: Authenticator<K>,
    presence: P,
    on_hardware_error: Option<OnHardwareError>,
}

/// Is told how the hardware that keeps the keys failed.
type OnHardwareError = Box<dyn FnMut(HardwareError) + Send>;

impl<K: KeyStore, P: UserPresence> PlatformDevice<K, P> {
    /// The device.
    pub fn new(authenticator: Authenticator<K>, presence: P) -> Self {
        Self { authenticator, presence, on_hardware_error: None }
    }

    /// The same, telling how the hardware that keeps the keys failed: of that, the transport's error has the text alone.
    #[must_use]
    pub fn on_hardware_error(self, tell: impl FnMut(HardwareError) + Send + 'static) -> Self {
        Self { on_hardware_error: Some(Box::new(tell)), ..self }
    }
}

impl<K: KeyStore, P: UserPresence> Device for PlatformDevice<K, P> {
    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        if cancel.is_cancelled() {
            self.authenticator.end_ceremony();
            return Err(TransportError::Cancelled);
        }
        let presence = &mut self.presence;
        let response = self.authenticator.process(command, &mut || presence.confirm(on_keepalive, cancel));
        match self.authenticator.take_hardware_error() {
            Some(error) => {
                let text = error.to_string();
                if let Some(tell) = &mut self.on_hardware_error {
                    tell(error);
                }
                Err(TransportError::Unavailable(text))
            }
            None => Ok(response),
        }
    }

    fn end(&mut self) {
        self.authenticator.end_ceremony();
    }
}
