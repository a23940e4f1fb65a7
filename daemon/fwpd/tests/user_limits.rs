//! What one user's programs may have and ask for, and what is said where that is over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::Stage;
use fwp_dbus::ErrorName;
use fwp_dbus::interfaces::{BUS_NAME, WALLET, WALLET_PATH};
use fwp_dbus::types::{EnrollmentOptions, PaymentOptions};
use fwp_tests::requests::{BANKNET, update};
use fwp_tests::{Answer, Bank, Checkout, Fwpd, MY_BANK, PrivateBus, Prompt, refused, soon};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");

#[tokio::test]
async fn so_many_prompts_within_a_minute_and_no_more_whoever_wants_them() {
    let config = "[policy]\ncool-down = 0\n[limits]\nprompts-per-minute = 4\n";
    let stage = Stage::on(PrivateBus::session(), config).await;
    stage.enroll("account", EnrollmentOptions::default()).await.unwrap();
    let mut first = Checkout::new(&stage.client, "1").await.unwrap();
    first.pay().await;
    // An update puts the payment before the user anew.
    stage.agent.answers([Answer::Never, Answer::Never]);
    let second = Checkout::new(&stage.client, "2").await.unwrap();
    second.payment.show().await.unwrap();
    stage.agent.wait_for("it", |prompt| matches!(prompt, Prompt::Authorize(..)).then_some(())).await;
    second.payment.update(&update("5.00")).await.unwrap();
    let asked = stage.agent.prompts().len();
    let refusal = second.payment.update(&update("6.00")).await;
    let message = refusal.as_ref().unwrap_err().to_string();
    assert!(message.contains("4 prompts were put before the user within a minute"), "{message}");
    assert_eq!(refused(refusal), ErrorName::LimitsExceeded);
    second.payment.abort().await.unwrap();
    stage.is_free().await;

    // Another program of the same user, and another sort of question.
    let other = stage.fwpd.client(&stage.bus).await;
    let third = Checkout::new(&other, "3").await.unwrap();
    assert_eq!(refused(third.payment.show().await), ErrorName::LimitsExceeded);
    let (card, _) = other.wallet().await.unwrap().list_credentials().await.unwrap().remove(0);
    let refusal = other.credential(&card).await.unwrap().delete().await;
    assert_eq!(refused(refusal), ErrorName::LimitsExceeded);
    let questions = stage.agent.prompts();
    let is_question =
        |prompt: &&Prompt| matches!(prompt, Prompt::Authorize(..) | Prompt::Consent(..) | Prompt::Pin(_));
    // At most the one of the update that was let through.
    assert!(questions.iter().skip(asked).filter(is_question).count() <= 1, "{questions:?}");
    // What asks nobody goes on.
    other.store().await.unwrap().lock().await.unwrap();
}

#[tokio::test]
async fn so_many_connections_and_one_that_ends_makes_room() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, "[limits]\nconnections = 3\n").await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let client = fwpd.client(&bus).await;
        client.wallet().await.unwrap().status().await.unwrap();
        clients.push(client);
    }
    let late = fwpd.client(&bus).await;
    for _ in 0..2 {
        let refusal = late.wallet().await.unwrap().status().await;
        let message = refusal.as_ref().unwrap_err().to_string();
        assert!(message.contains("3 connections of yours"), "{message}");
        assert_eq!(refused(refusal), ErrorName::LimitsExceeded);
    }
    drop(clients.pop());
    soon("room", async {
        while late.wallet().await.unwrap().status().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn so_many_connections_watch_security_keys() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, "[limits]\nwatchers = 2\n").await;
    let clients = [fwpd.client(&bus).await, fwpd.client(&bus).await, fwpd.client(&bus).await];
    let [first, second, third] = &clients;
    for client in [first, second, first] {
        client.wallet().await.unwrap().watch_authenticators().await.unwrap();
    }
    let third = third.wallet().await.unwrap();
    assert_eq!(refused(third.watch_authenticators().await), ErrorName::LimitsExceeded);
    first.wallet().await.unwrap().unwatch_authenticators().await.unwrap();
    third.watch_authenticators().await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_too_long_is_refused_unread_and_the_longest_that_there_is_is_not() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, "").await;
    let client = fwpd.client(&bus).await;
    let wallet = client.wallet().await.unwrap();
    let create = async |method_data: usize, details: usize| {
        let (method_data, details) = (" ".repeat(method_data), " ".repeat(details));
        let options = PaymentOptions::default();
        refused(wallet.create_payment("shop.example", &method_data, &details, &options).await)
    };
    assert_eq!(create(2 << 20, 1 << 20).await, ErrorName::LimitsExceeded);
    assert_eq!(create(1 << 20, 1 << 20).await, ErrorName::InvalidRequest);
    let call = async |member: &str, bytes: usize| {
        let (path, interface) = (WALLET_PATH, Some(WALLET.name));
        let body = "x".repeat(bytes);
        let reply = client.connection().call_method(Some(BUS_NAME), path, interface, member, &body).await;
        reply.unwrap_err().to_string()
    };
    assert!(call("StoreCards", 7 << 20).await.contains("no such method"));
    assert!(call("StoreCards", 9 << 20).await.contains("at most"));
    assert!(call("Status", 3 << 20).await.contains("at most"));
}

