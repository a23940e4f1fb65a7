//! A person takes the time that a person takes; common D-Bus clients give a call 25 s.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use fwp_dbus::{Client, Event};
use fwp_tests::requests::BANKNET;
use fwp_tests::{Answer, Bank, Checkout, Fwpd, MY_BANK, PrivateBus, QUICK, ScriptedAgent, enroll};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");
/// What libdbus, GDBus and sd-bus give a call by default.
const USUAL_TIMEOUT: Duration = Duration::from_secs(25);

#[tokio::test]
async fn an_agent_that_answers_after_60_s_still_gets_a_client_with_a_25_s_timeout_its_response() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let desktop = fwpd.client(&bus).await;
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    let builder = zbus::connection::Builder::address(bus.address()).method_timeout(USUAL_TIMEOUT);
    let page = Client::connect(&builder.build().await.unwrap()).await.unwrap();
    let bank = Bank::new(MY_BANK);
    enroll(&page, &bank, &[(BANKNET, "FR7630002111110020050014382")]).await.unwrap();

    agent.answers([Answer::After(Duration::from_secs(60), Box::new(Answer::Yes))]);
    let started = Instant::now();
    let mut checkout = Checkout::new(&page, "7040566321").await.unwrap();
    checkout.payment.show().await.unwrap();
    assert!(started.elapsed() < USUAL_TIMEOUT, "Show itself must not wait for the user");
    let event = tokio::time::timeout(Duration::from_secs(90), checkout.events.next()).await;
    let Ok(Ok(Event::Response(assertion))) = event else { panic!("no response: {event:?}") };
    assert!(started.elapsed() >= Duration::from_secs(60), "the agent took its time");
    assert_eq!(bank.open(&assertion).authorization_data().payment_request.amount.as_str(), "435.00");
}
