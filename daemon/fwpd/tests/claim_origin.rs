//! Who may name a host: by the configuration, and by a real polkitd that reads the shipped policy.
//!
//! polkitd runs in a mount namespace of its own, on a private bus. There is no logind, so that nobody is "active" to it: that
//! active users may, as shipped, is polkit's and logind's part and not shown here; that others may not, and that a rule of the
//! administrator's counts for whom it names, is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::moz_pay::Shop;
use fwp_dbus::interfaces::{BUS_NAME, WALLET, WALLET_PATH};
use fwp_dbus::types::{EnrollmentOptions, PaymentOptions};
use fwp_dbus::{Client, ErrorName};
use fwp_tests::polkit::{BUS_POLICY, PACKAGED, Polkit};
use fwp_tests::requests::{BANKNET, SPACE_SHOP, details, method_data};
use fwp_tests::{Bank, Fwpd, MY_BANK, PrivateBus, refused};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");
/// The user whom the rule names. (polkit lets root, as whom this runs, do everything.)
const NOBODY: u32 = 65534;
/// Another one, of whom it says nothing: Debian's "daemon".
const SOMEBODY: u32 = 1;
/// The administrator lets user `nobody` name hosts.
const RULE: &str = r#"polkit.addRule(function(action, subject) {
    if (action.id == "io.github.fwpd.claim-origin" && subject.user == "nobody") return polkit.Result.YES;
});"#;
/// What is beside that on the system's bus has a test of its own.
const ENROLL: &str = "authorize = \"any\"\n[keys]\nseats = \"ignore\"\n";

/// What each of the three calls that name a host says.
async fn refusals(client: &Client) -> Vec<(ErrorName, String)> {
    let wallet = client.wallet().await.unwrap();
    let options = PaymentOptions::default();
    let (data, details) = (method_data(&[BANKNET]), details("1", "1.00"));
    let jwt = Shop::hs256().sign(&Shop::claims());
    let offer = Bank::new(MY_BANK).offer().to_json().to_string();
    let all = [
        wallet.create_payment(SPACE_SHOP, &data, &details, &options).await,
        wallet.create_moz_payment(SPACE_SHOP, &[&jwt], &options).await,
        wallet.begin_enrollment(&offer, MY_BANK, &EnrollmentOptions::default()).await,
    ];
    let of = |refusal: Result<_, fwp_dbus::ClientError>| {
        let message = refusal.as_ref().err().map_or_else(|| "it was let in".to_owned(), ToString::to_string);
        (refused(refusal), message)
    };
    all.into_iter().map(of).collect()
}

#[tokio::test]
async fn none_lets_nobody_in_and_any_everybody() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, "claim-origin = \"none\"").await;
    for (name, message) in refusals(&fwpd.client(&bus).await).await {
        assert_eq!(name, ErrorName::AccessDenied);
        assert!(message.contains("claim-origin = \"none\""), "{message}");
    }
    for (bus, config) in [(PrivateBus::session(), ""), (PrivateBus::system(), "claim-origin = \"any\"")] {
        let fwpd = Fwpd::start(&bus, FWPD, config).await;
        let wallet = fwpd.client(&bus).await.wallet().await.unwrap();
        let jwt = Shop::hs256().sign(&Shop::claims());
        wallet.create_moz_payment(SPACE_SHOP, &[&jwt], &PaymentOptions::default()).await.unwrap();
    }
}

#[tokio::test]
async fn on_the_systems_bus_nobody_is_let_in_without_polkit_and_the_remedy_is_told() {
    let bus = PrivateBus::system_with(BUS_POLICY);
    let fwpd = Fwpd::start(&bus, FWPD, "").await;
    for (name, message) in refusals(&fwpd.client(&bus).await).await {
        assert_eq!(name, ErrorName::AccessDenied);
        assert!(message.contains("installs polkit") && message.contains("claim-origin"), "{message}");
    }
}

