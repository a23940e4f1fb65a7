//! How cards enter: through an open enrollment of the caller's, after the user's consent that names the rpId, for the key
//! that was made in it (protocol section 8).
//!
//! ```text
//!             Start               Consented(yes)          KeyMade            StoreCards
//!  Created ---------> Interactive ---------> Making ---------> Attested ---------> Closed
//!  Cancel, a vanished owner and a deadline close from anywhere.
//! ```

use crate::card::{Card, CardHandle, is_same_card};
use crate::time::{Deadlines, Moment};
use fwp::enrollment::{IssuedCard, Offer};
use fwp::relying_party::{ForeignRpId, check_rp_id};
use fwp::{Credential, CredentialId, Provider, RpId};
use fwp_cose::{PublicKey, SignatureAlgorithm};
use std::sync::Arc;

/// One enrollment.
#[derive(Debug)]
pub struct Enrollment {
    offer: Offer,
    host: String,
    replace: bool,
    deadlines: Deadlines,
    state: State,
    turn: u32,
}

#[derive(Debug)]
enum State {
    Created { until_ms: u64 },
    Interactive { until_ms: u64 },
    Making { until_ms: u64 },
    Attested { key: MadeKey, until_ms: u64 },
    Closed,
}

/// The state as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrollmentState {
    /// Made, not started.
    Created,
    /// The user is asked, or the authenticator.
    Interactive,
    /// The key is made; cards are next.
    Attested,
    /// Over.
    Closed,
}

/// The key that an enrollment made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeKey {
    /// Its identifier.
    pub credential_id: CredentialId,
    /// Its public half.
    pub public_key: PublicKey,
    /// What it signs with; fits the key.
    pub algorithm: SignatureAlgorithm,
}

/// What the user is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollmentConsent {
    /// The issuer's domain: what the key and its cards are bound to.
    pub rp_id: RpId,
    /// The host that the offer came from.
    pub host: String,
    /// The issuer, as it calls itself.
    pub issuer_name: String,
    /// The user, as the issuer calls them.
    pub user_name: String,
    /// Whether cards that are there already are replaced.
    pub replace: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The owner wants it. Whoever sends this has the desk.
    Start,
    /// The user answered question `turn`.
    Consented {
        /// Number of the question.
        turn: u32,
        /// Yes or no.
        granted: bool,
    },
    /// Ceremony `turn` made this key.
    KeyMade {
        /// Number of the ceremony.
        turn: u32,
        /// The key.
        key: Box<MadeKey>,
    },
    /// Ceremony `turn` failed.
    Failed {
        /// Number of the ceremony.
        turn: u32,
        /// Whether that is because the user said no, to the PIN say.
        declined: bool,
    },
    /// The cards of [`Enrollment::check_cards`] are durably stored.
    Stored,
    /// The owner withdraws it.
    Cancel,
    /// The owner's connection is gone.
    OwnerVanished,
    /// The agent's connection is gone.
    AgentVanished,
    /// Time has passed.
    Tick,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask the user this.
    Ask {
        /// Number of the question.
        turn: u32,
        /// What to show.
        consent: EnrollmentConsent,
    },
    /// Take the question back.
    Withdraw {
        /// Number of the question.
        turn: u32,
    },
    /// Have a key made for the offer's rpId.
    MakeKey {
        /// Number of the ceremony.
        turn: u32,
    },
    /// Cancel the ceremony.
    CancelCeremony {
        /// Number of the ceremony.
        turn: u32,
    },
    /// Nothing is before the user any more; the desk is free.
    LeaveDesk {
        /// Whether that is because the user said no.
        declined: bool,
    },
    /// Hand the attestation to the owner.
    Attest,
    /// It is over.
    Close(CloseReason),
}

/// Why an enrollment is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The cards are stored.
    Completed,
    /// The user said no.
    Declined,
    /// The owner withdrew it.
    Aborted,
    /// The owner's connection is gone.
    OwnerVanished,
    /// The agent's connection is gone.
    AgentVanished,
    /// A deadline passed.
    TimedOut,
    /// The authenticator failed.
    Failed,
}

