//! A private `dbus-daemon`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use zbus::Connection;

/// A bus of the test's own, gone when it is dropped.
#[derive(Debug)]
pub struct PrivateBus {
    process: Child,
    address: String,
    is_system: bool,
    _directory: TempDir,
}

/// As Debian's session.conf: everybody with access may do everything.
const SESSION_POLICY: &str = r#"
  <type>session</type>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>"#;

/// As system.conf of the reference implementation: names and method calls need a policy of the service's own.
const SYSTEM_POLICY: &str = r#"
  <type>system</type>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>"#;

/// The policy that is packaged for the system's bus.
const PACKAGED: &str = include_str!("../../packaging/dbus/io.github.fwpd.conf");

impl PrivateBus {
    /// A bus as a session has it.
    ///
    /// # Panics
    /// If `dbus-daemon` can't be started.
    pub fn session() -> Self {
        Self::start(SESSION_POLICY, false)
    }

    /// A bus configured as the system's, with the packaged policy; the daemon's user is the test's own.
    ///
    /// # Panics
    /// If `dbus-daemon` can't be started.
    pub fn system() -> Self {
        Self::system_with("")
    }

    /// As [`PrivateBus::system`], with a further service's `<policy>` elements.
    ///
    /// # Panics
    /// If `dbus-daemon` can't be started.
    pub fn system_with(policy: &str) -> Self {
        let uid = rustix::process::getuid().as_raw();
        let packaged = PACKAGED.replace("user=\"fwpd\"", &format!("user=\"{uid}\""));
        let start = packaged.find("<policy").expect("a policy");
        let end = packaged.rfind("</policy>").expect("its end") + "</policy>".len();
        let ours = packaged.get(start..end).expect("the policies");
        Self::start(&format!("{SYSTEM_POLICY}\n{ours}\n{policy}"), true)
    }

    fn start(policy: &str, is_system: bool) -> Self {
        let directory =
            tempfile::Builder::new().prefix("fwpd-bus-").tempdir().expect("a directory for the bus");
        // Other users connect too.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).expect("the directory opened to others");
        let config = directory.path().join("bus.conf");
        let socket = directory.path().join("bus");
        let text = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig>\n  \
             <listen>unix:path={}</listen>\n  <auth>EXTERNAL</auth>{policy}\n</busconfig>\n",
            socket.display()
        );
        std::fs::write(&config, text).expect("the bus' configuration written");
        let mut process = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address=1"])
            .stdout(Stdio::piped())
            // It complains that it may not raise its limit of open files.
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon started (Debian package dbus-daemon)");
        let mut address = String::new();
        let output = process.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut address).expect("its address");
        let address = address.trim().to_owned();
        assert!(!address.is_empty(), "dbus-daemon did not start");
        Self { process, address, is_system, _directory: directory }
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it is configured as the system's.
    pub fn is_system(&self) -> bool {
        self.is_system
    }

    /// The variable that tells a program of this bus.
    pub fn variable(&self) -> (&'static str, &str) {
        let name = if self.is_system { "DBUS_SYSTEM_BUS_ADDRESS" } else { "DBUS_SESSION_BUS_ADDRESS" };
        (name, &self.address)
    }

    /// Another connection of the test's own.
    ///
    /// # Panics
    /// If the bus refuses.
    pub async fn connect(&self) -> Connection {
        let builder = zbus::connection::Builder::address(self.address.as_str());
        builder.build().await.expect("a connection to the bus")
    }

    /// A program that is to run as another user, who has this bus in the environment.
    ///
    /// # Panics
    /// If the test does not run as root: only root can be two users.
    pub fn command_as(&self, uid: u32, program: &Path) -> Command {
        let is_root = rustix::process::geteuid().is_root();
        assert!(is_root, "not shown here: two users on one bus; run the tests as root, as `make test` says");
        let (name, address) = self.variable();
        // setpriv: Debian package util-linux.
        let mut command = Command::new("setpriv");
        command
            .args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups"])
            .arg(program)
            .env(name, address);
        command
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