#[tokio::test]
async fn polkit_lets_in_whom_it_is_told_to_and_by_the_shipped_policy_nobody_who_is_not_active() {
    let bus = PrivateBus::system_with(BUS_POLICY);
    let _polkit = Polkit::start(&bus, &[PACKAGED], RULE).await;
    let _fwpd = Fwpd::start(&bus, FWPD, ENROLL).await;
    let address = format!("--address={}", bus.address());
    let (data, details) = (method_data(&[BANKNET]), details("1", "1.00"));
    let jwt = Shop::hs256().sign(&Shop::claims());
    let offer = Bank::new(MY_BANK).offer().to_json().to_string();
    for arguments in [
        vec!["CreatePayment", "sssa{sv}", SPACE_SHOP, &data, &details, "0"],
        vec!["CreateMozPayment", "sasa{sv}", SPACE_SHOP, "1", &jwt, "0"],
        vec!["BeginEnrollment", "ssa{sv}", &offer, MY_BANK, "0"],
    ] {
        let call = ["--no-pager", &address, "call", BUS_NAME, WALLET_PATH, WALLET.name];
        let called_by = |user| {
            let mut busctl = bus.command_as(user, Path::new("busctl"));
            let output = busctl.args(call).args(&arguments).output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&output.stdout), text(&output.stderr))
        };
        let (made, refusal) = called_by(SOMEBODY);
        assert!(
            made.is_empty() && refusal.contains("polkit lets this program name no host"),
            "{made}{refusal}"
        );
        let (made, refusal) = called_by(NOBODY);
        assert!(made.starts_with("o \"/io/github/fwpd/"), "{refusal}");
    }
}

#[tokio::test]
async fn a_polkit_that_does_not_know_the_action_says_which_file_is_missing() {
    let bus = PrivateBus::system_with(BUS_POLICY);
    let _polkit = Polkit::start(&bus, &[], RULE).await;
    let fwpd = Fwpd::start(&bus, FWPD, "claim-origin = \"polkit\"").await;
    for (name, message) in refusals(&fwpd.client(&bus).await).await {
        assert_eq!(name, ErrorName::AccessDenied);
        assert!(message.contains("io.github.fwpd.policy is missing"), "{message}");
    }
}

/// Somebody has polkit's name and says nothing.
#[tokio::test]
async fn a_polkit_that_hangs_lets_nobody_in_and_holds_up_nothing_else() {
    let own = r#"<policy user="root"><allow own="org.freedesktop.PolicyKit1"/></policy>"#;
    let bus = PrivateBus::system_with(&format!("{own}{BUS_POLICY}"));
    let silent = zbus::connection::Builder::address(bus.address()).build().await.unwrap();
    silent.request_name("org.freedesktop.PolicyKit1").await.unwrap();
    let fwpd = Fwpd::start(&bus, FWPD, "").await;
    let (page, other) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let (wallet, data, details) =
        (page.wallet().await.unwrap(), method_data(&[BANKNET]), details("1", "1.00"));
    let options = PaymentOptions::default();
    let asked = async {
        let refusal = wallet.create_payment(SPACE_SHOP, &data, &details, &options).await;
        let message = refusal.as_ref().unwrap_err().to_string();
        assert_eq!(refused(refusal), ErrorName::AccessDenied);
        assert!(message.contains("polkit does not answer"), "{message}");
    };
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let wallet = other.wallet().await.unwrap();
        tokio::time::timeout(Duration::from_secs(2), wallet.status()).await.unwrap().unwrap();
    };
    let both = async { tokio::join!(asked, meanwhile) };
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
}

#[test]
fn polkit_on_a_sessions_bus_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("fwpd.toml");
    std::fs::write(&config, "claim-origin = \"polkit\"").unwrap();
    let mut command = Command::new(FWPD);
    command.args(["--session", "--state-dir"]).arg(directory.path().join("state"));
    let output = command.arg("--config").arg(&config).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("fwpd --system"), "{text}");
}
