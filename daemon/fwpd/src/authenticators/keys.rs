//! Security keys over USB and NFC, as far as a wallet's user may use them.

use std::fmt;
use std::sync::Arc;

use ctap_client::{Found, KeyId, Keys, Listing};
use ctap_core::messages::GetInfo;
use ctap_core::transport::{DeviceDescription, TransportKind};

use ctap_hid::UsbTransport;
use ctap_nfc::NfcTransport;
use fwp_dbus::interfaces::AUTHENTICATOR_PREFIX;
use fwp_dbus::types::AuthenticatorInfo;
use fwp_store::record::AuthenticatorKind;
use tokio::sync::Semaphore;
use zbus::OwnedObjectPath;

use super::{CROSS_PLATFORM, Shown, uuid};
use crate::call::Uid;
use crate::context::Context;
use crate::seats;
use crate::wallets::Wallet;

/// Most characters of a key's own name that are shown.
const MAX_NAME: usize = 64;

/// All security keys of the machine. Clones are the same. Looking waits for devices, so that it is done on other threads.
#[derive(Debug, Clone)]
pub(crate) struct SecurityKeys {
    keys: Keys,
    /// However much is asked, so many threads wait for devices at a time.
    threads: Arc<Semaphore>,
}

/// Threads that wait for devices on behalf of calls that nobody is asked about.
const MAX_THREADS: usize = 8;

impl SecurityKeys {
    /// Those over USB and NFC. Nothing is looked for yet.
    pub(crate) fn new() -> Self {
        let keys = Keys::new(vec![Box::new(UsbTransport::new()), Box::new(NfcTransport::new())]);
        Self { keys, threads: Arc::new(Semaphore::new(MAX_THREADS)) }
    }

    /// For threads that may wait.
    pub(crate) fn here(&self) -> &Keys {
        &self.keys
    }

    /// Does something that waits for devices, on another thread.
    ///
    /// # Errors
    /// If that ended abruptly.
    pub(crate) async fn elsewhere<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Keys) -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        // Never closed, so that there is always a permit some time.
        let permit = Arc::clone(&self.threads).acquire_owned().await;
        let keys = self.keys.clone();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&keys)
        })
        .await
    }

    /// What is there, whoever's it is.
    pub(crate) async fn list(&self) -> Listing {
        self.elsewhere(Keys::list).await.unwrap_or_else(|error| {
            tracing::error!(%error, "looking for security keys ended abruptly");
            Listing { keys: Vec::new(), unavailable: Vec::new() }
        })
    }

    async fn find(&self, id: KeyId) -> Option<Found> {
        self.elsewhere(move |keys| keys.find(id)).await.ok().flatten()
    }
}

/// The keys that the wallet's user may use now, those that can't be used at all included.
pub(crate) async fn visible(wallet: &Wallet) -> Vec<Found> {
    visible_to(&wallet.context, wallet.uid).await
}

/// What is there, whoever's it is, for a call of this user's.
pub(crate) async fn list(context: &Context, uid: Uid) -> Listing {
    let _share = context.shares.devices.take(uid).await;
    context.keys.list().await
}

/// As [`visible`], for whoever has no wallet at hand.
pub(crate) async fn visible_to(context: &Context, uid: Uid) -> Vec<Found> {
    // Who may use none has none asked what it can do.
    if seats::plugs(context, uid).await.is_err() {
        return Vec::new();
    }
    let listing = list(context, uid).await;
    if listing.keys.is_empty() {
        return Vec::new();
    }
    // That may have taken seconds.
    let Ok(plugs) = seats::plugs(context, uid).await else { return Vec::new() };
    listing.keys.into_iter().filter(|key| plugs.has(&key.description.seat)).collect()
}

/// One of the keys that the wallet's user may use now.
pub(crate) async fn find(wallet: &Wallet, path: KeyPath) -> Option<Found> {
    // As for `visible_to`.
    seats::plugs(&wallet.context, wallet.uid).await.ok()?;
    let share = wallet.context.shares.devices.take(wallet.uid).await;
    let key = wallet.context.keys.find(path.id).await.filter(|key| KeyPath::of(key) == path)?;
    drop(share);
    seats::may_use(&wallet.context, wallet.uid, &key.description.seat).await.ok()?;
    Some(key)
}

/// A security key's place among the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyPath {
    kind: TransportKind,
    id: KeyId,
}

impl KeyPath {
    /// The key's.
    pub(crate) fn of(key: &Found) -> Self {
        Self { kind: key.description.kind, id: key.id }
    }

    /// The last part of a path, in the one form that it is written in.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, digits) = text.split_once('_')?;
        let kind = [TransportKind::Usb, TransportKind::Nfc].into_iter().find(|of| of.to_string() == kind)?;
        let id: u64 = digits.parse().ok()?;
        (id.to_string() == digits).then_some(Self { kind, id: KeyId(id) })
    }

    /// As an object path.
    pub(crate) fn object(self) -> Option<OwnedObjectPath> {
        OwnedObjectPath::try_from(self.to_string()).ok()
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{AUTHENTICATOR_PREFIX}/{}_{}", self.kind, self.id)
    }
}

