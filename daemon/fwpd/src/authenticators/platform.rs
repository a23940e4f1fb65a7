//! The platform authenticators, this computer itself: with keys in the machine's TPM, and with keys in software. Their states
//! are kept in the store.

use std::sync::Arc;

use ctap_authenticator::software::{self, SoftwareKeyStore};
use ctap_authenticator::{Authenticator, ImpliedPresence, KeyStoreError, PlatformDevice};
use ctap_core::transport::Device;
use ctap_tpm::Tpm;
use fwp_dbus::interfaces::AUTHENTICATOR_PREFIX;
use fwp_dbus::types::AuthenticatorInfo;
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuthenticatorKind, AuthenticatorState};

use super::piggyback::VaultStorage;
use super::tpm::{self, Turn};
use super::{Os, PLATFORM, Piggyback, Shown, uuid};
use crate::vault::Vault;
use crate::wallets::Wallet;

/// Which of this computer's own authenticators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// The one with keys in the TPM.
    Tpm,
    /// The one with keys in software.
    Software,
}

/// What they need, on whatever thread.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(super) vault: Vault,
    /// The TPM, unless it is not to be used.
    pub(super) tpm: Option<Arc<Tpm>>,
    pub(super) turn: Turn,
}

impl Home {
    /// Those of a wallet.
    pub(crate) fn of(wallet: &Wallet) -> Self {
        Self { vault: wallet.vault.clone(), tpm: wallet.context.tpm.clone(), turn: wallet.tpm.turn.clone() }
    }
}

impl Platform {
    /// As it stands in dictionaries and paths.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tpm => "tpm",
            Self::Software => "software",
        }
    }

    /// For people. Where keys are is said wherever the authenticator is shown.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tpm => "this computer, keys in its TPM",
            Self::Software => "this computer, keys in software",
        }
    }

    /// The model.
    pub(crate) fn aaguid(self) -> [u8; 16] {
        match self {
            Self::Tpm => ctap_tpm::AAGUID,
            Self::Software => software::AAGUID,
        }
    }

    /// Its object's path.
    pub(crate) fn path(self) -> String {
        format!("{AUTHENTICATOR_PREFIX}/{}", self.as_str())
    }

    /// As the store has it.
    pub(crate) fn in_store(self) -> AuthenticatorKind {
        match self {
            Self::Tpm => AuthenticatorKind::Tpm,
            Self::Software => AuthenticatorKind::Software,
        }
    }

    /// As the user is shown it.
    pub(crate) fn shown(self) -> Shown {
        Shown { kind: self.as_str().to_owned(), name: self.name().to_owned() }
    }

    /// Its properties; `problem`: why it can't be used, empty if it can.
    pub(crate) fn info(self, problem: &str) -> AuthenticatorInfo {
        AuthenticatorInfo {
            kind: self.as_str().to_owned(),
            attachment: PLATFORM.to_owned(),
            name: self.name().to_owned(),
            aaguid: uuid(self.aaguid()),
            versions: ["FIDO_2_0", "FIDO_2_1"].map(str::to_owned).into(),
            usable: problem.is_empty(),
            problem: problem.to_owned(),
        }
    }

    /// Opens it, on a thread that may wait. Each ceremony powers it up anew, and nothing of it stays in memory in between.
    ///
    /// # Errors
    /// `AuthenticatorFailed`, `NoAuthenticator`, `Busy`.
    pub(crate) fn open(self, home: &Home, piggyback: &Piggyback) -> Result<Box<dyn Device>, Error> {
        match self {
            Self::Tpm => tpm::open_alone(home, piggyback),
            Self::Software => open_software(home, piggyback),
        }
    }

    /// As [`Platform::open`], to ask what changes nothing.
    ///
    /// # Errors
    /// `AuthenticatorFailed`, `NoAuthenticator`.
    pub(crate) fn open_to_ask(self, home: &Home, piggyback: &Piggyback) -> Result<Box<dyn Device>, Error> {
        match self {
            Self::Tpm => Ok(Box::new(tpm::open(home, piggyback)?)),
            Self::Software => open_software(home, piggyback),
        }
    }
}

fn open_software(home: &Home, piggyback: &Piggyback) -> Result<Box<dyn Device>, Error> {
    let storage = VaultStorage {
        vault: home.vault.clone(),
        which: AuthenticatorState::Software,
        piggyback: piggyback.clone(),
    };
    let keys = SoftwareKeyStore::open(storage, Os::default()).map_err(|error| unopened(&error))?;
    let authenticator = Authenticator::new(keys, Os::default()).map_err(|error| unopened(&error))?;
    Ok(Box::new(PlatformDevice::new(authenticator, ImpliedPresence)))
}

/// Why it could not be opened.
pub(super) fn unopened(error: &KeyStoreError) -> Error {
    Error::new(ErrorName::AuthenticatorFailed, error.to_string())
}
