//! Which of several keys is used, with OpenSK in ports that the tests plug it into.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use ctap_client::{KeyId, Wanted};
use ctap_core::ceremony::{Event, Unfit, run};
use ctap_core::messages::{CommandCode, CredProtect, GetAssertionResponse, Request, Response};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use ctap_core::{Error, Status};
use std::sync::Arc;
use virtual_keys::{Key, OsRandom, Touch, Typist};

const WITHOUT_KEY: Event = Event::OtherDeviceWanted(Unfit::WithoutKey);
const TOO_OLD: Event = Event::OtherDeviceWanted(Unfit::TooOld);

#[test]
fn the_only_key_is_used_at_once_without_a_touch() {
    let (ports, key) = (Ports::new(), opensk());
    let port = ports.plug_in(&key);
    let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
    let chosen = choosing.end().unwrap();
    assert_eq!(chosen.description.id, port);
    assert!(chosen.info.speaks_ctap2());
    assert_eq!(key.seen().blinked, 0);
    assert_eq!(choosing.events.try_recv().ok(), None, "the user is told nothing");
    assert_eq!(ports.log().watched, 0, "nothing is watched where nothing is waited for");
}

#[test]
fn of_two_keys_the_one_that_is_touched_is_used_and_the_other_stops_blinking() {
    for touched in [0, 1] {
        let (ports, pair) = (Ports::new(), [opensk(), opensk()]);
        let ids = pair.each_ref().map(|key| ports.plug_in(key));
        let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
        assert_eq!(choosing.told(), Event::ChoiceWanted);
        assert!(pair.iter().all(Key::wait_until_blinking));
        assert!(pair[touched].touch());
        let chosen = choosing.end().unwrap();
        assert_eq!(chosen.description.id, ids[touched]);
        let (chosen, other) = (pair[touched].seen(), pair[1 - touched].seen());
        assert_eq!((chosen.touched, chosen.cancelled), (1, 0));
        assert_eq!((other.touched, other.cancelled, other.blinking), (0, 1, false));
    }
}

#[test]
fn a_key_that_is_plugged_in_while_others_blink_blinks_too() {
    let (ports, keys) = (Ports::new(), [opensk(), opensk(), opensk()]);
    ports.plug_in(&keys[0]);
    ports.plug_in(&keys[1]);
    let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
    assert!(keys[0].wait_until_blinking() && keys[1].wait_until_blinking());
    let third = ports.plug_in(&keys[2]);
    assert!(keys[2].wait_until_blinking());
    assert!(keys[2].touch());
    assert_eq!(choosing.end().unwrap().description.id, third);
    assert!(keys[..2].iter().all(|key| key.seen().cancelled == 1 && !key.seen().blinking));
    assert_eq!(choosing.events.iter().collect::<Vec<_>>(), [Event::ChoiceWanted], "said once");
}

#[test]
fn a_key_that_is_pulled_out_while_it_blinks_is_no_error() {
    let (ports, keys) = (Ports::new(), [opensk(), opensk()]);
    let ids = keys.each_ref().map(|key| ports.plug_in(key));
    let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
    assert!(keys.iter().all(Key::wait_until_blinking));
    ports.pull_out(&ids[0]);
    assert!(choosing.goes_on());
    assert!(keys[1].touch());
    assert_eq!(choosing.end().unwrap().description.id, ids[1]);
}

#[test]
fn when_all_are_pulled_out_the_next_one_is_used_at_once() {
    let (ports, keys) = (Ports::new(), [opensk(), opensk()]);
    let ids = keys.each_ref().map(|key| ports.plug_in(key));
    let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
    assert_eq!(choosing.told(), Event::ChoiceWanted);
    assert!(keys.iter().all(Key::wait_until_blinking));
    ids.iter().for_each(|id| ports.pull_out(id));
    assert_eq!(choosing.told(), Event::DeviceWanted);
    let again = ports.plug_in(&keys[0]);
    assert!(!ids.contains(&again));
    let chosen = choosing.end().unwrap();
    assert_eq!(chosen.description.id, again);
    assert!(chosen.id > KeyId(2), "a key that comes back is another one");
}

