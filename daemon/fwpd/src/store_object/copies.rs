//! Export and import of all cards.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use fwp::Credential;
use fwp_dbus::types::{ConsentDetails, ImportedCard};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuditEvent, AuditKind, CardId, CardRecord, NewCard};
use fwp_store::{Changes, Durability};
use fwp_wallet::is_same_card;
use zbus::OwnedObjectPath;

use super::asking::{Asking, asking};
use super::file::{self, Stop};
use super::needs::Platforms;
use crate::backup::{Backup, BackupError, MAX_FILE_BYTES, sealed};
use crate::call::Call;
use crate::holdings::check_room;
use crate::wallets::Wallet;
use crate::{clock, credentials};

/// How many rpIds the user reads before an import.
const MOST_NAMED: usize = 10;

/// Work that blocks, on another thread.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "work on a backup ended abruptly");
        Err(Error::new(ErrorName::Internal, "the backup failed; the wallet's log tells more"))
    })
}

/// Work on the caller's file, as long as somebody waits for it. What is stuck in the kernel (a file system of the caller's own) keeps
/// one thread for each user, and not the wallet.
async fn on_file<T: Send + 'static>(
    wallet: &Wallet,
    user: &mut Asking,
    work: impl FnOnce(&Stop) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let stop = Stop::default();
    let alone = Arc::clone(&wallet.copying).lock_owned();
    let done = user
        .meanwhile({
            let stop = stop.clone();
            async move {
                let alone = alone.await;
                elsewhere(move || {
                    let _alone = alone;
                    work(&stop)
                })
                .await
            }
        })
        .await;
    stop.now();
    done
}

/// Writes all cards into `file`, encrypted by a passphrase: how many.
///
/// # Errors
/// `InvalidState`, `SlotUnusable`, and those of the store and of asking.
pub(super) async fn export(wallet: &Wallet, call: &Call, file: OwnedFd) -> Result<u32, Error> {
    let cards = credentials::all(wallet).await?;
    if cards.is_empty() {
        return Err(Error::new(ErrorName::InvalidState, "there are no cards to export"));
    }
    let count = u32::try_from(cards.len()).unwrap_or(u32::MAX);
    asking(wallet, call, async |user: &mut Asking| {
        let details = ConsentDetails { cards: Some(count), ..ConsentDetails::default() };
        user.consent("export", &details).await?;
        let passphrase = user.new_passphrase("export").await?;
        let now = clock::now_ms();
        let sealed = elsewhere(move || {
            let cards = cards.iter().map(|record| record.card.clone()).collect();
            let backup = Backup { made_unix_ms: now, cards };
            backup.encode().and_then(|plain| sealed::seal(&plain, passphrase.expose())).map_err(unmade)
        })
        .await?;
        // Before it leaves, so that none leaves unnoted.
        let mut changes = Changes::new();
        changes.audit(AuditEvent::new(now, AuditKind::CardsExported));
        wallet.vault.write(|store| store.commit(changes, Durability::Durable)).await?;
        on_file(wallet, user, move |stop| {
            file::write(file, &sealed, stop).map_err(|error| {
                Error::new(ErrorName::SlotUnusable, format!("the file can't be written: {error}"))
            })
        })
        .await?;
        Ok(count)
    })
    .await
}

fn unmade(error: BackupError) -> Error {
    let name = match error {
        BackupError::TooLarge | BackupError::TooManyCards(_) => ErrorName::LimitsExceeded,
        _ => ErrorName::Internal,
    };
    Error::new(name, error.to_string())
}

/// Why a file is not taken. What it says of itself goes no further than this.
fn refused(error: BackupError) -> Error {
    match error {
        BackupError::TooLarge | BackupError::TooManyCards(_) => {
            Error::new(ErrorName::LimitsExceeded, error.to_string())
        }
        error => Error::new(ErrorName::InvalidRequest, format!("the file is no backup: {error}")),
    }
}

