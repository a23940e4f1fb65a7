//! What polkit lets a program do, on the system's bus: the wallet's actions, each asked for by the calls that it is about. polkit
//! asks the user for a password only where the call allows it (ALLOW_INTERACTIVE_AUTHORIZATION), and once at a time.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use fwp_dbus::{Error, ErrorName};
use zbus::message::Flags;
use zbus::{Connection, Message, Variant};

use crate::call::{Call, Caller};
use crate::clock;
use crate::config::Authorize;
use crate::context::{Bus, Context};
use crate::interrupts::interrupts;
use crate::journal::{self, Notice};
use crate::wallets::Wallet;

const POLKIT: &str = "org.freedesktop.PolicyKit1";
const AUTHORITY_PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const AUTHORITY: &str = "org.freedesktop.PolicyKit1.Authority";
/// CheckAuthorizationFlags.
const NO_INTERACTION: u32 = 0;
/// As [`NO_INTERACTION`]: AllowUserInteraction.
const INTERACTION: u32 = 1;
/// How long polkit may take where it asks nobody. It is on the same machine.
const DEADLINE: Duration = Duration::from_secs(5);

thread_local! {
    /// Numbers the questions that can be withdrawn.
    static QUESTIONS: Cell<u64> = const { Cell::new(0) };
}

/// What polkit is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Name the host of a payment or an enrollment.
    ClaimOrigin,
    /// Enroll.
    Enroll,
    /// Delete cards; PINs, resets and certification of authenticators; key slots.
    Manage,
    /// Copies of all cards.
    Export,
    /// Open another user's wallet.
    UnlockOther,
}

impl Action {
    /// polkit's name for it.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::ClaimOrigin => "io.github.fwpd.claim-origin",
            Self::Enroll => "io.github.fwpd.enroll",
            Self::Manage => "io.github.fwpd.manage",
            Self::Export => "io.github.fwpd.export",
            Self::UnlockOther => "io.github.fwpd.unlock-other",
        }
    }

    fn refused(self) -> &'static str {
        match self {
            Self::ClaimOrigin => "polkit lets this program name no host",
            Self::Enroll => "polkit lets this program enroll nothing",
            Self::Manage => "polkit lets this program not manage cards, authenticators and key slots",
            Self::Export => "polkit lets this program neither export nor import cards",
            Self::UnlockOther => "polkit lets this program not open another user's wallet",
        }
    }

    /// Who may as shipped, and who changes that.
    fn remedy(self) -> &'static str {
        match self {
            Self::ClaimOrigin => {
                "as shipped, programs of whoever is logged in at this computer and active may; the administrator allows others by a rule"
            }
            Self::Enroll | Self::Manage | Self::Export => {
                "as shipped, programs of whoever is logged in at this computer and active may, others with their password; the administrator allows others by a rule"
            }
            Self::UnlockOther => "as shipped, it takes an administrator's password",
        }
    }

    /// What the administrator does where there is no polkit.
    fn setting(self) -> &'static str {
        match self {
            Self::ClaimOrigin => ", or sets `claim-origin` in fwpd's configuration",
            Self::Enroll | Self::Manage | Self::Export => ", or sets `authorize` in fwpd's configuration",
            Self::UnlockOther => "",
        }
    }
}

/// polkit's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// With a password.
    Challenge,
}

/// Checks that the caller may do this; not for [`Action::ClaimOrigin`], which has a setting of its own.
///
/// # Errors
/// `AccessDenied`, saying which action and what to do; `Busy` and `LimitsExceeded` where the user is asked for a password already, or
/// too often; `Aborted` if its connection ended meanwhile.
pub(crate) async fn check(wallet: &Wallet, call: &Call, action: Action) -> Result<(), Error> {
    let context = &wallet.context;
    match (context.config.authorize, context.bus, action) {
        (_, Bus::Session, Action::UnlockOther) => {
            return Err(denied("on a session's bus there is no other user's wallet".to_owned()));
        }
        (_, _, Action::UnlockOther) | (Authorize::Polkit, ..) | (Authorize::Default, Bus::System, _) => {}
        (Authorize::Any, ..) | (Authorize::Default, Bus::Session, _) => return Ok(()),
    }
    let may_ask = call.message.primary_header().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH);
    match ask(context, &call.caller, action).await? {
        Answer::Yes => Ok(()),
        Answer::Challenge if may_ask => with_password(wallet, &call.caller, action).await,
        Answer::Challenge => Err(denied(format!(
            "{} without a password (action {}), and the call does not let the user be asked for one: call with ALLOW_INTERACTIVE_AUTHORIZATION, as fwpctl does; {}",
            action.refused(),
            action.id(),
            action.remedy()
        ))),
        Answer::No => Err(refusal(action)),
    }
}

/// Checks that the caller may do this without being asked for anything.
///
/// # Errors
/// As [`check`].
pub(crate) async fn check_silently(context: &Context, caller: &Caller, action: Action) -> Result<(), Error> {
    match ask(context, caller, action).await? {
        Answer::Yes => Ok(()),
        // Whether a password would help makes no difference: nobody is asked for one.
        Answer::No | Answer::Challenge => Err(refusal(action)),
    }
}