#[test]
fn where_there_is_no_key_one_is_waited_for() {
    let (ports, key) = (Ports::new(), opensk());
    let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
    assert_eq!(choosing.told(), Event::DeviceWanted);
    assert!(choosing.goes_on());
    let id = ports.plug_in(&key);
    assert_eq!(choosing.end().unwrap().description.id, id);
    let log = ports.log();
    assert!(log.waits <= 3, "no polling: {log:?}");
}

#[test]
fn the_holder_is_found_among_three_and_none_of_them_blinks() {
    let (ports, (holding, credential)) = (Ports::new(), enrolled());
    let others = [enrolled().0, opensk()];
    let before = [&others[0], &holding, &others[1]].map(|key| key.seen().blinked);
    ports.plug_in(&others[0]);
    let id = ports.plug_in(&holding);
    ports.plug_in(&others[1]);
    let choosing = Choosing::begin(&ports.keys(), holder(&credential));
    let mut chosen = choosing.end().unwrap();
    assert_eq!(chosen.description.id, id);
    assert_eq!([&others[0], &holding, &others[1]].map(|key| key.seen().blinked), before);
    assert_eq!(choosing.events.iter().count(), 0, "the user is told nothing");
    // And it signs, in the same session.
    holding.set_touch(Touch::AtOnce);
    let mut user = Typist::new(&[PIN]);
    let (device, cancel) = (&mut *chosen.device, CancelToken::new());
    run(&mut get_assertion(&credential), device, &mut user, &mut OsRandom, &cancel).unwrap();
}

#[test]
fn while_only_other_keys_are_there_the_user_is_told_so_and_the_holder_is_waited_for() {
    let (ports, (holding, credential)) = (Ports::new(), enrolled());
    let other = enrolled().0;
    let blinked = other.seen().blinked;
    let other_id = ports.plug_in(&other);
    let choosing = Choosing::begin(&ports.keys(), holder(&credential));
    assert_eq!(choosing.told(), WITHOUT_KEY);
    ports.pull_out(&other_id);
    assert_eq!(choosing.told(), Event::DeviceWanted);
    ports.plug_in(&other);
    assert_eq!(choosing.told(), WITHOUT_KEY);
    let id = ports.plug_in(&holding);
    assert_eq!(choosing.end().unwrap().description.id, id);
    assert_eq!(other.seen().blinked, blinked);
}

#[test]
fn silent_questions_see_a_key_of_cred_protect_level_2() {
    let (ports, (holding, credential)) = (Ports::new(), enrolled());
    assert_eq!(credential.cred_protect, Some(CredProtect::UserVerificationOptionalWithCredentialIdList));
    ports.plug_in(&holding);
    let id = ports.plug_in(&opensk());
    let choosing = Choosing::begin(&ports.keys(), holder(&credential));
    assert_ne!(choosing.end().unwrap().description.id, id);
}

/// Which is why ours are made with level 2.
#[test]
fn silent_questions_do_not_see_a_key_of_cred_protect_level_3() {
    let (ports, key) = (Ports::new(), virtual_keys::opensk::key(Touch::AtOnce));
    let credential = enroll(&key, &mut Level3(key.device()));
    assert_eq!(
        credential.cred_protect,
        Some(CredProtect::UserVerificationRequired),
        "more than was asked for"
    );
    ports.plug_in(&key);
    let choosing = Choosing::begin(&ports.keys(), holder(&credential));
    assert_eq!(choosing.told(), WITHOUT_KEY);
    choosing.cancel.cancel();
    assert_eq!(choosing.end().unwrap_err(), Error::Cancelled);
}

/// Has every key made with credProtect level 3.
struct Level3<D>(D);

impl<D: Device> Device for Level3<D> {
    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        let command = match Request::decode(command).unwrap() {
            Request::MakeCredential(mut request) => {
                request.cred_protect = Some(CredProtect::UserVerificationRequired);
                Request::MakeCredential(request).encode()
            }
            _ => command.to_vec(),
        };
        self.0.transact(&command, on_keepalive, cancel)
    }
}

