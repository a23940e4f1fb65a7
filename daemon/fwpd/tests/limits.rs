//! Keys in this computer are held to amounts and a rate, and the user is told which limit it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::Stage;
use fwp_dbus::types::{AuthorizeCard, AuthorizeRequest, EnrollmentOptions, HistoryOptions};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuditEvent, AuditKind};
use fwp_store::slot::{KeyFile, KeySlot};
use fwp_store::{Found, Store};
use fwp_tests::requests::{BANKNET, SPACE_SHOP, update};
use fwp_tests::{Answer, Checkout, PrivateBus, Prompt, ScriptedAgent};

/// So many limits at once that each test meets the one that it is about.
const CONFIG: &str = "key-slot = \"file\"\n[policy]\ncool-down = 0\n[platform-keys]\npayments-per-hour = 4\n\
                      payment = \"500\"\nday = \"1200\"\n";

async fn a_stage() -> Stage {
    let stage = Stage::on(PrivateBus::session(), CONFIG).await;
    stage.enroll("account", EnrollmentOptions::default()).await.unwrap();
    stage
}

async fn checkout(stage: &Stage, id: &str, value: &str) -> Checkout {
    Checkout::of(&stage.client, SPACE_SHOP, &[BANKNET], id, value).await.unwrap()
}

/// Pays, or gives the error that it ends with.
async fn pay(stage: &Stage, id: &str, value: &str) -> Result<(), Error> {
    let mut checkout = checkout(stage, id, value).await;
    checkout.payment.show().await.unwrap();
    match checkout.next().await {
        fwp_dbus::Event::Response(assertion) => {
            stage.bank.open(&assertion);
            Ok(())
        }
        fwp_dbus::Event::Finished(end) => end,
        event => panic!("{event:?}"),
    }
}

fn limit_reached(end: Result<(), Error>) -> String {
    let error = end.unwrap_err();
    assert_eq!(error.name, ErrorName::LimitReached, "{error}");
    error.message
}

fn last_shown(stage: &Stage) -> (AuthorizeRequest, Vec<AuthorizeCard>) {
    let of = |prompt| match prompt {
        Prompt::Authorize(_, request, cards) => Some((request, cards)),
        _ => None,
    };
    stage.agent.prompts().into_iter().filter_map(of).next_back().unwrap()
}

/// The audit log, read without the daemon.
fn audit(stage: &Stage) -> Vec<AuditEvent> {
    let key_file = KeyFile::new(stage.fwpd.state_dir().join("wallet.key"));
    let slots: [&dyn KeySlot; 1] = [&key_file];
    let store: Store = match fwp_store::open(&stage.fwpd.state_dir().join("wallet")).unwrap() {
        Found::Wallet(locked) => locked.unlock(&slots, None).unwrap(),
        Found::Nothing(_) => panic!("the store is gone"),
    };
    store.audit(0, 1000).unwrap().into_iter().map(|entry| entry.event).collect()
}

/// Starts the daemon again on the same store, with another agent.
async fn start_again(stage: &mut Stage) {
    stage.fwpd.kill();
    stage.fwpd.start_again(&stage.bus.connect().await).await;
    (stage.desktop, stage.client) =
        (stage.fwpd.client(&stage.bus).await, stage.fwpd.client(&stage.bus).await);
    stage.agent = ScriptedAgent::new();
    stage.agent.register(&stage.desktop).await.unwrap();
}

#[tokio::test]
async fn a_payment_over_the_limit_is_shown_without_the_card_and_ends_by_name() {
    let mut stage = a_stage().await;
    let message = limit_reached(pay(&stage, "1", "500.01").await);
    assert_eq!(
        message,
        "This computer's keys may pay at most 500 EUR at a time. A card with a security key has no such limit."
    );
    let (request, cards) = last_shown(&stage);
    assert_eq!(cards.len(), 0);
    assert_eq!(
        request.notices,
        [format!("Cards whose keys are in this computer are not offered. {message}")]
    );
    pay(&stage, "2", "500.00").await.unwrap();
    assert_eq!(last_shown(&stage).0.notices, [""; 0]);
    let history = stage.client.wallet().await.unwrap().history(10, &HistoryOptions::default()).await.unwrap();
    let events: Vec<_> = history.iter().map(|entry| entry.event.as_str()).collect();
    assert_eq!(events, ["authorized", "refused"]);

    stage.fwpd.kill();
    let refused: Vec<_> =
        audit(&stage).into_iter().filter(|event| event.kind == AuditKind::PaymentRefused).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].reason.as_deref(), Some("LimitReached"));
    assert_eq!(refused[0].total.as_ref().unwrap().0.as_str(), "500.01");
}

