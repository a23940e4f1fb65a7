//! Enrolling and paying through the wallet.

use std::thread;

use fwp_dbus::ErrorName;
use fwp_tests::{MY_BANK, enroll, refused};
use virtual_keys::Touch;

use super::stage::{Stage, new_key, plug, touch};

pub(super) fn a_key_enrolls_and_pays_as_a_usb_device() {
    Stage::run(async |mut stage| {
        let key = new_key("1", Touch::AtOnce);
        let plugged = plug(&key);
        stage.sees_keys(1).await;
        stage.enroll().await;
        let mut checkout = stage.payment().await;
        stage.is_good(&mut checkout).await;
        let commands = key.0.seen().commands;
        let count = |code: u8| commands.iter().filter(|command| command.first() == Some(&code)).count();
        assert_eq!(count(0x01), 1, "one authenticatorMakeCredential");
        assert!(count(0x02) >= 1, "authenticatorGetAssertion");
        drop(plugged);
        stage
    });
}

pub(super) fn of_two_keys_the_touched_one_is_used_and_the_other_stops_blinking() {
    Stage::run(async |mut stage| {
        let (one, other) = (new_key("1", Touch::Waits), new_key("2", Touch::Waits));
        let _plugged = [plug(&one), plug(&other)];
        stage.sees_keys(2).await;
        let hand = {
            let (one, other) = (one.0.clone(), other.0.clone());
            thread::spawn(move || {
                assert!(one.wait_until_blinking() && other.wait_until_blinking(), "both blink");
                let cancelled = one.seen().cancelled;
                assert!(other.touch());
                assert!(one.wait_until_dark(), "the other one still blinks");
                assert!(one.seen().cancelled > cancelled, "it was not cancelled");
                // The touch that chose was not yet the one for the new key.
                touch(&other);
            })
        };
        stage.enroll().await;
        hand.join().unwrap();
        stage.told("choose").await;
        assert_eq!(one.0.seen().touched, 0);
        // The card's key is on one of them: only that one blinks for a payment.
        let blinked = one.0.seen().blinked;
        let mut checkout = stage.payment().await;
        touch(&other.0);
        stage.is_good(&mut checkout).await;
        assert_eq!(one.0.seen().blinked, blinked, "the key without the card blinked");
        stage
    });
}

pub(super) fn aborting_a_payment_cancels_in_the_key() {
    Stage::run(async |mut stage| {
        let key = new_key("1", Touch::AtOnce);
        let _plugged = plug(&key);
        stage.sees_keys(1).await;
        stage.enroll().await;
        key.0.set_touch(Touch::Waits);
        let mut checkout = stage.payment().await;
        assert!(key.0.wait_until_blinking());
        stage.told("touch").await;
        checkout.payment.abort().await.unwrap();
        assert_eq!(checkout.failure().await.name, ErrorName::Aborted);
        assert!(key.0.wait_until_dark(), "the key still blinks");
        assert_eq!(key.0.seen().cancelled, 1);
        // And it is fit for the next one.
        key.0.set_touch(Touch::AtOnce);
        let mut checkout = stage.payment().await;
        stage.is_good(&mut checkout).await;
        stage
    });
}

pub(super) fn closing_the_dialog_cancels_in_the_key() {
    Stage::run(async |mut stage| {
        let key = new_key("1", Touch::AtOnce);
        let _plugged = plug(&key);
        stage.sees_keys(1).await;
        stage.enroll().await;
        key.0.set_touch(Touch::Waits);
        let mut checkout = stage.payment().await;
        assert!(key.0.wait_until_blinking());
        stage.told("touch").await;
        stage.desktop.wallet().await.unwrap().dismiss().await.unwrap();
        assert_eq!(checkout.failure().await.name, ErrorName::Declined);
        assert!(key.0.wait_until_dark(), "the key still blinks");
        assert_eq!(key.0.seen().cancelled, 1);
        stage
    });
}

pub(super) fn a_key_pulled_out_ends_the_enrollment_and_nothing_is_stored() {
    Stage::run(async |stage| {
        let key = new_key("1", Touch::Waits);
        let plugged = plug(&key);
        stage.sees_keys(1).await;
        let hand = {
            let key = key.0.clone();
            thread::spawn(move || {
                assert!(key.wait_until_blinking());
                drop(plugged);
            })
        };
        let error = enroll(&stage.page, &stage.bank, &[]).await;
        assert_eq!(refused(error), ErrorName::AuthenticatorFailed);
        hand.join().unwrap();
        assert_eq!(stage.cards().await, 0, "cards of {MY_BANK}");
        stage.sees_keys(0).await;
        // It is one event, not an error storm.
        let log = stage.fwpd.log();
        let errors = log.lines().filter(|line| line.contains("ERROR") || line.contains("WARN")).count();
        assert!(errors <= 1, "{log}");
        stage
    });
}

pub(super) fn a_key_pulled_out_ends_the_payment_and_it_can_be_paid_with_the_key_back() {
    Stage::run(async |mut stage| {
        let key = new_key("1", Touch::AtOnce);
        let plugged = plug(&key);
        stage.sees_keys(1).await;
        stage.enroll().await;
        key.0.set_touch(Touch::Waits);
        let mut checkout = stage.payment().await;
        assert!(key.0.wait_until_blinking());
        drop(plugged);
        assert_eq!(checkout.failure().await.name, ErrorName::AuthenticatorFailed);
        key.0.set_touch(Touch::AtOnce);
        let _again = plug(&key);
        stage.sees_keys(1).await;
        let mut checkout = stage.payment().await;
        stage.is_good(&mut checkout).await;
        stage
    });
}

pub(super) fn a_payment_waits_for_the_key_to_be_plugged_in() {
    Stage::run(async |mut stage| {
        let key = new_key("1", Touch::AtOnce);
        let plugged = plug(&key);
        stage.sees_keys(1).await;
        stage.enroll().await;
        drop(plugged);
        stage.sees_keys(0).await;
        let mut checkout = stage.payment().await;
        stage.told("insert").await;
        let _again = plug(&key);
        stage.is_good(&mut checkout).await;
        stage
    });
}
