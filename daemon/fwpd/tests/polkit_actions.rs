//! Who may enroll, manage, export, and open another's wallet: by a real polkitd that reads the shipped policy. There is no logind,
//! so that nobody is "active" to it: who is there goes through with a rule of the administrator's only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use fwp_dbus::ErrorName;
use fwp_dbus::interfaces::{AUTHENTICATOR, BUS_NAME, STORE, WALLET, WALLET_PATH};
use fwp_dbus::types::SlotOptions;
use fwp_tests::polkit::{BUS_POLICY, PACKAGED, Polkit};
use fwp_tests::requests::BANKNET;
use fwp_tests::{Bank, Fwpd, MY_BANK, PrivateBus, Prompt, ScriptedAgent, enroll, refused};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");
/// The user whom the rule names: nobody. (polkit lets root, as whom this runs, do everything.)
const NOBODY: u32 = 65534;
/// Another one, of whom it says nothing: Debian's "daemon".
const SOMEBODY: u32 = 1;
const RULE: &str = r#"polkit.addRule(function(action, subject) {
    if (subject.user == "nobody" && action.id != "io.github.fwpd.unlock-other") return polkit.Result.YES;
});"#;
/// polkit is asked about everything but hosts and seats.
const CONFIG: &str =
    "claim-origin = \"any\"\nkey-slot = \"file\"\n[policy]\ncool-down = 0\n[keys]\nseats = \"ignore\"\n";
const SOFTWARE: &str = "/io/github/fwpd/authenticator/software";

/// A call by `busctl`, as this user: what came of it.
fn called_by(bus: &PrivateBus, user: u32, interactive: bool, call: &[&str]) -> String {
    let address = format!("--address={}", bus.address());
    let interactive = format!("--allow-interactive-authorization={interactive}");
    let output = bus
        .command_as(user, Path::new("busctl"))
        .args(["--no-pager", &address, &interactive, "call", BUS_NAME])
        .args(call)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn each_call_is_let_in_by_the_action_that_it_is_about() {
    let bus = PrivateBus::system_with(BUS_POLICY);
    let _polkit = Polkit::start(&bus, &[PACKAGED], RULE).await;
    let _fwpd = Fwpd::start(&bus, FWPD, CONFIG).await;
    let offer = Bank::new(MY_BANK).offer().to_json().to_string();
    let (wallet, store) = ([WALLET_PATH, WALLET.name], [WALLET_PATH, STORE.name]);
    let software = [SOFTWARE, AUTHENTICATOR.name];
    let calls: Vec<(&str, [&str; 2], Vec<&str>)> = vec![
        ("enroll", wallet, vec!["BeginEnrollment", "ssa{sv}", &offer, MY_BANK, "0"]),
        ("manage", software, vec!["SetPin"]),
        ("manage", software, vec!["ChangePin"]),
        ("manage", software, vec!["Reset"]),
        ("manage", software, vec!["BeginCertification", "s", "authority.example"]),
        ("manage", store, vec!["AddSlot", "sa{sv}", "passphrase", "0"]),
        ("manage", store, vec!["RemoveSlot", "x", "1"]),
        ("manage", store, vec!["Rotate", "s", "slots"]),
        ("manage", store, vec!["AcceptCopy"]),
        ("unlock-other", store, vec!["UnlockFor", "u", "0"]),
    ];
    for (action, object, arguments) in calls {
        let call: Vec<&str> = object.into_iter().chain(arguments).collect();
        let action = format!("io.github.fwpd.{action}");
        let said = called_by(&bus, SOMEBODY, false, &call);
        assert!(said.contains(&action) && said.contains("without a password"), "{call:?}: {said}");
        assert!(said.contains("ALLOW_INTERACTIVE_AUTHORIZATION"), "{said}");
        // Nobody is there who could ask for it.
        let said = called_by(&bus, SOMEBODY, true, &call);
        assert!(said.contains(&action) && said.contains("pkttyagent"), "{call:?}: {said}");
        let said = called_by(&bus, NOBODY, false, &call);
        // What comes then is of the call itself; but nobody is an administrator.
        assert_eq!(said.contains(&action), action.ends_with("unlock-other"), "{call:?}: {said}");
    }
    // Files can't be handed over by busctl; what a card takes is in another test.
    let reading = called_by(&bus, SOMEBODY, false, &[WALLET_PATH, STORE.name, "Slots"]);
    assert!(reading.starts_with("aa{sv} 0"), "what changes nothing asks for nothing: {reading}");
}

#[tokio::test]
async fn without_polkit_nobody_is_let_in_and_the_remedy_is_told() {
    let bus = PrivateBus::system_with(BUS_POLICY);
    let fwpd = Fwpd::start(&bus, FWPD, CONFIG).await;
    let client = fwpd.client(&bus).await;
    let store = client.store().await.unwrap();
    let file = || OwnedFd::from(File::open("/dev/null").unwrap()).into();
    for refusal in [
        store.add_slot("tpm", &SlotOptions::default()).await.map(drop),
        store.export(file()).await.map(drop),
        store.import(file()).await.map(drop),
    ] {
        let message = refusal.as_ref().unwrap_err().to_string();
        assert!(message.contains("installs polkit") && message.contains("`authorize`"), "{message}");
        assert_eq!(refused(refusal), ErrorName::AccessDenied);
    }
    let refusal = store.unlock_for(NOBODY).await;
    let message = refusal.as_ref().unwrap_err().to_string();
    assert!(message.contains("unlock-other") && !message.contains("`authorize`"), "{message}");
    assert_eq!(refused(refusal), ErrorName::AccessDenied);
}

#[tokio::test]
async fn on_a_sessions_bus_there_is_nobody_elses_wallet() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, "").await;
    let store = fwpd.client(&bus).await.store().await.unwrap();
    assert_eq!(refused(store.unlock_for(0).await), ErrorName::AccessDenied);
}

