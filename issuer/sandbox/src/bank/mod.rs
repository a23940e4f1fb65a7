//! The bank: enrolls FIDO keys, issues cards, verifies and books payments, and shows its staff what happened.

pub mod books;
pub mod cards;
pub mod enroll_page;
pub mod funds;
pub mod issued;
pub mod keys;
pub mod pages;
pub mod routes;
pub mod view;

use crate::error::SandboxError;
use crate::record::Record;
use books::{BankBooks, CardIssue, NotedDelivery};
use cards::CUSTOMER;
pub use cards::PRODUCTS;
use funds::Cents;
use fwp::enrollment::{Attestation, IssuedCard, Offer};
use fwp::envelope::IssuerRequest;
use fwp::provider::Provider;
use fwp::{Currency, RpId};
use fwp_cose::SignatureAlgorithm;
use fwp_verifier::booking::{Books, Risk, Store, UniquenessKey};
use fwp_verifier::verified::MAX_AHEAD_MS;
use fwp_verifier::{
    Answer, AttestationRoots, Delivery, Refusal, Reply, Retention, SettleError, Terms, Verified,
};
use issued::Voucher;
use keys::{BankKeys, KeyFile};
use std::path::Path;
use view::View;

/// The bank's relying party identifier: the sandbox is on this machine only.
pub const RP_ID: &str = "localhost";
/// The names under which the bank's pages are.
pub const HOSTS: &[&str] = &[RP_ID];
/// Milliseconds for which an offer to enroll is open.
pub const OFFER_OPEN_MS: i64 = 600_000;
/// What is in each account at first.
pub const FIRST_BALANCE: Cents = Cents(1_000_000);

/// The bank.
#[derive(Debug)]
pub struct Bank {
    /// Its books.
    pub books: BankBooks,
    /// Its keys.
    pub keys: BankKeys,
    terms: Terms,
    rp_id: RpId,
    record: Option<Record>,
    roots: Option<AttestationRoots>,
    tpm_roots: Option<AttestationRoots>,
    providers: Vec<Provider>,
}

/// What the bank answers to a delivery.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Booked or declined, now or before.
    Settled(Reply),
    /// Refused.
    Refused(Refusal),
}

impl Bank {
    /// Opens the bank in the directory `dir`: its books, and its keys, which are made at the first start.
    ///
    /// # Errors
    /// [`SandboxError`].
    pub fn open(dir: &Path, record: Option<Record>) -> Result<Self, SandboxError> {
        let keys = KeyFile::read_or_make(dir)?.load(dir)?;
        let books = BankBooks::open(&dir.join("bank.sqlite"))?;
        let euro = Currency::parse("EUR").map_err(|_| SandboxError::DamagedBooks("no currency"))?;
        for product in &PRODUCTS {
            books.open_account(&product.account(), CUSTOMER, euro, FIRST_BALANCE)?;
        }
        let rp_id = RpId::parse(RP_ID).map_err(|_| SandboxError::DamagedBooks("no rpId"))?;
        let terms = Terms::live(rp_id.clone(), PRODUCTS.iter().map(cards::Product::terms).collect());
        Ok(Self { books, keys, terms, rp_id, record, roots: None, tpm_roots: None, providers: Vec::new() })
    }

    /// From now on cards are issued with these providers of signed requests.
    #[must_use]
    pub fn with_providers(self, providers: Vec<Provider>) -> Self {
        Self { providers, ..self }
    }

    /// From now on keys in a TPM count as vouched for if an authority with one of these roots has certified its attestation key.
    #[must_use]
    pub fn with_tpm_roots(self, roots: AttestationRoots) -> Self {
        Self { tpm_roots: Some(roots), ..self }
    }

    /// From now on only keys get cards that a maker with one of these roots, or a TPM ([`Bank::with_tpm_roots`]), vouches for.
    #[must_use]
    pub fn with_roots(self, roots: AttestationRoots) -> Self {
        Self { roots: Some(roots), ..self }
    }

    /// Settles one delivery: verifies it, answers from memory or books, and notes what happened. `now_ms` is the bank's clock.
    ///
    /// # Errors
    /// [`SandboxError`] when the books fail; then nothing was booked.
    pub fn settle(&self, delivery: &Delivery<'_>, now_ms: i64) -> Result<Verdict, SandboxError> {
        self.settle_on(&self.terms, delivery, now_ms)
    }

