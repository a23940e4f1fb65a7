//! Payments through the host, with a real bus and daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Host, Stage, create_params};
use fwp_tests::requests::{details, update};
use fwp_tests::{Answer, PrivateBus, Prompt, soon};
use serde_json::{Value, json};

fn is_authorize(prompt: &Prompt) -> Option<()> {
    matches!(prompt, Prompt::Authorize(..)).then_some(())
}

fn is_withdrawn(prompt: &Prompt) -> Option<()> {
    matches!(prompt, Prompt::Withdrawn).then_some(())
}

/// A payment that is before the user, who does nothing.
async fn prompting(stage: &Stage, host: &mut Host) -> Value {
    stage.agent.answers([Answer::Never]);
    let payment = host.create("7040566321").await;
    host.good("show", json!({"payment": payment})).await;
    stage.agent.wait_for("the prompt", is_authorize).await;
    payment
}

#[tokio::test]
async fn a_page_is_paid_and_the_bank_sees_its_host_and_browser() {
    let stage = Stage::new().await;
    let mut host = Host::start(&[stage.bus.variable()]);
    assert_eq!(host.hello().await, json!({"host": "0.1.0", "protocol": 1, "wallet": "0.1.0"}));
    assert_eq!(host.good("canMakePayment", json!({"origin": "https://spaceshop.com"})).await, json!(true));
    let payment = host.create("7040566321").await;
    assert_eq!(payment, "p1");
    assert_eq!(host.good("show", json!({"payment": payment})).await, Value::Null);
    let event = host.event("response").await;
    assert_eq!(event["payment"], payment);
    assert!(event.get("delivery").is_none());
    let sad = stage.bank.open(&event["details"].to_string());
    let signed = sad.authorization_data();
    assert_eq!(signed.payee_host.as_str(), "spaceshop.com");
    assert_eq!(signed.platform_data.user_agent_name, "Chromium");
    assert_eq!(signed.platform_data.user_agent_version, "156.0.8078.79");
    assert_eq!(host.good("complete", json!({"payment": payment, "result": "success"})).await, Value::Null);
    assert_eq!(host.closed("payment", &payment).await, "completed");
    assert_eq!(host.bad("show", json!({"payment": payment})).await, "fwp-host.Unknown");
}

#[tokio::test]
async fn a_no_of_the_user_and_an_abort_of_the_page_say_so() {
    let stage = Stage::new().await;
    let mut host = stage.host().await;
    stage.agent.answers([Answer::No]);
    let payment = host.create("1").await;
    host.good("show", json!({"payment": payment})).await;
    assert_eq!(host.closed("payment", &payment).await, "io.github.fwpd.Error.Declined");

    stage.agent.forget();
    let payment = prompting(&stage, &mut host).await;
    host.good("abort", json!({"payment": payment})).await;
    assert_eq!(host.closed("payment", &payment).await, "io.github.fwpd.Error.Aborted");
    stage.agent.wait_for("the prompt to go", is_withdrawn).await;
}

#[tokio::test]
async fn calls_that_are_sent_at_once_are_answered_in_order_and_their_events_after_them() {
    let stage = Stage::new().await;
    let mut host = stage.host().await;
    for round in 0..5 {
        let payment = host.create(&round.to_string()).await;
        let show = host.send("show", json!({"payment": payment})).await;
        let abort = host.send("abort", json!({"payment": payment})).await;
        let late = host.send("complete", json!({"payment": payment, "result": "unknown"})).await;
        let mut said = Vec::new();
        while said.len() < 4 {
            let message = host.next().await;
            // The user is quick, or not.
            if message["event"] != "response" {
                said.push(message);
            }
        }
        let place = |find: &dyn Fn(&Value) -> bool| said.iter().position(find).unwrap();
        assert!(place(&|m| m["id"] == show) < place(&|m| m["id"] == abort), "{said:?}");
        assert!(place(&|m| m["id"] == abort) < place(&|m| m["event"] == "closed"), "{said:?}");
        assert!(said[place(&|m| m["id"] == late)].get("error").is_some(), "{said:?}");
    }
}

#[tokio::test]
async fn an_update_and_a_retry_ask_again() {
    let stage = Stage::new().await;
    let mut host = stage.host().await;
    let payment = prompting(&stage, &mut host).await;
    host.good("update", json!({"payment": payment, "details": update("400.00")})).await;
    let first = host.event("response").await;
    let sad = stage.bank.open(&first["details"].to_string());
    assert_eq!(sad.authorization_data().payment_request.amount.as_str(), "400.00");
    let fields = json!({"error": "no longer on stock"}).to_string();
    host.good("retry", json!({"payment": payment, "errorFields": fields})).await;
    let second = host.event("response").await;
    assert_ne!(first["details"], second["details"]);
    host.good("complete", json!({"payment": payment, "result": "fail"})).await;
    assert_eq!(host.closed("payment", &payment).await, "completed");
}

