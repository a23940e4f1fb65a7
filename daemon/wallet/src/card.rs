//! Cards, as payments see them, and which of them fit a request.

use fwp::moz_pay::WrongSignature;
use fwp::{Credential, PaymentRequest, Provider, ProviderType};
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
    providers: Vec<Provider>,
}

/// The cards that fit a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitting {
    /// In the order in which they are offered.
    pub cards: Vec<Arc<Card>>,
    /// Why cards of the request's provider do not fit: its signature is not by a key of theirs.
    pub wrong_signature: Option<WrongSignature>,
}

/// Whether both are the same card to the wallet, which has it once: issuer, network and account are the same, or issuer,
/// network and serial number. Cards of another rpId are another issuer's, whatever they say.
pub fn is_same_card(one: &Credential, other: &Credential) -> bool {
    let (a, b) = (&one.card, &other.card);
    one.rp_id == other.rp_id
        && a.issuer_id == b.issuer_id
        && a.payment_network_id == b.payment_network_id
        && (a.account_id == b.account_id || a.serial_number == b.serial_number)
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
        Self { handle, key: CardKey::of(&credential), credential, providers: Vec::new() }
    }

    /// The card with these providers.
    #[must_use]
    pub fn with_providers(self, providers: Vec<Provider>) -> Self {
        Self { providers, ..self }
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

    /// Its provider of this type.
    pub fn provider(&self, typ: &ProviderType) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.typ == *typ)
    }
}

/// The cards that fit `request`: those of its networks, in the order in which the merchant names the networks, and in
/// the given order within each. Of a signed request, in the given order, those with a provider of its type, unless they came with
/// public keys and its signature is by none of them.
pub fn matching<'a>(request: &PaymentRequest, cards: impl IntoIterator<Item = &'a Arc<Card>>) -> Fitting {
    let mut wrong_signature = None;
    let mut rank = |card: &Card| match request.moz_pay() {
        None => {
            let network = &card.credential.card.payment_network_id;
            request.networks().iter().position(|accepted| accepted.id == *network)
        }
        Some(signed) => match signed.verify(card.provider(signed.typ())?) {
            Ok(_) => Some(0),
            Err(wrong) => {
                wrong_signature = Some(wrong);
                None
            }
        },
    };
    let mut found: Vec<_> = cards.into_iter().filter_map(|card| Some((rank(card)?, card))).collect();
    found.sort_by_key(|(rank, _)| *rank);
    Fitting { cards: found.into_iter().map(|(_, card)| Arc::clone(card)).collect(), wrong_signature }
}
