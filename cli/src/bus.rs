//! From the command line to a wallet: which bus, is it there, and who answers its questions.

use crate::agent::TerminalAgent;
use crate::error::Error;
use crate::out::Out;
use crate::text::safe;
use fwp_dbus::Client;
use fwp_dbus::find::{self, ANSWER_LIMIT, NotFound};
use fwp_dbus::types::AgentOptions;
use std::time::Duration;
use zbus::ObjectPath;

pub use fwp_dbus::find::BusChoice;

/// Where this program's agent is.
pub const AGENT_PATH: ObjectPath<'static> = ObjectPath::from_static_str_unchecked("/io/github/fwpd/agent");

/// After this long the person is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// A wallet, and where it was found.
#[derive(Debug)]
pub struct Found {
    /// The connection to it.
    pub client: Client,
    /// The bus's name for people, safe to print.
    pub bus: String,
    /// Which bus it is: never [`BusChoice::Any`].
    pub choice: BusChoice,
}

/// Finds the wallet.
///
/// # Errors
/// [`Error::NoDaemon`] with what was tried.
pub async fn find(choice: &BusChoice) -> Result<Found, Error> {
    match find::find(choice).await {
        Ok(found) => {
            let bus = safe(&found.bus.to_string()).to_string();
            Ok(Found { client: found.client, bus, choice: found.bus })
        }
        Err(NotFound(tried)) => Err(Error::NoDaemon { tried: safe(&tried).to_string() }),
    }
}

/// What the wallet answers to `work`, which nobody is asked about: within bounds, and not in silence.
///
/// # Errors
/// [`Error::NoAnswer`], and those of `work`.
pub async fn answered<T>(out: Out, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    within(ANSWER_LIMIT, out, "Waiting for the wallet to answer ...", work).await
}

/// What comes of `work` within `limit`; after a while the person is told what is waited for.
pub(crate) async fn within<T>(
    limit: Duration,
    out: Out,
    meanwhile: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let work = tokio::time::timeout(limit, work);
    tokio::pin!(work);
    let done = tokio::select! {
        biased;
        done = &mut work => done,
        () = tokio::time::sleep(PATIENCE) => {
            out.note(meanwhile);
            work.await
        }
    };
    done.unwrap_or(Err(Error::NoAnswer { seconds: limit.as_secs() }))
}

/// Sees to it that someone answers the wallet's questions: the dialog that is there, or else `agent`.
///
/// # Errors
/// [`Error::NobodyToAsk`], and the daemon's.
pub async fn ensure_agent(client: &Client, agent: &TerminalAgent, out: Out) -> Result<(), Error> {
    let status = answered(out, async { Ok(client.wallet().await?.status().await?) }).await?;
    if status.agent {
        let name = status.agent_name.as_deref().unwrap_or("the wallet's dialog");
        out.note(&format!("You are asked by {}.", safe(name)));
        return Ok(());
    }
    if !agent.can_answer() && !agent.can_give_passphrases() {
        return Err(Error::NobodyToAsk);
    }
    register(client, agent, out).await
}

/// Makes `agent` the wallet's dialog. Where there is another, its user is asked, and may take the time for it.
///
/// # Errors
/// The daemon's: another agent's user said no, or something is being asked.
pub async fn register(client: &Client, agent: &TerminalAgent, out: Out) -> Result<(), Error> {
    let status = answered(out, async { Ok(client.wallet().await?.status().await?) }).await?;
    let limit = if status.agent {
        let present = status.agent_name.as_deref().unwrap_or("the wallet's dialog");
        out.note(&format!("{} is asked whether this terminal may take over ...", safe(present)));
        ANSWER_LIMIT + Duration::from_secs(status.prompt_timeout.into())
    } else {
        ANSWER_LIMIT
    };
    let name = format!("fwpctl (process {})", std::process::id());
    let options = AgentOptions { name: Some(name), kind: Some("terminal".to_owned()) };
    let registration =
        async { Ok(fwp_dbus::agent::register(client, &AGENT_PATH, agent.clone(), &options).await?) };
    within(limit, out, "Waiting for the answer ...", registration).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wallet_that_never_answers_is_given_up() {
        let out = Out::new(false);
        let never = std::future::pending::<Result<(), Error>>();
        assert!(matches!(answered(out, never).await, Err(Error::NoAnswer { seconds: 30 })));
        let slow = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            Ok(7)
        };
        assert!(matches!(answered(out, slow).await, Ok(7)), "as long as a keyring may take");
    }
}
