//! Replay, idempotency, uniqueness and booking (FIDO Web Pay section 6 step 10.5, protocol section 9): one decision, in
//! one transaction of the bank's store.
//!
//! | the delivery is | answer |
//! |---|---|
//! | one that was settled before, to the letter | the first answer, marked duplicate |
//! | a settled authorization in any other envelope | [`Refusal::Replay`] |
//! | a new authorization of a request that is booked with the same PRCD | the first answer, marked duplicate |
//! | a new authorization of a request that is booked with another PRCD | [`Refusal::Conflict`] |
//! | anything else | what [`Books::book`] decides; only a booked payment uses the request up |

use crate::error::Refusal;
use crate::verified::Verified;
use fwp::{AccountId, Prcd};
use sha2::{Digest, Sha256};

/// Milliseconds that an authorization is good for after its time stamp (protocol section 9).
pub const MAX_AGE_MS: i64 = 600_000;

/// For how long the store keeps what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds that replay entries outlive the authorization, so that a step of the clock backwards opens no gap.
    pub clock_step_margin_ms: i64,
    /// Milliseconds for which a booked (merchant, payeeHost, requestId, accountId) is not booked again.
    pub uniqueness_ms: i64,
}

impl Default for Retention {
    /// One hour of margin and 24 hours of uniqueness.
    fn default() -> Self {
        Self { clock_step_margin_ms: 3_600_000, uniqueness_ms: 24 * 3_600_000 }
    }
}

/// How a delivery reached the bank: what the authenticated connection from the PSP says, beside the IssuerRequest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The merchant as the PSP names it, the PSP's own name included.
    pub merchant: &'a str,
    /// The PSP's ID of this transaction. A retry after a network error has the same.
    pub transaction: &'a str,
    /// The IssuerRequest's JSON.
    pub issuer_request: &'a str,
}

/// What a payment may be booked for once within [`Retention::uniqueness_ms`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UniquenessKey {
    /// The merchant as the PSP names it.
    pub merchant: String,
    /// Host of the payee.
    pub payee_host: String,
    /// The merchant's ID of the request.
    pub request_id: String,
    /// The account that pays.
    pub account_id: AccountId,
}

/// What the bank said to a payment that passed every check of FIDO Web Pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Booked, under this reference.
    Booked {
        /// The bank's reference of the booking.
        reference: String,
    },
    /// Not booked, for a reason of the bank's (section 6 step 10.6), such as funds.
    Declined {
        /// The reason, for the merchant.
        reason: String,
    },
}

/// The answer to a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What the bank said, now or the first time.
    pub answer: Answer,
    /// Whether it had said so before: nothing was booked now.
    pub duplicate: bool,
    /// What the bank's risk side is told.
    pub risk: Risk,
}

/// What the risk side learns of a payment that is not refused for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Risk {
    /// The signature counter of the FIDO key did not go up although the key counts: there may be a copy of it.
    pub counter_stepped_back: bool,
}

/// A settled authorization as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayEntry {
    /// [`delivery_digest`] of the delivery that was settled.
    pub delivery: [u8; 32],
    /// What was answered.
    pub answer: Answer,
}

/// A booked request as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedRequest {
    /// What was paid.
    pub prcd: Prcd,
    /// The bank's reference of the booking.
    pub reference: String,
}

/// A bank's card as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardRecord {
    /// SHA-256 of the FIDO key's COSE form, [`fwp_cose::PublicKey::sha256`].
    pub public_key_sha256: [u8; 32],
    /// The network that the card pays through.
    pub payment_network_id: String,
}

/// The bank's store: something that runs transactions.
pub trait Store {
    /// What can go wrong in it.
    type Error;
    /// One transaction.
    type Books<'t>: Books<Error = Self::Error>
    where
        Self: 't;

    /// Runs `work` in one transaction that sees no other half done and that no other sees half done. It is durable when
    /// this returns `Ok`, and has left no trace when it returns `Err`.
    ///
    /// # Errors
    /// What `work` returns, and the store's own.
    fn transaction<T, E: From<Self::Error>>(
        &self,
        work: impl FnOnce(&mut Self::Books<'_>) -> Result<T, E>,
    ) -> Result<T, E>;
}

/// The bank's books within one transaction. Times are milliseconds since 1970.
pub trait Books {
    /// What can go wrong in the store.
    type Error;

    /// The card with this account and serial number, if the bank has issued it.
    ///
    /// # Errors
    /// The store's.
    fn card(
        &mut self,
        account_id: &AccountId,
        serial_number: &str,
    ) -> Result<Option<CardRecord>, Self::Error>;

    /// The settled authorization under `replay_key`.
    ///
    /// # Errors
    /// The store's.
    fn replay_entry(&mut self, replay_key: &[u8; 32]) -> Result<Option<ReplayEntry>, Self::Error>;

    /// Keeps a settled authorization until `keep_until_ms`.
    ///
    /// # Errors
    /// The store's.
    fn keep_replay_entry(
        &mut self,
        replay_key: &[u8; 32],
        entry: &ReplayEntry,
        keep_until_ms: i64,
    ) -> Result<(), Self::Error>;

    /// Forgets settled authorizations whose time is over before `now_ms`.
    ///
    /// # Errors
    /// The store's.
    fn forget_replay_entries(&mut self, now_ms: i64) -> Result<(), Self::Error>;

