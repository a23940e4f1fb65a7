//! Does what the life cycle of an enrollment wants done, one thing after the other, while the clock runs.

use std::future::Future;
use std::rc::Rc;

use ctap_client::Wanted;
use ctap_core::ceremony::{ChangePin, CredentialRequest, MakeCredential, NewCredential, SetPin};
use ctap_core::messages::{RelyingParty, UserAccount};
use ctap_core::transport::Device;
use fwp::CredentialId;
use fwp::enrollment::{Attestation, Offer};
use fwp_dbus::interfaces::ENROLLMENT;
use fwp_dbus::types::{ConsentDetails, StatusDetails};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuditEvent, AuditKind, AuthenticatorRef};
use fwp_store::{Changes, Durability};
use fwp_wallet::enrollment::{CloseReason, Effect, EnrollmentConsent, EnrollmentError, Event, MadeKey};
use tokio::sync::mpsc;

use super::{Enrollment, Target};
use crate::agents::{Agent, Unanswered};
use crate::authenticators::{self, Piggyback, Platform, Source, Which, settle};
use crate::ceremonies::{Stage, Subject, conduct, refusal};
use crate::clock;
use crate::interrupts::{Interrupts, interrupts};
use crate::wallets::Wallet;

/// Something to be done for an enrollment.
#[derive(Debug)]
pub(super) enum Task {
    /// Ask the user.
    Ask { turn: u32, consent: EnrollmentConsent, interrupts: Interrupts },
    /// Have a key made.
    MakeKey { turn: u32, interrupts: Interrupts },
    /// Give the floor back.
    LeaveDesk { declined: bool },
    /// Hand the attestation over.
    Attest,
    /// It is over.
    Close(CloseReason),
}

impl Enrollment {
    /// Goes on with an event. Questions and ceremonies that are withdrawn end at once; the rest is done in order.
    ///
    /// # Errors
    /// [`EnrollmentError::State`]; nothing has changed then.
    pub(super) fn step(&self, event: Event) -> Result<(), EnrollmentError> {
        let effects = self.machine.borrow_mut().on(event, clock::moment())?;
        for effect in effects {
            let task = match effect {
                Effect::Withdraw { turn } | Effect::CancelCeremony { turn } => {
                    let current = self.current.borrow_mut().take_if(|(running, _)| *running == turn);
                    if let Some((_, interrupter)) = current {
                        interrupter.interrupt(Error::new(ErrorName::Aborted, "the question was withdrawn"));
                    }
                    continue;
                }
                Effect::Ask { turn, consent } => Task::Ask { turn, consent, interrupts: self.runs(turn) },
                Effect::MakeKey { turn } => Task::MakeKey { turn, interrupts: self.runs(turn) },
                Effect::LeaveDesk { declined } => Task::LeaveDesk { declined },
                Effect::Attest => Task::Attest,
                Effect::Close(reason) => Task::Close(reason),
            };
            // The receiver ends after Close, after which there are no effects.
            let _ = self.tasks.send(task);
        }
        Ok(())
    }

    /// As [`Enrollment::step`], for what is no call of the owner's: it fits any state, or has no effect.
    pub(super) fn happens(&self, event: Event) {
        if let Err(error) = self.step(event) {
            tracing::debug!(%error, "an event came too late");
        }
    }

    fn runs(&self, turn: u32) -> Interrupts {
        let (interrupter, interrupts) = interrupts();
        *self.current.borrow_mut() = Some((turn, interrupter));
        interrupts
    }

    fn fails(&self, turn: u32, error: Error) {
        let declined = error.name == ErrorName::Declined;
        self.failure.borrow_mut().get_or_insert(error);
        self.happens(Event::Failed { turn, declined });
    }

    fn deadline_ms(&self) -> Option<u64> {
        self.machine.borrow().deadline_ms()
    }

    fn agent(&self) -> Option<Rc<Agent>> {
        self.agent.borrow().clone()
    }
}

/// The enrollment's life, from its creation to its end.
pub(super) async fn live(
    wallet: Rc<Wallet>,
    enrollment: Rc<Enrollment>,
    mut tasks: mpsc::UnboundedReceiver<Task>,
) {
    while let Some(task) = ticking(&enrollment, tasks.recv()).await {
        match task {
            Task::Ask { turn, consent, interrupts } => {
                ticking(&enrollment, ask(&enrollment, turn, consent, interrupts)).await;
            }
            Task::MakeKey { turn, interrupts } => {
                ticking(&enrollment, Box::pin(make_key(&wallet, &enrollment, turn, interrupts))).await;
            }
            Task::LeaveDesk { declined } => {
                let turn = enrollment.turn.borrow_mut().take();
                if let Some(turn) = turn.filter(|_| declined) {
                    turn.declined();
                }
            }
            Task::Attest => attest(&wallet, &enrollment).await,
            Task::Close(reason) => return close(&wallet, &enrollment, reason).await,
        }
    }
}