#[tokio::test]
async fn an_administrator_opens_another_users_wallet_by_its_recovery_passphrase() {
    const PASSPHRASE: &str = "seven sleepy seals sing softly";
    let bus = PrivateBus::system_with(BUS_POLICY);
    let _polkit = Polkit::start(&bus, &[PACKAGED], RULE).await;
    let mut fwpd = Fwpd::start(&bus, FWPD, CONFIG).await;
    let (desktop, client) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    enroll(&client, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    agent.says([Some(PASSPHRASE)]);
    client.store().await.unwrap().add_slot("passphrase", &SlotOptions::default()).await.unwrap();
    fwpd.terminate();
    // It becomes nobody's, without the key file.
    let users = fwpd.state_dir().join("users");
    std::fs::rename(users.join("0"), users.join(NOBODY.to_string())).unwrap();
    fwpd.start_again(&bus.connect().await).await;
    let (desktop, client) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    let status = || called_by(&bus, NOBODY, false, &[WALLET_PATH, WALLET.name, "Status"]);
    assert!(status().contains("\"store\" s \"locked\""), "{}", status());

    let store = client.store().await.unwrap();
    assert_eq!(refused(store.unlock_for(SOMEBODY).await), ErrorName::InvalidState);
    agent.says([Some("wrong wrong wrong"), Some("and wrong"), Some("and wrong again")]);
    assert_eq!(refused(store.unlock_for(NOBODY).await), ErrorName::SlotUnusable);
    assert!(status().contains("\"store\" s \"locked\""), "{}", status());
    agent.forget();
    agent.says([Some("wrong once more"), Some(PASSPHRASE)]);
    store.unlock_for(NOBODY).await.unwrap();
    let asked: Vec<_> = agent.prompts();
    let [Prompt::Passphrase(first), Prompt::Passphrase(second)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((first.purpose.as_str(), first.uid, first.wrong), ("unlock-other", Some(NOBODY), false));
    assert!(second.wrong);
    assert!(status().contains("\"store\" s \"open\""), "{}", status());
    let can = called_by(&bus, NOBODY, false, &[WALLET_PATH, WALLET.name, "CanMakePayment"]);
    assert_eq!(can.trim(), "b true");
    // The administrator has seen nothing of it, and has no wallet by that.
    assert!(client.wallet().await.unwrap().list_credentials().await.unwrap().is_empty());
    assert!(fwpd.log().contains("opened by the user 0"), "{}", fwpd.log());
    let wrong = fwpd.log().matches("the user 0 typed a wrong recovery passphrase").count();
    assert_eq!(wrong, 4, "{}", fwpd.log());
    store.unlock_for(NOBODY).await.unwrap();
}
