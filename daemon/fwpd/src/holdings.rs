//! What payments need of the store, in memory: the cards, the ledger, and what the keys in this computer paid of late. It is
//! read when it is first needed.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use fwp::Credential;
use fwp_dbus::{Error, ErrorName};
use fwp_store::Changes;
use fwp_store::record::{AuthenticatorKind, AuthenticatorState, CardRecord, LedgerRecord};
use fwp_wallet::limits::{Limits, PlatformKeys, Spending};
use fwp_wallet::payment::View;
use fwp_wallet::{Card, CardHandle, CardKey, Ledger, LedgerEntry};
use zeroize::Zeroizing;

use crate::clock;
use crate::vault::Vault;

/// Most cards in one wallet.
pub(crate) const MAX_CARDS: usize = 1000;
/// Most bytes of their pictures together. Cards are in memory, of which the service has 1 GiB for all its users, and have to fit into a
/// backup.
const MAX_PICTURES: usize = 32 << 20;

/// Whether one wallet may hold all of these.
///
/// # Errors
/// `LimitsExceeded`.
pub(crate) fn check_room<'c>(cards: impl Iterator<Item = &'c Credential>) -> Result<(), Error> {
    let (count, bytes) = cards.fold((0_usize, 0_usize), |(count, bytes), card| {
        (count.saturating_add(1), bytes.saturating_add(card.card.card_image.len()))
    });
    let text = match (count > MAX_CARDS, bytes > MAX_PICTURES) {
        (true, _) => format!("a wallet holds at most {MAX_CARDS} cards; remove some first"),
        (_, true) => {
            format!(
                "the pictures of a wallet's cards have at most {} MiB; remove some cards first",
                MAX_PICTURES >> 20
            )
        }
        _ => return Ok(()),
    };
    Err(Error::new(ErrorName::LimitsExceeded, text))
}

/// A user's cards and ledger.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    cards: RefCell<Option<Cards>>,
    /// How often the cards in the store became others.
    card_changes: Cell<u64>,
    ledger: RefCell<Option<Ledger>>,
    /// What keys in this computer may pay.
    limits: Limits,
    spending: RefCell<Option<Spending>>,
}

#[derive(Debug)]
struct Cards {
    /// Oldest first.
    cards: Vec<Arc<Card>>,
    authenticators: HashMap<CardHandle, AuthenticatorKind>,
    /// Those whose keys are in this computer.
    in_this_computer: HashSet<CardHandle>,
}

impl Holdings {
    /// Nothing was read yet; these are the limits of the keys in this computer.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Reads what isn't in memory yet.
    ///
    /// # Errors
    /// `StoreLocked`, `StoreUnusable`.
    pub(crate) async fn load(&self, vault: &Vault) -> Result<(), Error> {
        while self.cards.borrow().is_none() {
            let changes = self.card_changes.get();
            let records: Vec<Arc<CardRecord>> = vault
                .read(|store| Ok(store.map(|store| store.cards().cloned().collect()).unwrap_or_default()))
                .await?;
            // What changed meanwhile is read again: a card that is gone may not be offered.
            if self.card_changes.get() == changes {
                *self.cards.borrow_mut() = Some(Cards::new(records));
            }
        }
        if self.ledger.borrow().is_none() {
            let entries = vault.read(|store| store.map_or(Ok(Vec::new()), |store| store.ledger())).await?;
            // Two loads at once read the same; the first one counts, since it may have been written to already.
            self.ledger
                .borrow_mut()
                .get_or_insert_with(|| Ledger::restore(entries.into_iter().map(entry_of), clock::moment()));
        }
        if self.spending.borrow().is_none() {
            let stored = vault
                .read(|store| {
                    store.map_or(Ok(None), |store| store.authenticator_state(AuthenticatorState::Spending))
                })
                .await?;
            let boot = clock::boot_id();
            let spending = match stored {
                Some(bytes) => Spending::restore(&bytes, boot, clock::moment()),
                None => Ok(Spending::new(boot)),
            };
            let spending =
                spending.map_err(|error| Error::new(ErrorName::StoreUnusable, error.to_string()))?;
            self.spending.borrow_mut().get_or_insert(spending);
        }
        Ok(())
    }

    /// The cards in the store are others now.
    pub(crate) fn cards_changed(&self) {
        self.card_changes.set(self.card_changes.get().wrapping_add(1));
        *self.cards.borrow_mut() = None;
    }

