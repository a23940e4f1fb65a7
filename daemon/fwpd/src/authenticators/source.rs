//! Where the device of a ceremony comes from. It is opened on the ceremony's thread, since that may take the user: a key has
//! to be plugged in, or chosen among several by a touch.

use ctap_client::Wanted;
use ctap_core::messages::CommandCode;
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use fwp_dbus::Error;
use fwp_store::record::AuthenticatorKind;

use super::keys::{self, SecurityKeys};
use super::platform::Home;
use super::{Piggyback, Platform, Which};
use crate::ceremonies::{Stage, Wishes, refusal};
use crate::seats;
use crate::wallets::Wallet;

/// Where a device comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// This computer's own, and whether it matters who sits before it.
    Platform(Platform, Home, Piggyback, bool),
    /// A security key that the wallet's user may use.
    Keys(SecurityKeys, Wanted),
}

/// A device that is open, for as many ceremonies as belong together.
pub(crate) struct Opened {
    pub(crate) device: Box<dyn Device>,
    /// As the store has it.
    pub(crate) kind: AuthenticatorKind,
}

impl Source {
    /// This computer's own.
    pub(crate) fn platform(platform: Platform, wallet: &Wallet, piggyback: &Piggyback) -> Self {
        let seats_matter = seats::matter(&wallet.context);
        Self::Platform(platform, Home::of(wallet), piggyback.clone(), seats_matter)
    }

    /// A security key.
    ///
    /// # Errors
    /// `NoAuthenticator`, if the wallet's user may use no key at all: it would be waited for in vain.
    pub(crate) async fn keys(wallet: &Wallet, wanted: Wanted) -> Result<Self, Error> {
        seats::plugs(&wallet.context, wallet.uid).await?;
        Ok(Self::Keys(wallet.context.keys.clone(), wanted))
    }

    /// An authenticator that there is.
    ///
    /// # Errors
    /// As [`Source::keys`].
    pub(crate) async fn of(which: &Which, wallet: &Wallet, piggyback: &Piggyback) -> Result<Self, Error> {
        match which {
            Which::Platform(platform, _) => Ok(Self::platform(*platform, wallet, piggyback)),
            Which::Key(key) => Self::keys(wallet, Wanted::Key(key.id)).await,
        }
    }

    /// Opens the device, which the user is shown from then on.
    ///
    /// # Errors
    /// What keeps it from being opened, and what the ceremony is ended with meanwhile.
    pub(crate) fn open(self, stage: &mut Stage) -> Result<Opened, Error> {
        match self {
            Self::Platform(platform, home, piggyback, seats_matter) => {
                stage.holds(platform.shown(), None);
                let kind = platform.in_store();
                let device = platform.open(&home, &piggyback)?;
                if !seats_matter {
                    return Ok(Opened { device, kind });
                }
                let device = Guarded { device, seat: None, wishes: stage.wishes() };
                Ok(Opened { device: Box::new(device), kind })
            }
            Self::Keys(keys, wanted) => {
                let (wishes, cancel) = (stage.wishes(), stage.cancel().clone());
                let usable = |description: &_| wishes.may_use(Some(seat_of(description)));
                let chosen = keys.here().choose(&wanted, &usable, stage, &cancel);
                let chosen = chosen.map_err(|error| refusal(&error))?;
                stage.holds(keys::shown(&chosen.description), Some(&chosen.description.seat));
                let kind = keys::in_store(chosen.description.kind);
                let seat = Some(chosen.description.seat);
                let device = Guarded { device: chosen.device, seat, wishes: wishes.clone() };
                Ok(Opened { device: Box::new(device), kind })
            }
        }
    }
}

fn seat_of(description: &ctap_core::transport::DeviceDescription) -> &str {
    &description.seat
}

/// An authenticator whose seat is looked at before each command that uses it: the user may have left the seat while the PIN was
/// typed.
struct Guarded {
    device: Box<dyn Device>,
    /// Where the security key is plugged in; what is in this computer belongs to any seat.
    seat: Option<String>,
    wishes: Wishes,
}

impl Device for Guarded {
    fn begin(&mut self) -> Result<(), TransportError> {
        self.device.begin()
    }

    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        // authenticatorGetInfo uses nothing.
        let harmless = command.first() == Some(&CommandCode::GetInfo.byte());
        if !harmless && !self.wishes.may_use(self.seat.as_deref()) {
            // What ended the ceremony goes before.
            return Err(if cancel.is_cancelled() { TransportError::Cancelled } else { self.not_ours() });
        }
        self.device.transact(command, on_keepalive, cancel)
    }

    fn end(&mut self) {
        self.device.end();
    }

    fn wink(&mut self) -> Result<(), TransportError> {
        self.device.wink()
    }
}

impl Guarded {
    fn not_ours(&self) -> TransportError {
        let text = match self.seat {
            Some(_) => "the security key is plugged in at a seat that is another user's now",
            None => "you don't sit before this computer any more: log in there",
        };
        TransportError::Unavailable(text.to_owned())
    }
}
