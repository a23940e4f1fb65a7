//! Cards that come and go under a watcher, through a real pcscd.

use crate::common::{Holder, card, enroll, set_pin, transport, wait_for};
use ctap_core::transport::{CancelToken, Transport, TransportError, Watcher};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use virtual_keys::applet::Manners;
use virtual_keys::key::Touch;
use virtual_keys::{opensk, pcscd, vpcd};

const SOON: Duration = Duration::from_secs(10);

/// Watches on a thread of its own: its thread ID, and a message for every time that the watcher woke up.
fn watch(
    mut watcher: Box<dyn Watcher>,
    cancel: &CancelToken,
) -> (String, Receiver<Result<(), TransportError>>) {
    let (thread, id) = channel();
    let (woke, wakes) = channel();
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        thread.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
        loop {
            let result = watcher.wait(&cancel);
            let over = result.is_err();
            if woke.send(result).is_err() || over {
                return;
            }
        }
    });
    (format!("/proc/{}/status", id.recv().unwrap().display()), wakes)
}

#[test]
fn cards_are_seen_as_they_come_and_go() {
    pcscd::run("hot_plug::cards_are_seen_as_they_come_and_go", |pcscd| {
        let key = opensk::key(Touch::AtOnce);
        let transport = transport();
        let cancel = CancelToken::new();
        let (_, wakes) = watch(transport.watch().unwrap(), &cancel);
        let laid = vpcd::lay(card(&key, Manners::default()), pcscd.port(0)).unwrap();
        wakes.recv_timeout(SOON).unwrap().unwrap();
        assert_eq!(transport.devices().unwrap().len(), 1, "it is there at the first look");
        laid.lift();
        wakes.recv_timeout(SOON).unwrap().unwrap();
        assert_eq!(transport.devices().unwrap().len(), 0);

        let other = vpcd::lay(card(&key, Manners::default()), pcscd.port(1)).unwrap();
        wakes.recv_timeout(SOON).unwrap().unwrap();
        assert_eq!(transport.devices().unwrap().len(), 1, "on the other reader");
        other.lift();
        wakes.recv_timeout(SOON).unwrap().unwrap();

        cancel.cancel();
        let last = std::iter::from_fn(|| wakes.recv_timeout(SOON).ok()).last();
        assert_eq!(last, Some(Err(TransportError::Cancelled)));
    });
}

#[test]
fn a_watcher_does_not_wake_while_nothing_happens() {
    pcscd::run("hot_plug::a_watcher_does_not_wake_while_nothing_happens", |pcscd| {
        let key = opensk::key(Touch::AtOnce);
        let transport = transport();
        let _laid = vpcd::lay(card(&key, Manners::default()), pcscd.port(0)).unwrap();
        wait_for(&transport, 1);
        let cancel = CancelToken::new();
        let (status, wakes) = watch(transport.watch().unwrap(), &cancel);
        let switches = || {
            let status = std::fs::read_to_string(&status).unwrap();
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
            line.unwrap().split_whitespace().last().unwrap().parse::<u64>().unwrap()
        };
        std::thread::sleep(Duration::from_secs(1));
        let before = switches();
        std::thread::sleep(Duration::from_secs(5));
        assert_eq!(switches() - before, 0);
        assert!(wakes.try_recv().is_err());
        cancel.cancel();
        assert_eq!(wakes.recv_timeout(SOON).unwrap(), Err(TransportError::Cancelled));
    });
}

#[test]
fn a_ceremony_does_not_look_like_a_card_that_comes_or_goes() {
    pcscd::run("hot_plug::a_ceremony_does_not_look_like_a_card_that_comes_or_goes", |pcscd| {
        let key = opensk::key(Touch::AtOnce);
        let transport = transport();
        let _laid = vpcd::lay(card(&key, Manners::default()), pcscd.port(0)).unwrap();
        let before = wait_for(&transport, 1);
        let cancel = CancelToken::new();
        let (_, wakes) = watch(transport.watch().unwrap(), &cancel);
        let mut device = transport.open(&before[0].id).unwrap();
        set_pin(device.as_mut()).unwrap();
        enroll(device.as_mut(), &mut Holder::new(), &CancelToken::new()).unwrap();
        drop(device);
        assert!(wakes.recv_timeout(Duration::from_secs(1)).is_err());
        assert_eq!(wait_for(&transport, 1), before, "resets don't make it another card");
    });
}

#[test]
fn a_watcher_is_cancelled_before_while_and_after_it_begins_to_wait() {
    pcscd::run("hot_plug::a_watcher_is_cancelled_before_while_and_after_it_begins_to_wait", |_| {
        let transport = transport();
        for delay in 0..200 {
            let cancel = CancelToken::new();
            let (_, wakes) = watch(transport.watch().unwrap(), &cancel);
            std::thread::sleep(Duration::from_micros(delay * 10));
            cancel.cancel();
            assert_eq!(wakes.recv_timeout(SOON).unwrap(), Err(TransportError::Cancelled));
        }
    });
}

#[test]
fn a_watcher_says_when_pcscd_ends() {
    pcscd::run("hot_plug::a_watcher_says_when_pcscd_ends", |pcscd| {
        let cancel = CancelToken::new();
        let (_, wakes) = watch(transport().watch().unwrap(), &cancel);
        std::thread::sleep(Duration::from_millis(200));
        pcscd.stop();
        let end = wakes.recv_timeout(SOON).unwrap();
        assert!(matches!(end, Err(TransportError::Unavailable(_))), "{end:?}");
    });
}

#[test]
fn pcscd_has_no_client_while_nothing_is_listed_watched_or_used() {
    pcscd::run("hot_plug::pcscd_has_no_client_while_nothing_is_listed_watched_or_used", |pcscd| {
        let sockets = || {
            let links = std::fs::read_dir("/proc/self/fd").unwrap();
            let links = links.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
            links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
        };
        let key = opensk::key(Touch::AtOnce);
        let _laid = vpcd::lay(card(&key, Manners::default()), pcscd.port(0)).unwrap();
        let before = sockets();
        let transport = transport();
        let devices = wait_for(&transport, 1);
        let mut device = transport.open(&devices[0].id).unwrap();
        pcscd::wait_until("no client", || sockets() == before);
        device.begin().unwrap();
        let watcher = transport.watch().unwrap();
        assert_eq!(sockets(), before + 2);
        drop(watcher);
        device.end();
        pcscd::wait_until("no client", || sockets() == before);
    });
}
