//! The ways to the store's key: list, add, remove, fill anew.

use std::sync::Arc;

use fwp_dbus::types::{ConsentDetails, SlotInfo, SlotOptions};
use fwp_dbus::{Error, ErrorName};
use fwp_store::slot::{KeySlot, Passphrase, SlotError, SlotKind};
use fwp_store::{Rotation, SlotCheck, SlotId, StoreError, WalletId};
use fwp_store_tpm::Pcrs;

use super::asking::{Asking, asking};
use crate::call::Call;
use crate::clock;
use crate::vault::{Typed, Vault, slot_refusal};
use crate::wallets::Wallet;

const KINDS: [(SlotKind, &str); 5] = [
    (SlotKind::KeyFile, "key-file"),
    (SlotKind::SecretService, "secret-service"),
    (SlotKind::SystemdCredential, "systemd-credential"),
    (SlotKind::Tpm, "tpm"),
    (SlotKind::Passphrase, "passphrase"),
];

fn word(kind: SlotKind) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("unknown", |(_, word)| word)
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorName::InvalidRequest, text)
}

fn nothing_stored() -> Error {
    Error::new(ErrorName::NotFound, "nothing is stored yet: the wallet has no key slots")
}

/// The slots, each tried.
///
/// # Errors
/// `StoreLocked`, `StoreRolledBack`, `StoreUnusable`.
pub(super) async fn list(wallet: &Wallet) -> Result<Vec<SlotInfo>, Error> {
    let checked = wallet
        .vault
        .with_slots(Typed::default(), |store, at_hand| {
            Ok((store.check_slots(at_hand)?, store.opened_by().map(|(id, _)| id)))
        })
        .await?;
    let Some(checked) = checked else { return Ok(Vec::new()) };
    let (slots, opened_by) = checked.map_err(|error| slot_refusal(&error))?;
    Ok(slots.into_iter().map(|slot| info(slot, opened_by)).collect())
}

fn info(slot: SlotCheck, opened_by: Option<SlotId>) -> SlotInfo {
    let (state, problem) = match (&slot.usable, slot.kind) {
        (Ok(()), _) => ("usable", None),
        (Err(SlotError::NotAtHand), SlotKind::Passphrase) => ("ask", None),
        (Err(error), _) => ("unusable", Some(error.to_string())),
    };
    SlotInfo {
        id: slot.id.as_i64(),
        kind: word(slot.kind).to_owned(),
        opened: opened_by == Some(slot.id),
        state: state.to_owned(),
        problem,
    }
}

/// Adds a slot, after the user's consent.
///
/// # Errors
/// `SlotUnusable`, `InvalidRequest`, and those of the store and of asking.
pub(super) async fn add(
    wallet: &Wallet,
    call: &Call,
    kind: &str,
    options: &SlotOptions,
) -> Result<i64, Error> {
    let known = KINDS.iter().find(|(_, word)| *word == kind).map(|(kind, _)| *kind);
    let kind = known.ok_or_else(|| {
        let words: Vec<_> = KINDS.iter().map(|(_, word)| *word).collect();
        invalid(format!("kind: it is one of {}", words.join(", ")))
    })?;
    let pcrs = match (&options.pcrs, kind) {
        (None, _) => None,
        (Some(numbers), SlotKind::Tpm) => {
            Some(Pcrs::new(numbers.iter().copied()).map_err(|error| invalid(format!("pcrs: {error}")))?)
        }
        (Some(_), _) => return Err(invalid("pcrs: for a slot of the kind \"tpm\" alone")),
    };
    // An empty wallet may have its recovery passphrase before its first card. One that can't be opened says so before anybody
    // is asked.
    wallet.vault.write(|_| Ok(())).await?;
    asking(wallet, call, async |user: &mut Asking| {
        let details = ConsentDetails { slot_kind: Some(word(kind).to_owned()), ..ConsentDetails::default() };
        user.consent("slot-add", &details).await?;
        let slot: Box<dyn KeySlot + Send> = match kind {
            SlotKind::Passphrase => Box::new(passphrase_slot(&user.new_passphrase("slot-new").await?)?),
            kind => wallet.vault.slot(kind, pcrs)?,
        };
        let added = wallet
            .vault
            .with_slots(Typed::default(), move |store, _| store.add_slot(&*slot, clock::now_ms()))
            .await?;
        let id = added.ok_or_else(nothing_stored)?.map_err(|error| slot_refusal(&error))?;
        Ok(id.as_i64())
    })
    .await
}

fn passphrase_slot(typed: &fwp_dbus::Passphrase) -> Result<Passphrase, Error> {
    Passphrase::new(typed.expose()).map_err(|error| Error::new(ErrorName::SlotUnusable, error.to_string()))
}

