//! A bus configured like the system's, with several users on it; and a stand-in for systemd, which can't run on a private bus.

use super::{Done, Person, fwpctl, program, run};
use fwp_tests::{Fwpd, PrivateBus};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zbus::{Connection, OwnedObjectPath};

/// An ordinary user.
pub(crate) const NOBODY: u32 = 65534;
/// Another one: Debian's "daemon".
pub(crate) const SOMEBODY: u32 = 1;

/// For the bus: who may own systemd's name, and who may ask it.
const SYSTEMD_POLICY: &str = r#"
  <policy context="default">
    <allow own="org.freedesktop.systemd1"/>
    <allow send_destination="org.freedesktop.systemd1"/>
  </policy>"#;

/// A computer with a system's bus.
pub(crate) struct Computer {
    pub(crate) bus: PrivateBus,
    pub(crate) runtime: Runtime,
    pub(crate) fwpd: Option<Fwpd>,
    /// Everybody's home.
    pub(crate) home: TempDir,
    services: TempDir,
}

impl Computer {
    /// One without a wallet. `policy` has further `<policy>` elements for the bus.
    pub(crate) fn new(policy: &str) -> Self {
        let folder = || {
            let folder = tempfile::tempdir().expect("a directory");
            std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).expect("opened");
            folder
        };
        let (home, services) = (folder(), folder());
        let policy = format!(
            "<servicedir>{}</servicedir>{}{SYSTEMD_POLICY}{policy}",
            services.path().display(),
            fwp_tests::polkit::BUS_POLICY
        );
        let bus = PrivateBus::system_with(&policy);
        Self { bus, runtime: Runtime::new().expect("a runtime"), fwpd: None, home, services }
    }

    /// Starts the wallet.
    pub(crate) fn start(&mut self, config: &str) {
        self.fwpd = Some(self.runtime.block_on(Fwpd::start(&self.bus, program("fwpd"), config)));
    }

    /// Has the bus know of the wallet, which fails if it is started.
    pub(crate) fn install_a_service_that_fails(&self) {
        let text = "[D-BUS Service]\nName=io.github.fwpd\nExec=/bin/false\nUser=root\n";
        std::fs::write(self.services.path().join("io.github.fwpd.service"), text).expect("written");
        let reload = async {
            let connection = self.bus.connect().await;
            zbus::fdo::DBusProxy::new(&connection).await?.reload_config().await
        };
        self.runtime.block_on(reload).expect("the bus reads its services again");
    }

    /// `fwpctl` as a user, without a terminal, with these lines on standard input.
    pub(crate) fn fwpctl_as<const N: usize>(&self, uid: u32, lines: &[&str], arguments: [&str; N]) -> Done {
        let mut command = Command::new("setsid");
        // A session of its own: the terminal that the tests are run on is none of its business.
        command.arg("--wait").arg("setpriv");
        command.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups"]);
        // A pipe of that user's own: root's can't be opened anew by others, which --passphrase-fd does.
        command.args(["sh", "-c", "cat | \"$@\"", "sh"]);
        command.arg(fwpctl()).args(["--bus", "system"]).args(arguments);
        self.at_home(&mut command);
        let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
        Done::of(run(command, &input))
    }

    /// A shell of root's with a mount namespace of its own at a real pseudo-terminal; `$NOBODY` before a command runs it as an
    /// ordinary user, `$FWPCTL` is `fwpctl`, `$BUS` the bus' socket.
    pub(crate) fn shell_at_terminal(&self, script: &str) -> Person {
        let mut command = Command::new("unshare");
        let socket = self.bus.address().split(['=', ',']).nth(1).expect("a path").to_owned();
        command
            .args(["--mount", "sh", "-c", script])
            .env("FWPCTL", format!("{} --bus system", fwpctl().display()))
            .env("NOBODY", format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"))
            .env("BUS", socket);
        self.at_home(&mut command);
        Person::before(&command)
    }

    fn at_home(&self, command: &mut Command) {
        command
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.bus.address())
            .env("HOME", self.home.path())
            .env_remove("XDG_CONFIG_HOME")
            .env("TERM", "xterm");
    }

    /// Stands in for systemd as long as the connection lives.
    pub(crate) fn systemd(&self, units: &Units) -> Connection {
        let units = Arc::clone(&units.0);
        self.runtime.block_on(async {
            let connection = self.bus.connect().await;
            let server = connection.object_server();
            let manager = OwnedObjectPath::try_from("/org/freedesktop/systemd1").expect("a path");
            server.at(manager, Manager).await.expect("served");
            for name in ["fwpd.service", "pcscd.socket"] {
                let unit = UnitObject(name, Arc::clone(&units));
                server.at(path(name), unit).await.expect("served");
                let service = ServiceObject(name, Arc::clone(&units));
                server.at(path(name), service).await.expect("served");
            }
            connection.request_name("org.freedesktop.systemd1").await.expect("systemd's name");
            connection
        })
    }
}

/// What systemd says of a unit.
#[derive(Clone, Default)]
pub(crate) struct Unit {
    pub(crate) load: &'static str,
    pub(crate) active: &'static str,
    pub(crate) sub: &'static str,
    pub(crate) result: &'static str,
    pub(crate) exit_status: i32,
    pub(crate) process: u32,
    pub(crate) restarts: u32,
    pub(crate) needs_reload: bool,
}

type Shared = Arc<Mutex<HashMap<&'static str, Unit>>>;

/// What systemd says of units, which a test may change.
#[derive(Clone, Default)]
pub(crate) struct Units(Shared);

impl Units {
    pub(crate) fn set(&self, name: &'static str, unit: Unit) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, unit);
    }
}

fn path(name: &str) -> OwnedObjectPath {
    let escaped = name.replace('.', "_2e");
    OwnedObjectPath::try_from(format!("/org/freedesktop/systemd1/unit/{escaped}")).expect("a path")
}

fn of(units: &Shared, name: &str) -> Unit {
    let unknown = Unit { load: "not-found", active: "inactive", sub: "dead", ..Unit::default() };
    units.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or(unknown)
}

struct Manager;

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    async fn load_unit(&self, name: String) -> OwnedObjectPath {
        path(&name)
    }
}

struct UnitObject(&'static str, Shared);

#[zbus::interface(name = "org.freedesktop.systemd1.Unit")]
impl UnitObject {
    #[zbus(property)]
    async fn load_state(&self) -> String {
        of(&self.1, self.0).load.to_owned()
    }
    #[zbus(property)]
    async fn active_state(&self) -> String {
        of(&self.1, self.0).active.to_owned()
    }
    #[zbus(property)]
    async fn sub_state(&self) -> String {
        of(&self.1, self.0).sub.to_owned()
    }
    #[zbus(property)]
    async fn need_daemon_reload(&self) -> bool {
        of(&self.1, self.0).needs_reload
    }
}

struct ServiceObject(&'static str, Shared);

#[zbus::interface(name = "org.freedesktop.systemd1.Service")]
impl ServiceObject {
    #[zbus(property)]
    async fn result(&self) -> String {
        of(&self.1, self.0).result.to_owned()
    }
    #[zbus(property)]
    async fn exec_main_status(&self) -> i32 {
        of(&self.1, self.0).exit_status
    }
    #[zbus(property, name = "MainPID")]
    async fn main_pid(&self) -> u32 {
        of(&self.1, self.0).process
    }
    #[zbus(property, name = "NRestarts")]
    async fn restarts(&self) -> u32 {
        of(&self.1, self.0).restarts
    }
    #[zbus(property)]
    async fn status_text(&self) -> String {
        String::new()
    }
}
