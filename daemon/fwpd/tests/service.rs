//! The daemon's life as a service: what the service manager is told, and that it ends by itself when nobody needs it, without
//! losing a call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fwp_dbus::ErrorName;
use fwp_dbus::interfaces::{BUS_NAME, WALLET, WALLET_PATH};
use fwp_dbus::types::{PaymentOptions, SlotOptions};
use fwp_tests::requests::{BANKNET, SPACE_SHOP, details, method_data};
use fwp_tests::{
    Answer, Bank, Checkout, Fwpd, MY_BANK, PrivateBus, QUICK, ScriptedAgent, enroll, refused, soon,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use zbus::{Connection, Message, OwnedObjectPath};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");
/// The shortest idle exit that can be set.
const IDLE_EXIT: Duration = Duration::from_secs(1);

fn config() -> String {
    format!("{QUICK}\n[service]\nidle-exit = 1\n")
}

/// A program that becomes fwpd with more in its environment.
fn wrapped(folder: &Path, environment: &str) -> PathBuf {
    let path = folder.join("fwpd-wrapped");
    std::fs::write(&path, format!("#!/bin/sh\n{environment} exec {FWPD} \"$@\"\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn the_service_manager_is_told_of_beginning_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(fwp_tests::PATIENCE)).unwrap();
    let told = || {
        let mut text = [0; 4096];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let bus = PrivateBus::session();
    let program = wrapped(folder.path(), &format!("NOTIFY_SOCKET={}", path.display()));
    let mut fwpd = Fwpd::start(&bus, program, QUICK).await;
    let begun = told();
    assert!(begun.contains("READY=1\n") && begun.contains("STATUS=serving"), "{begun}");
    assert!(fwpd.terminate().success());
    let ended = told();
    assert!(ended.contains("STOPPING=1\n") && ended.contains("STATUS=ending"), "{ended}");
}

#[tokio::test]
async fn an_idle_daemon_ends_on_the_systems_bus_and_stays_on_a_sessions() {
    let (system, session) = (PrivateBus::system(), PrivateBus::session());
    let started = Instant::now();
    let mut on_system = Fwpd::start(&system, FWPD, &config()).await;
    let mut on_session = Fwpd::start(&session, FWPD, &config()).await;
    let status = on_system.ended().await;
    assert!(status.success(), "{status:?}");
    assert!(started.elapsed() >= IDLE_EXIT, "too early");
    assert!(on_system.log().contains("ended: idle"), "{}", on_system.log());
    tokio::time::sleep(IDLE_EXIT).await;
    assert!(on_session.runs());
}

#[tokio::test]
async fn it_stays_as_long_as_somebody_has_something_open_and_ends_after_that() {
    let bus = PrivateBus::system();
    let mut fwpd = Fwpd::start(&bus, FWPD, &config()).await;
    let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    enroll(&page, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    page.store().await.unwrap().add_slot("passphrase", &SlotOptions::default()).await.unwrap();
    let mut stays = async |why: &str| {
        tokio::time::sleep(IDLE_EXIT * 5 / 2).await;
        assert!(fwpd.runs(), "it ended although there was {why}");
    };

    stays("an agent").await;
    let checkout = Checkout::new(&page, "1").await.unwrap();
    drop(desktop);
    stays("a payment").await;
    checkout.payment.abort().await.unwrap();
    page.wallet().await.unwrap().watch_authenticators().await.unwrap();
    stays("a connection that watches for security keys").await;
    drop((checkout, page));
    assert!(fwpd.ended().await.success());

    // A store that only its passphrase opens stays open for its user.
    std::fs::remove_dir_all(fwpd.state_dir().join("keys")).unwrap();
    fwpd.start_again(&bus.connect().await).await;
    let (desktop, client) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    agent.register(&desktop).await.unwrap();
    client.store().await.unwrap().unlock().await.unwrap();
    drop((desktop, client));
    tokio::time::sleep(IDLE_EXIT * 5 / 2).await;
    assert!(fwpd.runs(), "the passphrase would have to be typed again");
    let client = fwpd.client(&bus).await;
    client.store().await.unwrap().lock().await.unwrap();
    drop(client);
    assert!(fwpd.ended().await.success());
}

/// Else a program could ask the user as often as it liked, a second apart.
#[tokio::test]
async fn it_stays_while_it_counts_how_often_the_user_was_asked() {
    let bus = PrivateBus::system();
    let config = format!("{QUICK}\n[service]\nidle-exit = 1\n[limits]\nprompts-per-minute = 1\n");
    let mut fwpd = Fwpd::start(&bus, FWPD, &config).await;
    {
        let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
        let agent = ScriptedAgent::new();
        agent.register(&desktop).await.unwrap();
        agent.answers([Answer::No]);
        let refusal = page.store().await.unwrap().add_slot("passphrase", &SlotOptions::default()).await;
        assert_eq!(refused(refusal), ErrorName::Declined);
    }
    tokio::time::sleep(IDLE_EXIT * 5 / 2).await;
    assert!(fwpd.runs(), "it forgot that the user was asked");
    let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    let refusal = page.store().await.unwrap().add_slot("passphrase", &SlotOptions::default()).await;
    assert_eq!(refused(refusal), ErrorName::LimitsExceeded);
}

/// On a system's bus programs come and go all the time.
#[tokio::test]
async fn programs_that_have_nothing_to_do_with_it_do_not_keep_it() {
    let bus = PrivateBus::system();
    let mut fwpd = Fwpd::start(&bus, FWPD, &config()).await;
    let ended = soon("the idle exit", async {
        while fwpd.runs() {
            drop(bus.connect().await);
            tokio::time::sleep(IDLE_EXIT / 5).await;
        }
        fwpd.ended().await
    });
    assert!(ended.await.success());
}

/// EX_CONFIG of sysexits.h: the packaged unit does not start it again then.
#[test]
fn wrong_settings_have_an_exit_status_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("fwpd.toml");
    for text in ["idle-exit = 1\n", "[limits\n", "authorize = \"polkit\"\n"] {
        std::fs::write(&config, text).unwrap();
        let mut fwpd = std::process::Command::new(FWPD);
        fwpd.args(["--session", "--state-dir"]).arg(folder.path().join("state")).arg("--config").arg(&config);
        let output = fwpd.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{text}: {said}");
    }
    let mut fwpd = std::process::Command::new(FWPD);
    fwpd.args(["--session", "--state-dir"]).arg(folder.path().join("state"));
    let output = fwpd.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "no bus is no mistake in the settings");
}

/// A system's bus that starts the daemon for a call, as dbus-daemon does by itself.
struct Activated {
    bus: PrivateBus,
    folder: TempDir,
}

impl Activated {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("fwpd-activated-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("fwpd.toml"), format!("{}\n[tpm]\naddress = \"none\"\n", config())).unwrap();
        let script = format!(
            "#!/bin/sh\nexport DBUS_SYSTEM_BUS_ADDRESS=\"$DBUS_STARTER_ADDRESS\" FWPD_LOG=debug\n\
             exec {FWPD} --system --state-dir {} --config {} 2>>{}\n",
            at("state"),
            at("fwpd.toml"),
            at("log")
        );
        std::fs::write(at("start"), script).unwrap();
        std::fs::set_permissions(at("start"), PermissionsExt::from_mode(0o755)).unwrap();
        let service = format!("[D-BUS Service]\nName={BUS_NAME}\nExec={}\nUser=root\n", at("start"));
        std::fs::write(at("io.github.fwpd.service"), service).unwrap();
        let bus = PrivateBus::system_with(&format!("<servicedir>{}</servicedir>", folder.path().display()));
        Self { bus, folder }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// How often the daemon began, ended since it was idle, and heard a call while it gave up its name.
    fn counts(&self) -> [usize; 3] {
        let log = self.log();
        ["serving the system's bus", "ended: idle", "a call came while"].map(|text| log.matches(text).count())
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&self.log());
        }
    }
}

