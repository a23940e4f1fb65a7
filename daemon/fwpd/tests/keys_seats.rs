//! Whose security keys these are, on a bus configured like the system's: those of the user who is active on the seat where
//! they are plugged in. Here a stand-in owns logind's name; the real one is run with the package.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/logind.rs"]
mod logind;
#[path = "common/usb.rs"]
mod usb;

use std::sync::{Arc, Mutex};

use common::{Stage, any_key, finished, run};
use fwp_dbus::interfaces::WALLET_PATH;
use fwp_dbus::types::{AgentOptions, EnrollmentOptions};
use fwp_dbus::{ClientError, ErrorName, Event};
use fwp_tests::{Checkout, PrivateBus, QUICK, refused, soon};
use logind::{Active, Leaver, OTHER, POLICY, SEATS, Seat, logind, me};
use mockdev::UsbDevice;
use usb::{Plugs, sees};
use virtual_keys::key::Touch;
use virtual_keys::opensk;
use zbus::ObjectPath;

/// Whether it is a command that gives a token for the PIN, or a signature with the user's presence. (The silent question
/// for the card's key has neither: `up` is false in it.)
fn token_or_signature(command: &[u8]) -> bool {
    match command {
        // clientPIN, subCommand 5 or 9.
        [6, rest @ ..] => rest.windows(2).any(|pair| pair == [2, 5] || pair == [2, 9]),
        [2, rest @ ..] => !rest.windows(4).any(|option| option == [0x62, b'u', b'p', 0xf4]),
        _ => false,
    }
}

fn is_unknown<T: std::fmt::Debug>(result: Result<T, ClientError>) -> bool {
    matches!(result, Err(ClientError::Bus(zbus::Error::FDO(error)))
        if matches!(*error, zbus::fdo::Error::UnknownObject(_)))
}

