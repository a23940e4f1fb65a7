//! From the command line to a wallet: which bus, is it there, and who answers its questions.

use crate::agent::TerminalAgent;
use crate::error::Error;
use crate::out::Out;
use crate::text::safe;
use fwp_dbus::interfaces::BUS_NAME;
use fwp_dbus::types::AgentOptions;
use fwp_dbus::{Client, ClientError};
use std::str::FromStr;
use std::time::Duration;
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;
use zbus::names::WellKnownName;
use zbus::{Connection, ObjectPath};

/// Where this program's agent is.
pub const AGENT_PATH: ObjectPath<'static> = ObjectPath::from_static_str_unchecked("/io/github/fwpd/agent");

/// How long a bus may take to let us in and to say whether the wallet is on it.
const BUS_LIMIT: Duration = Duration::from_secs(5);
/// How long the wallet may take to start or to answer what no person is asked about. It waits for a keyring itself, up
/// to 20 s.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// After this long the person is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Which bus to look for the wallet on (`--bus`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BusChoice {
    /// The session bus if the wallet is there, else the system bus.
    #[default]
    Any,
    /// The session bus.
    Session,
    /// The system bus.
    System,
    /// A D-Bus address.
    Address(String),
}

impl FromStr for BusChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "session" => Ok(Self::Session),
            "system" => Ok(Self::System),
            address if address.contains(':') => Ok(Self::Address(address.to_owned())),
            _ => Err("it is \"session\", \"system\" or a D-Bus address such as unix:path=/run/user/1000/bus"
                .to_owned()),
        }
    }
}

impl BusChoice {
    async fn connect(&self) -> zbus::Result<Connection> {
        match self {
            Self::Any | Self::Session => Builder::session().build().await,
            Self::System => Builder::system().build().await,
            Self::Address(address) => Builder::address(address.as_str()).build().await,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Any | Self::Session => "session bus".to_owned(),
            Self::System => "system bus".to_owned(),
            Self::Address(address) => format!("bus at {}", safe(address)),
        }
    }
}

/// A wallet, and where it was found.
#[derive(Debug)]
pub struct Found {
    /// The connection to it.
    pub client: Client,
    /// The bus's name for people, safe to print.
    pub bus: String,
}

/// Finds the wallet.
///
/// # Errors
/// [`Error::NoDaemon`] with what was tried.
pub async fn find(choice: &BusChoice) -> Result<Found, Error> {
    let choices = match choice {
        BusChoice::Any => &[BusChoice::Session, BusChoice::System][..],
        one => std::slice::from_ref(one),
    };
    let mut tried = Vec::new();
    for choice in choices {
        match find_on(choice).await {
            Ok(client) => return Ok(Found { client, bus: choice.name() }),
            Err(reason) => tried.push(format!("{}: {reason}", choice.name())),
        }
    }
    Err(Error::NoDaemon { tried: tried.join("; ") })
}

/// The wallet on one bus, or why there's none, safe to print.
async fn find_on(choice: &BusChoice) -> Result<Client, String> {
    let shown = |error: zbus::Error| format!("can't be reached ({})", safe(&error.to_string()));
    let look = async {
        let connection = choice.connect().await?;
        let there = is_there(&connection).await?;
        Ok((connection, there))
    };
    let silent = |_| format!("takes the connection but does not answer within {} s", BUS_LIMIT.as_secs());
    let (connection, there) = tokio::time::timeout(BUS_LIMIT, look).await.map_err(silent)?.map_err(shown)?;
    if !there {
        return Err("no fwpd on it".to_owned());
    }
    let client = tokio::time::timeout(ANSWER_LIMIT, Client::connect(&connection)).await;
    let client = client.map_err(|_| format!("fwpd does not start within {} s", ANSWER_LIMIT.as_secs()))?;
    client.map_err(|error| match error {
        ClientError::NotRunning => "no fwpd on it".to_owned(),
        error => format!("fwpd does not start ({})", safe(&error.to_string())),
    })
}

/// Whether the wallet runs on a bus or could be started there.
async fn is_there(connection: &Connection) -> zbus::Result<bool> {
    let bus = DBusProxy::new(connection).await?;
    let name = WellKnownName::from_static_str(BUS_NAME)?;
    if bus.name_has_owner(name.clone().into()).await? {
        return Ok(true);
    }
    Ok(bus.list_activatable_names().await?.iter().any(|activatable| activatable.as_str() == BUS_NAME))
}

/// What the wallet answers to `work`, which nobody is asked about: within bounds, and not in silence.
///
/// # Errors
/// [`Error::NoAnswer`], and those of `work`.
pub async fn answered<T>(out: Out, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    within(ANSWER_LIMIT, out, "Waiting for the wallet to answer ...", work).await
}

async fn within<T>(
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

    #[test]
    fn a_bus_is_a_word_or_an_address() {
        assert_eq!("session".parse(), Ok(BusChoice::Session));
        assert_eq!("system".parse(), Ok(BusChoice::System));
        assert_eq!("unix:path=/x".parse(), Ok(BusChoice::Address("unix:path=/x".to_owned())));
        assert!("sessoin".parse::<BusChoice>().is_err());
    }
}