#[expect(clippy::print_stderr, reason = "a failing test shows what the daemon said")]
fn say(text: &str) {
    eprintln!("{text}");
}

async fn call<B>(connection: &Connection, path: &str, interface: &str, method: &str, body: &B) -> Message
where
    B: serde::Serialize + zbus::DynamicType,
{
    let answer = connection.call_method(Some(BUS_NAME), path, Some(interface), method, body);
    soon(method, answer).await.unwrap_or_else(|error| panic!("{method} was lost: {error}"))
}

async fn create(connection: &Connection, id: &str) -> OwnedObjectPath {
    let arguments = (SPACE_SHOP, method_data(&[BANKNET]), details(id, "1.00"), PaymentOptions::default());
    let made = call(connection, WALLET_PATH, WALLET.name, "CreatePayment", &arguments).await;
    made.body().deserialize().unwrap()
}

/// Makes a payment, and sees that it is there for the next call: one daemon has both.
async fn make_payment(connection: &Connection, id: &str) {
    let path = create(connection, id).await;
    let payment = fwp_dbus::interfaces::PAYMENT.name;
    call(connection, &path, "org.freedesktop.DBus.Properties", "GetAll", &payment).await;
    call(connection, &path, payment, "Abort", &()).await;
}

#[tokio::test]
async fn the_next_call_starts_it_again() {
    let activated = Activated::new();
    let connection = activated.bus.connect().await;
    make_payment(&connection, "1").await;
    soon("the idle exit", async {
        while activated.counts()[1] == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    make_payment(&connection, "2").await;
    assert_eq!(activated.counts()[0], 2, "a daemon for each");
}

impl Activated {
    /// The processes of the bus and of the daemon.
    async fn processes(&self, connection: &Connection) -> (Pid, Pid) {
        let bus = zbus::fdo::DBusProxy::new(connection).await.unwrap();
        let pid_of = async |name: &'static str| {
            let pid = bus.get_connection_unix_process_id(name.try_into().unwrap()).await.unwrap();
            Pid::from_raw(pid.cast_signed()).unwrap()
        };
        (pid_of("org.freedesktop.DBus").await, pid_of(BUS_NAME).await)
    }

    /// Has this call meet a daemon that goes. The bus itself stands still while a caller calls and the daemon gives up its name:
    /// mostly it takes the call first then, which reaches a daemon that has asked to go; else the next daemon gets it.
    async fn meets<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        connection: &Connection,
        calling: impl Fn(Connection) -> F,
    ) -> T {
        const ROUNDS: usize = 12;
        for round in 0..ROUNDS {
            make_payment(connection, &format!("before-{round}")).await;
            let (bus, fwpd) = self.processes(connection).await;
            let before = self.counts();
            kill_process(bus, Signal::STOP).unwrap();
            let called = tokio::spawn(calling(connection.clone()));
            tokio::time::sleep(IDLE_EXIT * 3 / 2).await;
            kill_process(bus, Signal::CONT).unwrap();
            let called = called.await.unwrap();
            let [begun, ended, came] = self.counts();
            if came > before[2] {
                assert_eq!([begun, ended], [before[0], before[1]], "round {round}");
                assert_eq!(self.processes(connection).await.1, fwpd, "round {round}");
                return called;
            }
        }
        panic!("in {ROUNDS} rounds no call met a daemon that went");
    }
}

