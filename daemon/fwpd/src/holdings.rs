//! What payments need of the store, in memory: the cards, and the ledger. It is read when it is first needed.

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::sync::Arc;

use fwp::PayeeHost;
use fwp_dbus::{Error, ErrorName};
use fwp_store::Changes;
use fwp_store::record::{AuthenticatorKind, CardRecord, LedgerRecord};
use fwp_wallet::payment::View;
use fwp_wallet::{Card, CardHandle, CardKey, Ledger, LedgerEntry};

use crate::clock;
use crate::vault::Vault;

/// A user's cards and ledger.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    cards: RefCell<Option<Cards>>,
    ledger: RefCell<Option<Ledger>>,
}

#[derive(Debug)]
struct Cards {
    /// Oldest first.
    cards: Vec<Arc<Card>>,
    authenticators: HashMap<CardHandle, AuthenticatorKind>,
}

impl Holdings {
    /// Reads what isn't in memory yet.
    ///
    /// # Errors
    /// `StoreLocked`, `StoreUnusable`.
    pub(crate) async fn load(&self, vault: &Vault) -> Result<(), Error> {
        if self.cards.borrow().is_none() {
            let records: Vec<Arc<CardRecord>> = vault
                .read(|store| Ok(store.map(|store| store.cards().cloned().collect()).unwrap_or_default()))
                .await?;
            *self.cards.borrow_mut() = Some(Cards::new(records));
        }
        if self.ledger.borrow().is_none() {
            let entries = vault.read(|store| store.map_or(Ok(Vec::new()), |store| store.ledger())).await?;
            // Two loads at once read the same; the first one counts, since it may have been written to already.
            self.ledger
                .borrow_mut()
                .get_or_insert_with(|| Ledger::restore(entries.into_iter().map(entry_of), clock::moment()));
        }
        Ok(())
    }

    /// The cards in the store are others now.
    pub(crate) fn cards_changed(&self) {
        *self.cards.borrow_mut() = None;
    }

    /// Cards and ledger, as a payment asks with them.
    ///
    /// # Errors
    /// `Internal` before [`Holdings::load`].
    pub(crate) fn view<R>(&self, viewer: impl FnOnce(View<'_>) -> R) -> Result<R, Error> {
        let (cards, ledger) = (self.cards.borrow(), self.ledger.borrow());
        match (&*cards, &*ledger) {
            (Some(cards), Some(ledger)) => Ok(viewer(View { cards: &cards.cards, ledger })),
            // The cards may just have changed; the caller has loaded them, so that this is a moment only.
            _ => Err(Error::new(ErrorName::Busy, "the wallet's cards are being read; try again")),
        }
    }

    /// The ledger, to write to.
    ///
    /// # Errors
    /// `Internal` before [`Holdings::load`].
    pub(crate) fn ledger(&self) -> Result<RefMut<'_, Ledger>, Error> {
        RefMut::filter_map(self.ledger.borrow_mut(), Option::as_mut)
            .map_err(|_| Error::new(ErrorName::Internal, "the ledger was not read"))
    }

    /// Where a card's key lives.
    pub(crate) fn authenticator(&self, card: CardHandle) -> Option<AuthenticatorKind> {
        self.cards.borrow().as_ref()?.authenticators.get(&card).copied()
    }
}

impl Cards {
    fn new(mut records: Vec<Arc<CardRecord>>) -> Self {
        records.sort_by_key(|record| (record.card.enrolled_unix_ms, record.id));
        let handle = |record: &CardRecord| CardHandle(record.id.as_i64());
        let authenticators =
            records.iter().map(|record| (handle(record), record.card.authenticator.kind)).collect();
        let cards = records
            .iter()
            .map(|record| Arc::new(Card::new(handle(record), Arc::clone(&record.card.credential))))
            .collect();
        Self { cards, authenticators }
    }
}

fn entry_of(record: LedgerRecord) -> LedgerEntry {
    LedgerEntry {
        payee_host: record.payee_host,
        request_id: record.request_id,
        card: CardKey::from_bytes(record.card),
        amount: record.amount,
        currency: record.currency,
        authorized_unix_ms: record.authorized_unix_ms,
    }
}

/// Keeps an entry.
pub(crate) fn put(changes: &mut Changes, entry: &LedgerEntry) {
    changes.put_ledger(LedgerRecord {
        payee_host: entry.payee_host.clone(),
        request_id: entry.request_id.clone(),
        card: *entry.card.as_bytes(),
        amount: entry.amount.clone(),
        currency: entry.currency,
        authorized_unix_ms: entry.authorized_unix_ms,
    });
}

/// Forgets an entry.
pub(crate) fn remove(changes: &mut Changes, payee_host: &PayeeHost, request_id: &str) {
    changes.remove_ledger(payee_host, request_id);
}
