//! The wallet with another maker's security key on an NFC reader: a real pcscd, and fwpd as it is shipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Stage, any_key, finished, run};
use ctap_core::Status;
use ctap_core::messages::{GetInfo, Response};
use ctap_core::transport::Device;
use fwp_dbus::interfaces::WALLET_PATH;
use fwp_dbus::types::EnrollmentOptions;
use fwp_dbus::{ErrorName, Event};
use fwp_tests::agent::PIN;
use fwp_tests::{Checkout, Prompt, refused, soon};
use virtual_keys::applet::{Applet, Manners};
use virtual_keys::hostile::Exchange;
use virtual_keys::key::{Key, Touch};
use virtual_keys::vpcd::{Laid, lay};
use virtual_keys::{Between, opensk, pcscd};
use zbus::ObjectPath;

/// Lays a key on a reader. A contactless key has power, and its user's touch, as long as it lies there.
fn lay_key(key: &Key, port: u16) -> Laid {
    lay(Applet::new(key.device(), Manners::default()), port).unwrap()
}

#[test]
fn a_key_on_a_reader_enrolls_and_pays_with_its_pin_asked_and_its_attempts_told() {
    let name = "a_key_on_a_reader_enrolls_and_pays_with_its_pin_asked_and_its_attempts_told";
    pcscd::run(name, |pcscd| {
        run(async {
            let stage = Stage::new().await;
            let key = opensk::key(Touch::AtOnce);
            let _laid = lay_key(&key, pcscd.port(0));

            let keys = stage.wait_for_keys(1).await;
            let (path, info) = &keys[0];
            assert!(path.as_str().starts_with("/io/github/fwpd/authenticator/nfc_"), "{path}");
            assert!(info.kind == "nfc" && info.usable && info.versions.contains(&"FIDO_2_1".to_owned()));

            // It has no PIN: one is set on the way, at the same key. A key that is there is taken without being named.
            let cards = stage.enroll("1", EnrollmentOptions::default()).await.unwrap();
            assert_eq!(stage.attempts(), [None, Some(8)]);
            let prompts = stage.agent.prompts();
            assert!(prompts.iter().any(|prompt| matches!(prompt, Prompt::Pin(request)
                if request.authenticator == "nfc" && request.authenticator_name.starts_with("security key \"")
                    && request.authenticator_name.ends_with("\" over NFC"))));
            let wallet = stage.client.wallet().await.unwrap();
            assert_eq!(wallet.list_credentials().await.unwrap()[0].1.authenticator, "nfc");
            assert_eq!(cards.len(), 1);

            stage.agent.forget();
            stage.agent.types([Some("00000000"), Some(fwp_tests::agent::PIN)]);
            let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
            stage.bank.open(&checkout.pay().await);
            assert_eq!(stage.attempts(), [Some(8), Some(7)]);
        });
    });
}

#[test]
fn a_payment_before_the_key_is_laid_down_waits_for_it_and_knows_it_among_others() {
    let name = "a_payment_before_the_key_is_laid_down_waits_for_it_and_knows_it_among_others";
    pcscd::run(name, |pcscd| {
        run(async {
            let stage = Stage::new().await;
            let key = opensk::key(Touch::AtOnce);
            let laid = lay_key(&key, pcscd.port(0));
            stage.enroll("1", any_key()).await.unwrap();
            drop(laid);
            stage.agent.forget();
            let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
            checkout.payment.show().await.unwrap();
            stage.told("insert").await;
            // Another key won't do, and nobody is asked for its PIN.
            let other = opensk::key(Touch::AtOnce);
            let _other = lay_key(&other, pcscd.port(1));
            stage.told("other").await;
            assert_eq!(stage.attempts(), []);
            let _laid = lay_key(&key, pcscd.port(0));
            stage.bank.open(&checkout.response().await);
            assert_eq!(stage.attempts(), [Some(8)]);
        });
    });
}

#[test]
fn waiting_for_a_key_ends_with_abort_with_the_dialog_and_with_its_time() {
    let name = "waiting_for_a_key_ends_with_abort_with_the_dialog_and_with_its_time";
    pcscd::run(name, |pcscd| {
        run(async {
            let config = "[policy]\ncool-down = 0\n[deadlines]\nsign = 3\n";
            let stage = Stage::on(fwp_tests::PrivateBus::session(), config).await;
            let key = opensk::key(Touch::AtOnce);
            drop(stage.enroll_once(lay_key(&key, pcscd.port(0))).await);

            let waiting = async |id: &str| {
                stage.agent.forget();
                let checkout = Checkout::new(&stage.client, id).await.unwrap();
                checkout.payment.show().await.unwrap();
                stage.told("insert").await;
                checkout
            };
            let mut aborted = waiting("1").await;
            aborted.payment.abort().await.unwrap();
            assert_eq!(aborted.failure().await.name, ErrorName::Aborted);

            let mut dismissed = waiting("2").await;
            let others = stage.client.wallet().await.unwrap().dismiss().await;
            assert_eq!(refused(others), ErrorName::AccessDenied, "the agent's own only");
            let agents = stage.desktop.wallet().await.unwrap();
            agents.dismiss().await.unwrap();
            assert_eq!(dismissed.failure().await.name, ErrorName::Declined);
            assert_eq!(refused(agents.dismiss().await), ErrorName::InvalidState);

            assert_eq!(waiting("3").await.failure().await.name, ErrorName::Timeout);
        });
    });
}