fn refusal(action: Action) -> Error {
    denied(format!("{} (action {}): {}", action.refused(), action.id(), action.remedy()))
}

fn denied(text: String) -> Error {
    Error::new(ErrorName::AccessDenied, text)
}

async fn ask(context: &Context, caller: &Caller, action: Action) -> Result<Answer, Error> {
    let _share = context.shares.polkit.take(caller.uid).await;
    let question = question(&context.connection, caller, action, NO_INTERACTION, "");
    let answer = tokio::time::timeout(DEADLINE, question).await;
    is_there(context, caller)?;
    match answer {
        Ok(answer) => answer.map_err(|error| unanswered(action, &error)),
        Err(_) => Err(denied(format!("polkit does not answer (action {}): try again", action.id()))),
    }
}

/// What is made for a connection that ended meanwhile would have no end.
fn is_there(context: &Context, caller: &Caller) -> Result<(), Error> {
    match context.callers.is_there(&caller.name) {
        true => Ok(()),
        false => Err(Error::new(ErrorName::Aborted, "its connection ended")),
    }
}

/// Has polkit ask the user, as long as the caller waits for it.
async fn with_password(wallet: &Wallet, caller: &Caller, action: Action) -> Result<(), Error> {
    let context = &wallet.context;
    let Some(_share) = context.shares.passwords.try_take(caller.uid) else {
        let text = "the user is being asked for a password already; try again when that is over";
        return Err(Error::new(ErrorName::Busy, text));
    };
    wallet.floor.prompt()?;
    let (interrupter, mut interrupts) = interrupts();
    let ended = Error::new(ErrorName::Aborted, "its connection ended");
    let _watch = context.callers.watch(&caller.name, &interrupter, ended);
    let number = QUESTIONS.get();
    QUESTIONS.set(number.wrapping_add(1));
    let cancellation = format!("fwpd-{number}");
    let given_up = tokio::select! {
        biased;
        reason = interrupts.next() => reason,
        answer = question(&context.connection, caller, action, INTERACTION, &cancellation) => {
            is_there(context, caller)?;
            return match answer.map_err(|error| unanswered(action, &error))? {
                Answer::Yes => Ok(()),
                Answer::No => Err(refusal(action)),
                Answer::Challenge => Err(denied(format!(
                    "{} without a password (action {}), and none was given: where nobody was asked for it, no polkit agent runs in this session (on a terminal, pkttyagent is one); {}",
                    action.refused(),
                    action.id(),
                    action.remedy()
                ))),
            };
        }
        () = clock::sleep(context.config.deadlines.prompt) => {
            Error::new(ErrorName::Timeout, format!("no password was given in time (action {})", action.id()))
        }
    };
    withdraw(&context.connection, &cancellation).await;
    Err(given_up)
}

/// Takes polkit's question away. Nobody waits for what polkit says to that: it may hang, and who is told to end has little time.
async fn withdraw(connection: &Connection, cancellation: &str) {
    let message = Message::method_call(AUTHORITY_PATH, "CancelCheckAuthorization")
        .with_flags(Flags::NO_REPLY_EXPECTED)
        .destination(POLKIT)
        .interface(AUTHORITY)
        .build(&cancellation);
    let sent = match message {
        Ok(message) => connection.send(&message).await,
        Err(error) => Err(error),
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "polkit's question was not withdrawn");
    }
}

/// Why polkit has no answer, and what to do.
fn unanswered(action: Action, error: &zbus::Error) -> Error {
    let (id, setting, error) = (action.id(), action.setting(), error.to_string());
    journal::tell(Notice::PolkitMissing, &format!("polkit does not decide about the action {id}: {error}"));
    let remedy = format!("the administrator installs polkit and the wallet's policy{setting}");
    denied(match error.contains("not registered") {
        true => format!(
            "polkit does not know the action {id}: io.github.fwpd.policy is missing in /usr/share/polkit-1/actions; {remedy}"
        ),
        false => format!("polkit decides about the action {id}, and does not ({error}); {remedy}"),
    })
}

/// `CheckAuthorization` for the caller's connection.
async fn question(
    connection: &Connection,
    caller: &Caller,
    action: Action,
    flags: u32,
    cancellation: &str,
) -> zbus::Result<Answer> {
    let subject = ("system-bus-name", HashMap::from([("name", Variant::from(caller.name.as_str()))]));
    let details: HashMap<&str, &str> = HashMap::new();
    let question = (subject, action.id(), details, flags, cancellation);
    let reply = connection
        .call_method(Some(POLKIT), AUTHORITY_PATH, Some(AUTHORITY), "CheckAuthorization", &question)
        .await?;
    let ((is_authorized, is_challenge, _details),): ((bool, bool, HashMap<String, String>),) =
        reply.body().deserialize()?;
    Ok(match (is_authorized, is_challenge) {
        (true, _) => Answer::Yes,
        (false, true) => Answer::Challenge,
        (false, false) => Answer::No,
    })
}