/// Why an enrollment or its cards are not taken. Nothing is stored then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrollmentError {
    /// The offer's rpId is not its host's.
    #[error("the offer's rpId {} can't be used by {host}, where it comes from: {problem}", rp_id.as_str())]
    RpId {
        /// The offer's.
        rp_id: RpId,
        /// Where it comes from.
        host: String,
        /// Why.
        problem: ForeignRpId,
    },
    /// Not in a state in which it takes this.
    #[error("not possible in state {0:?}")]
    State(EnrollmentState),
    /// A card is for another key than the one that was made in this enrollment.
    #[error("cards[{index}].credentialId: not the key of this enrollment")]
    OtherKey {
        /// Which card, from 0.
        index: usize,
    },
    /// Two of the cards are the same.
    #[error("cards[{index}].cardData: the same account or serial number as a card before it")]
    Twice {
        /// Which card, from 0.
        index: usize,
    },
    /// The card is in the wallet already, and replacing was not asked for.
    #[error(
        "cards[{index}].cardData: this card is in the wallet already; enroll with \"replace\" to replace it"
    )]
    Present {
        /// Which card, from 0.
        index: usize,
    },
    /// No cards.
    #[error("cards: there is none")]
    Empty,
}

/// A card that enters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewlyIssued {
    /// The card, tied to the key of the enrollment.
    pub credential: Credential,
    /// Its providers.
    pub providers: Vec<Provider>,
}

/// What to store, all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardsToStore {
    /// The new cards.
    pub new: Vec<NewlyIssued>,
    /// Cards that go, because new ones take their place.
    pub replaced: Vec<CardHandle>,
}

impl Enrollment {
    /// An enrollment in state [`EnrollmentState::Created`]. `host` is where the offer comes from, as the client knows
    /// it.
    ///
    /// # Errors
    /// [`EnrollmentError::RpId`].
    pub fn new(
        offer: Offer,
        host: &str,
        replace: bool,
        deadlines: Deadlines,
        now: Moment,
    ) -> Result<Self, EnrollmentError> {
        if let Err(problem) = check_rp_id(host, offer.rp_id.as_str()) {
            return Err(EnrollmentError::RpId { rp_id: offer.rp_id, host: host.to_owned(), problem });
        }
        let state = State::Created { until_ms: now.after_ms(deadlines.show_ms) };
        Ok(Self { offer, host: host.to_owned(), replace, deadlines, state, turn: 0 })
    }

    /// The offer.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The state.
    pub fn state(&self) -> EnrollmentState {
        match self.state {
            State::Created { .. } => EnrollmentState::Created,
            State::Interactive { .. } | State::Making { .. } => EnrollmentState::Interactive,
            State::Attested { .. } => EnrollmentState::Attested,
            State::Closed => EnrollmentState::Closed,
        }
    }