#[tokio::test]
async fn the_days_limit_holds_over_kills_and_deleted_cards() {
    let mut stage = a_stage().await;
    pay(&stage, "1", "500").await.unwrap();
    pay(&stage, "2", "500").await.unwrap();
    let message = limit_reached(pay(&stage, "3", "200.01").await);
    assert!(message.contains("at most 1200 EUR within 24 hours, of which 200 EUR are left now"), "{message}");
    assert!(message.contains("There is room for this payment in 24 h."), "{message}");
    start_again(&mut stage).await;
    limit_reached(pay(&stage, "4", "200.01").await);

    // A new card for a new key frees nothing.
    let (card, _) = stage.client.wallet().await.unwrap().list_credentials().await.unwrap().remove(0);
    let mut events = stage.client.events(&card);
    stage.client.credential(&card).await.unwrap().delete().await.unwrap();
    common::finished(&mut events).await.unwrap();
    stage.enroll("another", EnrollmentOptions::default()).await.unwrap();
    limit_reached(pay(&stage, "5", "200.01").await);
    pay(&stage, "6", "200").await.unwrap();
    limit_reached(pay(&stage, "7", "0.01").await);
}

#[tokio::test]
async fn so_many_payments_an_hour_and_no_more() {
    let stage = a_stage().await;
    for id in 0..4 {
        pay(&stage, &id.to_string(), "1").await.unwrap();
    }
    let message = limit_reached(pay(&stage, "4", "1").await);
    assert!(
        message.contains("at most 4 payments within an hour. There is room for this payment in"),
        "{message}"
    );
}

#[tokio::test]
async fn what_was_not_signed_counts_for_nothing() {
    let mut stage = a_stage().await;
    for id in ["1", "2", "3"] {
        // A wrong PIN, and no other: the store has counted it by then.
        stage.agent.types([Some("00000000"), None]);
        assert_eq!(pay(&stage, id, "500").await.unwrap_err().name, ErrorName::Declined);
        stage.agent.answers([Answer::No]);
        assert_eq!(pay(&stage, id, "500").await.unwrap_err().name, ErrorName::Declined);
        pay(&stage, id, "1").await.unwrap();
    }
    start_again(&mut stage).await;
    pay(&stage, "4", "500").await.unwrap();
    assert!(limit_reached(pay(&stage, "5", "1").await).contains("4 payments within an hour"));
}

#[tokio::test]
async fn an_update_over_the_limit_takes_the_card_away() {
    let stage = a_stage().await;
    stage.agent.answers([Answer::Never, Answer::Yes]);
    let mut checkout = checkout(&stage, "1", "100").await;
    checkout.payment.show().await.unwrap();
    stage.agent.wait_for("the payment", |prompt| matches!(prompt, Prompt::Authorize(..)).then_some(())).await;
    checkout.payment.update(&update("600")).await.unwrap();
    assert_eq!(checkout.failure().await.name, ErrorName::LimitReached);
    assert_eq!(last_shown(&stage).1.len(), 0);
}

#[tokio::test]
async fn a_retry_counts_again_and_ends_at_the_limit() {
    let stage = a_stage().await;
    let mut checkout = checkout(&stage, "1", "450").await;
    checkout.pay().await;
    checkout.payment.retry("{}").await.unwrap();
    checkout.response().await;
    checkout.payment.retry("{}").await.unwrap();
    assert_eq!(checkout.failure().await.name, ErrorName::LimitReached);
}

#[tokio::test]
async fn without_limits_any_amount_can_be_paid() {
    let config = "key-slot = \"file\"\n[policy]\ncool-down = 0\n[platform-keys]\npayments-per-hour = \"unlimited\"\n\
                  payment = \"unlimited\"\nday = \"unlimited\"\n";
    let stage = Stage::on(PrivateBus::session(), config).await;
    stage.enroll("account", EnrollmentOptions::default()).await.unwrap();
    pay(&stage, "1", "123456789012345678901234567890.12").await.unwrap();
}