/// A key that wants another PIN, as `forced` says, and gives no token before. Changing the PIN satisfies it.
fn demanding(key: &Key, forced: &Arc<AtomicBool>) -> impl Device + 'static {
    let forced = Arc::clone(forced);
    Between::new(key.device(), move |command, answer| {
        let ok = answer.first() == Some(&Status::OK.0);
        match Exchange::of(command) {
            Some(Exchange::ChangePin) if ok => forced.store(false, Ordering::SeqCst),
            Some(Exchange::GetInfo) => {
                let info = GetInfo::decode(&answer).unwrap().unwrap();
                return GetInfo { force_pin_change: forced.load(Ordering::SeqCst), ..info }.encode();
            }
            Some(Exchange::PinToken | Exchange::PinUvAuthTokenUsingPin) if forced.load(Ordering::SeqCst) => {
                return vec![Status::PIN_POLICY_VIOLATION.0];
            }
            _ => {}
        }
        answer
    })
}

#[test]
fn a_key_that_wants_another_pin_gets_it_on_the_way_to_an_enrollment_and_to_a_payment() {
    let name = "a_key_that_wants_another_pin_gets_it_on_the_way_to_an_enrollment_and_to_a_payment";
    pcscd::run(name, |pcscd| {
        run(async {
            let stage = Stage::new().await;
            let (key, forced) = (opensk::key(Touch::AtOnce), Arc::new(AtomicBool::new(false)));
            let lay_demanding =
                || lay(Applet::new(demanding(&key, &forced), Manners::default()), pcscd.port(0)).unwrap();
            let laid = lay_demanding();
            let (path, _) = stage.wait_for_keys(1).await.remove(0);
            let mut events = stage.client.events(&path);
            stage.client.authenticator(&path).await.unwrap().set_pin().await.unwrap();
            finished(&mut events).await.unwrap();
            drop(laid);
            stage.wait_for_keys(0).await;

            let purposes = || {
                let of = |prompt| match prompt {
                    Prompt::Pin(request) => Some(request.purpose),
                    _ => None,
                };
                stage.agent.prompts().into_iter().filter_map(of).collect::<Vec<_>>()
            };
            let demand = async |pins: [&'static str; 3]| {
                forced.store(true, Ordering::SeqCst);
                stage.agent.forget();
                stage.agent.types(pins.map(Some));
                let laid = lay_demanding();
                let (path, _) = stage.wait_for_keys(1).await.remove(0);
                let details = stage.client.authenticator(&path).await.unwrap().info().await.unwrap();
                assert!(details.pin_change_required);
                laid
            };
            let laid = demand([PIN, "27182818", "27182818"]).await;
            stage.enroll("1", any_key()).await.unwrap();
            assert_eq!(purposes(), ["current", "new", "use"]);
            assert!(!forced.load(Ordering::SeqCst));
            drop(laid);
            stage.wait_for_keys(0).await;

            let _laid = demand(["27182818", "16180339", "16180339"]).await;
            let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
            stage.bank.open(&checkout.pay().await);
            assert_eq!(purposes(), ["current", "new", "use"]);
        });
    });
}

impl Stage {
    /// Enrolls with the key that was just laid down.
    async fn enroll_once(&self, laid: Laid) -> Laid {
        self.enroll("1", any_key()).await.unwrap();
        laid
    }
}

