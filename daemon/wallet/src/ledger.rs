//! The uniqueness ledger (protocol section 9, "uniqueness at the wallet" and "retry"): (payeeHost, requestId) is tied to
//! the card that was first authorized, for at least 660 s, over retries, new requests and restarts.
//!
//! **Clock steps.** How long an entry has been held is measured by the clock that never steps, within this run of the
//! program, and by nothing else. An entry that comes from the store after a restart is held for another 660 s from
//! then on, since how long the program was away only the other clock knows, and anybody may have set that. So an entry
//! lives at least 660 s, whatever is done to the clock, and longer by at most the time to the last restart.

use crate::card::{Card, CardKey};
use crate::consent::{Approved, Authorizable, Notice};
use crate::time::Moment;
use fwp::{Amount, Currency, PayeeHost, PaymentRequest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long an entry is held at least, in milliseconds.
pub const HOLD_MS: u64 = 660_000;

/// (payeeHost, requestId), and what was authorized for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Who asked.
    pub payee_host: PayeeHost,
    /// Its name of the request.
    pub request_id: String,
    /// The card.
    pub card: CardKey,
    /// How much, the last time.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// When, the last time, in milliseconds since 1970 by the clock of that time.
    pub authorized_unix_ms: i64,
}

/// The request is tied to another card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this request was authorized with another card {seconds} s ago; it can be authorized again with that card only"
)]
pub struct CardTied {
    /// How long ago, in seconds.
    pub seconds: u64,
}

/// All entries that are still held.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    held: BTreeMap<(PayeeHost, String), Held>,
    /// Number of the last tie.
    ties: u64,
}

#[derive(Clone, Debug)]
struct Held {
    entry: LedgerEntry,
    /// Which tie made it or used it last.
    tie: u64,
    /// When it was made or last used; when it was read, for one that the store gave back.
    since_monotonic_ms: u64,
    /// Its age when it was read, as far as the clock can be believed.
    age_then_ms: u64,
}

impl Held {
    fn age_ms(&self, now: Moment) -> u64 {
        now.since_ms(self.since_monotonic_ms).saturating_add(self.age_then_ms)
    }

    /// Whether it still counts. Only the clock that never steps is asked.
    fn is_live(&self, now: Moment) -> bool {
        now.since_ms(self.since_monotonic_ms) <= HOLD_MS
    }
}

impl Ledger {
    /// The ledger that the store kept.
    pub fn restore(entries: impl IntoIterator<Item = LedgerEntry>, now: Moment) -> Self {
        let held = entries.into_iter().map(|entry| {
            let age = now.unix_ms.saturating_sub(entry.authorized_unix_ms);
            let key = (entry.payee_host.clone(), entry.request_id.clone());
            let age_then_ms = u64::try_from(age).unwrap_or(0);
            (key, Held { entry, tie: 0, since_monotonic_ms: now.monotonic_ms, age_then_ms })
        });
        Self { held: held.collect(), ties: 0 }
    }

    /// Ties an approved payment to its card, or refuses it. An entry that is there already is held for another 660 s.
    ///
    /// # Errors
    /// [`CardTied`] if it is another card.
    pub fn tie(&mut self, approved: Approved, now: Moment) -> Result<Authorizable, CardTied> {
        let consent = approved.consent();
        let key = (consent.payee_host().clone(), consent.request_id().to_owned());
        let entry = LedgerEntry {
            payee_host: key.0.clone(),
            request_id: key.1.clone(),
            card: approved.card().key(),
            amount: consent.amount().clone(),
            currency: *consent.currency(),
            authorized_unix_ms: now.unix_ms,
        };
        let before = self.held.get(&key).filter(|held| held.is_live(now));
        if let Some(held) = before.filter(|held| held.entry.card != entry.card) {
            return Err(CardTied { seconds: held.age_ms(now) / 1000 });
        }
        let first = before.is_none();
        self.ties += 1;
        let held = Held {
            entry: entry.clone(),
            tie: self.ties,
            since_monotonic_ms: now.monotonic_ms,
            age_then_ms: 0,
        };
        self.held.insert(key, held);
        Ok(approved.tied(entry, first.then_some(self.ties)))
    }

    /// Undoes the first tie of a request whose authorization was never handed out, and tells whether the store has
    /// something to forget. A request that was authorized before, or again since, stays tied.
    pub fn release(&mut self, authorizable: &Authorizable) -> bool {
        let entry = authorizable.ledger_entry();
        let key = (entry.payee_host.clone(), entry.request_id.clone());
        let is_its_own = self.held.get(&key).is_some_and(|held| Some(held.tie) == authorizable.first_tie());
        is_its_own && self.held.remove(&key).is_some()
    }

    /// Lets go of what was held long enough, and tells what the store may forget. Such entries count for nothing before
    /// that already.
    pub fn expire(&mut self, now: Moment) -> Vec<LedgerEntry> {
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.held).into_iter().partition(|(_, held)| held.is_live(now));
        self.held = kept;
        gone.into_values().map(|held| held.entry).collect()
    }

    /// The card that `request` is tied to, if it is to any.
    pub fn tied_to(&self, request: &PaymentRequest, now: Moment) -> Option<CardKey> {
        self.of(request, now).map(|held| held.entry.card)
    }

    /// What the user must know about `request`.
    pub fn notices(&self, request: &PaymentRequest, now: Moment) -> Vec<Notice> {
        let seconds = |held: &Held| held.age_ms(now) / 1000;
        if let Some(held) = self.of(request, now) {
            return vec![Notice::SameRequestBefore { seconds: seconds(held) }];
        }
        let prcd = request.prcd();
        let same = self.held.values().filter(|held| {
            held.is_live(now)
                && held.entry.payee_host == *request.payee_host()
                && held.entry.currency == prcd.currency
                && held.entry.amount.same_value(&prcd.amount)
        });
        same.map(seconds).min().map(|seconds| Notice::SameAmountBefore { seconds }).into_iter().collect()
    }

    /// Puts the card that `request` is tied to in front.
    pub(crate) fn in_front(&self, request: &PaymentRequest, cards: &mut [Arc<Card>], now: Moment) {
        if let Some(tied) = self.tied_to(request, now) {
            cards.sort_by_key(|card| card.key() != tied);
        }
    }

    /// How many entries are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn of(&self, request: &PaymentRequest, now: Moment) -> Option<&Held> {
        let held = self.held.get(&(request.payee_host().clone(), request.prcd().request_id.clone()));
        held.filter(|held| held.is_live(now))
    }
}
