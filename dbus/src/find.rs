//! Finding the wallet: on which bus it is, within bounds of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use zbus::Connection;
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;
use zbus::names::WellKnownName;

use crate::client::Client;
use crate::error::ClientError;
use crate::interfaces::BUS_NAME;

/// How long a bus may take to let us in and to say whether the wallet is on it.
const BUS_LIMIT: Duration = Duration::from_secs(5);
/// How long the wallet may take to start or to answer what no person is asked about. It waits for a keyring itself, up
/// to 20 s.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Which bus to look for the wallet on.
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

/// Why text is no [`BusChoice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is \"session\", \"system\" or a D-Bus address such as unix:path=/run/user/1000/bus")]
pub struct NoBus;

impl FromStr for BusChoice {
    type Err = NoBus;

    fn from_str(text: &str) -> Result<Self, NoBus> {
        match text {
            "session" => Ok(Self::Session),
            "system" => Ok(Self::System),
            address if address.contains(':') => Ok(Self::Address(address.to_owned())),
            _ => Err(NoBus),
        }
    }
}

/// The name for people.
impl fmt::Display for BusChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any | Self::Session => f.write_str("session bus"),
            Self::System => f.write_str("system bus"),
            Self::Address(address) => write!(f, "bus at {address}"),
        }
    }
}

/// A wallet, and where it was found.
#[derive(Debug)]
pub struct Found {
    /// The connection to it.
    pub client: Client,
    /// The bus: never [`BusChoice::Any`].
    pub bus: BusChoice,
}

/// There is no bus, or no wallet on any. `Display` has text from the environment in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotFound(
    /// What was tried, and what came of it.
    pub String,
);

/// Finds the wallet, each time on a new connection. Needs a tokio runtime.
///
/// # Errors
/// [`NotFound`].
pub async fn find(choice: &BusChoice) -> Result<Found, NotFound> {
    let choices = match choice {
        BusChoice::Any => &[BusChoice::Session, BusChoice::System][..],
        one => std::slice::from_ref(one),
    };
    let mut tried = Vec::new();
    for bus in choices {
        match find_on(bus).await {
            Ok(client) => return Ok(Found { client, bus: bus.clone() }),
            Err(reason) => tried.push(format!("{bus}: {reason}")),
        }
    }
    Err(NotFound(tried.join("; ")))
}

/// The wallet on one bus, or why there's none.
async fn find_on(bus: &BusChoice) -> Result<Client, String> {
    let look = async {
        let connection = connect(bus).await?;
        let there = is_there(&connection).await?;
        zbus::Result::Ok((connection, there))
    };
    let silent = |_| format!("takes the connection but does not answer within {} s", BUS_LIMIT.as_secs());
    let shown = |error: zbus::Error| format!("can't be reached ({error})");
    let (connection, there) = tokio::time::timeout(BUS_LIMIT, look).await.map_err(silent)?.map_err(shown)?;
    if !there {
        return Err("no fwpd on it".to_owned());
    }
    let client = tokio::time::timeout(ANSWER_LIMIT, Client::connect(&connection)).await;
    let client = client.map_err(|_| format!("fwpd does not start within {} s", ANSWER_LIMIT.as_secs()))?;
    client.map_err(|error| match error {
        ClientError::NotRunning => "no fwpd on it".to_owned(),
        error => format!("fwpd does not start ({error})"),
    })
}

/// A new connection to a bus, of [`BusChoice::Any`] to the session's. It may take for ever: set a time limit.
///
/// # Errors
/// The bus', and those of an address that is none.
pub async fn connect(bus: &BusChoice) -> zbus::Result<Connection> {
    match bus {
        BusChoice::Any | BusChoice::Session => Builder::session().build().await,
        BusChoice::System => Builder::system().build().await,
        BusChoice::Address(address) => Builder::address(address.as_str()).build().await,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_a_word_or_an_address() {
        assert_eq!("session".parse(), Ok(BusChoice::Session));
        assert_eq!("system".parse(), Ok(BusChoice::System));
        assert_eq!("unix:path=/x".parse(), Ok(BusChoice::Address("unix:path=/x".to_owned())));
        assert_eq!("sessoin".parse::<BusChoice>(), Err(NoBus));
    }
}
