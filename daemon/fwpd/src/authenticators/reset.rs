//! Reset: all keys and the PIN of an authenticator are deleted, after the user's consent.
//!
//! Most security keys allow it within seconds after they were plugged in only. So where a key refuses, the user is asked to
//! pull it out and plug it in again, and the key that comes then is reset at once.

use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};

use ctap_client::{Found, KeyId, Keys};
use ctap_core::ceremony;
use ctap_core::messages::CommandCode;
use ctap_core::{Error as CtapError, Status};
use fwp_dbus::types::ConsentDetails;
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuditEvent, AuditKind, AuthenticatorKind, AuthenticatorState};
use fwp_store::{Changes, Durability};
use zbus::names::OwnedUniqueName;

use super::keys::SecurityKeys;
use super::{Done, Piggyback, Platform, Source, Which};
use crate::agents::Agent;
use crate::ceremonies::{Stage, Subject, conduct, refusal};
use crate::interrupts::interrupts;
use crate::wallets::Wallet;
use crate::{clock, credentials};

/// Asks the user and resets. It is given up when its caller goes away.
///
/// # Errors
/// The contract's error for what went wrong, or what interrupted.
pub(super) async fn reset(
    which: &Which,
    wallet: &Rc<Wallet>,
    agent: &Agent,
    caller: &OwnedUniqueName,
) -> Result<(), Error> {
    let (interrupter, mut interrupts) = interrupts();
    let _watches = wallet.watch(caller, agent, &interrupter);
    let shown = which.shown();
    let details = ConsentDetails {
        authenticator: Some(shown.kind.clone()),
        authenticator_name: Some(shown.name),
        cards: Some(cards_on(which, wallet).await?),
        ..ConsentDetails::default()
    };
    agent.consent("reset", &details, &mut interrupts).await?;

    let piggyback = Piggyback::default();
    let source = Source::of(which, wallet, &piggyback).await?;
    let key = match which {
        Which::Platform(..) => None,
        Which::Key(key) => Some((wallet.context.keys.clone(), key.clone())),
    };
    let done = Done::default();
    let noted = done.clone();
    let work = move |stage: &mut Stage| match (reset_now(source, stage, &noted), key) {
        (Err(CtapErrorOr::Ctap(error)), Some((keys, key))) if is_too_late(&error) => {
            let id = replugged(&keys, &key, stage)?;
            let source = Source::Keys(keys, ctap_client::Wanted::Key(id));
            reset_now(source, stage, &noted).map_err(CtapErrorOr::into_error)
        }
        (done, _) => done.map_err(CtapErrorOr::into_error),
    };
    // Nobody else can put anything before the user meanwhile, so that it doesn't wait for ever for a key to be plugged in.
    let _patience = interrupter.after(
        wallet.context.config.deadlines.sign,
        Error::new(ErrorName::Timeout, "the reset was not done in time"),
    );
    let end = conduct(work, &Subject::default(), wallet, agent, &mut interrupts).await;
    let end = piggyback.explain(done.or(end));
    let mut changes = Changes::new();
    piggyback.add_lazy(&mut changes);
    if end.is_ok() {
        // Of the authenticator's own state it keeps what it needs by itself: what was counted against the user, say.
        if let Which::Platform(Platform::Tpm, _) = which {
            changes.remove_authenticator_state(AuthenticatorState::TpmAttestation);
        }
        let event = AuditEvent::new(clock::now_ms(), AuditKind::AuthenticatorReset).reason(&shown.kind);
        changes.audit(event);
    }
    if !changes.is_empty() {
        // What can't be recorded has happened all the same.
        if let Err(error) = wallet.vault.write(|store| store.commit(changes, Durability::Durable)).await {
            tracing::error!(%error, "a reset was not recorded");
        }
    }
    end
}