    /// The request booked under `key` since `since_ms`.
    ///
    /// # Errors
    /// The store's.
    fn booked_request(
        &mut self,
        key: &UniquenessKey,
        since_ms: i64,
    ) -> Result<Option<BookedRequest>, Self::Error>;

    /// Notes the signature counter of the FIDO key `public_key_sha256`, and returns the greatest one noted before.
    ///
    /// # Errors
    /// The store's.
    fn note_sign_count(
        &mut self,
        public_key_sha256: &[u8; 32],
        count: u32,
    ) -> Result<Option<u32>, Self::Error>;

    /// The bank's own decision (section 6 step 10.6): books the payment, so that [`Books::booked_request`] finds it, or
    /// declines it and leaves the books as they are.
    ///
    /// # Errors
    /// The store's.
    fn book(
        &mut self,
        payment: &Verified,
        key: &UniquenessKey,
        risk: Risk,
        now_ms: i64,
    ) -> Result<Answer, Self::Error>;
}

/// Why a delivery got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SettleError<E> {
    /// A check of FIDO Web Pay says no.
    #[error(transparent)]
    Refused(Refusal),
    /// The bank's store failed; nothing was booked.
    #[error("the bank's books: {0}")]
    Store(E),
}

/// Lets `?` tell the store's errors from refusals within a transaction.
enum Step<E> {
    Refused(Refusal),
    Store(E),
}

impl<E> From<E> for Step<E> {
    fn from(error: E) -> Self {
        Self::Store(error)
    }
}

/// Settles a verified authorization: answers it from memory, refuses it or books it, in one transaction.
///
/// # Errors
/// [`SettleError::Refused`] with [`Refusal::UnknownCard`], [`Refusal::KeyNotOfCard`], [`Refusal::CardNetwork`],
/// [`Refusal::Replay`] or [`Refusal::Conflict`]; [`SettleError::Store`].
pub fn settle<S: Store>(
    store: &S,
    delivery: &Delivery<'_>,
    payment: &Verified,
    retention: Retention,
    now_ms: i64,
) -> Result<Reply, SettleError<S::Error>> {
    let settled = store.transaction(|books| settle_in(books, delivery, payment, retention, now_ms));
    settled.map_err(|error| match error {
        Step::Refused(refusal) => SettleError::Refused(refusal),
        Step::Store(error) => SettleError::Store(error),
    })
}

fn settle_in<B: Books>(
    books: &mut B,
    delivery: &Delivery<'_>,
    payment: &Verified,
    retention: Retention,
    now_ms: i64,
) -> Result<Reply, Step<B::Error>> {
    // 10.4, second half: the public key belongs to SAD.accountId and SAD.serialNumber.
    let ad = payment.authorization();
    let card = books.card(&ad.account_id, &ad.serial_number)?;
    let card = card.ok_or(Step::Refused(Refusal::UnknownCard))?;
    payment.check_card(&card).map_err(Step::Refused)?;

    // 10.5 The authorization was used before: the same delivery, or a replay.
    let duplicate = |answer| Ok(Reply { answer, duplicate: true, risk: Risk::default() });
    let digest = delivery_digest(delivery, payment);
    let replay_key = payment.replay_key();
    if let Some(entry) = books.replay_entry(&replay_key)? {
        return if entry.delivery == digest {
            duplicate(entry.answer)
        } else {
            Err(Step::Refused(Refusal::Replay))
        };
    }
    let keep = |books: &mut B, answer: &Answer| {
        let entry = ReplayEntry { delivery: digest, answer: answer.clone() };
        let until = ad.time_stamp.unix_ms() + MAX_AGE_MS + retention.clock_step_margin_ms;
        books.keep_replay_entry(&replay_key, &entry, until)
    };

    // The request was booked before.
    let key = UniquenessKey {
        merchant: delivery.merchant.to_owned(),
        payee_host: ad.payee_host.as_str().to_owned(),
        request_id: ad.payment_request.request_id.clone(),
        account_id: ad.account_id.clone(),
    };
    if let Some(booked) = books.booked_request(&key, now_ms - retention.uniqueness_ms)? {
        if booked.prcd != ad.payment_request {
            return Err(Step::Refused(Refusal::Conflict));
        }
        let answer = Answer::Booked { reference: booked.reference };
        keep(books, &answer)?;
        return duplicate(answer);
    }

    // 10.6 The bank's own decision.
    let count = payment.sign_count();
    let before = books.note_sign_count(&card.public_key_sha256, count)?;
    let risk = Risk {
        counter_stepped_back: before.is_some_and(|before| (before, count) != (0, 0) && count <= before),
    };
    let answer = books.book(payment, &key, risk, now_ms)?;
    keep(books, &answer)?;
    books.forget_replay_entries(now_ms)?;
    Ok(Reply { answer, duplicate: false, risk })
}

/// What a delivery is recognised by when the PSP makes it again: its transaction and every field of the IssuerRequest,
/// also those that the user did not sign.
pub fn delivery_digest(delivery: &Delivery<'_>, payment: &Verified) -> [u8; 32] {
    let content = payment.request().to_json().to_string();
    let mut hash = Sha256::new();
    for part in [delivery.merchant, delivery.transaction, &content] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
