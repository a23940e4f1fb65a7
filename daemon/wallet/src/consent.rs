//! What the user is shown, as data, and what becomes of a "yes".

use crate::card::{Card, CardHandle};
use crate::ledger::LedgerEntry;
use crate::limits::LimitReached;
use fwp::authorization::{AuthorizationData, Location, PlatformData};
use fwp::moz_pay::WrongSignature;
use fwp::{Amount, Currency, MozPayRequest, PayeeHost, PaymentRequest, TimeStamp};
use std::fmt;
use std::sync::Arc;

/// A payment as it is put before the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentConsent {
    request: PaymentRequest,
    cards: Vec<Arc<Card>>,
    notices: Vec<Notice>,
    retry: Option<String>,
}

/// Something that the user must know before saying yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The same amount to the same host was authorized under another request ID.
    SameAmountBefore {
        /// How long ago, in seconds.
        seconds: u64,
    },
    /// This very request was authorized before.
    SameRequestBefore {
        /// How long ago, in seconds.
        seconds: u64,
    },
    /// Cards of the request's provider are not offered: its signature is not by a key of theirs.
    WrongSignature(WrongSignature),
    /// Cards that would fit are not offered: their keys are in this computer, and those are at a limit.
    LimitReached(LimitReached),
}

/// What the user said yes to: this consent, with this card. It can be signed once the ledger has seen it.
#[derive(Debug)]
pub struct Approved {
    consent: Arc<PaymentConsent>,
    card: Arc<Card>,
}

/// An approved payment that the ledger has tied to its card: what may be signed. The entry must be durable before the
/// authenticator is asked.
#[derive(Debug)]
pub struct Authorizable {
    approved: Approved,
    entry: LedgerEntry,
    /// Number of the tie, if it is the first of its request.
    first: Option<u64>,
}

/// The card is not among those that were shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this card was not offered")]
pub struct NotOffered;

impl PaymentConsent {
    /// The payment with the cards that fit. A card that the ledger ties this request to stands first.
    pub(crate) fn new(
        request: PaymentRequest,
        cards: Vec<Arc<Card>>,
        notices: Vec<Notice>,
        retry: Option<String>,
    ) -> Self {
        Self { request, cards, notices, retry }
    }

    /// The merchant, as it calls itself.
    pub fn payee_name(&self) -> &str {
        &self.request.prcd().payee_name
    }

    /// The host that asks, as the browser attests it. On a line of its own.
    pub fn payee_host(&self) -> &PayeeHost {
        self.request.payee_host()
    }

    /// How much.
    pub fn amount(&self) -> &Amount {
        &self.request.prcd().amount
    }

    /// In which currency.
    pub fn currency(&self) -> &Currency {
        &self.request.prcd().currency
    }

    /// The merchant's name of the request.
    pub fn request_id(&self) -> &str {
        &self.request.prcd().request_id
    }

    /// What the request's shop claims and signed, if it came by `navigator.mozPay`.
    pub fn moz_pay(&self) -> Option<&MozPayRequest> {
        self.request.moz_pay()
    }

    /// The cards to choose from. None: the user is told that no card fits.
    pub fn cards(&self) -> &[Arc<Card>] {
        &self.cards
    }

    /// What the user must know.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Why cards that would fit are not offered, if there are such.
    pub fn limit_reached(&self) -> Option<&LimitReached> {
        self.notices.iter().find_map(|notice| match notice {
            Notice::LimitReached(reached) => Some(reached),
            _ => None,
        })
    }

    /// Why cards of the request's provider are not offered, if its signature is wrong for such.
    pub fn wrong_signature(&self) -> Option<WrongSignature> {
        self.notices.iter().find_map(|notice| match notice {
            Notice::WrongSignature(wrong) => Some(*wrong),
            _ => None,
        })
    }

    /// On a retry, what the merchant says was wrong (may be empty).
    pub fn retry_error(&self) -> Option<&str> {
        self.retry.as_deref()
    }

    /// Yes, with this card.
    ///
    /// # Errors
    /// [`NotOffered`].
    pub(crate) fn approve(self: Arc<Self>, card: CardHandle) -> Result<Approved, NotOffered> {
        let card =
            self.cards.iter().find(|offered| offered.handle() == card).map(Arc::clone).ok_or(NotOffered)?;
        Ok(Approved { consent: self, card })
    }
}

impl Approved {
    /// What was shown.
    pub fn consent(&self) -> &PaymentConsent {
        &self.consent
    }

    /// The card that was chosen.
    pub fn card(&self) -> &Card {
        &self.card
    }

    pub(crate) fn tied(self, entry: LedgerEntry, first: Option<u64>) -> Authorizable {
        Authorizable { approved: self, entry, first }
    }
}

impl Authorizable {
    /// What was shown.
    pub fn consent(&self) -> &PaymentConsent {
        &self.approved.consent
    }

    /// The card that signs.
    pub fn card(&self) -> &Card {
        &self.approved.card
    }

    /// What the ledger has to keep durably before the authenticator is asked.
    pub fn ledger_entry(&self) -> &LedgerEntry {
        &self.entry
    }

    /// Whether this is the first authorization of the request. If so and nothing is handed out, the tie may be undone.
    pub fn is_first(&self) -> bool {
        self.first.is_some()
    }

    pub(crate) fn first_tie(&self) -> Option<u64> {
        self.first
    }

    /// What the authenticator signs: the request that was shown, the card that was chosen, and the circumstances.
    ///
    /// # Errors
    /// [`NotOffered`]: cannot happen, since only cards of the request's networks are offered.
    pub fn authorization_data(
        &self,
        platform_data: PlatformData,
        location: Option<Location>,
        time_stamp: TimeStamp,
    ) -> Result<AuthorizationData, NotOffered> {
        let request = &self.approved.consent.request;
        AuthorizationData::new(request, self.card().credential(), platform_data, location, time_stamp)
            .map_err(|_| NotOffered)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameAmountBefore { seconds } => {
                write!(
                    f,
                    "You authorized the same amount for this site {seconds} s ago, for another request."
                )
            }
            Self::SameRequestBefore { seconds } => write!(
                f,
                "You authorized this request {seconds} s ago. Only the card of that time can be used again; it stands \
                 first, if you still have it."
            ),
            Self::WrongSignature(wrong) => write!(
                f,
                "This request is not by a shop of the provider that it names: {wrong}. Cards of that provider are not \
                 offered."
            ),
            Self::LimitReached(reached) => {
                write!(f, "Cards whose keys are in this computer are not offered. {reached}")
            }
        }
    }
}