/// Waits for something while the enrollment's deadlines are watched; not while cards are being stored.
async fn ticking<T>(enrollment: &Enrollment, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        let deadline = async {
            clock::until(enrollment.deadline_ms()).await;
            drop(enrollment.storing.lock().await);
        };
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = deadline => enrollment.happens(Event::Tick),
        }
    }
}

/// Asks for consent, naming the rpId.
async fn ask(enrollment: &Enrollment, turn: u32, consent: EnrollmentConsent, mut interrupts: Interrupts) {
    let Some(agent) = enrollment.agent() else { return enrollment.happens(Event::AgentVanished) };
    let shown = match &enrollment.target {
        Target::One(which) => which.shown(),
        Target::AnyKey => authenticators::any_shown(),
    };
    let details = ConsentDetails {
        rp_id: Some(consent.rp_id.as_str().to_owned()),
        host: Some(consent.host),
        issuer_name: Some(consent.issuer_name),
        user_name: Some(consent.user_name),
        authenticator: Some(shown.kind),
        authenticator_name: Some(shown.name),
        replace: Some(consent.replace),
        ..ConsentDetails::default()
    };
    match agent.ask("Consent", &("enroll", &details), None, &mut interrupts).await {
        Ok(granted) => enrollment.happens(Event::Consented { turn, granted }),
        Err(Unanswered::Declined) => enrollment.happens(Event::Consented { turn, granted: false }),
        Err(Unanswered::Failed(reason)) => {
            let error = Error::new(ErrorName::NoAgent, format!("the agent failed: {reason}"));
            *enrollment.failure.borrow_mut() = Some(error);
            enrollment.happens(Event::AgentVanished);
        }
        Err(Unanswered::Gone) => enrollment.happens(Event::AgentVanished),
        // The life cycle has gone on already.
        Err(Unanswered::Interrupted(_) | Unanswered::Timeout) => {}
    }
}

/// A key, and what made it.
struct Made {
    key: NewCredential,
    by: AuthenticatorRef,
}

/// The ceremony. The consent is recorded with what it has stored; a security key and the TPM store nothing here, so it is
/// before.
async fn make_key(wallet: &Wallet, enrollment: &Enrollment, turn: u32, mut interrupts: Interrupts) {
    let Some(agent) = enrollment.agent() else { return enrollment.happens(Event::AgentVanished) };
    let offer = enrollment.machine.borrow().offer().clone();
    let mut consented = Changes::new();
    let event = AuditEvent::new(clock::now_ms(), AuditKind::EnrollmentConsented);
    consented.audit(event.reason(offer.rp_id.as_str()));
    let (piggyback, recorded) = match &enrollment.target {
        Target::One(Which::Platform(Platform::Software, _)) => (Piggyback::with(consented), Ok(())),
        Target::One(Which::Platform(Platform::Tpm, _) | Which::Key(_)) | Target::AnyKey => {
            let committed = wallet.vault.write(|store| store.commit(consented, Durability::Lazy)).await;
            (Piggyback::default(), committed.map(|_| ()))
        }
    };
    let made = match recorded {
        Ok(()) => conduct_making(wallet, enrollment, &offer, &piggyback, &agent, &mut interrupts).await,
        Err(error) => Err(error),
    };
    let made = piggyback.explain(made);
    settle(&wallet.vault, &piggyback).await;
    match made.and_then(|made| Ok((attestation(&offer, &made.key)?, made))) {
        Ok((attestation, Made { key: made, by })) => {
            let key = Box::new(MadeKey {
                credential_id: attestation.credential_id.clone(),
                public_key: made.public_key,
                algorithm: made.algorithm,
            });
            *enrollment.attestation.borrow_mut() = Some(attestation);
            enrollment.made_by.set(Some(by));
            enrollment.happens(Event::KeyMade { turn, key });
        }
        Err(error) => enrollment.fails(turn, error),
    }
}

