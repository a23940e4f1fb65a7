//! The key itself: what a test does to it is what it shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_core::ceremony::{Event, PinRequest, User};
use ctap_core::ceremony::{get_info, select};
use ctap_core::transport::{CancelToken, Device};
use ctap_core::{Error, Pin};
use std::time::Duration;
use virtual_keys::{Endpoint, Key, Packet, Touch, opensk};

const PATIENCE: Duration = Duration::from_secs(20);

struct Nobody;

impl User for Nobody {
    fn pin(&mut self, _: &PinRequest) -> Option<Pin> {
        None
    }

    fn status(&mut self, _: Event) {}
}

fn packet(channel: [u8; 4], command: u8, data: &[u8]) -> Packet {
    let mut packet = [0; 64];
    packet[..4].copy_from_slice(&channel);
    packet[4] = command | 0x80;
    packet[6] = u8::try_from(data.len()).unwrap();
    packet[7..7 + data.len()].copy_from_slice(data);
    packet
}

fn receive(endpoint: &Endpoint) -> Packet {
    endpoint.packets_out.recv_timeout(PATIENCE).expect("a packet")
}

/// A channel, and the key's capabilities.
fn init(endpoint: &Endpoint) -> ([u8; 4], u8) {
    endpoint.packets_in.send(packet([0xff; 4], 0x06, &[7; 8]));
    let answer = receive(endpoint);
    assert_eq!(answer[4..15], [0x86, 0, 17, 7, 7, 7, 7, 7, 7, 7, 7]);
    (answer[15..19].try_into().unwrap(), answer[23])
}

fn plugged_in(touch: Touch) -> (Key, Endpoint, [u8; 4]) {
    let key = opensk::key(touch);
    let endpoint = key.plug_in();
    let (channel, capabilities) = init(&endpoint);
    assert_eq!(capabilities, 0x05, "wink and CBOR");
    (key, endpoint, channel)
}

#[test]
fn over_packets_it_blinks_says_so_and_answers_once_touched() {
    let (key, endpoint, channel) = plugged_in(Touch::Waits);
    endpoint.packets_in.send(packet(channel, 0x10, &[0x0b]));
    assert_eq!(receive(&endpoint)[4..8], [0xbb, 0, 1, 2], "a keepalive: touch wanted");
    assert!(key.wait_until_blinking() && key.touch());
    let answer = std::iter::from_fn(|| Some(receive(&endpoint))).find(|packet| packet[4] != 0xbb).unwrap();
    assert_eq!(answer[4..8], [0x90, 0, 1, 0]);
    let seen = key.seen();
    assert_eq!((seen.blinking, seen.blinked, seen.touched, seen.cancelled), (false, 1, 1, 0));
    assert_eq!(seen.commands, [vec![0x0b]]);
    assert!(!key.touch(), "it does not blink any more");
}

#[test]
fn over_packets_cancel_makes_it_dark_and_answer() {
    let (key, endpoint, channel) = plugged_in(Touch::Waits);
    endpoint.packets_in.send(packet(channel, 0x10, &[0x0b]));
    assert!(key.wait_until_blinking());
    endpoint.packets_in.send(packet(channel, 0x11, &[]));
    let answer = std::iter::from_fn(|| Some(receive(&endpoint))).find(|packet| packet[4] != 0xbb).unwrap();
    assert_eq!(answer[4..8], [0x90, 0, 1, 0x2d], "CTAP2_ERR_KEEPALIVE_CANCEL");
    assert!(key.wait_until_dark());
    assert_eq!(key.seen().cancelled, 1);
}

#[test]
fn over_packets_another_channel_is_told_that_it_is_busy_while_it_blinks() {
    let (key, endpoint, channel) = plugged_in(Touch::Waits);
    let (other, _) = init(&endpoint);
    endpoint.packets_in.send(packet(channel, 0x10, &[0x0b]));
    assert!(key.wait_until_blinking());
    endpoint.packets_in.send(packet(other, 0x10, &[0x04]));
    let answer = std::iter::from_fn(|| Some(receive(&endpoint))).find(|packet| packet[4] != 0xbb).unwrap();
    assert_eq!((&answer[..4], &answer[4..8]), (other.as_slice(), [0xbf, 0, 1, 6].as_slice()));
}

