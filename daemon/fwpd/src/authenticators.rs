//! Authenticators: which there are, and the objects that stand for them. In this version there is one, the platform
//! authenticator with keys in software, whose state is kept in the store.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use ctap_authenticator::software::{self, SoftwareKeyStore, StateStorage, StorageError};
use ctap_authenticator::{Authenticator, ImpliedPresence, PlatformDevice};
use ctap_core::ceremony::{ChangePin, SetPin, get_info};
use ctap_core::messages::{ClientPinRequest, ClientPinResponse, ClientPinSubcommand, Request, Response};
use ctap_core::transport::{CancelToken, Device};
use fwp_dbus::interfaces::{AUTHENTICATOR, AUTHENTICATOR_PREFIX, Interface};
use fwp_dbus::types::{AuthenticatorInfo, PinStatus};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuditEvent, AuditKind, AuthenticatorKind};
use fwp_store::{Changes, Durability};
use zbus::names::OwnedUniqueName;
use zbus::{Message, OwnedObjectPath};
use zeroize::Zeroizing;

pub(crate) use ctap_authenticator::Os;

use crate::call::{Call, Failure};
use crate::ceremonies::{self, Subject, conduct};
use crate::clock;
use crate::interrupts::interrupts;
use crate::objects::{Object, Properties, variant};
use crate::vault::Vault;
use crate::wallets::Wallet;

/// Which authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The platform's, with keys in software.
    Software,
}

impl Kind {
    /// All that there are.
    pub(crate) const ALL: [Self; 1] = [Self::Software];

