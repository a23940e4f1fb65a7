//! Who may ask the user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fwp_dbus::ErrorName;
use fwp_dbus::interfaces::{AGENT, WALLET_PATH};
use fwp_tests::requests::BANKNET;
use fwp_tests::{
    Answer, Bank, Checkout, Fwpd, MY_BANK, PrivateBus, Prompt, QUICK, ScriptedAgent, enroll, refused,
};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");

#[tokio::test]
async fn a_second_agent_needs_the_first_ones_consent() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (first_client, second_client) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let (first, second) = (ScriptedAgent::new(), ScriptedAgent::new());
    first.register(&first_client).await.unwrap();
    first.answers([Answer::No, Answer::Yes]);
    assert_eq!(refused(second.register(&second_client).await), ErrorName::Declined);
    second.register(&second_client).await.unwrap();
    let asked: Vec<_> = first
        .prompts()
        .into_iter()
        .filter_map(|prompt| match prompt {
            Prompt::Consent(kind, details) => Some((kind, details.name)),
            _ => None,
        })
        .collect();
    assert_eq!(asked, vec![("replace-agent".to_owned(), Some("test agent".to_owned())); 2]);
    let is_replaced =
        |prompt: &Prompt| matches!(prompt, Prompt::Status(state, _) if state == "replaced").then_some(());
    first.wait_for("word that it was replaced", is_replaced).await;

    enroll(&first_client, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    assert!(
        second.prompts().iter().any(|prompt| matches!(prompt, Prompt::Consent(kind, _) if kind == "enroll"))
    );
}

#[tokio::test]
async fn no_agent_registers_while_a_payment_is_before_the_user() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (desktop, page, other) = (fwpd.client(&bus).await, fwpd.client(&bus).await, fwpd.client(&bus).await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    enroll(&page, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    agent.answers([Answer::Never]);
    let checkout = Checkout::new(&page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    assert_eq!(refused(ScriptedAgent::new().register(&other).await), ErrorName::Busy);
}

#[tokio::test]
async fn a_desktops_agent_needs_the_terminals_consent_and_the_other_way_round() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (terminal_client, desktop_client) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let (terminal, desktop) = (ScriptedAgent::new(), ScriptedAgent::new());
    terminal.register_as(&terminal_client, "terminal").await.unwrap();
    terminal.answers([Answer::No]);
    assert_eq!(refused(desktop.register(&desktop_client).await), ErrorName::Declined);
    desktop.register(&desktop_client).await.unwrap();
    let asked = terminal.prompts().iter().filter(|prompt| matches!(prompt, Prompt::Consent(..))).count();
    assert_eq!(asked, 2, "each time");
    desktop.answers([Answer::No]);
    assert_eq!(refused(terminal.register_as(&terminal_client, "terminal").await), ErrorName::Declined);
}

#[tokio::test]
async fn a_terminal_may_pay_for_itself_where_there_is_no_desktop() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let terminal = fwpd.client(&bus).await;
    ScriptedAgent::new().register_as(&terminal, "terminal").await.unwrap();
    enroll(&terminal, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    Checkout::new(&terminal, "1").await.unwrap().pay().await;
}

#[tokio::test]
async fn a_desktops_agent_is_not_asked_about_what_it_wants_itself() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let client = fwpd.client(&bus).await;
    ScriptedAgent::new().register(&client).await.unwrap();
    let error = enroll(&client, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await;
    assert_eq!(refused(error), ErrorName::NoAgent);
}

#[tokio::test]
async fn an_agent_answers_nobody_but_the_daemon() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (desktop, stranger) = (fwpd.client(&bus).await, bus.connect().await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    let name = desktop.connection().unique_name().unwrap().clone();
    let body = ("enroll", fwp_dbus::types::ConsentDetails::default());
    let path = "/io/github/fwpd/TestAgent";
    let reply = stranger.call_method(Some(name.as_str()), path, Some(AGENT.name), "Consent", &body).await;
    let error = reply.unwrap_err().to_string();
    assert!(error.contains("AccessDenied"), "{error}");
    assert!(agent.prompts().is_empty());
}

#[tokio::test]
async fn names_of_agents_that_could_lie_are_refused() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let client = fwpd.client(&bus).await;
    let wallet = client.wallet().await.unwrap();
    let path = zbus::ObjectPath::try_from(WALLET_PATH).unwrap();
    for name in ["a\u{202e}b", "", &"x".repeat(65)] {
        let options = fwp_dbus::types::AgentOptions { name: Some(name.to_owned()), kind: None };
        assert_eq!(refused(wallet.register_agent(&path, &options).await), ErrorName::InvalidRequest);
    }
}
