//! What all parts of the daemon share: the bus, the settings, the callers.

use std::path::PathBuf;
use std::sync::Arc;

use ctap_tpm::Tpm;
use fwp_dbus::Error;
use fwp_dbus::interfaces::Interface;
use tokio::sync::watch;
use zbus::names::OwnedUniqueName;
use zbus::{Connection, ObjectPath};

use crate::authenticators::{SecurityKeys, TpmDoor, Watchers};
use crate::callers::Callers;
use crate::config::Config;
use crate::platform::OperatingSystem;
use crate::seats::Herald;
use crate::shares::Shares;
use crate::work::Work;

/// Which bus the daemon serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// One user's bus, one wallet.
    Session,
    /// The system's bus, a wallet for each user.
    System,
}

impl Bus {
    /// `session` or `system`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::System => "system",
        }
    }
}

/// What all parts share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) connection: Connection,
    pub(crate) bus: Bus,
    pub(crate) config: Config,
    pub(crate) state_dir: PathBuf,
    pub(crate) operating_system: OperatingSystem,
    pub(crate) callers: Callers,
    pub(crate) keys: SecurityKeys,
    pub(crate) watchers: Watchers,
    /// The machine's TPM, unless it is not to be used. Whether there is one shows when it is asked.
    pub(crate) tpm: Option<Arc<Tpm>>,
    pub(crate) tpm_door: TpmDoor,
    pub(crate) shares: Shares,
    /// From whom signals about seats are believed.
    pub(crate) herald: Herald,
    /// Told when seats may have become other users'.
    pub(crate) seats_changed: watch::Sender<()>,
    pub(crate) work: Work,
}

impl Context {
    /// Sends a signal to one connection alone. That it can't be delivered is no error: its receiver is gone then.
    pub(crate) async fn tell<B>(
        &self,
        receiver: &OwnedUniqueName,
        path: &ObjectPath<'_>,
        interface: Interface,
        signal: &'static str,
        body: &B,
    ) where
        B: serde::Serialize + zbus::DynamicType,
    {
        let told =
            self.connection.emit_signal(Some(receiver.as_str()), path, interface.name, signal, body).await;
        if let Err(error) = told {
            tracing::debug!(signal, %error, "a signal was not sent");
        }
    }

    /// Sends the signal that ends something: `completed`, or the error.
    pub(crate) async fn tell_end(
        &self,
        receiver: &OwnedUniqueName,
        path: &ObjectPath<'_>,
        interface: Interface,
        signal: &'static str,
        end: &Result<(), Error>,
    ) {
        let (reason, message) = match end {
            Ok(()) => ("completed", ""),
            Err(error) => (error.name.as_str(), error.message.as_str()),
        };
        self.tell(receiver, path, interface, signal, &(reason, message)).await;
    }
}