#[test]
fn several_keys_that_can_not_be_asked_silently_are_chosen_from_by_touch() {
    let (ports, (holding, credential)) = (Ports::new(), enrolled());
    let refuses: Answer = Arc::new(|command| {
        (command[0] == CommandCode::GetAssertion.byte()).then(|| vec![Status::UNSUPPORTED_OPTION.0])
    });
    let reticent = |key: &Key| Plugged { answer: Some(Arc::clone(&refuses)), ..Plugged::new(key) };
    let id = ports.plug(reticent(&holding));
    let other = opensk();
    ports.plug(reticent(&other));
    let sure_not = opensk();
    ports.plug_in(&sure_not);
    let choosing = Choosing::begin(&ports.keys(), holder(&credential));
    assert_eq!(choosing.told(), Event::ChoiceWanted);
    assert!(holding.wait_until_blinking() && other.wait_until_blinking());
    assert_eq!(sure_not.seen().blinked, 0);
    assert!(holding.touch());
    assert_eq!(choosing.end().unwrap().description.id, id);
}

/// Whoever is asked for a key learns its name, and can say that it has it: such a one must not get the PIN of the real one.
#[test]
fn of_two_keys_that_both_say_that_they_are_the_one_the_user_chooses() {
    for liar_first in [true, false] {
        let (ports, (holding, credential)) = (Ports::new(), enrolled());
        let claim = GetAssertionResponse {
            credential: Some(credential.credential_id.clone()),
            auth_data: credential.attestation_object.auth_data[..32].iter().copied().chain([0; 5]).collect(),
            signature: vec![1; 70],
            user: None,
            number_of_credentials: None,
        };
        let claims: Answer =
            Arc::new(move |command| (command[0] == CommandCode::GetAssertion.byte()).then(|| claim.encode()));
        let (liar, other) = (opensk(), opensk());
        let lying = Plugged { answer: Some(claims), ..Plugged::new(&liar) };
        let (lying, slow) = if liar_first { (Some(lying), None) } else { (None, Some(lying)) };
        lying.map(|lying| ports.plug(lying));
        let id = ports.plug_in(&holding);
        slow.map(|lying| ports.plug(lying));
        ports.plug_in(&other);
        let choosing = Choosing::begin(&ports.keys(), holder(&credential));
        assert_eq!(choosing.told(), Event::ChoiceWanted);
        assert!(holding.wait_until_blinking() && liar.wait_until_blinking());
        assert_eq!(other.seen().blinked, 0, "the one that says that it has not got it");
        assert!(holding.touch());
        assert_eq!(choosing.end().unwrap().description.id, id);
    }
}

#[test]
fn cancelling_ends_it_at_once_in_all_devices() {
    let (ports, keys) = (Ports::new(), [opensk(), opensk(), opensk()]);
    keys.iter().for_each(|key| drop(ports.plug_in(key)));
    let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
    assert!(keys.iter().all(Key::wait_until_blinking));
    choosing.cancel.cancel();
    assert_eq!(choosing.end().unwrap_err(), Error::Cancelled);
    assert!(keys.iter().all(|key| key.seen().cancelled == 1 && !key.seen().blinking));
    let log = ports.log();
    assert_eq!((log.begun, log.ended, log.closed), (3, 3, log.opened), "all are closed again");
}

#[test]
fn cancelling_ends_the_waiting_for_a_key_and_one_cancelled_before_asks_none() {
    let ports = Ports::new();
    let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
    assert_eq!(choosing.told(), Event::DeviceWanted);
    choosing.cancel.cancel();
    assert_eq!(choosing.end().unwrap_err(), Error::Cancelled);

    let key = opensk();
    ports.plug_in(&key);
    let (tell, _events) = std::sync::mpsc::channel();
    let cancel = CancelToken::new();
    cancel.cancel();
    let chosen = ports.keys().choose(&Wanted::Any, &|_| true, &mut Teller(tell), &cancel);
    assert_eq!(chosen.unwrap_err(), Error::Cancelled);
    assert_eq!(key.seen().blinked, 0);
}

