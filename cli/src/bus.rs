//! From the command line to a wallet: which bus, is it there, and who answers its questions.

use crate::agent::TerminalAgent;
use crate::error::Error;
use crate::out::Out;
use crate::text::safe;
use fwp_dbus::interfaces::BUS_NAME;
use fwp_dbus::types::AgentOptions;
use fwp_dbus::{Client, ClientError};
use std::str::FromStr;
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;
use zbus::names::WellKnownName;
use zbus::{Connection, ObjectPath};

/// Where this program's agent is.
pub const AGENT_PATH: ObjectPath<'static> = ObjectPath::from_static_str_unchecked("/io/github/fwpd/agent");

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
    let connection = choice.connect().await.map_err(shown)?;
    if !is_there(&connection).await.map_err(shown)? {
        return Err("no fwpd on it".to_owned());
    }
    Client::connect(&connection).await.map_err(|error| match error {
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

/// Sees to it that someone answers the wallet's questions: the dialog that is there, or else `agent`.
///
/// # Errors
/// [`Error::NobodyToAsk`], and the daemon's.
pub async fn ensure_agent(client: &Client, agent: &TerminalAgent, out: Out) -> Result<(), Error> {
    let status = client.wallet().await?.status().await?;
    if status.agent {
        let name = status.agent_name.as_deref().unwrap_or("the wallet's dialog");
        out.note(&format!("You are asked by {}.", safe(name)));
        return Ok(());
    }
    if !agent.can_answer() {
        return Err(Error::NobodyToAsk);
    }
    register(client, agent).await
}

/// Makes `agent` the wallet's dialog.
///
/// # Errors
/// The daemon's: another agent's user said no, or something is being asked.
pub async fn register(client: &Client, agent: &TerminalAgent) -> Result<(), Error> {
    let name = format!("fwpctl (process {})", std::process::id());
    let options = AgentOptions { name: Some(name), kind: Some("terminal".to_owned()) };
    Ok(fwp_dbus::agent::register(client, &AGENT_PATH, agent.clone(), &options).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_a_word_or_an_address() {
        assert_eq!("session".parse(), Ok(BusChoice::Session));
        assert_eq!("system".parse(), Ok(BusChoice::System));
        assert_eq!("unix:path=/x".parse(), Ok(BusChoice::Address("unix:path=/x".to_owned())));
        assert!("sessoin".parse::<BusChoice>().is_err());
    }
}