/// Each call that waits keeps its file descriptors open, and a process that can open no more loses its connection to the bus.
#[tokio::test]
async fn a_call_with_more_file_descriptors_than_any_takes_is_refused() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, "").await;
    let client = fwpd.client(&bus).await;
    let null = || zbus::Fd::from(std::os::fd::OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
    let export = async |files: Vec<zbus::Fd<'static>>| {
        let store = Some(fwp_dbus::interfaces::STORE.name);
        let body = match <[_; 1]>::try_from(files) {
            Ok([one]) => {
                client.connection().call_method(Some(BUS_NAME), WALLET_PATH, store, "Export", &one).await
            }
            Err(files) => {
                client.connection().call_method(Some(BUS_NAME), WALLET_PATH, store, "Export", &files).await
            }
        };
        body.unwrap_err().to_string()
    };
    assert!(export(vec![null()]).await.contains("no cards"));
    assert!(export(vec![null(), null()]).await.contains("at most 1 file descriptor"));
}

/// What is over is told to the administrator, whichever limit it is.
#[tokio::test]
async fn the_log_tells_which_limit_is_reached() {
    let bus = PrivateBus::session();
    let config = format!("{}\n[limits]\npayments = 1\n", fwp_tests::QUICK);
    let fwpd = Fwpd::start(&bus, FWPD, &config).await;
    let client = fwpd.client(&bus).await;
    let _open = Checkout::new(&client, "1").await.unwrap();
    assert_eq!(refused(Checkout::new(&client, "2").await.map(drop)), ErrorName::LimitsExceeded);
    assert!(fwpd.log().contains("a limit is reached: payments that are open"), "{}", fwpd.log());
}

#[tokio::test]
async fn calls_that_wait_are_bounded_and_the_rest_of_the_user_gets_through() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, "[policy]\ncool-down = 0\n[limits]\ncalls = 16\n").await;
    let stage_client = fwpd.client(&bus).await;
    let desktop = fwpd.client(&bus).await;
    let agent = fwp_tests::ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    fwp_tests::enroll(&stage_client, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    agent.answers([Answer::Never]);
    let mut checkout = Checkout::new(&stage_client, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    // Lock waits for what is before the user; a quarter of 16 may wait for one connection.
    let mad = fwpd.client(&bus).await;
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let connection = mad.connection().clone();
            tokio::spawn(async move {
                let store = Some(fwp_dbus::interfaces::STORE.name);
                connection.call_method(Some(BUS_NAME), WALLET_PATH, store, "Lock", &()).await
            })
        })
        .collect();
    // They are there before anything else of that connection.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    soon("the limit", async {
        loop {
            let refusal = mad.wallet().await.unwrap().status().await;
            if let Err(error) = refusal {
                assert!(error.to_string().contains("4 calls of this connection"), "{error}");
                break;
            }
        }
    })
    .await;
    // The user's other programs are heard.
    stage_client.wallet().await.unwrap().status().await.unwrap();
    checkout.payment.abort().await.unwrap();
    assert_eq!(checkout.failure().await.name, ErrorName::Aborted);
    for waits in waiting {
        soon("Lock", waits).await.unwrap().unwrap();
    }
    mad.wallet().await.unwrap().status().await.unwrap();
}