    /// [`Bank::settle`] of a delivery by a provider, who was given `request`: the user must have authorized exactly that.
    ///
    /// # Errors
    /// As [`Bank::settle`].
    pub fn settle_for_provider(
        &self,
        request: &str,
        delivery: &Delivery<'_>,
        now_ms: i64,
    ) -> Result<Verdict, SandboxError> {
        self.settle_on(&self.terms.for_provider(request), delivery, now_ms)
    }

    fn settle_on(
        &self,
        terms: &Terms,
        delivery: &Delivery<'_>,
        now_ms: i64,
    ) -> Result<Verdict, SandboxError> {
        let mut view = View::default();
        if let Ok(request) = IssuerRequest::parse(delivery.issuer_request) {
            view = view.with_request(&request);
        }
        let payment = fwp_verifier::verify(delivery.issuer_request, &self.keys.ring, terms, Some(now_ms));
        let verdict = match &payment {
            Err(refusal @ (Refusal::Expired | Refusal::EnvelopeTime { .. })) => {
                let booked = self.booked_before(terms, delivery)?;
                booked.map_or_else(|| Verdict::Refused(refusal.clone()), Verdict::Settled)
            }
            Err(refusal) => Verdict::Refused(refusal.clone()),
            Ok(payment) => {
                view = view.with_authorization(payment);
                self.settle_verified(delivery, payment, now_ms)?
            }
        };
        if let Verdict::Settled(reply) = &verdict {
            view = view.with_risk(reply);
        }
        let number = self.note(delivery, &verdict, &view, now_ms)?;
        match &verdict {
            Verdict::Settled(reply) if reply.risk.counter_stepped_back => {
                tracing::warn!(
                    delivery = number,
                    status = verdict.status(),
                    "the FIDO key's counter did not go up"
                );
            }
            Verdict::Settled(_) => tracing::info!(delivery = number, status = verdict.status(), "bank"),
            Verdict::Refused(refusal) => {
                tracing::info!(delivery = number, status = "refused", code = refusal.code(), "bank")
            }
        }
        if let Some(record) = &self.record {
            record.append(number, delivery.issuer_request, &verdict, terms, now_ms)?;
        }
        Ok(verdict)
    }

    /// What was answered to a provider's delivery that is too late now, if it was booked in time: the provider has not heard it, and
    /// asks again. Nothing is booked here.
    fn booked_before(&self, terms: &Terms, delivery: &Delivery<'_>) -> Result<Option<Reply>, SandboxError> {
        if terms.provider_request.is_none() {
            return Ok(None);
        }
        let Ok(payment) = fwp_verifier::verify(delivery.issuer_request, &self.keys.ring, terms, None) else {
            return Ok(None);
        };
        let ad = payment.authorization();
        let key = UniquenessKey {
            merchant: delivery.merchant.to_owned(),
            payee_host: ad.payee_host.as_str().to_owned(),
            request_id: ad.payment_request.request_id.clone(),
            account_id: ad.account_id.clone(),
        };
        // Not before the user authorized it, and the user's clock may be ahead.
        let since_ms = ad.time_stamp.unix_ms() - MAX_AHEAD_MS;
        let booked = self.books.transaction::<_, SandboxError>(|books| {
            let card = books.card(&ad.account_id, &ad.serial_number)?;
            if card.is_none_or(|card| payment.check_card(&card).is_err()) {
                return Ok(None);
            }
            books.booked_request(&key, since_ms)
        })?;
        Ok(booked.filter(|booked| booked.prcd == ad.payment_request).map(|booked| Reply {
            answer: Answer::Booked { reference: booked.reference },
            duplicate: true,
            risk: Risk::default(),
        }))
    }

    fn settle_verified(
        &self,
        delivery: &Delivery<'_>,
        payment: &Verified,
        now_ms: i64,
    ) -> Result<Verdict, SandboxError> {
        match fwp_verifier::settle(&self.books, delivery, payment, Retention::default(), now_ms) {
            Ok(reply) => Ok(Verdict::Settled(reply)),
            Err(SettleError::Refused(refusal)) => Ok(Verdict::Refused(refusal)),
            Err(SettleError::Store(error)) => Err(error),
        }
    }

    fn note(
        &self,
        delivery: &Delivery<'_>,
        verdict: &Verdict,
        view: &View,
        now_ms: i64,
    ) -> Result<i64, SandboxError> {
        let outcome = verdict.to_json();
        let view = serde_json::json!({ "outcome": outcome, "sections": view.sections });
        self.books.note_delivery(&NotedDelivery {
            at_ms: now_ms,
            merchant: delivery.merchant.to_owned(),
            transaction: delivery.transaction.to_owned(),
            status: verdict.status().to_owned(),
            view: view.to_string(),
        })
    }

