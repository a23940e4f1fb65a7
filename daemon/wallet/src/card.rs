//! Cards, as payments see them, and which of them fit a request.

use fwp::{Credential, PaymentRequest};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// The number by which the store names a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CardHandle(pub i64);

/// Names the card to the ledger, over restarts and new enrollments: SHA-256 of rpId, network, issuer, account and serial
/// number. The rpId is the only one of these that an issuer can't write at will, so that no issuer's cards pass for those
/// of another. No account number can be read from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CardKey([u8; 32]);

/// A card in the wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    handle: CardHandle,
    key: CardKey,
    credential: Arc<Credential>,
}

impl CardKey {
    /// The name of this card.
    pub fn of(credential: &Credential) -> Self {
        let card = &credential.card;
        let mut hash = Sha256::new();
        for part in [
            credential.rp_id.as_str(),
            &card.payment_network_id,
            &card.issuer_id,
            card.account_id.as_str(),
            &card.serial_number,
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The name as it was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "CardKey({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

impl Card {
    /// A card of the store.
    pub fn new(handle: CardHandle, credential: Arc<Credential>) -> Self {
        Self { handle, key: CardKey::of(&credential), credential }
    }

    /// The store's number of it.
    pub fn handle(&self) -> CardHandle {
        self.handle
    }

    /// The ledger's name of it.
    pub fn key(&self) -> CardKey {
        self.key
    }

    /// The card itself.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }
}

/// The cards that fit `request`: those of its networks, in the order in which the merchant names the networks, and in
/// the given order within each.
pub fn matching<'a>(
    request: &PaymentRequest,
    cards: impl IntoIterator<Item = &'a Arc<Card>>,
) -> Vec<Arc<Card>> {
    let rank = |card: &Card| {
        let network = &card.credential.card.payment_network_id;
        request.networks().iter().position(|accepted| accepted.id == *network)
    };
    let mut found: Vec<_> = cards.into_iter().filter_map(|card| Some((rank(card)?, card))).collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, card)| Arc::clone(card)).collect()
}