    /// As it stands in dictionaries and paths.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Software => "software",
        }
    }

    /// For people. That keys are in software is said wherever the authenticator is shown.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Software => "this computer, keys in software",
        }
    }

    /// The model.
    pub(crate) fn aaguid(self) -> [u8; 16] {
        match self {
            Self::Software => software::AAGUID,
        }
    }

    /// Its object's path.
    pub(crate) fn path(self) -> String {
        format!("{AUTHENTICATOR_PREFIX}/{}", self.as_str())
    }

    /// The authenticator with this path.
    pub(crate) fn from_path(path: &str) -> Option<Self> {
        let id = path.strip_prefix(AUTHENTICATOR_PREFIX)?.strip_prefix('/')?;
        Self::ALL.into_iter().find(|kind| kind.as_str() == id)
    }

    /// The authenticator that a card was enrolled with, if this version drives such.
    pub(crate) fn of_card(kind: AuthenticatorKind) -> Option<Self> {
        match kind {
            AuthenticatorKind::Software => Some(Self::Software),
            AuthenticatorKind::Tpm | AuthenticatorKind::Usb | AuthenticatorKind::Nfc => None,
        }
    }

    /// As the store has it.
    pub(crate) fn in_store(self) -> AuthenticatorKind {
        match self {
            Self::Software => AuthenticatorKind::Software,
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

/// The authenticators that there are.
pub(crate) fn list() -> Vec<(OwnedObjectPath, AuthenticatorInfo)> {
    Kind::ALL
        .into_iter()
        .filter_map(|kind| {
            let info = AuthenticatorInfo {
                kind: kind.as_str().to_owned(),
                name: kind.name().to_owned(),
                aaguid: uuid(kind.aaguid()),
            };
            Some((OwnedObjectPath::try_from(kind.path()).ok()?, info))
        })
        .collect()
}

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

/// What is to be committed along with the state of the software authenticator, so that a payment costs no commits of its
/// own: with the durable save that precedes every signature, and with the lazy one after it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Piggyback(Arc<Mutex<Pending>>);

#[derive(Default)]
struct Pending {
    /// Goes with the next durable save.
    changes: Option<Changes>,
    /// A state that waits for the next commit.
    lazy: Option<Zeroizing<Vec<u8>>>,
    /// Why the store could not be read or written: the authenticator itself can't tell.
    failure: Option<Error>,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("changes", &self.changes).finish_non_exhaustive()
    }
}

impl Piggyback {
    /// These changes go with the next durable save.
    pub(crate) fn with(changes: Changes) -> Self {
        Self(Arc::new(Mutex::new(Pending { changes: Some(changes), ..Pending::default() })))
    }

    /// Adds the state that waits to the changes of a commit that is made anyway.
    pub(crate) fn add_lazy(&self, changes: &mut Changes) {
        if let Some(state) = self.lock().lazy.take() {
            changes.put_authenticator_state(state);
        }
    }

    /// The error of the store, where that is why the authenticator failed.
    pub(crate) fn explain<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        outcome.map_err(|error| self.lock().failure.take().unwrap_or(error))
    }

    /// Whether the changes have been committed.
    pub(crate) fn is_committed(&self) -> bool {
        self.lock().changes.is_none()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn fails(&mut self, error: Error) -> StorageError {
        let text = StorageError(error.message.clone());
        self.failure = Some(error);
        text
    }
}

/// The state of the software authenticator, in the user's store.
struct VaultStorage {
    vault: Vault,
    piggyback: Piggyback,
}

impl StateStorage for VaultStorage {
    fn load(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, StorageError> {
        let state = self.vault.read_here(|store| store.map_or(Ok(None), |store| store.authenticator_state()));
        state.map_err(|error| self.piggyback.lock().fails(error))
    }

    fn save(&mut self, state: &[u8], durability: software::Durability) -> Result<(), StorageError> {
        let state = Zeroizing::new(state.to_vec());
        if durability == software::Durability::Lazy {
            self.piggyback.lock().lazy = Some(state);
            return Ok(());
        }
        let mut pending = self.piggyback.lock();
        let mut changes = pending.changes.take().unwrap_or_default();
        changes.put_authenticator_state(state);
        pending.lazy = None;
        let saved = self.vault.write_here(|store| store.commit(changes, Durability::Durable));
        saved.map(|_| ()).map_err(|error| pending.fails(error))
    }
}

/// How to open an authenticator, on the thread of the ceremony. Each ceremony powers the platform's up anew, and nothing
/// of it stays in memory in between.
pub(crate) fn opener(
    kind: Kind,
    vault: &Vault,
    piggyback: &Piggyback,
) -> impl FnOnce() -> Result<Box<dyn Device>, Error> + Send + 'static {
    let storage = VaultStorage { vault: vault.clone(), piggyback: piggyback.clone() };
    move || match kind {
        Kind::Software => {
            let failed = |error: ctap_authenticator::KeyStoreError| {
                Error::new(ErrorName::AuthenticatorFailed, error.to_string())
            };
            let keys = SoftwareKeyStore::open(storage, Os::default()).map_err(failed)?;
            let authenticator = Authenticator::new(keys, Os::default()).map_err(failed)?;
            Ok(Box::new(PlatformDevice::new(authenticator, ImpliedPresence)))
        }
    }
}

/// Saves what a ceremony left to be saved with a later commit, where there is none.
pub(crate) async fn settle(vault: &Vault, piggyback: &Piggyback) {
    let mut changes = Changes::new();
    piggyback.add_lazy(&mut changes);
    if !changes.is_empty() {
        // What is lost if this fails are attempts at the PIN, never gained ones.
        let _ = vault.write(|store| store.commit(changes, Durability::Lazy)).await;
    }
}

/// The object of one authenticator for one user.
#[derive(Debug)]
pub(crate) struct AuthenticatorObject {
    wallet: Rc<Wallet>,
    kind: Kind,
}

/// What is done with a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PinChange {
    Set,
    Change,
}

impl AuthenticatorObject {
    /// The object.
    pub(crate) fn new(wallet: Rc<Wallet>, kind: Kind) -> Self {
        Self { wallet, kind }
    }

    async fn pin_status(&self) -> Result<PinStatus, Failure> {
        let open = opener(self.kind, &self.wallet.vault, &Piggyback::default());
        let asked = tokio::task::spawn_blocking(move || ask_pin_status(&mut *open()?)).await;
        let asked = asked.unwrap_or_else(|error| Err(Error::new(ErrorName::Internal, error.to_string())));
        Ok(asked?)
    }

    /// Begins to set or change the PIN; the outcome goes to the caller by signal.
    async fn begin(&self, change: PinChange, call: &Call) -> Result<Message, Failure> {
        let agent = self.wallet.agents.serving(&call.caller.name)?;
        let turn = self.wallet.floor.take()?;
        match (change, self.pin_status().await?.set) {
            (PinChange::Set, true) => {
                return Err(Failure::new(ErrorName::InvalidState, "a PIN is set already; change it instead"));
            }
            (PinChange::Change, false) => {
                return Err(Failure::new(ErrorName::PinNotSet, "no PIN is set yet; set one first"));
            }
            _ => {}
        }
        let (wallet, kind, caller) = (Rc::clone(&self.wallet), self.kind, call.caller.name.clone());
        tokio::task::spawn_local(async move {
            let end = change_pin(&wallet, kind, change, &agent, &caller).await;
            turn.end(&end);
            let Ok(path) = OwnedObjectPath::try_from(kind.path()) else { return };
            wallet.context.tell_end(&caller, &path, AUTHENTICATOR, "PinFinished", &end).await;
        });
        call.reply(&())
    }
}

