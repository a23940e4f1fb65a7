//! Ceremonies at an authenticator (CTAP): they block a thread of their own, while the user is asked and told from here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ctap_core::ceremony::{self, Ceremony, Event, PinPurpose, Unfit};
use ctap_core::transport::{CancelToken, Device, TransportError};
use fwp_dbus::pin_box::PromptKey;
use fwp_dbus::types::{PinRequest, StatusDetails};
use fwp_dbus::{Error, ErrorName};
use tokio::sync::{mpsc, oneshot, watch};
use zbus::OwnedObjectPath;

use crate::agents::{Agent, Unanswered};
use crate::authenticators::{Os, Platform, Shown};
use crate::interrupts::{Interrupts, interrupts};
use crate::journal::{self, Notice};
use crate::seats;
use crate::wallets::Wallet;

/// What a ceremony is for, as far as the user needs to know.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    /// For which site, if it is for one.
    pub(crate) rp_id: Option<String>,
    /// For which payment, if it is for one.
    pub(crate) payment: Option<OwnedObjectPath>,
}

/// What the thread of the ceremony wants from this side.
enum Wish {
    Pin(ceremony::PinRequest, &'static str, oneshot::Sender<ctap_core::Pin>),
    Tell(&'static str),
    /// It is this authenticator from now on; for a security key, at this seat.
    Holds(Shown, Option<String>),
    /// May the wallet's user use what is plugged in at this seat, or is in this computer?
    MayUse(Option<String>, oneshot::Sender<bool>),
}

/// How long the TPM may take to end the command that it works on when the ceremony is cancelled. After that the thread is left
/// alone, and flushes what it has in the TPM when that answers again; until then no other ceremony begins there.
const TPM_ENDING: Duration = Duration::from_secs(2);

/// Runs `work` on a thread of its own to its end: the agent is asked for PINs and told what the device waits for. An
/// interruption cancels it in the device, and is waited for there, so that no two ceremonies run at a time.
///
/// # Errors
/// The contract's error for what went wrong, or what interrupted.
pub(crate) async fn conduct<T: Send + 'static>(
    work: impl FnOnce(&mut Stage) -> Result<T, Error> + Send + 'static,
    subject: &Subject,
    wallet: &Wallet,
    agent: &Agent,
    interrupts: &mut Interrupts,
) -> Result<T, Error> {
    // Also if nobody waits for this any more: a device that goes on would wait for a touch that nobody asked for.
    let cancel = CancelOnDrop(CancelToken::new());
    let (wishes, mut wanted) = mpsc::unbounded_channel();
    let end: End = Arc::default();
    // From before the first look at seats on, so that no change goes by between two turns of the loop.
    let mut seats_changed = wallet.context.seats_changed.subscribe();
    let (dismisser, mut dismissals) = self::interrupts();
    let _dismissible = agent.dismissible(dismisser);
    let mut thread = tokio::task::spawn_blocking({
        let mut stage = Stage {
            wishes: Wishes { wishes, end: Arc::clone(&end) },
            cancel: cancel.0.clone(),
            purpose: "use",
        };
        move || work(&mut stage)
    });
    let mut shown = Shown::default();
    // As long as no authenticator is, security keys are asked for, and wait for the touch that chooses.
    let (mut held, mut told) = (None::<Option<String>>, None);
    loop {
        let wish = tokio::select! {
            biased;
            reason = interrupts.next() => {
                set_end(&end, reason);
                None
            }
            reason = dismissals.next() => {
                set_end(&end, reason);
                None
            }
            result = &mut thread => return finish(result, &end),
            wish = wanted.recv() => wish,
            // The last, so that however often that is told, the rest goes on. Its sender lives as long as the context.
            _ = seats_changed.changed() => {
                // Who waits for a touch at a seat that is another user's now waits for the wrong hand.
                if let Err(error) = may_hold(wallet, &held).await {
                    set_end(&end, error);
                }
                None
            }
        };
        match wish {
            Some(Wish::Pin(request, purpose, reply)) => {
                // Whatever it waited for is over; the next status is news again.
                told = None;
                let asked = ask_pin(&request, purpose, &shown, subject, agent, interrupts);
                let answer = tokio::select! {
                    biased;
                    answer = asked => answer,
                    error = lost(wallet, &held, &mut seats_changed) => {
                        agent.withdraw().await;
                        Err(error)
                    }
                };
                match answer {
                    Ok(pin) => {
                        // The ceremony may have ended meanwhile, with an error that the next turn of the loop sees.
                        let _ = reply.send(pin);
                    }
                    Err(error) => set_end(&end, error),
                }
            }
            Some(Wish::Tell(state)) if told == Some(state) => {}
            Some(Wish::Tell(state)) => {
                told = Some(state);
                agent.status(state, &details(subject, &shown)).await;
            }
            Some(Wish::Holds(authenticator, at)) => (shown, held) = (authenticator, Some(at)),
            Some(Wish::MayUse(seat, reply)) => {
                let allowed = match seat {
                    Some(seat) => seats::may_use(&wallet.context, wallet.uid, &seat).await,
                    None => seats::sits_here(&wallet.context, wallet.uid).await,
                };
                let _ = reply.send(allowed.is_ok());
            }
            None => {}
        }
        if has_end(&end) {
            cancel.0.cancel();
            // The thread's question, if there is one, ends with its channel.
            wanted.close();
            while wanted.try_recv().is_ok() {}
            if shown.kind != Platform::Tpm.as_str() {
                return finish(thread.await, &end);
            }
            return match tokio::time::timeout(TPM_ENDING, thread).await {
                Ok(result) => finish(result, &end),
                Err(_) => finish(Ok(Err(gone())), &end),
            };
        }
    }
}

/// What a ceremony holds: nothing yet, an authenticator in this computer, or one at a seat.
type Held = Option<Option<String>>;

/// Whether the wallet's user may still use what the ceremony holds; until there is something, any authenticator at all.
async fn may_hold(wallet: &Wallet, held: &Held) -> Result<(), Error> {
    match held {
        None | Some(None) => seats::sits_here(&wallet.context, wallet.uid).await,
        Some(Some(seat)) => seats::may_use(&wallet.context, wallet.uid, seat).await,
    }
}

/// Waits until that is no more so.
async fn lost(wallet: &Wallet, held: &Held, seats_changed: &mut watch::Receiver<()>) -> Error {
    loop {
        // Its sender lives as long as the context.
        let _ = seats_changed.changed().await;
        if let Err(error) = may_hold(wallet, held).await {
            return error;
        }
    }
}

/// Cancels when it is dropped.
struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn details(subject: &Subject, shown: &Shown) -> StatusDetails {
    let known = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    StatusDetails {
        payment: subject.payment.clone(),
        authenticator: known(&shown.kind),
        authenticator_name: known(&shown.name),
        ..StatusDetails::default()
    }
}

/// Why this side ended a ceremony; it goes before what the device says of it.
type End = Arc<Mutex<Option<Error>>>;

fn set_end(end: &End, error: Error) {
    end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

fn has_end(end: &End) -> bool {
    end.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

fn finish<T>(result: Result<Result<T, Error>, tokio::task::JoinError>, end: &End) -> Result<T, Error> {
    if let Some(error) = end.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    let result = result.unwrap_or_else(|error| {
        tracing::error!(%error, "a ceremony ended abruptly");
        Err(Error::new(ErrorName::Internal, "the authenticator's driver failed; the wallet's log tells more"))
    });
    if matches!(&result, Err(error) if error.name == ErrorName::PinBlocked) {
        journal::tell(Notice::PinBlocked, "a PIN is blocked");
    }
    result
}

fn gone() -> Error {
    Error::new(ErrorName::AuthenticatorFailed, "the TPM does not answer")
}

/// What the thread of a ceremony has of the other side.
pub(crate) struct Stage {
    wishes: Wishes,
    cancel: CancelToken,
    /// What a PIN that is set is asked for: `use` or `current`.
    purpose: &'static str,
}

impl Stage {
    /// How it is told to end.
    pub(crate) fn cancel(&self) -> &CancelToken {
        &self.cancel
    }

    /// Who answers questions, for use beside this.
    pub(crate) fn wishes(&self) -> Wishes {
        self.wishes.clone()
    }

    /// The user is asked about this authenticator from now on. A security key is let go when its `seat` becomes another
    /// user's.
    pub(crate) fn holds(&self, authenticator: Shown, seat: Option<&str>) {
        self.wishes.send(Wish::Holds(authenticator, seat.map(str::to_owned)));
    }

    /// Tells the user what is waited for, unless that was told last.
    pub(crate) fn tell(&self, state: &'static str) {
        self.wishes.send(Wish::Tell(state));
    }

    /// Runs a ceremony, in which a PIN that is set is asked for to be used.
    ///
    /// # Errors
    /// What the ceremony fails with.
    pub(crate) fn run<C: Ceremony>(
        &mut self,
        ceremony: C,
        device: &mut dyn Device,
    ) -> Result<C::Outcome, ctap_core::Error> {
        self.run_for("use", ceremony, device)
    }

    /// As [`Stage::run`], for changing a PIN: the present one is asked for as such.
    ///
    /// # Errors
    /// What the ceremony fails with.
    pub(crate) fn run_for<C: Ceremony>(
        &mut self,
        purpose: &'static str,
        mut ceremony: C,
        device: &mut dyn Device,
    ) -> Result<C::Outcome, ctap_core::Error> {
        self.purpose = purpose;
        let cancel = self.cancel.clone();
        ceremony::run(&mut ceremony, device, self, &mut Os::default(), &cancel)
    }
}

impl ceremony::User for Stage {
    fn pin(&mut self, request: &ceremony::PinRequest) -> Option<ctap_core::Pin> {
        let purpose = self.purpose;
        self.wishes.ask(|reply| Wish::Pin(*request, purpose, reply))
    }

    fn status(&mut self, event: Event) {
        self.tell(match event {
            Event::TouchWanted | Event::VerificationWanted => "touch",
            Event::PinWanted(_) | Event::Processing => "processing",
            Event::DeviceWanted => "insert",
            Event::OtherDeviceWanted(Unfit::WithoutKey) => "other",
            Event::OtherDeviceWanted(Unfit::TooOld) => "too-old",
            Event::ChoiceWanted => "choose",
        });
    }
}

/// The way from a ceremony's thread to the user.
#[derive(Clone)]
pub(crate) struct Wishes {
    wishes: mpsc::UnboundedSender<Wish>,
    end: End,
}

impl Wishes {
    /// Whether the wallet's user may use what is plugged in at this seat; without one, what is in this computer.
    pub(crate) fn may_use(&self, seat: Option<&str>) -> bool {
        self.ask(|reply| Wish::MayUse(seat.map(str::to_owned), reply)).unwrap_or(false)
    }

    /// Asks and waits; `None` where there is no answer any more.
    fn ask<R>(&self, wish: impl FnOnce(oneshot::Sender<R>) -> Wish) -> Option<R> {
        if has_end(&self.end) {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        self.wishes.send(wish(reply)).ok()?;
        answer.blocking_recv().ok()
    }

    fn send(&self, wish: Wish) {
        // Nobody listens once the ceremony was given up.
        let _ = self.wishes.send(wish);
    }
}

/// Asks the agent for a PIN, sealed to a key made for this one prompt.
async fn ask_pin(
    request: &ceremony::PinRequest,
    purpose: &'static str,
    authenticator: &Shown,
    subject: &Subject,
    agent: &Agent,
    interrupts: &mut Interrupts,
) -> Result<ctap_core::Pin, Error> {
    let (purpose, min_length) = match request.purpose {
        PinPurpose::Current => (purpose, 4),
        PinPurpose::New { min_code_points } => ("new", min_code_points),
    };
    let details = PinRequest {
        purpose: purpose.to_owned(),
        authenticator: authenticator.kind.clone(),
        authenticator_name: authenticator.name.clone(),
        retries: request.attempts_left,
        wrong: request.wrong,
        min_length,
        rp_id: subject.rp_id.clone(),
    };
    let key = PromptKey::generate().map_err(|error| Error::new(ErrorName::Internal, error.to_string()))?;
    let public_key = key.public_key();
    let question = (details, public_key.as_slice());
    let deadline = agent.prompt_deadline();
    let sealed: Vec<u8> = agent
        .ask("RequestPin", &question, Some(deadline), interrupts)
        .await
        .map_err(Unanswered::into_error)?;
    let pin = key.open(&sealed).map_err(|error| Error::new(ErrorName::NoAgent, error.to_string()))?;
    ctap_core::Pin::new(pin.expose()).map_err(|error| Error::new(ErrorName::PinInvalid, error.to_string()))
}

/// What a failed ceremony means to a caller. CTAP's texts are made for users and have no secrets in them.
pub(crate) fn refusal(error: &ctap_core::Error) -> Error {
    use ctap_core::Error as Ctap;
    let name = match error {
        Ctap::Cancelled => ErrorName::Aborted,
        Ctap::Denied => ErrorName::Declined,
        Ctap::Timeout => ErrorName::Timeout,
        Ctap::PinNotSet => ErrorName::PinNotSet,
        Ctap::PinAlreadySet => ErrorName::InvalidState,
        Ctap::PinBlocked => ErrorName::PinBlocked,
        Ctap::PinAuthBlocked => ErrorName::PinAuthBlocked,
        Ctap::PinPolicy { .. } | Ctap::Pin(_) | Ctap::PinChangeRequired => ErrorName::PinInvalid,
        Ctap::NoCredentials
        | Ctap::NoUserVerification
        | Ctap::Transport(
            TransportError::TooOld | TransportError::Permission | TransportError::Unavailable(_),
        ) => ErrorName::NoAuthenticator,
        Ctap::Transport(TransportError::Busy) => ErrorName::Busy,
        _ => ErrorName::AuthenticatorFailed,
    };
    Error::new(name, error.to_string())
}
