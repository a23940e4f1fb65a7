//! Authenticators: this computer's own, and the security keys that are plugged in or lie on a reader.
//!
//! * `platform`: this computer's; `piggyback`: their states, which are in the store.
//! * `tpm`: the one with keys in the TPM; `certification`, `attestation`: what vouches for those keys.
//! * `keys`: security keys, as far as the wallet's user may use them (`crate::seats`).
//! * `source`: where the device of a ceremony comes from, opened on the ceremony's thread.
//! * `object`: `Authenticator1`; `details`: what an authenticator says of itself; `pin` and `reset`: what is done to it.
//! * `watch`: who is told of keys that come and go.

mod attestation;
mod certification;
mod details;
mod keys;
mod object;
mod piggyback;
mod pin;
mod platform;
mod reset;
mod source;
mod tpm;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ctap_core::transport::TransportKind;
use fwp_dbus::interfaces::AUTHENTICATOR_PREFIX;
use fwp_dbus::types::AuthenticatorInfo;
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::AuthenticatorKind;
use zbus::OwnedObjectPath;

pub(crate) use ctap_authenticator::Os;
use keys::KeyPath;
pub(crate) use keys::{SecurityKeys, any_shown};
pub(crate) use object::AuthenticatorObject;
pub(crate) use piggyback::{Piggyback, settle};
pub(crate) use platform::Platform;
pub(crate) use source::Source;
pub(crate) use tpm::{TpmDesk, TpmDoor, tpm_status};
pub(crate) use watch::Watchers;

use crate::seats;
use crate::wallets::Wallet;

/// WebAuthn's words for where an authenticator is.
pub(crate) const PLATFORM: &str = "platform";
/// As [`PLATFORM`]: a security key.
pub(crate) const CROSS_PLATFORM: &str = "cross-platform";

/// An authenticator as the user is shown it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// `software`, `tpm`, `usb`, `nfc`, or `key` for any security key.
    pub(crate) kind: String,
    /// For people, without treacherous characters.
    pub(crate) name: String,
}

/// An authenticator that there is, for one user.
#[derive(Debug, Clone)]
pub(crate) enum Which {
    /// This computer's, and why it can't be used, if it can't.
    Platform(Platform, Result<(), Error>),
    /// A security key.
    Key(Box<ctap_client::Found>),
}

impl Which {
    /// The authenticator with this path, if there is one that the wallet's user may use.
    pub(crate) async fn at(wallet: &Wallet, path: &str) -> Option<Self> {
        let id = path.strip_prefix(AUTHENTICATOR_PREFIX)?.strip_prefix('/')?;
        match id {
            _ if id == Platform::Software.as_str() => Some(Self::software(wallet).await),
            _ if id == Platform::Tpm.as_str() => Self::tpm(wallet).await,
            key => keys::find(wallet, KeyPath::parse(key)?).await.map(|key| Self::Key(Box::new(key))),
        }
    }

    /// The one with keys in software.
    async fn software(wallet: &Wallet) -> Self {
        Self::Platform(Platform::Software, seats::sits_here(&wallet.context, wallet.uid).await)
    }

    /// The one with keys in the TPM, if there is a TPM.
    async fn tpm(wallet: &Wallet) -> Option<Self> {
        let fit = tpm::fitness(wallet).await?;
        // Whose it is goes before how it is.
        Some(Self::Platform(Platform::Tpm, seats::sits_here(&wallet.context, wallet.uid).await.and(fit)))
    }

    /// The better one of this computer's own: with keys in the TPM where it can be used, else in software. What passes, or what a
    /// reset makes good, is no reason to make a key in software unasked: that it can't be used now is then said by name.
    pub(crate) async fn this_computer(wallet: &Wallet) -> Self {
        let unusable =
            |error: &Error| matches!(error.name, ErrorName::NoAuthenticator | ErrorName::AuthenticatorFailed);
        match Self::tpm(wallet).await {
            Some(Self::Platform(_, Err(error))) if unusable(&error) => {
                tracing::info!(reason = error.message, "the key is made in software");
                Self::software(wallet).await
            }
            Some(tpm) => tpm,
            None => Self::software(wallet).await,
        }
    }

