//! Trussed's own CTAPHID layer, packet by packet: the key behaves over USB as a key does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;
use virtual_keys::{Endpoint, Key, Packet, Touch};

const PATIENCE: Duration = Duration::from_secs(20);

fn packet(channel: [u8; 4], command: u8, data: &[u8]) -> Packet {
    let mut packet = [0; 64];
    packet[..4].copy_from_slice(&channel);
    packet[4] = command | 0x80;
    packet[6] = u8::try_from(data.len()).unwrap();
    packet[7..7 + data.len()].copy_from_slice(data);
    packet
}

fn answer(endpoint: &Endpoint) -> Packet {
    let mut packets = std::iter::from_fn(|| endpoint.packets_out.recv_timeout(PATIENCE).ok());
    packets.find(|packet| packet[4] != 0xbb).expect("an answer")
}

fn plugged_in(touch: Touch) -> (Key, Endpoint, [u8; 4]) {
    let key = trussed_key::key(touch);
    let endpoint = key.plug_in();
    endpoint.packets_in.send(packet([0xff; 4], 0x06, &[7; 8]));
    let init = answer(&endpoint);
    assert_eq!(init[4..15], [0x86, 0, 17, 7, 7, 7, 7, 7, 7, 7, 7]);
    assert_eq!(init[23], 0x05, "wink and CBOR");
    (key, endpoint, init[15..19].try_into().unwrap())
}

#[test]
fn it_waits_for_a_touch_and_answers() {
    let (key, endpoint, channel) = plugged_in(Touch::Waits);
    endpoint.packets_in.send(packet(channel, 0x10, &[0x0b]));
    assert_eq!(endpoint.packets_out.recv_timeout(PATIENCE).unwrap()[4], 0xbb, "a keepalive");
    assert!(key.wait_until_blinking() && key.touch());
    assert_eq!(answer(&endpoint)[4..8], [0x90, 0, 1, 0]);
    assert!(key.wait_until_dark());
}

#[test]
fn cancel_makes_it_dark_and_answer() {
    let (key, endpoint, channel) = plugged_in(Touch::Waits);
    endpoint.packets_in.send(packet(channel, 0x10, &[0x0b]));
    assert!(key.wait_until_blinking());
    endpoint.packets_in.send(packet(channel, 0x11, &[]));
    assert_eq!(answer(&endpoint)[4..8], [0x90, 0, 1, 0x2d], "CTAP2_ERR_KEEPALIVE_CANCEL");
    assert!(key.wait_until_dark());
}

#[test]
fn an_answer_of_several_packets_arrives_whole() {
    let (_key, endpoint, channel) = plugged_in(Touch::AtOnce);
    endpoint.packets_in.send(packet(channel, 0x10, &[0x04]));
    let first = answer(&endpoint);
    let len = usize::from(u16::from_be_bytes([first[5], first[6]]));
    assert!(len > 57, "getInfo has more than one packet: {len}");
    let mut message = first[7..].to_vec();
    for sequence in 0.. {
        if message.len() >= len {
            break;
        }
        let next = endpoint.packets_out.recv_timeout(PATIENCE).unwrap();
        assert_eq!((&next[..4], next[4]), (channel.as_slice(), sequence));
        message.extend_from_slice(&next[5..]);
    }
    message.truncate(len);
    use ctap_core::messages::{GetInfo, Response};
    assert!(GetInfo::decode(&message).unwrap().unwrap().versions.contains(&"FIDO_2_1".to_owned()));
}

#[test]
fn it_winks() {
    let (key, endpoint, channel) = plugged_in(Touch::AtOnce);
    endpoint.packets_in.send(packet(channel, 0x08, &[]));
    assert_eq!(answer(&endpoint)[4], 0x88);
    assert!(key.wait_until(PATIENCE, |seen| seen.winks == 1));
}

#[test]
fn unplugged_while_it_blinks_it_says_no_more_and_works_again_when_it_is_plugged_in() {
    let (key, endpoint, channel) = plugged_in(Touch::Waits);
    endpoint.packets_in.send(packet(channel, 0x10, &[0x0b]));
    assert!(key.wait_until_blinking());
    key.unplug();
    assert!(key.wait_until_dark());
    let mut rest = std::iter::from_fn(|| endpoint.packets_out.recv_timeout(PATIENCE).ok());
    assert!(rest.all(|packet| packet[4] == 0xbb), "keepalives at most, then the end");
    let endpoint = key.plug_in();
    endpoint.packets_in.send(packet([0xff; 4], 0x06, &[7; 8]));
    assert_eq!(answer(&endpoint)[4], 0x86);
}
