//! A real polkitd, in a mount namespace of its own, on a private bus.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fwp_tests::PrivateBus;
use tempfile::TempDir;

/// As it is shipped.
pub(crate) const POLICY: &str = include_str!("../../../../packaging/polkit/io.github.fwpd.policy");
const POLKITD: &str = "/usr/lib/polkit-1/polkitd";
/// As Debian's org.freedesktop.PolicyKit1.conf.
pub(crate) const POLKITS_BUS_POLICY: &str = r#"
  <policy user="polkitd">
    <allow own="org.freedesktop.PolicyKit1"/>
  </policy>
  <policy context="default">
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>"#;

/// A polkitd, ended when it is dropped.
pub(crate) struct Polkit {
    process: Child,
    _directory: TempDir,
}

impl Polkit {
    /// polkitd with these actions and this rule of the administrator's.
    pub(crate) async fn start(bus: &PrivateBus, actions: &[(&str, &str)], rule: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("fwpd-polkit-").tempdir().unwrap();
        let readable = |path: &Path| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        };
        readable(directory.path());
        let folder = |name: &str, files: &[(&str, &str)]| {
            let folder = directory.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            readable(&folder);
            for (name, text) in files {
                std::fs::write(folder.join(name), text).unwrap();
                readable(&folder.join(name));
            }
            folder.display().to_string()
        };
        let (actions, rules) = (folder("actions", actions), folder("rules", &[("10-test.rules", rule)]));
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
        let dbus = zbus::fdo::DBusProxy::new(&connection).await.unwrap();
        fwp_tests::soon("polkitd (Debian package polkitd; it needs root)", async {
            while !dbus.name_has_owner("org.freedesktop.PolicyKit1".try_into().unwrap()).await.unwrap() {
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
