//! A real polkitd on a private bus, which reads actions and rules of the test's own.
//!
//! It runs in a mount namespace of its own. There is no logind, so that nobody is "active" to it: what active users may is polkit's
//! and logind's part, and shown where both run (`in_a_container`). It needs root.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::bus::PrivateBus;
use crate::soon;

/// The wallet's actions, as they are packaged.
pub const PACKAGED: (&str, &str) =
    ("io.github.fwpd.policy", include_str!("../../packaging/polkit/io.github.fwpd.policy"));

/// For [`PrivateBus::system_with`]: as Debian's org.freedesktop.PolicyKit1.conf.
pub const BUS_POLICY: &str = r#"
  <policy user="polkitd">
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow send_interface="org.freedesktop.PolicyKit1.AuthenticationAgent"/>
  </policy>
  <policy context="default">
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>"#;

const POLKITD: &str = "/usr/lib/polkit-1/polkitd";

/// A polkitd, ended when it is dropped.
#[derive(Debug)]
pub struct Polkit {
    process: Child,
    _directory: TempDir,
}

impl Polkit {
    /// polkitd with these actions (name of the file and its text) and these rules (JavaScript).
    ///
    /// # Panics
    /// If it doesn't come up: it needs root, and Debian's package polkitd.
    pub async fn start(bus: &PrivateBus, actions: &[(&str, &str)], rules: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("fwpd-polkit-").tempdir().expect("a directory");
        let readable = |path: &Path| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("opened to others");
        };
        readable(directory.path());
        let folder = |name: &str, files: &[(&str, &str)]| {
            let folder = directory.path().join(name);
            std::fs::create_dir(&folder).expect("a directory");
            readable(&folder);
            for (name, text) in files {
                std::fs::write(folder.join(name), text).expect("the file written");
                readable(&folder.join(name));
            }
            folder.display().to_string()
        };
        let (actions, rules) = (folder("actions", actions), folder("rules", &[("10-test.rules", rules)]));
        // What logind has in /run/systemd, empty: nobody is logged in.
        let script = "mount --bind \"$1\" /usr/share/polkit-1/actions \
                      && mkdir -p /etc/polkit-1/rules.d && mount --bind \"$2\" /etc/polkit-1/rules.d \
                      && mkdir -p /run/systemd && mount -t tmpfs none /run/systemd \
                      && mkdir /run/systemd/seats /run/systemd/sessions /run/systemd/users /run/systemd/machines \
                      && exec \"$3\" --no-debug";
        let (name, address) = bus.variable();
        let process = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh", &actions, &rules, POLKITD])
            .env(name, address)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare (Debian package util-linux)");
        let polkit = Self { process, _directory: directory };
        let connection = bus.connect().await;
        let dbus = zbus::fdo::DBusProxy::new(&connection).await.expect("the bus");
        let name = zbus::names::BusName::try_from("org.freedesktop.PolicyKit1").expect("a name");
        soon("polkitd (Debian package polkitd; it needs root)", async {
            while !dbus.name_has_owner(name.clone()).await.expect("an answer of the bus") {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        polkit
    }
}

impl Drop for Polkit {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