#[test]
fn keys_that_can_not_be_used_are_passed_over_and_named_where_there_is_no_other() {
    for error in [TransportError::Busy, TransportError::Permission, TransportError::Timeout] {
        let (ports, good, bad) = (Ports::new(), opensk(), opensk());
        ports.plug(Plugged { refusal: Some(error.clone()), ..Plugged::new(&bad) });
        let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
        assert_eq!(choosing.end().unwrap_err(), Error::Transport(error));
        let id = ports.plug_in(&good);
        let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
        assert_eq!(choosing.end().unwrap().description.id, id);
        assert_eq!(good.seen().blinked, 0);
    }
}

#[test]
fn a_key_that_speaks_u2f_only_is_said_to_be_too_old_and_a_newer_one_waited_for() {
    let only_u2f: Answer = Arc::new(|command| {
        let versions = b"\x00\xa2\x01\x81\x66U2F_V2\x03\x50";
        (command[0] == CommandCode::GetInfo.byte()).then(|| [&versions[..], &[0; 16]].concat())
    });
    let old = [
        Plugged { refusal: Some(TransportError::TooOld), ..Plugged::new(&opensk()) },
        Plugged { answer: Some(only_u2f), ..Plugged::new(&opensk()) },
    ];
    for old in old {
        let (ports, good) = (Ports::new(), opensk());
        ports.plug(old);
        let keys = ports.keys();
        let listed = keys.list().keys[0].clone();
        assert_eq!(listed.info, Err(Error::Transport(TransportError::TooOld)));
        let choosing = Choosing::begin(&keys, Wanted::Key(listed.id));
        assert_eq!(choosing.end().unwrap_err(), Error::Transport(TransportError::TooOld));
        let choosing = Choosing::begin(&keys, Wanted::Any);
        assert_eq!(choosing.told(), TOO_OLD);
        let id = ports.plug_in(&good);
        assert_eq!(choosing.end().unwrap().description.id, id);
    }
}

#[test]
fn a_key_of_ctap_2_0_is_chosen_by_touch_too() {
    let (ports, keys) = (Ports::new(), [opensk(), opensk()]);
    let old: Answer = Arc::new(|command| {
        (command[0] == CommandCode::Selection.byte()).then(|| vec![Status::INVALID_COMMAND.0])
    });
    let id = ports.plug(Plugged { answer: Some(Arc::clone(&old)), ..Plugged::new(&keys[0]) });
    ports.plug(Plugged { answer: Some(old), ..Plugged::new(&keys[1]) });
    let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
    assert!(keys.iter().all(Key::wait_until_blinking));
    assert!(keys[0].touch());
    assert_eq!(choosing.end().unwrap().description.id, id);
    assert_eq!((keys[1].seen().cancelled, keys[1].seen().blinking), (1, false));
}

#[test]
fn a_key_that_does_not_answer_does_not_keep_others_from_being_used() {
    let (ports, good, mute) = (Ports::new(), opensk(), opensk());
    ports.plug(Plugged { mute: true, ..Plugged::new(&mute) });
    let id = ports.plug_in(&good);
    let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
    let chosen = choosing.end().unwrap();
    assert_eq!(chosen.description.id, id);
    let log = ports.log();
    assert_eq!((log.opened, log.closed), (2, 1), "the other was told to stop");
}

#[test]
fn mute_keys_that_come_and_go_without_end_do_not_keep_another_from_being_used() {
    let (ports, good, mute) = (Ports::new(), opensk(), opensk());
    let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
    assert_eq!(choosing.told(), Event::DeviceWanted);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let plug_mute = || ports.plug(Plugged { mute: true, ..Plugged::new(&mute) });
    let mut last = plug_mute();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                std::thread::sleep(std::time::Duration::from_millis(100));
                // One is always there.
                ports.pull_out(&std::mem::replace(&mut last, plug_mute()));
            }
        });
        let id = ports.plug_in(&good);
        let chosen = choosing.result();
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(chosen.expect("an end of the choice").unwrap().description.id, id);
    });
}

