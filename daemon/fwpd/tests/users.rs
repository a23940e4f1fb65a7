//! Two users on a bus configured like the system's: neither sees anything of the other's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use fwp_dbus::interfaces::{self, BUS_NAME, WALLET_PATH};
use fwp_tests::requests::{BANKNET, details, method_data};
use fwp_tests::{Bank, Checkout, Fwpd, MY_BANK, PrivateBus, QUICK, ScriptedAgent, enroll};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");
/// A user other than the test's own: nobody. The bus refuses users that the system doesn't know.
const OTHER: u32 = 65534;

fn busctl(bus: &PrivateBus, arguments: &[&str]) -> Output {
    let address = format!("--address={}", bus.address());
    let all: Vec<_> = ["--no-pager", address.as_str()].into_iter().chain(arguments.iter().copied()).collect();
    bus.command_as(OTHER, Path::new("busctl")).args(&all).output().unwrap()
}

fn is_unknown(output: &Output) -> bool {
    let text = String::from_utf8_lossy(&output.stderr);
    !output.status.success() && text.contains("there is no such object")
}

#[tokio::test]
async fn another_user_sees_nothing_by_method_getter_or_introspection() {
    let bus = PrivateBus::system();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    ScriptedAgent::new().register(&desktop).await.unwrap();
    let bank = Bank::new(MY_BANK);
    let card = enroll(&page, &bank, &[(BANKNET, "FR7630002111110020050014382")]).await.unwrap().remove(0);
    let mut checkout = Checkout::new(&page, "1").await.unwrap();
    checkout.pay().await;

    // The other user's own wallet is empty, and has no agent and no history.
    let wallet = |method: &str, arguments: &[&str]| {
        let call = ["call", BUS_NAME, WALLET_PATH, interfaces::WALLET.name, method];
        let all: Vec<_> = call.into_iter().chain(arguments.iter().copied()).collect();
        let output = busctl(&bus, &all);
        assert!(output.status.success(), "{method}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(wallet("CanMakePayment", &[]), "b false");
    assert_eq!(wallet("ListCredentials", &[]), "a(oa{sv}) 0");
    assert_eq!(wallet("History", &["ua{sv}", "10", "0"]), "aa{sv} 0");
    let status = wallet("Status", &[]);
    assert!(status.contains("\"agent\" b false") && status.contains("\"store\" s \"new\""), "{status}");

    // What the first user has isn't there.
    let of_the_first = [
        (checkout.path.as_str(), interfaces::PAYMENT.name, "State", "Abort"),
        (card.as_str(), interfaces::CREDENTIAL.name, "AccountId", "Delete"),
    ];
    for (path, interface, property, method) in of_the_first {
        assert!(is_unknown(&busctl(&bus, &["get-property", BUS_NAME, path, interface, property])), "{path}");
        assert!(is_unknown(&busctl(&bus, &["call", BUS_NAME, path, interface, method])), "{path}");
        let standard =
            [("org.freedesktop.DBus.Introspectable", "Introspect"), ("org.freedesktop.DBus.Peer", "Ping")];
        for (interface, method) in standard {
            assert!(
                is_unknown(&busctl(&bus, &["call", BUS_NAME, path, interface, method])),
                "{path} {method}"
            );
        }
    }
    for parent in ["/", "/io/github/fwpd"] {
        let output =
            busctl(&bus, &["call", BUS_NAME, parent, "org.freedesktop.DBus.Introspectable", "Introspect"]);
        let xml = String::from_utf8(output.stdout).unwrap();
        assert!(!xml.contains("payment") && !xml.contains("credential"), "{xml}");
    }

    // Nor does a program that makes a payment of its own find the first user's agent.
    let create = wallet(
        "CreatePayment",
        &["sssa{sv}", "spaceshop.com", &method_data(&[BANKNET]), &details("1", "1.00"), "0"],
    );
    assert!(create.starts_with("o \"/io/github/fwpd/payment/"), "{create}");
    assert_eq!(checkout.payment.state().await.unwrap(), "authorized");
}

#[tokio::test]
async fn another_user_cannot_ask_an_agent_nor_take_the_name() {
    let bus = PrivateBus::system();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let desktop = fwpd.client(&bus).await;
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    let name = desktop.connection().unique_name().unwrap().to_string();
    let path = "/io/github/fwpd/TestAgent";
    let question = ["call", name.as_str(), path, interfaces::AGENT.name, "Consent", "sa{sv}", "enroll", "0"];
    let output = busctl(&bus, &question);
    assert!(!output.status.success());
    assert!(agent.prompts().is_empty());
    let bus_itself = ["org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"];
    let request = ["call", bus_itself[0], bus_itself[1], bus_itself[2], "RequestName", "su", BUS_NAME, "3"];
    let output = busctl(&bus, &request);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn another_user_hears_nothing_of_a_payment() {
    let bus = PrivateBus::system();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    ScriptedAgent::new().register(&desktop).await.unwrap();
    enroll(&page, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();

    // It falls back to match rules for everything, as any program may have; the bus' own monitoring is root's.
    let mut listener = bus
        .command_as(OTHER, Path::new("dbus-monitor"))
        .args(["--address", bus.address()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut checkout = Checkout::new(&page, "1").await.unwrap();
    checkout.pay().await;
    checkout.payment.complete("success").await.unwrap();
    checkout.next().await;
    // Something that everybody hears, after all that.
    drop(bus.connect().await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    listener.kill().unwrap();
    let heard = String::from_utf8(listener.wait_with_output().unwrap().stdout).unwrap();
    assert!(heard.contains("NameOwnerChanged"), "it listened: {heard}");
    for ours in ["io.github.fwpd.Payment1", "io.github.fwpd.Agent1", "io.github.fwpd.Wallet1"] {
        assert!(!heard.contains(ours), "{heard}");
    }
}
