//! Which keys there are: the list, what is known of them, who uses them, and how they come and go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use ctap_client::{KeyId, Keys, Wanted};
use ctap_core::Error;
use ctap_core::ceremony::{Event, SetPin, get_info, run};
use ctap_core::messages::{ClientPinSubcommand, CommandCode, Request};
use ctap_core::transport::{CancelToken, Device, TransportError, TransportKind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use virtual_keys::{OsRandom, Touch, Typist};

#[test]
fn the_list_has_every_key_of_every_transport_and_asks_each_once() {
    let (usb, nfc, keys) = (Ports::new(), Ports::of(TransportKind::Nfc), [opensk(), opensk(), opensk()]);
    usb.plug_in(&keys[0]);
    usb.plug_in(&keys[1]);
    nfc.plug_in(&keys[2]);
    let all = Keys::new(vec![Box::new(usb.clone()), Box::new(nfc.clone())]);
    for _ in 0..3 {
        let listing = all.list();
        let kinds: Vec<_> = listing.keys.iter().map(|found| found.description.kind).collect();
        assert_eq!(kinds, [TransportKind::Usb, TransportKind::Usb, TransportKind::Nfc]);
        assert!(listing.keys.iter().all(|found| found.info.as_ref().is_ok_and(|info| info.speaks_ctap2())));
        assert!(listing.unavailable.is_empty());
    }
    assert!(keys.iter().all(|key| count(key, CommandCode::GetInfo) == 1));
    assert_eq!((usb.log().closed, nfc.log().closed), (2, 1), "and closes it");
}

#[test]
fn a_transport_that_can_not_be_used_is_said_beside_the_keys_of_the_others() {
    let (usb, nfc, key) = (Ports::new(), Ports::of(TransportKind::Nfc), opensk());
    usb.plug_in(&key);
    let why = TransportError::Unavailable("pcscd is not running: install it".to_owned());
    nfc.fail(why.clone());
    let listing = Keys::new(vec![Box::new(nfc), Box::new(usb)]).list();
    assert_eq!((listing.keys.len(), listing.unavailable), (1, vec![(TransportKind::Nfc, why)]));
}

#[test]
fn an_id_is_one_keys_until_it_is_pulled_out_and_never_anothers() {
    let (ports, key) = (Ports::new(), opensk());
    let keys = ports.keys();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let port = ports.plug_in(&key);
        let id = keys.list().keys[0].id;
        assert_eq!(keys.find(id).map(|found| found.description.id).as_deref(), Some(&*port));
        assert!(!ids.contains(&id));
        ids.push(id);
        ports.pull_out(&port);
        assert!(keys.find(id).is_none() && keys.list().keys.is_empty());
        assert_eq!(keys.open(id).err(), Some(Error::Transport(TransportError::Gone)));
    }
    assert!(keys.find(KeyId(99)).is_none());
}

#[test]
fn what_is_known_of_a_key_is_asked_anew_after_it_has_changed() {
    let (ports, key) = (Ports::new(), opensk());
    ports.plug_in(&key);
    let keys = ports.keys();
    let pin_set = || keys.list().keys[0].info.as_ref().unwrap().option("clientPin");
    assert_eq!(pin_set(), Some(false));
    let mut device = keys.open(keys.list().keys[0].id).unwrap();
    let (user, cancel) = (&mut Typist::new(&[PIN]), CancelToken::new());
    run(&mut SetPin::new(), &mut *device, user, &mut OsRandom, &cancel).unwrap();
    let asked = count(&key, CommandCode::GetInfo);
    assert_eq!(pin_set(), Some(false), "as it was before, while the ceremony has the key");
    assert_eq!(count(&key, CommandCode::GetInfo), asked, "and it is not asked");
    drop(device);
    assert_eq!(pin_set(), Some(true));
}

/// Who gives up, or is not answered, does not know whether the key has done it.
#[test]
fn what_is_known_of_a_key_is_asked_anew_after_a_change_whose_answer_was_lost() {
    let (ports, key) = (Ports::new(), opensk());
    let lost: Answer = {
        let key = key.clone();
        Arc::new(move |command| {
            let set_pin = matches!(
                Request::decode(command),
                Ok(Request::ClientPin(request)) if matches!(request.subcommand, ClientPinSubcommand::SetPin { .. })
            );
            let cancel = CancelToken::new();
            set_pin.then(|| key.device().transact(command, &mut |_| {}, &cancel).unwrap()).map(|_| Vec::new())
        })
    };
    ports.plug(Plugged { answer: Some(lost), ..Plugged::new(&key) });
    let keys = ports.keys();
    let pin_set = || keys.list().keys[0].info.as_ref().unwrap().option("clientPin");
    assert_eq!(pin_set(), Some(false));
    let mut device = keys.open(keys.list().keys[0].id).unwrap();
    let (user, cancel) = (&mut Typist::new(&[PIN]), CancelToken::new());
    run(&mut SetPin::new(), &mut *device, user, &mut OsRandom, &cancel).unwrap_err();
    drop(device);
    assert_eq!(pin_set(), Some(true));
}