    /// Cards, ledger and limits, as a payment asks with them.
    ///
    /// # Errors
    /// `Busy` while the cards are not in memory: before [`Holdings::load`], or for a moment after they changed.
    pub(crate) fn view<R>(&self, viewer: impl FnOnce(View<'_>) -> R) -> Result<R, Error> {
        let (cards, ledger, spending) = (self.cards.borrow(), self.ledger.borrow(), self.spending.borrow());
        match (&*cards, &*ledger, &*spending) {
            (Some(cards), Some(ledger), Some(spending)) => {
                let keys = PlatformKeys { cards: &cards.in_this_computer, limits: &self.limits, spending };
                Ok(viewer(View { cards: &cards.cards, ledger, platform_keys: Some(keys) }))
            }
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

    /// What the keys in this computer paid of late, to write to.
    ///
    /// # Errors
    /// `Internal` before [`Holdings::load`].
    pub(crate) fn spending(&self) -> Result<RefMut<'_, Spending>, Error> {
        RefMut::filter_map(self.spending.borrow_mut(), Option::as_mut)
            .map_err(|_| Error::new(ErrorName::Internal, "what this computer's keys paid was not read"))
    }

    /// What the keys in this computer may pay.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether a card's key is in this computer; also where that is not known any more, because the card has just gone.
    pub(crate) fn is_in_this_computer(&self, card: CardHandle) -> bool {
        !matches!(self.authenticator(card), Some(AuthenticatorKind::Usb | AuthenticatorKind::Nfc))
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
        let in_this_computer = |record: &&Arc<CardRecord>| {
            matches!(record.card.authenticator.kind, AuthenticatorKind::Software | AuthenticatorKind::Tpm)
        };
        let in_this_computer = records.iter().filter(in_this_computer).map(|record| handle(record)).collect();
        let cards = records
            .iter()
            .map(|record| {
                let card = Card::new(handle(record), Arc::clone(&record.card.credential));
                Arc::new(card.with_providers(record.card.providers.clone()))
            })
            .collect();
        Self { cards, authenticators, in_this_computer }
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

/// Keeps what the keys in this computer paid of late.
pub(crate) fn put_spending(changes: &mut Changes, spending: &Spending) {
    changes.put_authenticator_state(AuthenticatorState::Spending, Zeroizing::new(spending.encode()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Guards;
    use fwp::authorization::{ContentEncryption, KeyEncryption};
    use fwp::credential::CardData;
    use fwp::{AccountId, CredentialId, RpId};
    use fwp_cose::key::{Ed25519Key, X25519Key};
    use fwp_cose::{PublicKey, SignatureAlgorithm};
    use fwp_store::Durability;
    use fwp_store::record::{AuthenticatorRef, NewCard};
    use std::pin::Pin;
    use std::task::Poll;

    fn a_card() -> NewCard {
        let mut point = [0x66; 32];
        point[0] = 0x58;
        let card = CardData {
            encryption_key: PublicKey::X25519(X25519Key::new([9; 32])),
            encryption_key_id: None,
            content_encryption: ContentEncryption::A256Gcm,
            key_encryption: KeyEncryption::EcdhEsA256Kw,
            account_id: AccountId::new("account"),
            payment_network_id: "https://banknet2.org".to_owned(),
            issuer_id: "https://bank.example/pay".to_owned(),
            serial_number: "1".to_owned(),
            card_image: "<svg/>".to_owned(),
        };
        let credential = Credential {
            credential_id: CredentialId::new(vec![1]).unwrap(),
            rp_id: RpId::parse("bank.example").unwrap(),
            public_key: PublicKey::Ed25519(Ed25519Key::new(point).unwrap()),
            signature_algorithm: SignatureAlgorithm::Ed25519,
            card,
        };
        NewCard {
            credential: Arc::new(credential),
            label: "card".to_owned(),
            enrolled_unix_ms: 0,
            authenticator: AuthenticatorRef { kind: AuthenticatorKind::Software, aaguid: [0; 16] },
            providers: Vec::new(),
        }
    }

    #[test]
    fn a_wallet_takes_so_many_cards_and_no_more_bytes_of_pictures_than_everybodys_memory_bears() {
        let mut card = Arc::unwrap_or_clone(a_card().credential);
        let room = |count: usize, card: &Credential| {
            check_room(std::iter::repeat_n(card, count)).map_err(|error| (error.name, error.message))
        };
        assert_eq!(room(1000, &card), Ok(()));
        let (name, text) = room(1001, &card).unwrap_err();
        assert!(name == ErrorName::LimitsExceeded && text.contains("1000 cards"), "{text}");
        card.card.card_image = "x".repeat(256 << 10);
        assert_eq!(room(128, &card), Ok(()));
        let (name, text) = room(129, &card).unwrap_err();
        assert!(name == ErrorName::LimitsExceeded && text.contains("32 MiB"), "{text}");
    }

    async fn waits(future: &mut Pin<Box<impl Future>>) -> bool {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
    }

    #[test]
    fn a_card_that_is_deleted_while_the_cards_are_read_is_not_offered_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name| directory.path().join(name);
        let vault = Vault::new(at("wallet"), Guards::file(at("wallet.key")));
        let holdings = Holdings::default();
        // With one thread for all that waits, it is known what waits for what.
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let mut changes = Changes::new();
            let card = changes.add_card(a_card()).unwrap();
            vault.write(|store| store.commit(changes, Durability::Lazy)).await.unwrap();

            // Somebody has the store, so that the cards are read on that thread.
            let (done, has_it) = std::sync::mpsc::channel::<()>();
            let mut busy = Box::pin(vault.write(move |_| Ok(has_it.recv())));
            assert!(waits(&mut busy).await);
            let mut load = Box::pin(holdings.load(&vault));
            assert!(waits(&mut load).await);
            done.send(()).unwrap();
            busy.await.unwrap().unwrap();
            let (go, wait) = std::sync::mpsc::channel::<()>();
            let before = tokio::task::spawn_blocking(move || wait.recv());
            assert!(waits(&mut load).await);
            go.send(()).unwrap();
            before.await.unwrap().unwrap();
            // They are read now; before this thread hears of that, the card is gone.
            tokio::task::spawn_blocking(|| {}).await.unwrap();
            let mut changes = Changes::new();
            changes.remove_card(card);
            vault.write(|store| store.commit(changes, Durability::Lazy)).await.unwrap();
            holdings.cards_changed();

            load.await.unwrap();
            assert_eq!(holdings.view(|view| view.cards.len()).unwrap(), 0);
        });
    }
}