async fn conduct_making(
    wallet: &Wallet,
    enrollment: &Enrollment,
    offer: &Offer,
    piggyback: &Piggyback,
    agent: &Agent,
    interrupts: &mut Interrupts,
) -> Result<Made, Error> {
    let source = match &enrollment.target {
        Target::One(which) => Source::of(which, wallet, piggyback).await?,
        Target::AnyKey => Source::keys(wallet, Wanted::Any).await?,
    };
    let request = credential_request(offer);
    let work = move |stage: &mut Stage| {
        let mut opened = source.open(stage)?;
        let key = make(stage, &mut *opened.device, &request).map_err(|error| refusal(&error))?;
        let by = AuthenticatorRef { kind: opened.kind, aaguid: key.aaguid };
        Ok(Made { key, by })
    };
    let subject = Subject { rp_id: Some(offer.rp_id.as_str().to_owned()), payment: None };
    conduct(work, &subject, wallet, agent, interrupts).await
}

/// Makes the key. Where the authenticator has no PIN yet, or wants another one, that comes before, at the same device.
fn make(
    stage: &mut Stage,
    device: &mut dyn Device,
    request: &CredentialRequest,
) -> Result<NewCredential, ctap_core::Error> {
    let make = || MakeCredential::new(request.clone());
    match stage.run(make(), device) {
        Err(ctap_core::Error::PinNotSet) => stage.run(SetPin::new(), device)?,
        Err(ctap_core::Error::PinChangeRequired) => stage.run_for("current", ChangePin::new(), device)?,
        made => return made,
    }
    stage.run(make(), device)
}

fn credential_request(offer: &Offer) -> CredentialRequest {
    CredentialRequest {
        rp: RelyingParty { id: offer.rp_id.as_str().to_owned(), name: Some(offer.rp_name.clone()) },
        user: UserAccount {
            id: offer.user_id.clone(),
            name: Some(offer.user_name.clone()),
            display_name: Some(offer.user_name.clone()),
        },
        client_data_hash: offer.client_data_hash(),
        algorithms: offer.algorithms.clone(),
        // One key may serve several accounts and cards of a bank; that the same card doesn't enter twice is checked when
        // cards are stored. An exclude list would only keep people from a second account on the key that they have.
        exclude: Vec::new(),
    }
}

fn attestation(offer: &Offer, made: &NewCredential) -> Result<Attestation, Error> {
    let credential_id = CredentialId::new(made.credential_id.as_bytes().to_vec())
        .map_err(|error| Error::new(ErrorName::AuthenticatorFailed, error.to_string()))?;
    Ok(Attestation {
        rp_id: offer.rp_id.clone(),
        challenge: offer.challenge.clone(),
        credential_id,
        attestation_object: made.attestation_object.encode(),
    })
}

/// Hands the attestation over.
async fn attest(wallet: &Wallet, enrollment: &Enrollment) {
    let Some(attestation) = enrollment.attestation.borrow_mut().take() else { return };
    let body = attestation.to_json().to_string();
    wallet.context.tell(&enrollment.owner, &enrollment.path, ENROLLMENT, "Attestation", &body).await;
    if let Some(agent) = enrollment.agent() {
        agent.status("enrolled", &StatusDetails::default()).await;
    }
}

/// Takes the object away and tells its owner.
async fn close(wallet: &Wallet, enrollment: &Enrollment, reason: CloseReason) {
    drop(enrollment.turn.borrow_mut().take());
    wallet.enrollments.forget(enrollment);
    let end = end_of(reason, enrollment.failure.borrow_mut().take());
    wallet.context.tell_end(&enrollment.owner, &enrollment.path, ENROLLMENT, "Closed", &end).await;
    if let (Err(error), Some(agent)) = (end, enrollment.agent()) {
        let (reason, message) = (Some(error.name.as_str().to_owned()), Some(error.message));
        let details = StatusDetails { reason, message, ..StatusDetails::default() };
        agent.status("failed", &details).await;
    }
}

fn end_of(reason: CloseReason, failure: Option<Error>) -> Result<(), Error> {
    let error = |name, text: &str| Error::new(name, text);
    let told = match reason {
        CloseReason::Completed => return Ok(()),
        CloseReason::Declined => error(ErrorName::Declined, "the user declined"),
        CloseReason::Aborted => error(ErrorName::Aborted, "the enrollment was cancelled"),
        CloseReason::OwnerVanished => error(ErrorName::Aborted, "its owner went away"),
        CloseReason::AgentVanished => {
            error(ErrorName::NoAgent, "the agent went away while it asked the user")
        }
        CloseReason::TimedOut => error(ErrorName::Timeout, "it was not done in time"),
        CloseReason::Failed => error(ErrorName::AuthenticatorFailed, "the authenticator failed"),
    };
    // A failure tells more, where it is the same matter.
    let tells_more = |failure: &Error| reason == CloseReason::Failed || failure.name == told.name;
    Err(failure.filter(tells_more).unwrap_or(told))
}