#[test]
fn clients_that_watch_are_told_of_keys_that_come_and_go_and_others_are_not() {
    let name = "clients_that_watch_are_told_of_keys_that_come_and_go_and_others_are_not";
    pcscd::run(name, |pcscd| {
        run(async {
            let stage = Stage::new().await;
            let wallet_path = ObjectPath::from_static_str_unchecked(WALLET_PATH);
            let mut events = stage.client.events(&wallet_path);
            let mut unheard = stage.desktop.events(&wallet_path);
            let wallet = stage.client.wallet().await.unwrap();
            wallet.watch_authenticators().await.unwrap();
            let key = opensk::key(Touch::AtOnce);
            let laid = lay_key(&key, pcscd.port(0));
            let added = match soon("the key to be told", events.next()).await.unwrap() {
                Event::AuthenticatorAdded(path, info) => {
                    assert_eq!((info.kind.as_str(), info.usable), ("nfc", true));
                    path
                }
                event => panic!("{event:?}"),
            };
            assert_eq!(stage.keys().await[0].0, added);
            drop(laid);
            let removed = soon("its end to be told", events.next()).await.unwrap();
            assert_eq!(removed, Event::AuthenticatorRemoved(added.clone()));

            // The same key is another object now.
            let laid = lay_key(&key, pcscd.port(0));
            match soon("the key to be told", events.next()).await.unwrap() {
                Event::AuthenticatorAdded(path, _) => assert_ne!(path, added),
                event => panic!("{event:?}"),
            }
            wallet.unwatch_authenticators().await.unwrap();
            drop(laid);
            stage.wait_for_keys(0).await;
            for events in [&mut events, &mut unheard] {
                let more = tokio::time::timeout(Duration::from_millis(300), events.next()).await;
                assert!(more.is_err(), "{more:?}");
            }
        });
    });
}

#[test]
fn without_pcscd_the_status_says_what_to_do_and_nothing_else_suffers() {
    let name = "without_pcscd_the_status_says_what_to_do_and_nothing_else_suffers";
    pcscd::run(name, |pcscd| {
        pcscd.stop();
        run(async {
            let stage = Stage::new().await;
            let status = stage.client.wallet().await.unwrap().status().await.unwrap();
            assert_eq!(status.nfc, "unavailable");
            let problem = status.nfc_problem.unwrap();
            assert!(problem.contains("pcscd"), "{problem}");
            assert_eq!(status.keys, "allowed");
            // This computer's own authenticator is taken where no key is there.
            stage.enroll("1", EnrollmentOptions::default()).await.unwrap();
        });
    });
}

#[test]
fn a_key_says_what_it_is_changes_its_pin_and_is_reset_after_consent_and_being_laid_down_anew() {
    let name = "a_key_says_what_it_is_changes_its_pin_and_is_reset_after_consent_and_being_laid_down_anew";
    pcscd::run(name, |pcscd| {
        run(async {
            let stage = Stage::new().await;
            let key = opensk::key(Touch::AtOnce);
            let laid = stage.enroll_once(lay_key(&key, pcscd.port(0))).await;
            let (path, _) = stage.wait_for_keys(1).await.remove(0);
            let authenticator = stage.client.authenticator(&path).await.unwrap();
            let info = authenticator.info().await.unwrap();
            assert!(info.pin_set && !info.pin_blocked && info.pin_retries == 8, "{info:?}");
            assert!(info.algorithms.contains(&-7) && info.versions.contains(&"FIDO_2_1".to_owned()));
            assert_eq!(refused(authenticator.set_pin().await), ErrorName::InvalidState);
            let mut events = stage.client.events(&path);
            stage.agent.types([Some(fwp_tests::agent::PIN), Some("27182818")]);
            authenticator.change_pin().await.unwrap();
            finished(&mut events).await.unwrap();

            // No, and nothing has happened.
            stage.agent.answers([fwp_tests::Answer::No]);
            authenticator.reset().await.unwrap();
            assert_eq!(finished(&mut events).await.unwrap_err().name, ErrorName::Declined);
            assert!(authenticator.pin_status().await.unwrap().set);

            // Too late after it was powered up: it has to be laid down anew.
            key.advance(Duration::from_secs(60));
            stage.agent.forget();
            authenticator.reset().await.unwrap();
            let cards = stage.agent.wait_for("the question", |prompt| match prompt {
                Prompt::Consent(kind, details) if kind == "reset" => Some(details.cards),
                _ => None,
            });
            assert_eq!(cards.await, Some(1));
            stage.told("replug").await;
            drop(laid);
            key.power_cycle();
            let _laid = lay_key(&key, pcscd.port(0));
            finished(&mut events).await.unwrap();
            let (path, _) = stage.wait_for_keys(1).await.remove(0);
            let authenticator = stage.client.authenticator(&path).await.unwrap();
            assert!(!authenticator.pin_status().await.unwrap().set);

            // The card stays, and its key is nowhere.
            let wallet = stage.client.wallet().await.unwrap();
            assert_eq!(wallet.list_credentials().await.unwrap().len(), 1);
            stage.agent.forget();
            let checkout = Checkout::new(&stage.client, "1").await.unwrap();
            checkout.payment.show().await.unwrap();
            stage.told("other").await;
            checkout.payment.abort().await.unwrap();
        });
    });
}