    /// Offers to enroll a FIDO key for the bank's customer. The attestation goes to `attestation_url`.
    ///
    /// # Errors
    /// [`SandboxError::Randomness`], [`SandboxError::Books`].
    pub fn offer(&self, attestation_url: String, now_ms: i64) -> Result<Offer, SandboxError> {
        let mut random = [0; 48];
        getrandom::fill(&mut random)?;
        let (challenge, user_id) = random.split_at(32);
        let offer = Offer {
            rp_id: self.rp_id.clone(),
            rp_name: "Sandbox Bank".to_owned(),
            user_id: user_id.to_vec(),
            user_name: CUSTOMER.to_owned(),
            challenge: challenge.to_vec(),
            algorithms: SignatureAlgorithm::ALL.to_vec(),
            attestation_url: Some(attestation_url),
        };
        self.books.open_offer(
            &offer.challenge,
            &offer.to_json().to_string(),
            now_ms + OFFER_OPEN_MS,
            now_ms,
        )?;
        Ok(offer)
    }

    /// Checks the attestation of a new FIDO key and issues its cards.
    ///
    /// # Errors
    /// [`SandboxError::Books`]. The inner error is why the key is refused.
    pub fn enroll(
        &self,
        attestation: &str,
        now_ms: i64,
    ) -> Result<Result<Vec<IssuedCard>, Refusal>, SandboxError> {
        let attestation = match Attestation::parse(attestation) {
            Ok(attestation) => attestation,
            Err(error) => return Ok(Err(error.into())),
        };
        let Some(offer) = self.books.offer(&attestation.challenge, now_ms)? else {
            return Ok(Err(Refusal::Challenge));
        };
        let offer = Offer::parse(&offer).map_err(|_| SandboxError::DamagedBooks("an open offer is none"))?;
        let key = match fwp_verifier::verify_attestation(&attestation, &offer) {
            Ok(key) => key,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let voucher = match Voucher::of(&key, self.roots.as_ref(), self.tpm_roots.as_ref(), now_ms) {
            Ok(voucher) => voucher,
            Err(error) => return Ok(Err(error.into())),
        };
        let serial_numbers = self.books.issue_cards(&CardIssue {
            challenge: &attestation.challenge,
            credential_id: attestation.credential_id.as_bytes(),
            public_key_sha256: key.public_key.sha256(),
            aaguid: key.aaguid,
            voucher,
            sign_count: key.sign_count,
            cards: &PRODUCTS.each_ref().map(|product| (product.account(), product.network)),
        })?;
        // Another enrollment with the same offer came in between.
        let Some(serial_numbers) = serial_numbers else { return Ok(Err(Refusal::Challenge)) };
        tracing::info!(cards = serial_numbers.len(), vouched_by = voucher.word(), "bank: cards issued");
        let issued = PRODUCTS.iter().zip(serial_numbers).map(|(product, serial_number)| IssuedCard {
            credential_id: attestation.credential_id.clone(),
            card: product.card(&self.keys, serial_number),
            providers: self.providers.clone(),
        });
        Ok(Ok(issued.collect()))
    }
}

impl Verdict {
    /// `booked`, `duplicate`, `declined` or `refused`.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Settled(Reply { duplicate: true, .. }) => "duplicate",
            Self::Settled(Reply { answer: Answer::Booked { .. }, .. }) => "booked",
            Self::Settled(Reply { answer: Answer::Declined { .. }, .. }) => "declined",
            Self::Refused(_) => "refused",
        }
    }

    /// The bank's answer as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Settled(Reply { answer: Answer::Booked { reference }, duplicate, .. }) => {
                serde_json::json!({ "status": "booked", "reference": reference, "duplicate": duplicate })
            }
            Self::Settled(Reply { answer: Answer::Declined { reason }, duplicate, .. }) => {
                serde_json::json!({ "status": "declined", "message": reason, "duplicate": duplicate })
            }
            Self::Refused(refusal) => refused_json("bank", refusal),
        }
    }
}

/// A refusal as JSON; `by` says whose.
pub fn refused_json(by: &str, refusal: &Refusal) -> serde_json::Value {
    serde_json::json!({ "status": "refused", "by": by, "error": refusal.code(), "message": refusal.to_string() })
}