#[test]
fn a_key_that_never_answers_is_given_up() {
    let (ports, mute) = (Ports::new(), opensk());
    ports.plug(Plugged { mute: true, ..Plugged::new(&mute) });
    let keys = ports.keys();
    let choosing = Choosing::begin(&keys, Wanted::Any);
    assert_eq!(choosing.end().unwrap_err(), Error::Transport(TransportError::Timeout));
    assert_eq!(keys.list().keys[0].info, Err(Error::Transport(TransportError::Timeout)));
    let log = ports.log();
    assert_eq!((log.opened, log.ended, log.closed), (2, 2, 2));
}

#[test]
fn saying_no_on_one_key_leaves_the_others_and_on_the_last_one_ends_it() {
    let (ports, keys) = (Ports::new(), [opensk(), opensk()]);
    keys.iter().for_each(|key| drop(ports.plug_in(key)));
    let choosing = Choosing::begin(&ports.keys(), Wanted::Any);
    assert!(keys.iter().all(Key::wait_until_blinking));
    keys[0].set_touch(Touch::Declines);
    assert!(keys[0].wait_until_dark());
    assert!(choosing.goes_on());
    assert!(keys[1].seen().blinking);
    keys[1].set_touch(Touch::Declines);
    assert_eq!(choosing.end().unwrap_err(), Error::Denied);
}

#[test]
fn keys_that_the_user_may_not_use_are_left_alone() {
    let (ports, ours, theirs) = (Ports::new(), opensk(), opensk());
    ports.plug(Plugged { seat: "seat1".to_owned(), ..Plugged::new(&theirs) });
    let seat0 = |description: &ctap_core::transport::DeviceDescription| description.seat == "seat0";
    let keys = ports.keys();
    let choosing = Choosing::among(&keys, Wanted::Any, seat0);
    assert_eq!(choosing.told(), Event::DeviceWanted);
    let id = ports.plug_in(&ours);
    assert_eq!(choosing.end().unwrap().description.id, id);
    let by_id = Wanted::Key(keys.list().keys[0].id);
    assert_eq!(
        Choosing::among(&keys, by_id, seat0).end().unwrap_err(),
        Error::Transport(TransportError::Gone)
    );
    // The list has asked it what it can do; nothing else has.
    assert_eq!(count(&theirs, CommandCode::GetInfo), theirs.seen().commands.len());
}

#[test]
fn a_certain_key_is_used_whatever_else_is_there() {
    let (ports, pair) = (Ports::new(), [opensk(), opensk()]);
    let ids = pair.each_ref().map(|key| ports.plug_in(key));
    let keys = ports.keys();
    let second = keys.list().keys[1].clone();
    let chosen = Choosing::begin(&keys, Wanted::Key(second.id)).end().unwrap();
    assert_eq!((chosen.id, &chosen.description.id), (second.id, &ids[1]));
    assert!(pair.iter().all(|key| key.seen().blinked == 0));
    drop(chosen);
    ports.pull_out(&ids[1]);
    let gone = Choosing::begin(&keys, Wanted::Key(second.id)).end();
    assert_eq!(gone.unwrap_err(), Error::Transport(TransportError::Gone));
}

#[test]
fn choosing_and_what_follows_is_one_session_with_the_key() {
    let (ports, (key, credential)) = (Ports::new(), enrolled());
    ports.plug_in(&key);
    let mut chosen = Choosing::begin(&ports.keys(), holder(&credential)).end().unwrap();
    key.set_touch(Touch::AtOnce);
    for _ in 0..2 {
        let (device, cancel) = (&mut *chosen.device, CancelToken::new());
        let user = &mut Typist::new(&[PIN]);
        run(&mut get_assertion(&credential), device, user, &mut OsRandom, &cancel).unwrap();
    }
    let log = ports.log();
    assert_eq!((log.opened, log.begun, log.ended, log.closed), (1, 1, 0, 0));
    drop(chosen);
    let log = ports.log();
    assert_eq!((log.opened, log.begun, log.ended, log.closed), (1, 1, 1, 1));
}

#[test]
fn where_no_transport_can_be_used_the_choice_says_why() {
    let ports = Ports::new();
    let why = TransportError::Unavailable("pcscd is not running: install it".to_owned());
    ports.fail(why.clone());
    assert_eq!(Choosing::begin(&ports.keys(), Wanted::Any).end().unwrap_err(), Error::Transport(why));
}