#[test]
fn a_key_in_use_is_busy_for_others_and_free_again_afterwards() {
    let (ports, key) = (Ports::new(), opensk());
    ports.plug_in(&key);
    let keys = ports.keys();
    let id = keys.list().keys[0].id;
    let device = keys.open(id).unwrap();
    assert_eq!(keys.open(id).err(), Some(Error::Transport(TransportError::Busy)));
    let choosing = Choosing::begin(&keys, Wanted::Any);
    assert_eq!(choosing.end().unwrap_err(), Error::Transport(TransportError::Busy));
    drop(device);
    let chosen = Choosing::begin(&keys, Wanted::Any).end().unwrap();
    assert_eq!(keys.open(id).err(), Some(Error::Transport(TransportError::Busy)));
    drop(chosen);
    let mut device = keys.open(id).unwrap();
    get_info(&mut *device, &CancelToken::new()).unwrap();
    device.wink().unwrap();
    assert_eq!(key.seen().winks, 1);
}

#[test]
fn a_key_that_blinks_is_not_disturbed_by_a_list() {
    let (ports, keys) = (Ports::new(), [opensk(), opensk()]);
    keys.iter().for_each(|key| drop(ports.plug_in(key)));
    let all = ports.keys();
    let choosing = Choosing::begin(&all, Wanted::Any);
    assert!(keys.iter().all(virtual_keys::Key::wait_until_blinking));
    let before = keys.each_ref().map(|key| key.seen().commands.len());
    assert!(all.list().keys.iter().all(|found| found.info.is_ok()), "what is known is given");
    assert_eq!(keys.each_ref().map(|key| key.seen().commands.len()), before);
    keys[1].set_touch(Touch::AtOnce);
    assert!(choosing.end().is_ok());
}

/// A daemon that lists on every change asks a new key at the same moment as the choice that waits for it.
#[test]
fn a_list_and_a_choice_that_meet_at_a_new_key_do_not_get_in_each_others_way() {
    let slow: Answer = Arc::new(|command| {
        if command[0] == CommandCode::GetInfo.byte() {
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    });
    for _ in 0..8 {
        let (ports, key) = (Ports::new(), opensk());
        let keys = ports.keys();
        let (tell, listed) = channel();
        let lists = keys.clone();
        let _watch = keys.watch(move || tell.send(lists.list()).unwrap());
        let choosing = Choosing::begin(&keys, Wanted::Any);
        assert_eq!(choosing.told(), Event::DeviceWanted);
        ports.plug(Plugged { answer: Some(Arc::clone(&slow)), ..Plugged::new(&key) });
        let chosen = choosing.end().unwrap();
        let listing = listed.recv_timeout(SOON).unwrap();
        assert_eq!(listing.keys[0].id, chosen.id);
        assert!(listing.keys[0].info.is_ok(), "{:?}", listing.keys[0].info);
    }
}

#[test]
fn a_watch_tells_of_every_change_until_it_is_dropped_and_wakes_for_nothing_else() {
    let (ports, key) = (Ports::new(), opensk());
    let keys = ports.keys();
    let (tell, told) = channel();
    let watch = keys.watch(move || tell.send(()).unwrap());
    let port = ports.plug_in(&key);
    told.recv_timeout(SOON).unwrap();
    assert_eq!(keys.list().keys.len(), 1);
    ports.pull_out(&port);
    told.recv_timeout(SOON).unwrap();
    assert!(keys.list().keys.is_empty());
    let begun = Instant::now();
    while ports.log().waits < 3 && begun.elapsed() < SOON {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(told.recv_timeout(Duration::from_millis(100)).is_err());
    assert_eq!(ports.log().waits, 3, "one for each change, and one that waits");
    drop(watch);
    ports.plug_in(&key);
    assert!(told.recv().is_err(), "the callback is gone with the watch");
}

#[test]
fn a_watch_survives_a_restart_of_the_service_behind_it_and_ends_with_its_end() {
    let (ports, key) = (Ports::new(), opensk());
    let keys = ports.keys();
    let (tell, told) = channel();
    let _watch = keys.watch(move || tell.send(()).unwrap());
    ports.restart();
    told.recv_timeout(SOON).unwrap();
    ports.plug_in(&key);
    told.recv_timeout(SOON).unwrap();
    assert_eq!(ports.log().watched, 2);
    ports.fail(TransportError::Unavailable("the service is gone".to_owned()));
    told.recv_timeout(SOON).expect("the keys are gone, and that is said");
    assert!(told.recv_timeout(SOON).is_err(), "its thread has ended");
}

#[test]
fn a_watch_may_be_dropped_by_its_own_callback() {
    let (ports, key) = (Ports::new(), opensk());
    let slot = std::sync::Arc::new(std::sync::Mutex::new(None));
    let (tell, told) = channel();
    let mine = slot.clone();
    let watch = ports.keys().watch(move || {
        drop(mine.lock().unwrap().take());
        tell.send(()).unwrap();
    });
    *slot.lock().unwrap() = Some(watch);
    ports.plug_in(&key);
    told.recv_timeout(SOON).unwrap();
    assert!(told.recv_timeout(SOON).is_err(), "its thread has ended");
}
