//! What guards the key of a new wallet on a session's bus, with a real gnome-keyring-daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write;
use std::process::{Child, Command, Stdio};

use fwp_dbus::{Client, ErrorName};
use fwp_tests::requests::BANKNET;
use fwp_tests::{Bank, Checkout, Fwpd, MY_BANK, PrivateBus, QUICK, ScriptedAgent, enroll, refused, soon};
use tempfile::TempDir;

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");
const SECRETS: &str = "org.freedesktop.secrets";

/// gnome-keyring-daemon on the bus, with a home of its own.
struct Keyring {
    process: Child,
    _home: TempDir,
}

impl Keyring {
    /// With `password` it is unlocked; without, it has no collection and can't ask for a password.
    async fn start(bus: &PrivateBus, password: Option<&str>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("gnome-keyring-daemon");
        command.args(["--foreground", "--components=secrets"]).args(password.map(|_| "--unlock"));
        let (name, address) = bus.variable();
        let mut process = command
            .env(name, address)
            .env("HOME", home.path())
            .env("XDG_RUNTIME_DIR", home.path())
            .env_remove("XDG_DATA_HOME")
            .env_remove("DISPLAY")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon (Debian package gnome-keyring)");
        let mut input = process.stdin.take().unwrap();
        input.write_all(password.unwrap_or_default().as_bytes()).unwrap();
        drop(input);
        let connection = bus.connect().await;
        let names = zbus::fdo::DBusProxy::new(&connection).await.unwrap();
        soon("the keyring", async {
            while !names.name_has_owner(SECRETS.try_into().unwrap()).await.unwrap() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
        Self { process, _home: home }
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn with_agent(fwpd: &Fwpd, bus: &PrivateBus) -> (Client, Client) {
    let (page, desktop) = (fwpd.client(bus).await, fwpd.client(bus).await);
    ScriptedAgent::new().register(&desktop).await.unwrap();
    (page, desktop)
}

async fn slot(client: &Client) -> String {
    client.wallet().await.unwrap().status().await.unwrap().key_slot.unwrap_or_default()
}

#[tokio::test]
async fn an_unlocked_keyring_guards_the_key_and_opens_the_wallet_after_a_restart() {
    let bus = PrivateBus::session();
    let _keyring = Keyring::start(&bus, Some("password")).await;
    let mut fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (page, desktop) = with_agent(&fwpd, &bus).await;
    enroll(&page, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    assert_eq!(slot(&page).await, "Secret Service");
    assert!(!fwpd.state_dir().join("wallet.key").exists(), "no key file beside the keyring");
    drop((page, desktop));
    fwpd.kill();
    fwpd.start_again(&bus.connect().await).await;
    let (page, _desktop) = with_agent(&fwpd, &bus).await;
    Checkout::new(&page, "1").await.unwrap().pay().await;
}

#[tokio::test]
async fn where_there_is_no_keyring_the_key_stands_in_a_file_and_that_is_said() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (page, _desktop) = with_agent(&fwpd, &bus).await;
    enroll(&page, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    assert_eq!(slot(&page).await, "key file");
    assert!(fwpd.state_dir().join("wallet.key").exists());
    assert!(fwpd.log().contains("it stands in a file"), "{}", fwpd.log());
}

#[tokio::test]
async fn a_file_that_was_chosen_is_used_though_there_is_a_keyring() {
    let bus = PrivateBus::session();
    let _keyring = Keyring::start(&bus, Some("password")).await;
    let fwpd = Fwpd::start(&bus, FWPD, &format!("key-slot = \"file\"\n{QUICK}")).await;
    let (page, _desktop) = with_agent(&fwpd, &bus).await;
    enroll(&page, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    assert_eq!(slot(&page).await, "key file");
}

#[tokio::test]
async fn a_wallet_whose_keyring_is_gone_is_locked_and_not_made_anew() {
    let bus = PrivateBus::session();
    let keyring = Keyring::start(&bus, Some("password")).await;
    let mut fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (page, desktop) = with_agent(&fwpd, &bus).await;
    enroll(&page, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    drop((page, desktop));
    fwpd.kill();
    drop(keyring);
    fwpd.start_again(&bus.connect().await).await;
    let (page, _desktop) = with_agent(&fwpd, &bus).await;
    let wallet = page.wallet().await.unwrap();
    assert_eq!(refused(wallet.list_credentials().await), ErrorName::StoreLocked);
    assert_eq!(wallet.status().await.unwrap().store, "locked");
    assert_eq!(refused(enroll(&page, &Bank::new(MY_BANK), &[(BANKNET, "2")]).await), ErrorName::StoreLocked);
    assert!(!fwpd.state_dir().join("wallet.key").exists(), "nor made anew with a key in a file");
}