#[test]
fn it_winks() {
    let (key, endpoint, channel) = plugged_in(Touch::AtOnce);
    endpoint.packets_in.send(packet(channel, 0x08, &[]));
    assert_eq!(receive(&endpoint)[4], 0x88);
    assert!(key.wait_until(PATIENCE, |seen| seen.winks == 1));
}

#[test]
fn as_a_u2f_key_it_has_no_cbor() {
    let key = opensk::key(Touch::AtOnce);
    key.set_u2f_only(true);
    let endpoint = key.plug_in();
    let (channel, capabilities) = init(&endpoint);
    assert_eq!(capabilities, 0x01);
    endpoint.packets_in.send(packet(channel, 0x10, &[0x04]));
    assert_eq!(receive(&endpoint)[4..8], [0xbf, 0, 1, 1], "an invalid command");
}

#[test]
fn unplugged_while_it_blinks_it_says_no_more_and_works_again_when_it_is_plugged_in() {
    let (key, endpoint, channel) = plugged_in(Touch::Waits);
    endpoint.packets_in.send(packet(channel, 0x10, &[0x0b]));
    assert!(key.wait_until_blinking());
    key.unplug();
    assert!(key.wait_until_dark());
    // Keepalives may be left; then the endpoint is closed.
    assert!(
        std::iter::from_fn(|| endpoint.packets_out.recv_timeout(PATIENCE).ok())
            .all(|packet| packet[4] == 0xbb)
    );
    let endpoint = key.plug_in();
    init(&endpoint);
    assert_eq!(key.seen().powered, 3, "made, plugged in, plugged in again");
}

#[test]
fn in_process_it_waits_is_touched_cancelled_and_loses_power() {
    let key = opensk::key(Touch::Waits);
    let selecting = |cancel: CancelToken| {
        let mut device = key.device();
        std::thread::spawn(move || select(&mut device, &mut Nobody, &cancel))
    };
    let selection = selecting(CancelToken::new());
    assert!(key.wait_until_blinking() && key.touch());
    assert_eq!(selection.join().unwrap(), Ok(()));

    let cancel = CancelToken::new();
    let selection = selecting(cancel.clone());
    assert!(key.wait_until_blinking());
    cancel.cancel();
    assert_eq!(selection.join().unwrap(), Err(Error::Cancelled));

    let selection = selecting(CancelToken::new());
    assert!(key.wait_until_blinking());
    key.power_cycle();
    let gone = Error::Transport(ctap_core::transport::TransportError::Gone);
    assert_eq!(selection.join().unwrap(), Err(gone));

    key.set_touch(Touch::Declines);
    assert_eq!(selecting(CancelToken::new()).join().unwrap(), Err(Error::Denied));
    assert_eq!(key.seen().cancelled, 1);
}

#[test]
fn a_touch_that_does_not_come_is_waited_for_by_the_keys_own_clock() {
    let key = opensk::key(Touch::Waits);
    let mut device = key.device();
    let selection = std::thread::spawn(move || select(&mut device, &mut Nobody, &CancelToken::new()));
    assert!(key.wait_until_blinking());
    key.advance(Duration::from_secs(60));
    assert_eq!(selection.join().unwrap(), Err(Error::Timeout));
}

#[test]
fn two_keys_are_two() {
    let key_agreement = |key: &Key| {
        let command = [6, 0xa2, 1, 2, 2, 2];
        key.device().transact(&command, &mut |_| {}, &CancelToken::new()).unwrap()
    };
    let (one, other) = (opensk::key(Touch::AtOnce), opensk::key(Touch::AtOnce));
    assert_ne!(key_agreement(&one), key_agreement(&other));
    assert_eq!(
        get_info(&mut one.device(), &CancelToken::new()),
        get_info(&mut other.device(), &CancelToken::new())
    );
}