    /// Its object's path.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Platform(platform, _) => platform.path(),
            Self::Key(key) => KeyPath::of(key).to_string(),
        }
    }

    /// Its properties.
    pub(crate) fn info(&self) -> AuthenticatorInfo {
        match self {
            Self::Platform(platform, fit) => {
                platform.info(fit.as_ref().err().map_or("", |error| error.message.as_str()))
            }
            Self::Key(key) => keys::info(key),
        }
    }

    /// As the user is shown it.
    pub(crate) fn shown(&self) -> Shown {
        match self {
            Self::Platform(platform, _) => platform.shown(),
            Self::Key(key) => keys::shown(&key.description),
        }
    }
}

/// A card's authenticator, as it stands in dictionaries.
pub(crate) fn kind_of_card(kind: AuthenticatorKind) -> &'static str {
    match kind {
        AuthenticatorKind::Software => "software",
        AuthenticatorKind::Tpm => "tpm",
        AuthenticatorKind::Usb => "usb",
        AuthenticatorKind::Nfc => "nfc",
    }
}

/// The authenticators that there are for the wallet's user.
///
/// # Errors
/// `Internal`, if a path were none.
pub(crate) async fn list(wallet: &Wallet) -> Result<Vec<(OwnedObjectPath, AuthenticatorInfo)>, Error> {
    let platform = Which::tpm(wallet).await.into_iter().chain([Which::software(wallet).await]);
    let keys = keys::visible(wallet).await.into_iter().map(|key| Which::Key(Box::new(key)));
    platform.chain(keys).map(|one| Ok((object_path(&one.path())?, one.info()))).collect()
}

/// How it stands with security keys: what is missing and what to do, where something is.
pub(crate) struct Transports {
    pub(crate) usb: Option<String>,
    pub(crate) nfc: Option<String>,
    /// Why the wallet's user may use none.
    pub(crate) plugs: Option<String>,
}

/// How it stands with security keys.
pub(crate) async fn transports(wallet: &Wallet) -> Transports {
    let listing = keys::list(&wallet.context, wallet.uid).await;
    let problem = |kind| {
        let of = listing.unavailable.iter().find(|(other, _)| *other == kind);
        of.map(|(_, error)| error.to_string())
    };
    let plugs = seats::plugs(&wallet.context, wallet.uid).await;
    Transports {
        usb: problem(TransportKind::Usb),
        nfc: problem(TransportKind::Nfc),
        plugs: plugs.err().map(|error| error.message),
    }
}

fn object_path(path: &str) -> Result<OwnedObjectPath, Error> {
    OwnedObjectPath::try_from(path.to_owned())
        .map_err(|error| Error::new(ErrorName::Internal, error.to_string()))
}

/// Whether a security key is there that the wallet's user may use for payments.
pub(crate) async fn has_usable_key(wallet: &Wallet) -> bool {
    keys::visible(wallet).await.iter().any(|key| keys::problem(key).is_empty())
}

/// Whether what can't be undone was done, however the ceremony around it ended: what was interrupted a moment too late is told
/// and recorded as what it is. Clones are the same.
#[derive(Debug, Clone, Default)]
struct Done(Arc<AtomicBool>);

impl Done {
    /// Notes how it ended in the device.
    fn note<T, E>(&self, result: &Result<T, E>) {
        if result.is_ok() {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// How it ended.
    fn or(&self, end: Result<(), Error>) -> Result<(), Error> {
        if self.0.load(Ordering::SeqCst) { Ok(()) } else { end }
    }
}

/// An AAGUID as it is written.
fn uuid(bytes: [u8; 16]) -> String {
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    let mut text = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if [8, 12, 16, 20].contains(&at) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_done_even_if_it_was_interrupted_then() {
        let interrupted = || Err(Error::new(ErrorName::Declined, "the user declined"));
        let done = Done::default();
        done.note(&Err::<(), _>("not yet"));
        assert_eq!(done.or(interrupted()), interrupted());
        done.clone().note(&Ok::<_, ()>(()));
        assert_eq!(done.or(interrupted()), Ok(()));
    }

    #[test]
    fn aaguids_are_written_as_uuids() {
        assert_eq!(uuid(ctap_authenticator::software::AAGUID), "e24d570b-af0a-43a6-af39-847134ed4840");
    }
}