/// Why a key can't be used for payments, and what to do; empty if it can.
pub(crate) fn problem(key: &Found) -> String {
    match &key.info {
        // It may quote the key.
        Err(error) => error.to_string().chars().filter(|c| !fwp::text::is_treacherous(*c)).collect(),
        Ok(info) if !can_verify(info) => ctap_core::Error::NoUserVerification.to_string(),
        Ok(info) if info.option("clientPin").is_some() && info.protocol().is_none() => {
            ctap_core::Error::PinUvAuthProtocol.to_string()
        }
        Ok(_) => String::new(),
    }
}

/// Whether it knows of a PIN or another way to verify its user, set up or not.
fn can_verify(info: &GetInfo) -> bool {
    info.option("clientPin").is_some() || info.option("uv").is_some()
}

/// A key's properties.
pub(crate) fn info(key: &Found) -> AuthenticatorInfo {
    let problem = problem(key);
    let said = key.info.as_ref().ok();
    AuthenticatorInfo {
        kind: key.description.kind.to_string(),
        attachment: CROSS_PLATFORM.to_owned(),
        name: own_name(&key.description),
        aaguid: said.map(|info| uuid(info.aaguid)).unwrap_or_default(),
        versions: said.map(|info| harmless_all(&info.versions)).unwrap_or_default(),
        usable: problem.is_empty(),
        problem,
    }
}

/// A key as the user is shown it.
pub(crate) fn shown(description: &DeviceDescription) -> Shown {
    let over = match description.kind {
        TransportKind::Nfc => "NFC",
        _ => "USB",
    };
    Shown {
        kind: description.kind.to_string(),
        name: format!("security key \"{}\" over {over}", own_name(description)),
    }
}

/// Any key: the one that the user touches.
pub(crate) fn any_shown() -> Shown {
    Shown { kind: "key".to_owned(), name: "a security key, the one that you touch".to_owned() }
}

/// As the store has it.
pub(crate) fn in_store(kind: TransportKind) -> AuthenticatorKind {
    match kind {
        TransportKind::Nfc => AuthenticatorKind::Nfc,
        _ => AuthenticatorKind::Usb,
    }
}

fn own_name(description: &DeviceDescription) -> String {
    let name = harmless(&description.name);
    if name.is_empty() { "without a name".to_owned() } else { name }
}

/// Texts of a key that nobody vouches for, as they may be shown.
pub(crate) fn harmless_all(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| harmless(text)).collect()
}

/// Control and bidi characters and quotes go, and so does what is too long.
fn harmless(text: &str) -> String {
    let kept: String =
        text.chars().filter(|c| !fwp::text::is_treacherous(*c) && *c != '"').take(MAX_NAME).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctap_core::transport::TransportError;

    fn key(kind: TransportKind, id: u64, name: &str) -> Found {
        let description =
            DeviceDescription { kind, id: "x".to_owned(), name: name.to_owned(), seat: "seat0".to_owned() };
        let options = vec![("clientPin".to_owned(), true)];
        let info = GetInfo { versions: vec!["FIDO_2_0".to_owned()], options, ..GetInfo::default() };
        Found { id: KeyId(id), description, info: Ok(info) }
    }

    #[test]
    fn a_path_names_one_key_in_one_way() {
        let path = KeyPath::of(&key(TransportKind::Usb, 17, "Key"));
        assert_eq!(path.to_string(), "/io/github/fwpd/authenticator/usb_17");
        assert_eq!(KeyPath::parse("usb_17"), Some(path));
        for other in ["usb_017", "usb_+17", "usb_", "USB_17", "usb17", "software_17", "usb_17/x", "usb_17_"] {
            assert_eq!(KeyPath::parse(other), None, "{other}");
        }
        assert_ne!(KeyPath::parse("nfc_17"), Some(path));
    }

    #[test]
    fn what_a_key_calls_itself_cannot_pretend_to_be_the_dialogs_own_words() {
        let evil = key(TransportKind::Usb, 1, "Key\" over USB\nPay\u{202e} \u{1b}[2J 9 EUR?");
        assert_eq!(shown(&evil.description).name, "security key \"Key over USBPay [2J 9 EUR?\" over USB");
        let long = key(TransportKind::Nfc, 1, &"x".repeat(500));
        assert!(shown(&long.description).name.len() < 100);
        assert_eq!(info(&key(TransportKind::Usb, 1, "\u{7}")).name, "without a name");
    }

    #[test]
    fn a_key_that_cannot_be_used_says_why() {
        let mut key = key(TransportKind::Usb, 1, "Key");
        assert!(info(&key).usable);
        key.info = Err(TransportError::TooOld.into());
        let told = info(&key);
        assert!(!told.usable && told.problem.contains("U2F"), "{}", told.problem);
        key.info = Ok(GetInfo { versions: vec!["FIDO_2_0".to_owned()], ..GetInfo::default() });
        assert!(info(&key).problem.contains("cannot verify its user"));
    }
}