mockdev::test! {
    fn a_key_at_another_users_seat_is_not_there_and_one_at_ones_own_is() {
        let mut plugs = Plugs::new();
        run(async {
            let active: Active = Arc::new(Mutex::new(vec![("seat0", Some(OTHER)), ("seat1", Some(me()))]));
            let bus = PrivateBus::system_with(POLICY);
            let _logind = logind(&bus, &active).await;
            let stage = Stage::on(bus, SEATS).await;
            let (theirs, mine) = (opensk::key(Touch::AtOnce), opensk::key(Touch::AtOnce));
            let _theirs = plugs.plug(&theirs, 0);
            let at_seat1 = UsbDevice { seat: Some("seat1".to_owned()), ..UsbDevice::key(1) };
            let _mine = plugs.plug_as(&mine, &at_seat1);

            let (path, _) = stage.wait_for_keys(1).await.remove(0);
            stage.enroll("1", any_key()).await.unwrap();
            assert!(!mine.seen().commands.is_empty());
            let used = |key: &virtual_keys::Key| {
                key.seen().commands.iter().any(|command| command.first() != Some(&4))
            };
            assert!(used(&mine) && !used(&theirs), "nothing but getInfo reaches another user's key");

            // The users change places: the key is gone for calls, getters and enrollments by its path.
            *active.lock().unwrap() = vec![("seat0", Some(me())), ("seat1", Some(OTHER))];
            let gone = stage.client.authenticator(&path).await.unwrap();
            assert!(is_unknown(gone.info().await) && is_unknown(gone.reset().await));
            let here = EnrollmentOptions { authenticator: Some(path), ..EnrollmentOptions::default() };
            assert_eq!(refused(stage.start_enrollment(here).await), ErrorName::NotFound);
            let (other, _) = stage.wait_for_keys(1).await.remove(0);
            assert!(stage.client.authenticator(&other).await.unwrap().info().await.is_ok());

            // Nobody is active anywhere.
            *active.lock().unwrap() = vec![("seat0", None), ("seat1", None)];
            assert!(stage.keys().await.is_empty());
            let status = stage.client.wallet().await.unwrap().status().await.unwrap();
            assert_eq!(status.keys, "not-allowed");
            assert!(status.keys_problem.unwrap().contains("active on a seat"));
        });
    }

    fn a_user_who_leaves_the_seat_while_the_pin_is_typed_signs_nothing() {
        let mut plugs = Plugs::new();
        run(async {
            let active: Active = Arc::new(Mutex::new(vec![("seat0", Some(me()))]));
            let bus = PrivateBus::system_with(POLICY);
            let _logind = logind(&bus, &active).await;
            let stage = Stage::on(bus, SEATS).await;
            let key = opensk::key(Touch::AtOnce);
            let _plugged = plugs.plug(&key, 0);
            stage.wait_for_keys(1).await;
            stage.enroll("1", any_key()).await.unwrap();

            key.set_touch(Touch::Waits);
            stage.agent.forget();
            let leaver = Leaver(stage.agent.clone(), Arc::clone(&active));
            let desktop = stage.fwpd.client(&stage.bus).await;
            let agent_path = zbus::ObjectPath::try_from("/io/github/fwpd/Leaver").unwrap();
            fwp_dbus::agent::register(&desktop, &agent_path, leaver, &AgentOptions::default()).await.unwrap();
            let before = key.seen().commands.len();
            let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
            checkout.payment.show().await.unwrap();
            let error = checkout.failure().await;
            assert_eq!(error.name, ErrorName::NoAuthenticator);
            assert!(error.message.contains("another user's"), "{error}");
            let since = &key.seen().commands[before..];
            assert!(since.iter().all(|command| !token_or_signature(command)), "{since:x?}");
            sees(&key, |seen| !seen.blinking).await;
        });
    }

    fn a_user_who_leaves_the_seat_while_the_key_waits_for_a_touch_loses_it_at_once() {
        let mut plugs = Plugs::new();
        run(async {
            let active: Active = Arc::new(Mutex::new(vec![("seat0", Some(me()))]));
            let bus = PrivateBus::system_with(POLICY);
            let logind = logind(&bus, &active).await;
            let stage = Stage::on(bus, SEATS).await;
            let key = opensk::key(Touch::AtOnce);
            let _plugged = plugs.plug(&key, 0);
            let (path, _) = stage.wait_for_keys(1).await.remove(0);
            stage.enroll("1", any_key()).await.unwrap();
            let wallet = stage.client.wallet().await.unwrap();
            let mut events = stage.client.events(&ObjectPath::from_static_str_unchecked(WALLET_PATH));
            wallet.watch_authenticators().await.unwrap();

            key.set_touch(Touch::Waits);
            let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
            checkout.payment.show().await.unwrap();
            sees(&key, |seen| seen.blinking).await;
            *active.lock().unwrap() = vec![("seat0", Some(OTHER))];
            let seat = logind.object_server().interface::<_, Seat>(logind::path("seat", 0)).await.unwrap();
            seat.get().await.active_session_changed(seat.signal_emitter()).await.unwrap();
            assert_eq!(checkout.failure().await.name, ErrorName::NoAuthenticator);
            sees(&key, |seen| !seen.blinking && seen.cancelled == 1).await;
            // Who watches is told, too.
            let gone = soon("the key's end", events.next()).await.unwrap();
            assert_eq!(gone, Event::AuthenticatorRemoved(path));
        });
    }

    fn keys_that_wait_to_be_chosen_go_dark_when_the_seat_becomes_anothers() {
        let mut plugs = Plugs::new();
        run(async {
            let active: Active = Arc::new(Mutex::new(vec![("seat0", Some(me()))]));
            let bus = PrivateBus::system_with(POLICY);
            let logind = logind(&bus, &active).await;
            let stage = Stage::on(bus, SEATS).await;
            let (one, other) = (opensk::key(Touch::Waits), opensk::key(Touch::Waits));
            let _plugged = [plugs.plug(&one, 0), plugs.plug(&other, 1)];
            stage.wait_for_keys(2).await;
            let (_, mut events) = stage.start_enrollment(any_key()).await.unwrap();
            stage.told("choose").await;
            sees(&one, |seen| seen.blinking).await;
            sees(&other, |seen| seen.blinking).await;
            *active.lock().unwrap() = vec![("seat0", Some(OTHER))];
            let seat = logind.object_server().interface::<_, Seat>(logind::path("seat", 0)).await.unwrap();
            seat.get().await.active_session_changed(seat.signal_emitter()).await.unwrap();
            assert_eq!(finished(&mut events).await.unwrap_err().name, ErrorName::NoAuthenticator);
            for key in [&one, &other] {
                sees(key, |seen| !seen.blinking && seen.cancelled == 1).await;
            }
        });
    }

    fn without_logind_no_key_is_used_unless_the_administrator_says_so() {
        let mut plugs = Plugs::new();
        run(async {
            let key = opensk::key(Touch::AtOnce);
            let stage = Stage::on(PrivateBus::system_with(POLICY), SEATS).await;
            let _plugged = plugs.plug(&key, 0);
            let status = stage.client.wallet().await.unwrap().status().await.unwrap();
            let problem = status.keys_problem.unwrap();
            assert!(problem.contains("logind") && problem.contains("ignore"), "{problem}");
            assert!(stage.keys().await.is_empty());
            assert_eq!(refused(stage.enroll("1", any_key()).await), ErrorName::NoAuthenticator);

            let stage = Stage::on(PrivateBus::system_with(POLICY), QUICK).await;
            stage.wait_for_keys(1).await;
            stage.enroll("1", any_key()).await.unwrap();
        });
    }
}
