//! The wallet with another maker's security keys on hidraw nodes: fwpd as it is shipped, its libudev and hidraw those of a
//! testbed (libumockdev).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/usb.rs"]
mod usb;

use common::{Stage, any_key, finished, run};
use fwp_dbus::interfaces::WALLET_PATH;
use fwp_dbus::types::EnrollmentOptions;
use fwp_dbus::{ErrorName, Event};
use fwp_tests::{Answer, Checkout, PrivateBus, QUICK, refused, soon};
use usb::{Plugs, sees};
use virtual_keys::key::Touch;
use virtual_keys::opensk;
use zbus::ObjectPath;

/// The daemon's threads by name.
fn threads(stage: &Stage) -> Vec<String> {
    let tasks = format!("/proc/{}/task", stage.fwpd.pid().as_raw_nonzero());
    let names = std::fs::read_dir(tasks).unwrap().map(|task| {
        let name = std::fs::read_to_string(task.unwrap().path().join("comm"));
        name.unwrap_or_default().trim().to_owned()
    });
    names.collect()
}

mockdev::test! {
    fn a_key_in_a_plug_enrolls_and_pays_with_a_touch_that_is_told() {
        let mut plugs = Plugs::new();
        let key = opensk::key(Touch::Waits);
        let _plugged = plugs.plug(&key, 0);
        run(async {
            let stage = Stage::new().await;
            let (path, info) = stage.wait_for_keys(1).await.remove(0);
            assert!(path.as_str().starts_with("/io/github/fwpd/authenticator/usb_"), "{path}");
            assert_eq!((info.kind.as_str(), info.usable, info.problem.as_str()), ("usb", true, ""));

            let enrollment = stage.enroll("1", EnrollmentOptions::default());
            let touches = async {
                let name = stage.told("touch").await.expect("the key's name");
                assert!(name.starts_with("security key \"") && name.ends_with("\" over USB"), "{name}");
                sees(&key, |seen| seen.blinking).await;
                assert!(key.touch());
            };
            let (enrolled, ()) = tokio::join!(enrollment, touches);
            enrolled.unwrap();
            assert_eq!(stage.attempts(), [None, Some(8)]);

            stage.agent.forget();
            let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
            checkout.payment.show().await.unwrap();
            stage.told("touch").await;
            sees(&key, |seen| seen.blinking).await;
            assert!(key.touch());
            stage.bank.open(&checkout.response().await);
            assert_eq!(stage.attempts(), [Some(8)]);
        });
    }

    fn of_two_keys_the_touched_one_is_used_and_the_other_goes_dark() {
        let mut plugs = Plugs::new();
        let (one, other) = (opensk::key(Touch::Waits), opensk::key(Touch::Waits));
        let _plugged = [plugs.plug(&one, 0), plugs.plug(&other, 1)];
        run(async {
            let stage = Stage::new().await;
            stage.wait_for_keys(2).await;
            let enrollment = stage.enroll("1", any_key());
            let touches = async {
                stage.told("choose").await;
                sees(&one, |seen| seen.blinking).await;
                sees(&other, |seen| seen.blinking).await;
                assert!(other.touch());
                sees(&one, |seen| !seen.blinking && seen.cancelled == 1).await;
                // It has no PIN: that comes before the touch that makes the key.
                stage.told("touch").await;
                sees(&other, |seen| seen.blinking).await;
                assert!(other.touch());
            };
            let (enrolled, ()) = tokio::join!(enrollment, touches);
            enrolled.unwrap();

            // Which of them holds the card is known without a choice.
            stage.agent.forget();
            other.set_touch(Touch::AtOnce);
            let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
            stage.bank.open(&checkout.pay().await);
            assert!(!stage.was_told("choose"));
            assert_eq!(one.seen().blinked, 1, "the other key never blinks for a card that it hasn't");
        });
    }

    fn a_payment_that_is_withdrawn_ends_in_the_key_too() {
        let mut plugs = Plugs::new();
        let key = opensk::key(Touch::AtOnce);
        let _plugged = plugs.plug(&key, 0);
        run(async {
            let stage = Stage::new().await;
            stage.enroll("1", any_key()).await.unwrap();
            key.set_touch(Touch::Waits);
            let before = key.seen().cancelled;
            for (round, how) in ["abort", "dialog", "owner"].into_iter().enumerate() {
                stage.agent.forget();
                let owner = stage.fwpd.client(&stage.bus).await;
                let mut checkout = Checkout::new(&owner, &format!("order {round}")).await.unwrap();
                checkout.payment.show().await.unwrap();
                sees(&key, |seen| seen.blinking).await;
                match how {
                    "abort" => checkout.payment.abort().await.unwrap(),
                    "dialog" => stage.desktop.wallet().await.unwrap().dismiss().await.unwrap(),
                    _ => owner.connection().clone().close().await.unwrap(),
                }
                let expected = before + 1 + u64::try_from(round).unwrap();
                sees(&key, |seen| !seen.blinking && seen.cancelled == expected).await;
                match how {
                    "abort" => assert_eq!(checkout.failure().await.name, ErrorName::Aborted),
                    "dialog" => assert_eq!(checkout.failure().await.name, ErrorName::Declined),
                    _ => {}
                }
            }
            // And the key is fit for the next one, as soon as the wallet has noted the owner's end.
            stage.is_free().await;
            key.set_touch(Touch::AtOnce);
            let mut checkout = Checkout::new(&stage.client, "after").await.unwrap();
            stage.bank.open(&checkout.pay().await);
        });
    }

    fn a_key_that_is_pulled_out_in_the_middle_ends_it_and_the_next_payment_works() {
        let mut plugs = Plugs::new();
        let key = opensk::key(Touch::AtOnce);
        run(async {
            let stage = Stage::new().await;
            let plugged = plugs.plug(&key, 0);
            stage.wait_for_keys(1).await;
            stage.enroll("1", any_key()).await.unwrap();
            key.set_touch(Touch::Waits);
            let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
            checkout.payment.show().await.unwrap();
            sees(&key, |seen| seen.blinking).await;
            plugs.unplug(&key, plugged);
            let error = checkout.failure().await;
            assert_eq!(error.name, ErrorName::AuthenticatorFailed);
            assert!(error.message.contains("removed"), "{error}");

            stage.agent.forget();
            key.set_touch(Touch::AtOnce);
            let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
            checkout.payment.show().await.unwrap();
            stage.told("insert").await;
            let _plugged = plugs.plug(&key, 1);
            stage.bank.open(&checkout.response().await);
        });
    }

    fn three_wrong_pins_are_a_soft_block_until_the_key_is_plugged_in_anew() {
        let mut plugs = Plugs::new();
        let key = opensk::key(Touch::AtOnce);
        run(async {
            let stage = Stage::new().await;
            let plugged = plugs.plug(&key, 0);
            stage.wait_for_keys(1).await;
            stage.enroll("1", any_key()).await.unwrap();
            stage.agent.forget();
            stage.agent.types([Some("00000000"); 3]);
            let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
            checkout.payment.show().await.unwrap();
            assert_eq!(checkout.failure().await.name, ErrorName::PinAuthBlocked);
            assert_eq!(stage.attempts(), [Some(8), Some(7), Some(6)]);
            plugs.unplug(&key, plugged);
            let _plugged = plugs.plug(&key, 1);
            stage.wait_for_keys(1).await;
            let mut checkout = Checkout::new(&stage.client, "2").await.unwrap();
            stage.bank.open(&checkout.pay().await);
        });
    }

    fn keys_that_come_and_go_are_told_to_those_who_watch_and_nothing_runs_for_others() {
        let mut plugs = Plugs::new();
        run(async {
            let stage = Stage::new().await;
            let watchers = |stage: &Stage| threads(stage).iter().any(|name| name.starts_with("watch"));
            assert!(!watchers(&stage));
            let mut events = stage.client.events(&ObjectPath::from_static_str_unchecked(WALLET_PATH));
            let wallet = stage.client.wallet().await.unwrap();
            wallet.watch_authenticators().await.unwrap();
            soon("the watch's beginning", async {
                while !watchers(&stage) {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            })
            .await;
            let key = opensk::key(Touch::AtOnce);
            let plugged = plugs.plug(&key, 0);
            let added = match soon("the key to be told", events.next()).await.unwrap() {
                Event::AuthenticatorAdded(path, info) => {
                    assert!(info.usable && info.name.contains("Key 9"), "{info:?}");
                    path
                }
                event => panic!("{event:?}"),
            };
            stage.client.authenticator(&added).await.unwrap().wink().await.unwrap();
            assert_eq!(key.seen().winks, 1);
            plugs.unplug(&key, plugged);
            let gone = soon("its end to be told", events.next()).await.unwrap();
            assert_eq!(gone, Event::AuthenticatorRemoved(added.clone()));
            assert!(stage.client.authenticator(&added).await.unwrap().info().await.is_err());

            wallet.unwatch_authenticators().await.unwrap();
            soon("the watch's end", async {
                while watchers(&stage) {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            })
            .await;
        });
    }

    fn a_key_without_permission_or_too_old_says_so_and_is_not_taken() {
        let mut plugs = Plugs::new();
        let (forbidden, old) = (opensk::key(Touch::AtOnce), opensk::key(Touch::AtOnce));
        old.set_u2f_only(true);
        let (node, _old) = (plugs.plug(&forbidden, 0), plugs.plug(&old, 1));
        plugs.set_mode(&node, 0o000);
        run(async {
            let stage = Stage::new().await;
            let keys = stage.wait_for_keys(2).await;
            assert!(keys.iter().all(|(_, info)| !info.usable), "{keys:?}");
            let says = |text: &str| keys.iter().any(|(_, info)| info.problem.contains(text));
            assert!(says("udev") && says("U2F"), "{keys:?}");
            // Neither keeps the card from this computer.
            stage.enroll("1", EnrollmentOptions::default()).await.unwrap();
            let cards = stage.client.wallet().await.unwrap().list_credentials().await.unwrap();
            assert_eq!(cards[0].1.authenticator, "software");
        });
    }

    fn a_reset_needs_consent_and_a_key_that_was_just_plugged_in() {
        let mut plugs = Plugs::new();
        let key = opensk::key(Touch::AtOnce);
        run(async {
            let stage = Stage::new().await;
            let plugged = plugs.plug(&key, 0);
            stage.wait_for_keys(1).await;
            stage.enroll("1", any_key()).await.unwrap();
            key.advance(std::time::Duration::from_secs(60));
            let (path, _) = stage.keys().await.remove(0);
            let authenticator = stage.client.authenticator(&path).await.unwrap();
            let mut events = stage.client.events(&path);

            // Given up while it waits to be plugged in anew.
            stage.agent.forget();
            authenticator.reset().await.unwrap();
            stage.told("replug").await;
            stage.desktop.wallet().await.unwrap().dismiss().await.unwrap();
            assert_eq!(finished(&mut events).await.unwrap_err().name, ErrorName::Declined);
            assert!(authenticator.pin_status().await.unwrap().set);

            stage.agent.forget();
            authenticator.reset().await.unwrap();
            assert_eq!(refused(authenticator.reset().await), ErrorName::Busy);
            stage.told("replug").await;
            plugs.unplug(&key, plugged);
            let _plugged = plugs.plug(&key, 1);
            finished(&mut events).await.unwrap();
            let (path, _) = stage.wait_for_keys(1).await.remove(0);
            let authenticator = stage.client.authenticator(&path).await.unwrap();
            assert!(!authenticator.pin_status().await.unwrap().set);
        });
    }

    fn a_wallet_that_is_told_to_end_lets_a_key_go_that_waits_for_the_touch_to_reset_it() {
        let mut plugs = Plugs::new();
        let key = opensk::key(Touch::Waits);
        run(async {
            let mut stage = Stage::new().await;
            let _plugged = plugs.plug(&key, 0);
            let (path, _) = stage.wait_for_keys(1).await.remove(0);
            let mut events = stage.client.events(&path);
            stage.client.authenticator(&path).await.unwrap().reset().await.unwrap();
            sees(&key, |seen| seen.blinking).await;
            let begun = std::time::Instant::now();
            assert!(stage.fwpd.terminate().success());
            assert!(begun.elapsed() < std::time::Duration::from_secs(10));
            sees(&key, |seen| !seen.blinking && seen.cancelled == 1).await;
            assert_eq!(finished(&mut events).await.unwrap_err().name, ErrorName::Aborted);
        });
    }

    fn a_request_that_the_key_may_have_signed_stays_tied_to_its_card() {
        let mut plugs = Plugs::new();
        let key = opensk::key(Touch::AtOnce);
        run(async {
            let stage = Stage::new().await;
            let plugged = plugs.plug(&key, 0);
            stage.wait_for_keys(1).await;
            stage.enroll("1", any_key()).await.unwrap();
            let software =
                EnrollmentOptions { attachment: Some("platform".to_owned()), ..EnrollmentOptions::default() };
            stage.enroll("2", software).await.unwrap();
            let cards = stage.client.wallet().await.unwrap().list_credentials().await.unwrap();
            let card = |account: &str| {
                let of = cards.iter().find(|(_, info)| info.account_id == account);
                Answer::Path(of.unwrap().0.clone())
            };

            // The key says that it signed nothing: any card will do.
            key.set_touch(Touch::Waits);
            stage.agent.answers([card("1"), card("2")]);
            let mut checkout = Checkout::new(&stage.client, "said no").await.unwrap();
            checkout.payment.show().await.unwrap();
            sees(&key, |seen| seen.blinking).await;
            checkout.payment.abort().await.unwrap();
            assert_eq!(checkout.failure().await.name, ErrorName::Aborted);
            stage.is_free().await;
            let mut checkout = Checkout::new(&stage.client, "said no").await.unwrap();
            stage.bank.open(&checkout.pay().await);

            // It is pulled out before it says anything: who knows.
            stage.agent.answers([card("1"), card("2")]);
            let mut checkout = Checkout::new(&stage.client, "said nothing").await.unwrap();
            checkout.payment.show().await.unwrap();
            sees(&key, |seen| seen.blinking).await;
            plugs.unplug(&key, plugged);
            assert_eq!(checkout.failure().await.name, ErrorName::AuthenticatorFailed);
            let mut checkout = Checkout::new(&stage.client, "said nothing").await.unwrap();
            checkout.payment.show().await.unwrap();
            assert_eq!(checkout.failure().await.name, ErrorName::CardTied);
        });
    }

    fn a_reset_is_for_the_key_that_was_consented_to_and_does_not_wait_for_it_for_ever() {
        let mut plugs = Plugs::new();
        let (other, key) = (opensk::key(Touch::AtOnce), opensk::key(Touch::AtOnce));
        run(async {
            let stage = Stage::on(PrivateBus::session(), &format!("{QUICK}[deadlines]\nsign = 8\n")).await;
            // Another one of the same model, which has a PIN.
            let plugged = plugs.plug(&other, 0);
            let (path, _) = stage.wait_for_keys(1).await.remove(0);
            let mut events = stage.client.events(&path);
            stage.client.authenticator(&path).await.unwrap().set_pin().await.unwrap();
            finished(&mut events).await.unwrap();
            plugs.unplug(&other, plugged);
            stage.wait_for_keys(0).await;

            let plugged = plugs.plug(&key, 1);
            let (path, _) = stage.wait_for_keys(1).await.remove(0);
            key.advance(std::time::Duration::from_secs(60));
            let mut events = stage.client.events(&path);
            stage.agent.forget();
            stage.client.authenticator(&path).await.unwrap().reset().await.unwrap();
            stage.told("replug").await;
            plugs.unplug(&key, plugged);
            let _plugged = plugs.plug(&other, 2);
            assert_eq!(finished(&mut events).await.unwrap_err().name, ErrorName::Timeout);
            assert!(other.seen().commands.iter().all(|command| command[0] != 7), "the other one is not reset");
            stage.is_free().await;
        });
    }

    fn a_key_that_only_ever_says_that_it_works_is_given_up_and_holds_up_nobody() {
        let mut plugs = Plugs::new();
        run(async {
            let stage = Stage::new().await;
            let _plugged = plugs.plug_busybody(0);
            let (path, info) = stage.wait_for_keys(1).await.remove(0);
            assert!(!info.usable && !info.problem.is_empty(), "{info:?}");
            let authenticator = stage.client.authenticator(&path).await.unwrap();
            let asked = soon("the end of the question", async { authenticator.info().await });
            let status = async {
                let wallet = stage.client.wallet().await.unwrap();
                soon("the wallet's answer meanwhile", wallet.status()).await.unwrap()
            };
            let (asked, status) = tokio::join!(asked, status);
            assert_eq!(refused(asked), ErrorName::Timeout);
            assert_eq!(status.usb, "ready");
        });
    }

    fn a_thousand_questions_for_keys_take_a_handful_of_threads() {
        let mut plugs = Plugs::new();
        let key = opensk::key(Touch::AtOnce);
        run(async {
            // More than one connection may have open as shipped, so that all of them are there at once.
            let config = format!("{QUICK}[limits]\ncalls = 400\n");
            let stage = Stage::on(PrivateBus::session(), &config).await;
            let _plugged = plugs.plug(&key, 0);
            let (path, _) = stage.wait_for_keys(1).await.remove(0);
            let wallet = stage.client.wallet().await.unwrap();
            let authenticator = stage.client.authenticator(&path).await.unwrap();
            let mut most = 0;
            for _ in 0..20 {
                let lists = futures_util::future::join_all((0..45).map(|_| wallet.list_authenticators()));
                let winks = futures_util::future::join_all((0..5).map(|_| authenticator.wink()));
                let (lists, winks) = tokio::join!(lists, winks);
                assert!(lists.into_iter().all(|list| list.unwrap().len() == 2));
                // One after the other, or told that the key is busy.
                for wink in winks {
                    assert!(wink.is_ok() || refused(wink) == ErrorName::Busy);
                }
                most = most.max(threads(&stage).len());
            }
            // 8 at work, as many that have just finished, and the daemon's own; a thread for each question would be 50 at a time.
            assert!(most <= 24, "{most} threads");
        });
    }

    fn waiting_for_a_key_ends_with_the_agent_whatever_is_waited_for() {
        let mut plugs = Plugs::new();
        let key = opensk::key(Touch::AtOnce);
        run(async {
            let mut stage = Stage::new().await;
            let (_, mut events) = stage.start_enrollment(any_key()).await.unwrap();
            stage.told("insert").await;
            stage.desktop.connection().clone().close().await.unwrap();
            assert_eq!(finished(&mut events).await.unwrap_err().name, ErrorName::NoAgent);

            stage.desktop = stage.fwpd.client(&stage.bus).await;
            stage.agent.register(&stage.desktop).await.unwrap();
            stage.agent.forget();
            let _plugged = plugs.plug(&key, 0);
            let (path, _) = stage.wait_for_keys(1).await.remove(0);
            key.advance(std::time::Duration::from_secs(60));
            let mut events = stage.client.events(&path);
            stage.client.authenticator(&path).await.unwrap().reset().await.unwrap();
            stage.told("replug").await;
            stage.desktop.connection().clone().close().await.unwrap();
            assert_eq!(finished(&mut events).await.unwrap_err().name, ErrorName::NoAgent);
            stage.is_free().await;
        });
    }
}
