//! Enrollments from a bank's page, and what the popup shows, with a real bus and daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::Stage;
use fwp_tests::requests::BANKNET;
use fwp_tests::{Answer, MY_BANK, Prompt};
use serde_json::{Value, json};

fn begin(stage: &Stage, origin: &str) -> Value {
    json!({"origin": origin, "offer": stage.bank.offer().to_json().to_string(), "attachment": "platform"})
}

fn is_consent(prompt: &Prompt) -> Option<()> {
    matches!(prompt, Prompt::Consent(..)).then_some(())
}

#[tokio::test]
async fn a_bank_enrolls_from_its_page_and_the_popup_shows_the_card() {
    let stage = Stage::new().await;
    let mut host = stage.host().await;
    let begun = host.good("beginEnrollment", begin(&stage, &format!("https://www.{MY_BANK}"))).await;
    assert_eq!(begun, json!({"enrollment": "e1"}));
    let event = host.event("attestation").await;
    assert_eq!(event["enrollment"], "e1");
    let cards = stage
        .bank
        .issue(&event["attestation"].to_string(), &[(BANKNET, "1"), ("https://other.example", "2")]);
    assert_eq!(
        host.bad("storeCards", json!({"enrollment": "e1", "cards": "[]"})).await,
        "io.github.fwpd.Error.InvalidRequest"
    );
    assert_eq!(
        host.good("storeCards", json!({"enrollment": "e1", "cards": cards})).await,
        json!({"stored": 2})
    );
    assert_eq!(host.closed("enrollment", &json!("e1")).await, "completed");

    let cards = host.good("listCards", json!({})).await;
    let cards = cards.as_array().unwrap();
    assert_eq!(cards.len(), 3);
    let last = &cards[2];
    assert_eq!(
        (&last["paymentNetworkId"], &last["rpId"]),
        (&json!("https://other.example"), &json!(MY_BANK))
    );
    for name in ["card", "issuerId", "accountId", "serialNumber", "authenticator", "created"] {
        assert!(last[name].as_str().is_some_and(|text| !text.is_empty()), "{name} in {last}");
    }
    let image = host.good("cardImage", json!({"card": last["card"]})).await;
    assert!(image.as_str().unwrap().starts_with("<svg"), "{image}");
    assert_eq!(host.bad("cardImage", json!({"card": "nope"})).await, "fwp-host.Unknown");
}

#[tokio::test]
async fn an_enrollment_is_declined_cancelled_refused_and_forgotten() {
    let stage = Stage::new().await;
    let mut host = stage.host().await;
    let origin = format!("https://{MY_BANK}");
    stage.agent.answers([Answer::No]);
    host.good("beginEnrollment", begin(&stage, &origin)).await;
    assert_eq!(host.closed("enrollment", &json!("e1")).await, "io.github.fwpd.Error.Declined");

    // Another host's page can't name this bank.
    assert_eq!(
        host.bad("beginEnrollment", begin(&stage, "https://moonshop.example")).await,
        "io.github.fwpd.Error.AccessDenied"
    );

    stage.agent.answers([Answer::Never, Answer::Never]);
    stage.agent.forget();
    host.good("beginEnrollment", begin(&stage, &origin)).await;
    stage.agent.wait_for("the question", is_consent).await;
    // A second one does not start, and leaves nothing behind.
    assert_eq!(host.bad("beginEnrollment", begin(&stage, &origin)).await, "io.github.fwpd.Error.Busy");
    host.good("cancelEnrollment", json!({"enrollment": "e2"})).await;
    assert_eq!(host.closed("enrollment", &json!("e2")).await, "io.github.fwpd.Error.Aborted");

    stage.agent.forget();
    host.good("beginEnrollment", begin(&stage, &origin)).await;
    stage.agent.wait_for("the question", is_consent).await;
    host.good("forget", json!({"payments": [], "enrollments": ["e3"]})).await;
    assert_eq!(host.bad("cancelEnrollment", json!({"enrollment": "e3"})).await, "fwp-host.Unknown");
    let (rest, status) = host.end().await;
    assert!(rest.is_empty() && status.success());
}