#[tokio::test]
async fn what_the_wallet_refuses_keeps_its_name_and_message() {
    let stage = Stage::new().await;
    let mut host = stage.host().await;
    let mut params = create_params("1");
    params["details"] = json!(details("1", "435,00"));
    let answer = host.call("createPayment", params).await;
    assert_eq!(answer["error"]["name"], "io.github.fwpd.Error.InvalidRequest");
    assert!(answer["error"]["message"].as_str().unwrap().contains("details.total.amount.value"), "{answer}");

    prompting(&stage, &mut host).await;
    let second = host.create("2").await;
    assert_eq!(host.bad("show", json!({"payment": second})).await, "io.github.fwpd.Error.Busy");
    assert_eq!(
        host.bad("retry", json!({"payment": second, "errorFields": "{}"})).await,
        "io.github.fwpd.Error.InvalidState"
    );
    // It is there still.
    host.good("abort", json!({"payment": second})).await;
    assert_eq!(host.closed("payment", &second).await, "io.github.fwpd.Error.Aborted");
}

#[tokio::test]
async fn what_is_forgotten_ends_without_a_word() {
    let stage = Stage::new().await;
    let mut host = stage.host().await;
    let shown = prompting(&stage, &mut host).await;
    let waiting = host.create("2").await;
    let forget = json!({"payments": [shown, waiting, "p99"], "enrollments": ["e7"]});
    assert_eq!(host.good("forget", forget.clone()).await, Value::Null);
    stage.agent.wait_for("the prompt to go", is_withdrawn).await;
    assert_eq!(host.bad("show", json!({"payment": waiting})).await, "fwp-host.Unknown");
    assert_eq!(host.good("forget", forget).await, Value::Null);
    let (rest, status) = host.end().await;
    assert!(rest.is_empty() && status.success(), "{rest:?}");
}

#[tokio::test]
async fn the_prompt_goes_when_the_browser_closes_the_pipe_or_the_host_is_killed() {
    let stage = Stage::new().await;
    let mut host = stage.host().await;
    prompting(&stage, &mut host).await;
    let (rest, status) = host.end().await;
    assert!(rest.is_empty() && status.success(), "{rest:?}");
    stage.agent.wait_for("the prompt to go", is_withdrawn).await;

    stage.agent.forget();
    let mut host = stage.host().await;
    prompting(&stage, &mut host).await;
    host.process.kill().await.unwrap();
    stage.agent.wait_for("the prompt to go", is_withdrawn).await;
}

#[tokio::test]
async fn a_daemon_that_dies_ends_the_payment_and_the_next_one_is_found() {
    let mut stage = Stage::new().await;
    let mut host = stage.host().await;
    let payment = prompting(&stage, &mut host).await;
    stage.fwpd.kill();
    assert_eq!(host.closed("payment", &payment).await, "fwp-host.Gone");
    let answer = host.call("canMakePayment", json!({"origin": common::ORIGIN})).await;
    assert_eq!(answer["error"]["name"], "fwp-host.NotRunning");
    assert!(answer["error"]["message"].as_str().unwrap().contains("start fwpd"), "{answer}");
    assert_eq!(host.bad("show", json!({"payment": payment})).await, "fwp-host.Unknown");

    stage.fwpd.start_again(&stage.bus.connect().await).await;
    stage.desktop = stage.fwpd.client(&stage.bus).await;
    stage.agent.register(&stage.desktop).await.unwrap();
    stage.agent.answers([Answer::Yes]);
    // By another name: no number is used twice.
    let payment = host.create("8").await;
    assert_eq!(payment, "p2");
    host.good("show", json!({"payment": payment})).await;
    host.event("response").await;
}

#[tokio::test]
async fn without_any_bus_the_host_says_what_is_missing() {
    let mut host = Host::start(&[]);
    assert_eq!(host.hello().await["wallet"], Value::Null);
    let answer = host.call("createPayment", create_params("1")).await;
    assert_eq!(answer["error"]["name"], "fwp-host.NotRunning");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("session bus") && message.contains("system bus"), "{message}");
}

#[tokio::test]
async fn a_wallet_on_the_system_bus_is_found_where_the_session_has_none() {
    let (session, system) = (PrivateBus::session(), PrivateBus::system());
    let fwpd = fwp_tests::programs::program("fwpd", "fwpd");
    let _fwpd = fwp_tests::Fwpd::start(&system, fwpd, fwp_tests::QUICK).await;
    let mut host = Host::start(&[session.variable(), system.variable()]);
    assert_eq!(host.hello().await["wallet"], "0.1.0");
    let status = host.good("status", json!({})).await;
    assert_eq!(status["bus"], "system");
    assert_eq!((&status["agent"], status["prompt-timeout"].is_u64()), (&json!(false), true));
}

#[tokio::test]
async fn the_host_is_small() {
    let stage = Stage::new().await;
    let mut host = stage.host().await;
    let payment = host.create("1").await;
    host.good("show", json!({"payment": payment})).await;
    soon("the response", host.event("response")).await;
    let (pss, own) = (host.status("smaps_rollup", "Pss:"), host.status("smaps_rollup", "Pss_Anon:"));
    println!("PSS after a payment: {} KiB, {} KiB of them its own data", pss >> 10, own >> 10);
    assert!(own <= 1 << 20, "{} KiB", own >> 10);
    // Without optimisation the program's code alone takes more.
    assert!(cfg!(debug_assertions) || pss <= 5_000_000, "{} KiB", pss >> 10);
}