/// Removes a slot, after the user's consent.
///
/// # Errors
/// `SlotUnusable`, `NotFound`, and those of the store and of asking.
pub(super) async fn remove(wallet: &Wallet, call: &Call, id: i64) -> Result<(), Error> {
    let id = SlotId::from_i64(id);
    let slots = wallet.vault.read(|store| store.map(|store| store.slots()).transpose()).await?;
    let slots = slots.ok_or_else(nothing_stored)?;
    let kind = slots.iter().find(|(known, _)| *known == id).map(|(_, kind)| *kind);
    let no_such = || Error::new(ErrorName::NotFound, "there is no such key slot; \"fwpctl keys\" lists them");
    let kind = kind.ok_or_else(no_such)?;
    asking(wallet, call, async |user: &mut Asking| {
        let details = ConsentDetails {
            slot_kind: Some(word(kind).to_owned()),
            slot: Some(id.as_i64()),
            ..ConsentDetails::default()
        };
        user.consent("slot-remove", &details).await?;
        let removed = match remove_with(&wallet.vault, id, Typed::default()).await? {
            Err(StoreError::LastUsableSlot { unusable }) if has_passphrase(&unusable) => {
                user.passphrase("unlock", async |typed| {
                    let Ok(typed) = Passphrase::new(typed.expose()) else { return Ok(None) };
                    match remove_with(&wallet.vault, id, vec![Arc::new(typed)]).await? {
                        Err(StoreError::LastUsableSlot { unusable }) if has_passphrase(&unusable) => Ok(None),
                        other => Ok(Some(other)),
                    }
                })
                .await?
            }
            other => other,
        };
        let removed = removed.map_err(|error| slot_refusal(&error))?;
        if !removed.same_kind_remains {
            discard(wallet, kind, removed.wallet).await;
        }
        Ok(())
    })
    .await
}

/// What is left after a removal.
struct Removed {
    wallet: WalletId,
    same_kind_remains: bool,
}

async fn remove_with(vault: &Vault, id: SlotId, typed: Typed) -> Result<Result<Removed, StoreError>, Error> {
    let removed = vault
        .with_slots(typed, move |store, at_hand| {
            let kind = store.slots()?.into_iter().find(|(known, _)| *known == id).map(|(_, kind)| kind);
            store.remove_slot(id, at_hand, clock::now_ms())?;
            let same_kind_remains = store.slots()?.iter().any(|(_, other)| Some(*other) == kind);
            Ok(Removed { wallet: store.wallet_id(), same_kind_remains })
        })
        .await?;
    removed.ok_or_else(nothing_stored)
}

fn has_passphrase(unusable: &[(SlotKind, SlotError)]) -> bool {
    let asked = |error: &SlotError| matches!(error, SlotError::NotAtHand | SlotError::WrongPassphrase);
    unusable.iter().any(|(kind, error)| *kind == SlotKind::Passphrase && asked(error))
}

/// Deletes what the removed slot kept elsewhere. The slot is gone whether or not that can be done now.
async fn discard(wallet: &Wallet, kind: SlotKind, id: WalletId) {
    let Ok(slot) = wallet.vault.slot(kind, None) else { return };
    let discarded = tokio::task::spawn_blocking(move || slot.discard(&id)).await;
    match discarded {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%kind, %error, "what the removed slot kept elsewhere is still there")
        }
        Err(error) => tracing::error!(%error, "discarding a slot ended abruptly"),
    }
}

/// Fills every slot anew, with a new key if that is wanted, after the user's consent.
///
/// # Errors
/// `SlotUnusable`, `InvalidRequest`, and those of the store and of asking.
pub(super) async fn rotate(wallet: &Wallet, call: &Call, what: &str) -> Result<(), Error> {
    let rotation = match what {
        "slots" => Rotation::Slots,
        "data-key" => Rotation::DataKey,
        _ => return Err(invalid("what: it is \"slots\" or \"data-key\"")),
    };
    let slots = wallet.vault.read(|store| store.map(|store| store.slots()).transpose()).await?;
    let slots = slots.ok_or_else(nothing_stored)?;
    let passphrases = slots.iter().filter(|(_, kind)| *kind == SlotKind::Passphrase).count();
    asking(wallet, call, async |user: &mut Asking| {
        let details = ConsentDetails { what: Some(what.to_owned()), ..ConsentDetails::default() };
        user.consent("rotate", &details).await?;
        let mut typed = Typed::default();
        let mut known = 0;
        while known < passphrases {
            let (passphrase, opens) = user
                .passphrase("unlock", async |text| {
                    let Ok(passphrase) = Passphrase::new(text.expose()) else { return Ok(None) };
                    let passphrase = Arc::new(passphrase);
                    let opens = opens(&wallet.vault, &typed, &passphrase).await?;
                    Ok((opens > known).then_some((passphrase, opens)))
                })
                .await?;
            typed.push(passphrase);
            known = opens;
        }
        let rotated = wallet
            .vault
            .with_slots(typed, move |store, at_hand| store.rotate(at_hand, rotation, clock::now_ms()))
            .await?;
        rotated.ok_or_else(nothing_stored)?.map_err(|error| slot_refusal(&error))
    })
    .await
}

/// How many slots the passphrases open together.
async fn opens(vault: &Vault, typed: &Typed, another: &Arc<Passphrase>) -> Result<usize, Error> {
    let typed: Typed = typed.iter().chain([another]).cloned().collect();
    let opened = vault
        .with_slots(Typed::default(), move |store, _| {
            let typed: Vec<&dyn KeySlot> = typed.iter().map(|typed| &**typed as &dyn KeySlot).collect();
            Ok(store.check_slots(&typed)?.iter().filter(|slot| slot.usable.is_ok()).count())
        })
        .await?;
    opened.ok_or_else(nothing_stored)?.map_err(|error| slot_refusal(&error))
}