    /// Until when (monotonic milliseconds) something has to happen, lest [`Event::Tick`] close it.
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::Created { until_ms }
            | State::Interactive { until_ms }
            | State::Making { until_ms }
            | State::Attested { until_ms, .. } => Some(until_ms),
            State::Closed => None,
        }
    }

    /// Goes on with `event`. What comes too late has no effect.
    ///
    /// # Errors
    /// [`EnrollmentError::State`] for a call of the owner that does not fit the state; nothing has changed then.
    pub fn on(&mut self, event: Event, now: Moment) -> Result<Vec<Effect>, EnrollmentError> {
        let refused = EnrollmentError::State(self.state());
        Ok(match (event, &self.state) {
            (Event::Start, State::Created { .. }) => {
                self.turn += 1;
                self.state = State::Interactive { until_ms: now.after_ms(self.deadlines.answer_ms) };
                vec![Effect::Ask { turn: self.turn, consent: self.consent() }]
            }
            (Event::Consented { turn, granted: true }, State::Interactive { .. }) if turn == self.turn => {
                self.turn += 1;
                self.state = State::Making { until_ms: now.after_ms(self.deadlines.sign_ms) };
                vec![Effect::MakeKey { turn: self.turn }]
            }
            (Event::Consented { turn, granted: false }, State::Interactive { .. }) if turn == self.turn => {
                self.state = State::Closed;
                vec![Effect::LeaveDesk { declined: true }, Effect::Close(CloseReason::Declined)]
            }
            (Event::KeyMade { turn, key }, State::Making { .. }) if turn == self.turn => {
                let until_ms = now.after_ms(self.deadlines.complete_ms);
                self.state = State::Attested { key: *key, until_ms };
                vec![Effect::LeaveDesk { declined: false }, Effect::Attest]
            }
            (Event::Failed { turn, declined }, State::Making { .. }) if turn == self.turn => {
                self.state = State::Closed;
                let reason = if declined { CloseReason::Declined } else { CloseReason::Failed };
                vec![Effect::LeaveDesk { declined }, Effect::Close(reason)]
            }
            (Event::Stored, State::Attested { .. }) => self.close(CloseReason::Completed),
            (Event::Cancel, state) if !matches!(state, State::Closed) => self.close(CloseReason::Aborted),
            (Event::OwnerVanished, state) if !matches!(state, State::Closed) => {
                self.close(CloseReason::OwnerVanished)
            }
            (Event::AgentVanished, State::Interactive { .. } | State::Making { .. }) => {
                self.close(CloseReason::AgentVanished)
            }
            (Event::Tick, _) if self.deadline_ms().is_some_and(|until_ms| now.monotonic_ms > until_ms) => {
                self.close(CloseReason::TimedOut)
            }
            (Event::Start | Event::Cancel | Event::Stored, _) => return Err(refused),
            _ => vec![],
        })
    }

    /// Checks the cards that the issuer answered with, against the key of this enrollment and the cards that are there.
    ///
    /// What the same card is, [`is_same_card`] says; cards of another rpId are never replaced.
    ///
    /// # Errors
    /// [`EnrollmentError`].
    pub fn check_cards(
        &self,
        issued: Vec<IssuedCard>,
        present: &[Arc<Card>],
    ) -> Result<CardsToStore, EnrollmentError> {
        let State::Attested { key, .. } = &self.state else {
            return Err(EnrollmentError::State(self.state()));
        };
        let mut cards = CardsToStore { new: Vec::new(), replaced: Vec::new() };
        for (index, issued) in issued.into_iter().enumerate() {
            // 1. The key of this enrollment, and no other.
            if issued.credential_id != key.credential_id {
                return Err(EnrollmentError::OtherKey { index });
            }
            let credential = Credential {
                credential_id: issued.credential_id,
                rp_id: self.offer.rp_id.clone(),
                public_key: key.public_key.clone(),
                signature_algorithm: key.algorithm,
                card: issued.card,
            };
            // 2. Each card once.
            if cards.new.iter().any(|earlier| is_same_card(&earlier.credential, &credential)) {
                return Err(EnrollmentError::Twice { index });
            }
            // 3. Not there yet, or to be replaced with the user's consent.
            let there: Vec<_> =
                present.iter().filter(|card| is_same_card(card.credential(), &credential)).collect();
            if !there.is_empty() && !self.replace {
                return Err(EnrollmentError::Present { index });
            }
            for card in there {
                if !cards.replaced.contains(&card.handle()) {
                    cards.replaced.push(card.handle());
                }
            }
            cards.new.push(NewlyIssued { credential, providers: issued.providers });
        }
        if cards.new.is_empty() { Err(EnrollmentError::Empty) } else { Ok(cards) }
    }

    fn consent(&self) -> EnrollmentConsent {
        EnrollmentConsent {
            rp_id: self.offer.rp_id.clone(),
            host: self.host.clone(),
            issuer_name: self.offer.rp_name.clone(),
            user_name: self.offer.user_name.clone(),
            replace: self.replace,
        }
    }

    fn close(&mut self, reason: CloseReason) -> Vec<Effect> {
        let mut effects = Vec::new();
        match self.state {
            State::Interactive { .. } => effects.push(Effect::Withdraw { turn: self.turn }),
            State::Making { .. } => effects.push(Effect::CancelCeremony { turn: self.turn }),
            _ => {}
        }
        if !effects.is_empty() {
            effects.push(Effect::LeaveDesk { declined: false });
        }
        self.state = State::Closed;
        effects.push(Effect::Close(reason));
        effects
    }
}