/// Stores the cards of `file` that are new: all or none.
///
/// # Errors
/// `InvalidRequest`, `SlotUnusable`, `LimitsExceeded`, and those of the store and of asking.
pub(super) async fn import(wallet: &Wallet, call: &Call, file: OwnedFd) -> Result<Vec<ImportedCard>, Error> {
    // A store that can't be opened says so before anybody is asked.
    wallet.vault.read(|_| Ok(())).await?;
    asking(wallet, call, async |user: &mut Asking| {
        let sealed = on_file(wallet, user, move |stop| {
            let sealed = file::read(file, MAX_FILE_BYTES, stop).map_err(|error| match error.kind() {
                ErrorKind::FileTooLarge => refused(BackupError::TooLarge),
                _ => Error::new(ErrorName::InvalidRequest, format!("the file can't be read: {error}")),
            })?;
            sealed::check(&sealed).map_err(refused)?;
            Ok(Arc::new(sealed))
        })
        .await?;
        let backup = user
            .passphrase("import", async |typed| {
                let sealed = Arc::clone(&sealed);
                elsewhere(move || {
                    let Some(plain) = sealed::open(&sealed, typed.expose()).map_err(refused)? else {
                        return Ok(None);
                    };
                    Backup::decode(&plain).map(Some).map_err(refused)
                })
                .await
            })
            .await?;
        drop(sealed);
        let (new, rp_ids) = wallet
            .vault
            .read({
                let cards: Vec<_> = backup.cards.iter().map(|card| Arc::clone(&card.credential)).collect();
                move |store| {
                    let there = store.map(|store| {
                        store.cards().map(|record| Arc::clone(&record.card.credential)).collect()
                    });
                    Ok(entering(cards, there.unwrap_or_default()))
                }
            })
            .await?;
        let rp_id = (new > 0).then_some(rp_ids);
        let details = ConsentDetails { cards: Some(new), rp_id, ..ConsentDetails::default() };
        user.consent("import", &details).await?;
        store(wallet, user, backup.cards).await
    })
    .await
}

/// How many of `cards` are neither among those that are `there` nor one of their own again, and their rpIds, as the consent has them.
fn entering(cards: Vec<Arc<Credential>>, mut there: Vec<Arc<Credential>>) -> (u32, String) {
    let (mut count, mut rp_ids) = (0, BTreeSet::new());
    for card in cards {
        if !there.iter().any(|other| is_same_card(other, &card)) {
            count += 1;
            rp_ids.insert(card.rp_id.as_str().to_owned());
            there.push(card);
        }
    }
    let mut text = rp_ids.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if let Some(more) = rp_ids.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        text.push_str(&format!(", and {more} more"));
    }
    (count, text)
}

/// What became of one card.
struct Entered {
    id: CardId,
    state: &'static str,
    needs: &'static str,
    credential: Arc<Credential>,
}

/// All new ones or none.
async fn store(wallet: &Wallet, user: &mut Asking, cards: Vec<NewCard>) -> Result<Vec<ImportedCard>, Error> {
    let tpm = wallet.context.tpm.clone();
    let platforms = wallet.vault.read(move |store| Platforms::of(store, tpm)).await?;
    // The TPM takes its time for each card: nobody waits for the store meanwhile.
    let needs = elsewhere(move || {
        let needs = |card: NewCard| (platforms.needs(&card), card);
        Ok(cards.into_iter().map(needs).collect::<Vec<_>>())
    });
    let cards = user.meanwhile(needs).await?;
    // No enrollment checks its cards against those that are there, and stores them, meanwhile.
    let storing = wallet.enrollments.storing();
    let _storing = storing.lock().await;
    let entered = wallet
        .vault
        .write(move |store| {
            let now = clock::now_ms();
            let mut changes = Changes::new();
            let mut entered: Vec<Entered> = Vec::new();
            let mut new: Vec<CardRecord> = Vec::new();
            for (needs, card) in cards {
                let credential = Arc::clone(&card.credential);
                let there = store
                    .cards()
                    .map(|record| &**record)
                    .chain(&new)
                    .find(|record| is_same_card(&record.card.credential, &credential))
                    .map(|record| record.id);
                let (id, state) = match there {
                    Some(id) => (id, "present"),
                    None => {
                        let id = changes.add_card(card.clone())?;
                        let event = AuditEvent::new(now, AuditKind::CardStored).card(id);
                        changes.audit(event.reason("imported"));
                        new.push(CardRecord { id, card });
                        (id, "stored")
                    }
                };
                entered.push(Entered { id, state, needs, credential });
            }
            if !new.is_empty() {
                let all = store.cards().map(|record| &**record).chain(&new);
                if let Err(full) = check_room(all.map(|record| &*record.card.credential)) {
                    return Ok(Err(full));
                }
                store.commit(changes, Durability::Durable)?;
            }
            Ok(Ok(entered))
        })
        .await;
    wallet.holdings.cards_changed();
    entered??.into_iter().map(told).collect()
}

fn told(entered: Entered) -> Result<ImportedCard, Error> {
    let path: OwnedObjectPath = credentials::path(entered.id)?;
    let card = &entered.credential.card;
    Ok(ImportedCard {
        payment_network_id: card.payment_network_id.clone(),
        issuer_id: card.issuer_id.clone(),
        rp_id: entered.credential.rp_id.as_str().to_owned(),
        state: entered.state.to_owned(),
        path,
        needs: entered.needs.to_owned(),
    })
}