#[tokio::test]
async fn a_call_that_comes_while_the_daemon_goes_is_answered_and_what_it_made_stays() {
    let activated = Activated::new();
    let connection = activated.bus.connect().await;
    activated.meets(&connection, |connection| async move { make_payment(&connection, "meets").await }).await;
}

/// systemd ends a service of Type=dbus that gave up its name, though it has it again.
#[tokio::test]
async fn what_came_at_the_last_moment_is_done_before_the_service_manager_has_its_way() {
    let activated = Activated::new();
    let connection = activated.bus.connect().await;
    let path =
        activated.meets(&connection, |connection| async move { create(&connection, "meets").await }).await;
    let (_, fwpd) = activated.processes(&connection).await;
    kill_process(fwpd, Signal::TERM).unwrap();
    tokio::time::sleep(IDLE_EXIT * 2).await;
    assert_eq!(activated.processes(&connection).await.1, fwpd);
    let before = activated.counts();
    call(&connection, &path, fwp_dbus::interfaces::PAYMENT.name, "Abort", &()).await;
    soon("its end", async {
        while activated.counts()[1] == before[1] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Calls from just before to just after the moment at which the daemon goes.
#[tokio::test]
async fn no_call_is_lost_around_the_idle_exit() {
    const BUSES: u32 = 6;
    const ROUNDS: u32 = 5;
    let all = (0..BUSES).map(|number| async move {
        let activated = Activated::new();
        let connection = activated.bus.connect().await;
        for round in 0..ROUNDS {
            make_payment(&connection, &format!("{number}-{round}-a")).await;
            // Some are early, most come while it goes or has gone: a step of half a millisecond.
            let moment = u64::from(round * BUSES + number) * 500;
            let pause = IDLE_EXIT.saturating_sub(Duration::from_millis(3)) + Duration::from_micros(moment);
            tokio::time::sleep(pause).await;
            make_payment(&connection, &format!("{number}-{round}-b")).await;
        }
        activated.counts()
    });
    let counts = futures_util::future::join_all(all).await;
    let ended: usize = counts.iter().map(|[_, ended, _]| ended).sum();
    assert!(ended > 0, "no call came near an end: {counts:?}");
}
