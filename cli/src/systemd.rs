//! What systemd knows of a unit, by D-Bus. Any user may ask, and nothing is started by it.

use crate::text::safe;
use std::time::Duration;
use zbus::{Connection, DeserializeDict, OwnedObjectPath, Type};

/// The wallet's service on the system's bus.
pub const FWPD: &str = "fwpd.service";
/// The socket that starts PC/SC's daemon.
pub const PCSCD: &str = "pcscd.socket";

/// How long systemd may take. It is on the same machine, and waits for nobody.
const LIMIT: Duration = Duration::from_secs(5);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// A unit, as its properties say. Words are systemd's; a newer one may have others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error` ...
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating` ...
    pub active: String,
    /// More of that: `running`, `dead`, `auto-restart` ...
    pub sub: String,
    /// Its file was changed since systemd read it.
    pub needs_reload: bool,
    /// Of a service: `success`, or why it ended: `exit-code`, `signal`, `oom-kill`, `start-limit-hit` ...
    pub result: String,
    /// Of a service: the exit status of the last process, where `result` is `exit-code`.
    pub exit_status: i32,
    /// Of a service: its process, 0 if there is none.
    pub process: u32,
    /// Of a service: how often systemd started it again by itself.
    pub restarts: u32,
    /// Of a service: what it says of itself.
    pub says: String,
}

#[derive(Default, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "PascalCase")]
struct UnitProperties {
    load_state: Option<String>,
    active_state: Option<String>,
    sub_state: Option<String>,
    need_daemon_reload: Option<bool>,
}

#[derive(Default, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
struct ServiceProperties {
    #[zbus(rename = "Result")]
    result: Option<String>,
    #[zbus(rename = "ExecMainStatus")]
    exit_status: Option<i32>,
    #[zbus(rename = "MainPID")]
    main_pid: Option<u32>,
    #[zbus(rename = "NRestarts")]
    restarts: Option<u32>,
    #[zbus(rename = "StatusText")]
    status_text: Option<String>,
}

/// The unit of this name.
///
/// # Errors
/// Why systemd doesn't say, safe to print. There may be none on this machine.
pub async fn unit(system: &Connection, name: &str) -> Result<Unit, String> {
    let asked = async {
        // Of a unit that isn't in memory, GetUnit says nothing.
        let reply =
            system.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), "LoadUnit", &(name,)).await?;
        let path: OwnedObjectPath = reply.body().deserialize()?;
        let unit: UnitProperties = properties(system, &path, UNIT).await?.body().deserialize()?;
        let service = match name.ends_with(".service") {
            true => properties(system, &path, SERVICE).await?.body().deserialize()?,
            false => ServiceProperties::default(),
        };
        zbus::Result::Ok(Unit {
            load: unit.load_state.unwrap_or_default(),
            active: unit.active_state.unwrap_or_default(),
            sub: unit.sub_state.unwrap_or_default(),
            needs_reload: unit.need_daemon_reload.unwrap_or_default(),
            result: service.result.unwrap_or_default(),
            exit_status: service.exit_status.unwrap_or_default(),
            process: service.main_pid.unwrap_or_default(),
            restarts: service.restarts.unwrap_or_default(),
            says: service.status_text.unwrap_or_default(),
        })
    };
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(Ok(unit)) => Ok(unit),
        Ok(Err(error)) => Err(safe(&error.to_string()).to_string()),
        Err(_) => Err(format!("it takes longer than {} s", LIMIT.as_secs())),
    }
}

async fn properties(
    system: &Connection,
    path: &OwnedObjectPath,
    interface: &str,
) -> zbus::Result<zbus::Message> {
    const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
    system.call_method(Some(SYSTEMD), path, Some(PROPERTIES), "GetAll", &(interface,)).await
}