/// How many of the wallet's cards have their keys there, or may have.
async fn cards_on(which: &Which, wallet: &Wallet) -> Result<u32, Error> {
    let cards = credentials::all(wallet).await?;
    let cards = cards.iter().map(|card| card.card.authenticator);
    let on = match which {
        Which::Platform(platform, _) => cards.filter(|on| on.kind == platform.in_store()).count(),
        // A card doesn't know its key but by the model.
        Which::Key(key) => cards
            .filter(|on| matches!(on.kind, AuthenticatorKind::Usb | AuthenticatorKind::Nfc))
            .filter(|on| key.info.as_ref().map_or(true, |info| info.aaguid == on.aaguid))
            .count(),
    };
    Ok(u32::try_from(on).unwrap_or(u32::MAX))
}

/// An error of the device's, which may mean that it has to be plugged in anew; or another.
enum CtapErrorOr {
    Ctap(CtapError),
    Other(Error),
}

impl CtapErrorOr {
    fn into_error(self) -> Error {
        match self {
            Self::Ctap(error) if is_too_late(&error) => Error::new(
                ErrorName::AuthenticatorFailed,
                "the security key allows no reset now: plug it in anew and try again at once",
            ),
            Self::Ctap(error) => refusal(&error),
            Self::Other(error) => error,
        }
    }
}

fn reset_now(source: Source, stage: &mut Stage, noted: &Done) -> Result<(), CtapErrorOr> {
    let mut device = source.open(stage).map_err(CtapErrorOr::Other)?.device;
    let cancel = stage.cancel().clone();
    device.begin().map_err(|error| CtapErrorOr::Ctap(error.into()))?;
    let done = ceremony::reset(&mut *device, stage, &cancel);
    device.end();
    noted.note(&done);
    done.map_err(CtapErrorOr::Ctap)
}

/// CTAP 2.1 section 6.6: too long after it was powered up.
fn is_too_late(error: &CtapError) -> bool {
    matches!(error, CtapError::Status { command: CommandCode::Reset, status: Status::NOT_ALLOWED })
}

/// What the thread that waits is woken for.
enum News {
    Changed,
    Cancelled,
}

/// Waits until `key` was pulled out and one like it plugged in: that one. Waits without a look at the clock; whoever conducts
/// the ceremony ends it.
fn replugged(keys: &SecurityKeys, key: &Found, stage: &Stage) -> Result<KeyId, Error> {
    let (sender, news) = channel();
    let tell = |sender: &Sender<News>, what: News| drop(sender.send(what));
    let changed = sender.clone();
    let _watch = keys.here().watch(move || tell(&changed, News::Changed));
    let cancelled = sender;
    let _on_cancel = stage.cancel().on_cancel(move || tell(&cancelled, News::Cancelled));
    let before: Vec<KeyId> = keys.here().list().keys.iter().map(|key| key.id).collect();
    stage.tell("replug");
    loop {
        if stage.cancel().is_cancelled() {
            return Err(Error::new(ErrorName::Aborted, "cancelled"));
        }
        if let Some(id) = came_back(keys.here(), key, &before, stage) {
            return Ok(id);
        }
        if news.recv().is_err() {
            return Err(Error::new(ErrorName::Internal, "nobody tells of security keys that come"));
        }
    }
}

/// The key that came since, at a seat of the user's, while `key` itself is gone: of the same transport, name and model, and as
/// like it as keys are that don't tell who they are. Of two keys of one model the one with a PIN isn't taken for the one
/// without, nor a full one for an empty one.
fn came_back(keys: &Keys, key: &Found, before: &[KeyId], stage: &Stage) -> Option<KeyId> {
    let now = keys.list().keys;
    if now.iter().any(|there| there.id == key.id) {
        return None;
    }
    let like = |key: &Found| {
        let info = key.info.as_ref().ok()?;
        let pin = (info.option("clientPin"), info.option("uv"), info.force_pin_change);
        Some((info.aaguid, info.firmware_version, info.remaining_discoverable_credentials, pin))
    };
    let back = now.iter().find(|there| {
        !before.contains(&there.id)
            && there.description.kind == key.description.kind
            && there.description.name == key.description.name
            && like(there) == like(key)
    })?;
    stage.wishes().may_use(Some(&back.description.seat)).then_some(back.id)
}
