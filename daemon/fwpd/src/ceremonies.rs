//! Ceremonies at an authenticator (CTAP): they block a thread of their own, while the user is asked and told from here.

use std::sync::{Arc, Mutex, PoisonError};

use ctap_core::ceremony::{self, Ceremony, Event, PinPurpose};
use ctap_core::transport::{CancelToken, Device};
use fwp_dbus::pin_box::PromptKey;
use fwp_dbus::types::{PinRequest, StatusDetails};
use fwp_dbus::{Error, ErrorName};
use tokio::sync::{mpsc, oneshot};
use zbus::OwnedObjectPath;

use crate::agents::{Agent, Unanswered};
use crate::authenticators::{Kind, Os};
use crate::interrupts::Interrupts;

/// What the user needs to know about a ceremony.
#[derive(Debug)]
pub(crate) struct Subject {
    /// At which authenticator.
    pub(crate) authenticator: Kind,
    /// For which site, if it is for one.
    pub(crate) rp_id: Option<String>,
    /// What a PIN that is set is asked for: `use` or `current`.
    pub(crate) purpose: &'static str,
    /// For which payment, if it is for one.
    pub(crate) payment: Option<OwnedObjectPath>,
}

/// What the thread of the ceremony wants from the user.
enum Wish {
    Pin(ceremony::PinRequest, oneshot::Sender<ctap_core::Pin>),
    Status(Event),
}

/// Runs a ceremony to its end: the agent is asked for PINs and told what the device waits for. An interruption cancels
/// it in the device, and is waited for there, so that no two ceremonies run at a time.
///
/// # Errors
/// The contract's error for what went wrong, or what interrupted.
pub(crate) async fn conduct<C>(
    ceremony: C,
    device: impl FnOnce() -> Result<Box<dyn Device>, Error> + Send + 'static,
    subject: &Subject,
    agent: &Agent,
    interrupts: &mut Interrupts,
) -> Result<C::Outcome, Error>
where
    C: Ceremony + Send + 'static,
    C::Outcome: Send + 'static,
{
    let cancel = CancelToken::new();
    let (wishes, mut wanted) = mpsc::unbounded_channel();
    let end: End = Arc::default();
    let mut thread = tokio::task::spawn_blocking({
        let (cancel, end) = (cancel.clone(), Arc::clone(&end));
        move || run(ceremony, device, &mut Bridge { wishes, end }, &cancel)
    });
    let mut told = None;
    loop {
        let wish = tokio::select! {
            biased;
            reason = interrupts.next() => {
                set_end(&end, reason);
                None
            }
            result = &mut thread => return finish(result, &end),
            wish = wanted.recv() => wish,
        };
        match wish {
            Some(Wish::Pin(request, reply)) => match ask_pin(&request, subject, agent, interrupts).await {
                Ok(pin) => {
                    // The ceremony may have ended meanwhile, with an error that the next turn of the loop sees.
                    let _ = reply.send(pin);
                }
                Err(error) => set_end(&end, error),
            },
            Some(Wish::Status(event)) => {
                let state = match event {
                    Event::TouchWanted | Event::VerificationWanted => "touch",
                    Event::PinWanted(_) | Event::Processing => "processing",
                    Event::DeviceWanted => "insert",
                    Event::ChoiceWanted => "choose",
                };
                if told.replace(state) != Some(state) {
                    let details = StatusDetails { payment: subject.payment.clone(), ..Default::default() };
                    agent.status(state, &details).await;
                }
            }
            None => {}
        }
        if has_end(&end) {
            cancel.cancel();
            // The thread's question for a PIN, if there is one, ends with its channel.
            wanted.close();
            while wanted.try_recv().is_ok() {}
            let result = thread.await;
            return finish(result, &end);
        }
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
    result.unwrap_or_else(|error| {
        tracing::error!(%error, "a ceremony ended abruptly");
        Err(Error::new(ErrorName::Internal, "the authenticator's driver failed; the wallet's log tells more"))
    })
}

fn run<C: Ceremony>(
    mut ceremony: C,
    device: impl FnOnce() -> Result<Box<dyn Device>, Error>,
    user: &mut Bridge,
    cancel: &CancelToken,
) -> Result<C::Outcome, Error> {
    let mut device = device()?;
    ceremony::run(&mut ceremony, &mut *device, user, &mut Os::default(), cancel)
        .map_err(|error| refusal(&error))
}

/// The user, as the thread of the ceremony sees them.
struct Bridge {
    wishes: mpsc::UnboundedSender<Wish>,
    end: End,
}

impl ceremony::User for Bridge {
    fn pin(&mut self, request: &ceremony::PinRequest) -> Option<ctap_core::Pin> {
        if has_end(&self.end) {
            return None;
        }
        let (reply, pin) = oneshot::channel();
        self.wishes.send(Wish::Pin(*request, reply)).ok()?;
        pin.blocking_recv().ok()
    }

    fn status(&mut self, event: Event) {
        // Nobody listens once the ceremony was given up.
        let _ = self.wishes.send(Wish::Status(event));
    }
}

/// Asks the agent for a PIN, sealed to a key made for this one prompt.
async fn ask_pin(
    request: &ceremony::PinRequest,
    subject: &Subject,
    agent: &Agent,
    interrupts: &mut Interrupts,
) -> Result<ctap_core::Pin, Error> {
    let (purpose, min_length) = match request.purpose {
        PinPurpose::Current => (subject.purpose, 4),
        PinPurpose::New { min_code_points } => ("new", min_code_points),
    };
    let details = PinRequest {
        purpose: purpose.to_owned(),
        authenticator: subject.authenticator.as_str().to_owned(),
        authenticator_name: subject.authenticator.name().to_owned(),
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
        Ctap::NoCredentials | Ctap::NoUserVerification => ErrorName::NoAuthenticator,
        _ => ErrorName::AuthenticatorFailed,
    };
    Error::new(name, error.to_string())
}