/// Runs the ceremony. It is given up when its caller goes away.
async fn change_pin(
    wallet: &Rc<Wallet>,
    kind: Kind,
    change: PinChange,
    agent: &crate::agents::Agent,
    caller: &OwnedUniqueName,
) -> Result<(), Error> {
    let (interrupter, mut interrupts) = interrupts();
    let _watches = wallet.watch(caller, agent, &interrupter);
    let subject = Subject { authenticator: kind, rp_id: None, purpose: "current", payment: None };
    let audited = match change {
        PinChange::Set => AuditKind::PinSet,
        PinChange::Change => AuditKind::PinChanged,
    };
    let piggyback = Piggyback::default();
    let open = opener(kind, &wallet.vault, &piggyback);
    let end = match change {
        PinChange::Set => conduct(SetPin::new(), open, &subject, agent, &mut interrupts).await,
        PinChange::Change => conduct(ChangePin::new(), open, &subject, agent, &mut interrupts).await,
    };
    let end = piggyback.explain(end);
    let mut changes = Changes::new();
    piggyback.add_lazy(&mut changes);
    if end.is_ok() {
        changes.audit(AuditEvent::new(clock::now_ms(), audited));
    }
    if !changes.is_empty() {
        wallet.vault.write(|store| store.commit(changes, Durability::Durable)).await?;
    }
    end
}

fn ask_pin_status(device: &mut dyn Device) -> Result<PinStatus, Error> {
    let cancel = CancelToken::new();
    let failed = |error: ctap_core::Error| ceremonies::refusal(&error);
    let nonsense = |error: String| Error::new(ErrorName::AuthenticatorFailed, error);
    let info = get_info(device, &cancel).map_err(failed)?;
    let set = info.option("clientPin") == Some(true);
    let request =
        ClientPinRequest { protocol: info.protocol(), subcommand: ClientPinSubcommand::GetPinRetries };
    let response = device
        .transact(&Request::ClientPin(request).encode(), &mut |_| {}, &cancel)
        .map_err(|error| failed(error.into()))?;
    let response = ClientPinResponse::decode(&response)
        .map_err(|error| nonsense(error.to_string()))?
        .map_err(|status| nonsense(status.to_string()))?;
    let retries = u32::try_from(response.pin_retries.unwrap_or_default()).unwrap_or(u32::MAX);
    Ok(PinStatus { set, retries, min_length: info.min_pin_code_points(), blocked: set && retries == 0 })
}

impl Object for AuthenticatorObject {
    const INTERFACE: Interface = AUTHENTICATOR;

    async fn call(&self, member: &str, call: &Call) -> Result<Message, Failure> {
        match member {
            "PinStatus" => {
                call.args::<()>()?;
                call.reply(&self.pin_status().await?)
            }
            "SetPin" => {
                call.args::<()>()?;
                self.begin(PinChange::Set, call).await
            }
            "ChangePin" => {
                call.args::<()>()?;
                self.begin(PinChange::Change, call).await
            }
            _ => Err(Failure::UnknownMethod),
        }
    }

    fn properties(&self) -> Result<Properties, Failure> {
        Ok(vec![
            ("Kind", variant(self.kind.as_str())?),
            ("Name", variant(self.kind.name())?),
            ("Aaguid", variant(uuid(self.kind.aaguid()))?),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aaguids_are_written_as_uuids() {
        assert_eq!(uuid(software::AAGUID), "e24d570b-af0a-43a6-af39-847134ed4840");
    }

    #[test]
    fn every_authenticator_is_found_by_its_path_and_nothing_else_is() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_path(&kind.path()), Some(kind));
        }
        for path in [
            AUTHENTICATOR_PREFIX,
            "/io/github/fwpd/authenticator/",
            "/io/github/fwpd/authenticator/software/x",
        ] {
            assert_eq!(Kind::from_path(path), None);
        }
    }
}
