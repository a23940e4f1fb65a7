//! Export and import of all cards.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use fwp::Credential;
use fwp_dbus::types::{ConsentDetails, ImportedCard};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuditEvent, AuditKind, CardId, CardRecord, NewCard};
use fwp_store::{Changes, Durability};
use zbus::OwnedObjectPath;

use super::asking::{Asking, asking};
use super::file;
use super::needs::Platforms;
use crate::backup::{Backup, BackupError, MAX_CARDS, MAX_FILE_BYTES, sealed};
use crate::call::Call;
use crate::wallets::Wallet;
use crate::{clock, credentials};

/// Work that blocks, on another thread.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "work on a backup ended abruptly");
        Err(Error::new(ErrorName::Internal, "the backup failed; the wallet's log tells more"))
    })
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
        elsewhere(move || {
            file::write(file, &sealed).map_err(|error| {
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
        let sealed = elsewhere(move || {
            let sealed = file::read(file, MAX_FILE_BYTES).map_err(|error| match error.kind() {
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
        let new = wallet
            .vault
            .read({
                let cards: Vec<_> = backup.cards.iter().map(|card| Arc::clone(&card.credential)).collect();
                move |store| {
                    let there = |card: &Credential| {
                        store.is_some_and(|store| store.cards().any(|record| is_same(record, card)))
                    };
                    Ok(cards.iter().filter(|card| !there(card)).count())
                }
            })
            .await?;
        let details = ConsentDetails { cards: u32::try_from(new).ok(), ..ConsentDetails::default() };
        user.consent("import", &details).await?;
        store(wallet, backup.cards).await
    })
    .await
}

/// The same card, as an enrollment has it: a wallet has it once.
fn is_same(record: &CardRecord, credential: &Credential) -> bool {
    let (one, other) = (&record.card.credential.card, &credential.card);
    record.card.credential.rp_id == credential.rp_id
        && one.issuer_id == other.issuer_id
        && one.payment_network_id == other.payment_network_id
        && (one.account_id == other.account_id || one.serial_number == other.serial_number)
}

/// What became of one card.
struct Entered {
    id: CardId,
    state: &'static str,
    needs: &'static str,
    credential: Arc<Credential>,
}

/// All new ones or none.
async fn store(wallet: &Wallet, cards: Vec<NewCard>) -> Result<Vec<ImportedCard>, Error> {
    // No enrollment checks its cards against those that are there, and stores them, meanwhile.
    let storing = wallet.enrollments.storing();
    let _storing = storing.lock().await;
    let tpm = wallet.context.tpm.clone();
    let entered = wallet
        .vault
        .write(move |store| {
            let platforms = Platforms::of(Some(store), tpm)?;
            let now = clock::now_ms();
            let mut changes = Changes::new();
            let mut entered: Vec<Entered> = Vec::new();
            let mut new: Vec<CardRecord> = Vec::new();
            for card in cards {
                let needs = platforms.needs(&card);
                let credential = Arc::clone(&card.credential);
                let there = store
                    .cards()
                    .map(|record| &**record)
                    .chain(&new)
                    .find(|record| is_same(record, &credential))
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
            if store.cards().len().saturating_add(new.len()) > MAX_CARDS {
                return Ok(None);
            }
            if !new.is_empty() {
                store.commit(changes, Durability::Durable)?;
            }
            Ok(Some(entered))
        })
        .await;
    wallet.holdings.cards_changed();
    let entered = entered?.ok_or_else(|| {
        let text = format!("a wallet holds at most {MAX_CARDS} cards; remove some first");
        Error::new(ErrorName::LimitsExceeded, text)
    })?;
    entered.into_iter().map(told).collect()
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
