//! The buses of this computer, looked at without starting anything: which are there, and does the wallet run on one, or would
//! it be started there.

use crate::text::safe;
use fwp_dbus::find::{self, BusChoice};
use fwp_dbus::interfaces::BUS_NAME;
use std::time::Duration;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::names::WellKnownName;

/// How long a bus may take.
const LIMIT: Duration = Duration::from_secs(5);

/// How the wallet stands on a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It runs.
    Running,
    /// The first call starts it.
    Startable,
    /// The bus doesn't know of it.
    Absent,
}

/// A bus that answers.
#[derive(Debug)]
pub struct Bus {
    /// Which one.
    pub choice: BusChoice,
    /// A connection to it.
    pub connection: Connection,
    /// The wallet on it.
    pub presence: Presence,
}

/// Looks at one bus.
///
/// # Errors
/// Why it can't be looked at, safe to print.
pub async fn look(choice: &BusChoice) -> Result<Bus, String> {
    let asked = async {
        let connection = find::connect(choice).await?;
        let bus = DBusProxy::new(&connection).await?;
        let name = WellKnownName::from_static_str(BUS_NAME)?;
        let presence = if bus.name_has_owner(name.into()).await? {
            Presence::Running
        } else if bus.list_activatable_names().await?.iter().any(|name| name.as_str() == BUS_NAME) {
            Presence::Startable
        } else {
            Presence::Absent
        };
        zbus::Result::Ok(Bus { choice: choice.clone(), connection, presence })
    };
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(Ok(bus)) => Ok(bus),
        Ok(Err(error)) => Err(format!("can't be reached ({})", safe(&error.to_string()))),
        Err(_) => Err(format!("takes the connection but does not answer within {} s", LIMIT.as_secs())),
    }
}
