//! Open, closed, and what to do with an old copy.

use std::sync::Arc;

use fwp_dbus::types::ConsentDetails;
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuditEvent, AuditKind};
use fwp_store::slot::{Passphrase, SlotError, SlotKind};
use fwp_store::{Changes, Durability, StoreError};

use super::asking::{Asking, asking};
use crate::call::Call;
use crate::clock;
use crate::interrupts::interrupts;
use crate::journal::{self, Notice};
use crate::vault::{Opening, Typed, refusal};
use crate::wallets::Wallet;

fn no_store() -> Error {
    Error::new(ErrorName::InvalidState, "there is no store yet; it is made with the first card")
}

fn is_open() -> Error {
    Error::new(ErrorName::InvalidState, "the store is not refused: there is nothing to accept")
}

/// Opens the store; where no other slot does, by the recovery passphrase.
///
/// # Errors
/// `SlotUnusable`, `InvalidState`, and those of the store and of asking.
pub(super) async fn unlock(wallet: &Wallet, call: &Call) -> Result<(), Error> {
    match wallet.vault.unlock(Typed::default(), None).await? {
        Ok(Opening::WasOpen | Opening::Opened) => Ok(()),
        Ok(Opening::NoStore) => Err(no_store()),
        Err(error) if wants_passphrase(&error) => {
            asking(wallet, call, async |user: &mut Asking| {
                user.passphrase("unlock", async |typed| match by(wallet, typed).await? {
                    None => Ok(None),
                    Some((_, Ok(_))) => Ok(Some(())),
                    Some((_, Err(error))) => Err(refusal(&error)),
                })
                .await
            })
            .await
        }
        Err(error) => Err(refusal(&error)),
    }
}

/// Opens another user's store by its recovery passphrase, which the caller's agent asks for. Nothing of that wallet is told, but that
/// there is one, and why it does not open; the journal has each time that it was tried, and its audit log tells its user that it was
/// opened.
///
/// # Errors
/// `SlotUnusable`, `InvalidState`, and those of the store and of asking.
pub(super) async fn unlock_for(wallet: &Wallet, other: &Wallet, call: &Call) -> Result<(), Error> {
    // What is told of the other wallet is told to its user's entries.
    let told = |error: &StoreError| journal::of_user_here(Some(other.uid), || refusal(error));
    let tell = |notice, text: &str| journal::of_user_here(Some(other.uid), || journal::tell(notice, text));
    match other.vault.unlock(Typed::default(), None).await? {
        Ok(Opening::WasOpen | Opening::Opened) => return Ok(()),
        Ok(Opening::NoStore) => return Err(no_wallet()),
        Err(error) if wants_passphrase(&error) => {}
        Err(error) => return Err(told(&error)),
    }
    let uid = Some(other.uid);
    let opening = asking(wallet, call, async |user: &mut Asking| {
        user.passphrase_of(uid, "unlock-other", async |typed| match by(other, typed).await? {
            None => {
                let text =
                    format!("the user {} typed a wrong recovery passphrase for the wallet", wallet.uid);
                tell(Notice::WrongForAnother, &text);
                Ok(None)
            }
            Some((_, Ok(opening))) => Ok(Some(opening)),
            Some((_, Err(error))) => Err(told(&error)),
        })
        .await
    })
    .await?;
    // Its user was faster: nobody knows what the passphrase was worth.
    if opening != Opening::Opened {
        return Ok(());
    }
    let text = format!("the wallet was opened by the user {}, with its recovery passphrase", wallet.uid);
    tell(Notice::UnlockedForAnother, &text);
    let opened = AuditEvent::new(clock::now_ms(), AuditKind::SettingChanged);
    let mut changes = Changes::new();
    changes.audit(opened.reason(&format!("unlocked-by-uid-{}", wallet.uid)));
    let recorded = other.vault.write(|store| store.commit(changes, Durability::Durable));
    journal::of_user(other.uid, recorded).await.map(drop)
}

/// That user has none here.
pub(super) fn no_wallet() -> Error {
    Error::new(ErrorName::InvalidState, "that user has no wallet here")
}

/// Whether a passphrase that was not typed yet may open it.
fn wants_passphrase(error: &StoreError) -> bool {
    let StoreError::NoSlotOpens { tried } = error else { return false };
    let asked = |error: &SlotError| matches!(error, SlotError::NotAtHand | SlotError::WrongPassphrase);
    tried.iter().any(|(kind, error)| *kind == SlotKind::Passphrase && asked(error))
}

/// Tries a passphrase; `None` if it is a wrong one.
async fn by(
    wallet: &Wallet,
    typed: fwp_dbus::Passphrase,
) -> Result<Option<(Typed, Result<Opening, StoreError>)>, Error> {
    let Ok(passphrase) = Passphrase::new(typed.expose()) else { return Ok(None) };
    let typed: Typed = vec![Arc::new(passphrase)];
    match wallet.vault.unlock(typed.clone(), None).await? {
        Err(error) if wants_passphrase(&error) => Ok(None),
        outcome => Ok(Some((typed, outcome))),
    }
}

/// Closes the store, once nothing is before the user, and forgets its key and what was read from it. What is kept is what must
/// outlast it: which requests were authorized with which card, by this process' clock.
/// Whoever goes away meanwhile leaves it as it is.
///
/// # Errors
/// `Aborted`, which nobody hears.
pub(super) async fn lock(wallet: &Wallet, call: &Call) -> Result<(), Error> {
    let (interrupter, mut interrupts) = interrupts();
    let gone = Error::new(ErrorName::Aborted, "its connection ended");
    let _watch = wallet.context.callers.watch(&call.caller.name, &interrupter, gone);
    let _turn = tokio::select! {
        biased;
        reason = interrupts.next() => return Err(reason),
        turn = wallet.floor.take_when_free() => turn,
    };
    wallet.vault.lock().await;
    wallet.holdings.cards_changed();
    Ok(())
}

/// Opens a store that the counter outside refuses: the user says that this copy is meant.
///
/// # Errors
/// `InvalidState`, and those of the store and of asking.
pub(super) async fn accept_copy(wallet: &Wallet, call: &Call) -> Result<(), Error> {
    let refused = match wallet.vault.unlock(Typed::default(), None).await? {
        Ok(Opening::WasOpen | Opening::Opened) => return Err(is_open()),
        Ok(Opening::NoStore) => return Err(no_store()),
        Err(error) => error,
    };
    if !wants_passphrase(&refused) && !is_old_copy(&refused) {
        return Err(refusal(&refused));
    }
    asking(wallet, call, async |user: &mut Asking| {
        let mut typed = Typed::default();
        if wants_passphrase(&refused) {
            typed = user
                .passphrase("unlock", async |text| match by(wallet, text).await? {
                    None => Ok(None),
                    Some((typed, Err(error))) if is_old_copy(&error) => Ok(Some(typed)),
                    Some((_, Err(error))) => Err(refusal(&error)),
                    Some((_, Ok(_))) => Err(is_open()),
                })
                .await?;
        }
        user.consent("accept-copy", &ConsentDetails::default()).await?;
        let opened = wallet.vault.unlock(typed, Some(clock::now_ms())).await?;
        opened.map(drop).map_err(|error| refusal(&error))
    })
    .await
}

fn is_old_copy(error: &StoreError) -> bool {
    matches!(error, StoreError::RolledBack { .. } | StoreError::CounterLost { .. } | StoreError::Counter(_))
}
