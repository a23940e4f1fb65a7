//! The keys in this computer are for whoever sits before it: who is active on no seat is refused by name, before anybody is asked for
//! a PIN and before any is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/logind.rs"]
mod logind;

use std::sync::{Arc, Mutex};

use common::Stage;
use fwp_dbus::ErrorName;
use fwp_dbus::types::{AgentOptions, EnrollmentOptions, PinStatus};
use fwp_tests::{Bank, Checkout, MY_BANK, PrivateBus, Prompt, refused, soon};
use logind::{Active, Leaver, OTHER, POLICY, SEATS, Seat, logind, me};
use zbus::Connection;

fn platform() -> EnrollmentOptions {
    EnrollmentOptions { attachment: Some("platform".to_owned()), ..EnrollmentOptions::default() }
}

/// A wallet with a card whose key is in this computer, of the active user.
async fn a_stage() -> (Stage, Active, Connection) {
    let active: Active = Arc::new(Mutex::new(vec![("seat0", Some(me())), ("seat1", None)]));
    let bus = PrivateBus::system_with(POLICY);
    let logind = logind(&bus, &active).await;
    let stage = Stage::on(bus, SEATS).await;
    stage.enroll("1", platform()).await.unwrap();
    stage.agent.forget();
    (stage, active, logind)
}

async fn pin_status(stage: &Stage) -> PinStatus {
    let path = zbus::ObjectPath::from_static_str_unchecked("/io/github/fwpd/authenticator/software");
    stage.client.authenticator(&path.into()).await.unwrap().pin_status().await.unwrap()
}

#[tokio::test]
async fn a_user_who_is_active_on_no_seat_is_refused_before_anybody_is_asked() {
    let (stage, active, _logind) = a_stage().await;
    let created = Checkout::new(&stage.client, "before").await.unwrap();
    let offer = Bank::new(MY_BANK).offer().to_json().to_string();
    let wallet = stage.client.wallet().await.unwrap();
    let begun = wallet.begin_enrollment(&offer, MY_BANK, &platform()).await.unwrap();
    for nobody_of_mine in [Some(OTHER), None] {
        *active.lock().unwrap() = vec![("seat0", nobody_of_mine), ("seat1", None)];
        let (path, info) = wallet.list_authenticators().await.unwrap().remove(0);
        assert!(!info.usable && info.problem.contains("active on a seat"), "{}", info.problem);
        let software = stage.client.authenticator(&path).await.unwrap();
        let mut said = Vec::new();
        said.push(wallet.begin_enrollment(&offer, MY_BANK, &platform()).await.map(drop));
        said.push(stage.client.enrollment(&begun).await.unwrap().start().await);
        said.push(created.payment.show().await);
        said.push(software.set_pin().await);
        said.push(software.change_pin().await);
        said.push(software.reset().await);
        said.push(software.pin_status().await.map(drop));
        for refusal in said {
            let error = refusal.as_ref().unwrap_err().to_string();
            assert!(error.contains("no session of yours is active on a seat"), "{error}");
            assert_eq!(refused(refusal), ErrorName::NoAuthenticator);
        }
        let status = wallet.status().await.unwrap();
        assert_eq!((status.keys.as_str(), status.busy), ("not-allowed", false));
    }
    assert!(stage.agent.prompts().is_empty(), "{:?}", stage.agent.prompts());

    // Back at the computer, all of it goes on where it was.
    *active.lock().unwrap() = vec![("seat0", None), ("seat1", Some(me()))];
    let mut paid = created;
    paid.pay().await;
    paid.payment.complete("success").await.unwrap();
    stage.client.enrollment(&begun).await.unwrap().start().await.unwrap();
}

#[tokio::test]
async fn a_user_who_leaves_while_the_pin_is_typed_has_no_attempt_counted() {
    let (stage, active, _logind) = a_stage().await;
    let before = pin_status(&stage).await.retries;
    stage.agent.types([Some("00000000")]);
    let leaver = Leaver(stage.agent.clone(), Arc::clone(&active));
    let desktop = stage.fwpd.client(&stage.bus).await;
    let path = zbus::ObjectPath::try_from("/io/github/fwpd/Leaver").unwrap();
    fwp_dbus::agent::register(&desktop, &path, leaver, &AgentOptions::default()).await.unwrap();
    let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    let error = checkout.failure().await;
    assert_eq!(error.name, ErrorName::NoAuthenticator);
    assert!(error.message.contains("sit before this computer"), "{error}");
    *active.lock().unwrap() = vec![("seat0", Some(me())), ("seat1", None)];
    assert_eq!(pin_status(&stage).await.retries, before, "the wrong PIN never got there");
}

#[tokio::test]
async fn a_dialog_for_the_pin_goes_when_the_seat_becomes_anothers_but_not_because_somebody_says_so() {
    let (stage, active, logind) = a_stage().await;
    // The question for the PIN stays open.
    stage.agent.answers([fwp_tests::Answer::Yes]);
    let slow = Slow(stage.agent.clone());
    let desktop = stage.fwpd.client(&stage.bus).await;
    let path = zbus::ObjectPath::try_from("/io/github/fwpd/Slow").unwrap();
    fwp_dbus::agent::register(&desktop, &path, slow, &AgentOptions::default()).await.unwrap();
    let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    stage.agent.wait_for("the PIN", |prompt| matches!(prompt, Prompt::Pin(_)).then_some(())).await;

    // Another program sends what only logind may: nothing comes of it, not even a look.
    *active.lock().unwrap() = vec![("seat0", Some(OTHER)), ("seat1", None)];
    let forger = stage.bus.connect().await;
    let nothing: std::collections::HashMap<&str, zbus::Variant<'_>> = std::collections::HashMap::new();
    let forged = ("org.freedesktop.login1.Seat", nothing, vec!["ActiveSession"]);
    forger
        .emit_signal(
            Some(fwp_dbus::interfaces::BUS_NAME),
            "/org/freedesktop/login1/seat/seat0",
            "org.freedesktop.DBus.Properties",
            "PropertiesChanged",
            &forged,
        )
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(checkout.payment.state().await.unwrap(), "signing");

    let seat = logind.object_server().interface::<_, Seat>(logind::path("seat", 0)).await.unwrap();
    seat.get().await.active_session_changed(seat.signal_emitter()).await.unwrap();
    assert_eq!(soon("the end", checkout.failure()).await.name, ErrorName::NoAuthenticator);
}

/// A user who takes for ever to type the PIN.
struct Slow(fwp_tests::ScriptedAgent);

impl fwp_dbus::Agent for Slow {
    async fn authorize(
        &self,
        payment: zbus::OwnedObjectPath,
        request: fwp_dbus::types::AuthorizeRequest,
        cards: Vec<fwp_dbus::types::AuthorizeCard>,
    ) -> Result<Option<zbus::OwnedObjectPath>, fwp_dbus::Error> {
        self.0.authorize(payment, request, cards).await
    }

    async fn consent(
        &self,
        kind: String,
        details: fwp_dbus::types::ConsentDetails,
    ) -> Result<bool, fwp_dbus::Error> {
        self.0.consent(kind, details).await
    }

    async fn request_pin(
        &self,
        request: fwp_dbus::types::PinRequest,
    ) -> Result<Option<fwp_dbus::Pin>, fwp_dbus::Error> {
        self.0.request_pin(request).await?;
        std::future::pending().await
    }

    async fn status(&self, state: String, details: fwp_dbus::types::StatusDetails) {
        self.0.status(state, details).await;
    }
}
