//! The channel without I/O: every way in which a device can answer, with a clock that the tests move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_core::transport::{KeepaliveStatus, TransportError};
use ctap_hid::channel::{BUSY_PAUSE, CANCEL_GRACE, Channel, Exchange, Input, Output, SILENCE, TOTAL};
use ctap_hid::frame::{ChannelId, Command, Message};
use ctap_hid::{DeviceError, HidError};
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const ID: ChannelId = ChannelId([1, 2, 3, 4]);
const OTHER: ChannelId = ChannelId([4, 3, 2, 1]);
const NONCE: [u8; 8] = *b"12345678";
const COMMAND: &[u8] = &[4];
const CBOR_AND_WINK: u8 = 0x05;

fn message(channel: ChannelId, command: Command, payload: &[u8]) -> Message {
    Message::new(channel, command, payload.to_vec()).unwrap()
}

/// The answer to the INIT that `output` sends.
fn init_answer(output: &Output, id: ChannelId, capabilities: u8) -> Message {
    let Output::Send(init) = output else { panic!("{output:?}") };
    assert_eq!(init.command, Command::INIT);
    let rest = [&id.0[..], &[2, 5, 4, 3, capabilities]].concat();
    message(init.channel, Command::INIT, &[init.payload(), &rest].concat())
}

/// Gives all packets of `message`, and returns what the last one leads to.
fn give(exchange: &mut Exchange<'_>, message: &Message, now: Instant) -> Result<Output, HidError> {
    message.reports().try_fold(Output::Wait, |_, report| exchange.step(Input::Report(&report), now))
}

/// A channel that was allocated and has served a command.
fn allocated(now: Instant) -> Channel {
    let mut channel = Channel::new();
    let (mut exchange, init) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    let sent = give(&mut exchange, &init_answer(&init, ID, CBOR_AND_WINK), now).unwrap();
    assert_eq!(sent, Output::Send(message(ID, Command::CBOR, COMMAND)));
    let done = give(&mut exchange, &message(ID, Command::CBOR, &[0]), now).unwrap();
    assert_eq!(done, Output::Done(vec![0]));
    channel
}

/// What the next exchange of `channel` begins with.
fn next_begins_with(channel: &mut Channel, now: Instant) -> (ChannelId, Command) {
    match channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap().1 {
        Output::Send(message) => (message.channel, message.command),
        other => panic!("{other:?}"),
    }
}

/// The result of giving `answer` to a command.
fn answered(answer: &Message) -> Result<Output, HidError> {
    let now = Instant::now();
    let mut channel = allocated(now);
    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    give(&mut exchange, answer, now)
}

#[test]
fn a_channel_is_allocated_once_and_tells_of_its_device() {
    let now = Instant::now();
    let mut channel = allocated(now);
    let info = channel.info().unwrap();
    assert_eq!((channel.id(), info.version), (Some(ID), [5, 4, 3]));
    assert!(info.has_cbor() && info.can_wink() && info.has_msg());
    assert_eq!(next_begins_with(&mut channel, now), (ID, Command::CBOR), "no second INIT");
}

#[test]
fn another_programs_init_answer_is_not_ours() {
    let now = Instant::now();
    let mut channel = Channel::new();
    let (mut exchange, init) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    let foreign = [&b"another!"[..], &OTHER.0, &[2, 0, 0, 0, CBOR_AND_WINK]].concat();
    let foreign = message(ChannelId::BROADCAST, Command::INIT, &foreign);
    assert_eq!(give(&mut exchange, &foreign, now), Ok(Output::Wait));
    give(&mut exchange, &init_answer(&init, ID, CBOR_AND_WINK), now).unwrap();
    assert_eq!(channel.id(), Some(ID));
}

#[test]
fn channels_that_cant_be_and_versions_that_arent_known_are_refused() {
    let now = Instant::now();
    for id in [ChannelId([0; 4]), ChannelId::BROADCAST] {
        let mut channel = Channel::new();
        let (mut exchange, init) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
        assert_eq!(give(&mut exchange, &init_answer(&init, id, 5), now), Err(HidError::Channel));
    }
    let mut channel = Channel::new();
    let (mut exchange, init) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    let mut payload = init_answer(&init, ID, 5).into_payload();
    payload[12] = 1;
    let answer = message(ChannelId::BROADCAST, Command::INIT, &payload);
    assert_eq!(give(&mut exchange, &answer, now), Err(HidError::Version(1)));
    let (mut exchange, init) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    let mut payload = init_answer(&init, ID, 5).into_payload();
    payload.truncate(16);
    let answer = message(ChannelId::BROADCAST, Command::INIT, &payload);
    assert_eq!(give(&mut exchange, &answer, now), Err(HidError::Length(Command::INIT)));
}

#[test]
fn a_u2f_only_key_is_too_old_and_one_without_wink_cant_wink() {
    let now = Instant::now();
    let mut channel = Channel::new();
    let (mut exchange, init) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    let result = give(&mut exchange, &init_answer(&init, ID, 0), now);
    assert_eq!(result, Err(HidError::TooOld));
    assert_eq!(TransportError::from(HidError::TooOld), TransportError::TooOld);
    // Known from now on, without a packet.
    assert_eq!(channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap_err(), HidError::TooOld);
    assert_eq!(channel.begin(Command::WINK, &[], NONCE, now).unwrap_err(), HidError::NoWink);
}

#[test]
fn keepalives_prolong_the_wait_but_not_for_ever() {
    let start = Instant::now();
    let mut channel = allocated(start);
    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, start).unwrap();
    let keepalive = message(ID, Command::KEEPALIVE, &[2]);
    let mut now = start;
    while now < start + TOTAL {
        let output = give(&mut exchange, &keepalive, now);
        assert_eq!(output, Ok(Output::Keepalive(KeepaliveStatus::UserPresenceNeeded)));
        assert!(exchange.deadline() <= start + TOTAL);
        now += Duration::from_secs(1);
    }
    assert_eq!(give(&mut exchange, &keepalive, now), Err(HidError::Silent));
}

#[test]
fn silence_is_a_time_out_and_the_next_command_begins_in_step() {
    let now = Instant::now();
    let mut channel = allocated(now);
    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    assert_eq!(exchange.deadline(), now + SILENCE);
    assert_eq!(exchange.step(Input::Deadline, now), Ok(Output::Wait), "not yet");
    assert_eq!(exchange.step(Input::Deadline, now + SILENCE), Err(HidError::Silent));
    assert_eq!(next_begins_with(&mut channel, now), (ID, Command::INIT));

    // What was still on its way when the INIT went out is not taken for its answer.
    let (mut exchange, init) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    let late = message(ID, Command::CBOR, &[9; 100]);
    assert_eq!(give(&mut exchange, &late, now), Ok(Output::Wait));
    assert_eq!(give(&mut exchange, &message(ID, Command::ERROR, &[0x7f]), now), Ok(Output::Wait));
    let sent = give(&mut exchange, &init_answer(&init, ID, CBOR_AND_WINK), now);
    assert_eq!(sent, Ok(Output::Send(message(ID, Command::CBOR, COMMAND))));
}

#[test]
fn packets_for_other_channels_without_end_prolong_nothing() {
    let now = Instant::now();
    let mut channel = allocated(now);
    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    let foreign = message(OTHER, Command::KEEPALIVE, &[2]);
    assert_eq!(give(&mut exchange, &foreign, now), Ok(Output::Wait));
    assert_eq!(exchange.deadline(), now + SILENCE);
    assert_eq!(give(&mut exchange, &foreign, now + SILENCE), Err(HidError::Silent));

    let mut channel = Channel::new();
    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    assert_eq!(give(&mut exchange, &foreign, now + SILENCE), Err(HidError::Silent), "during INIT as well");
}

#[test]
fn a_busy_device_is_asked_again_and_given_up_in_the_end() {
    let start = Instant::now();
    let mut channel = allocated(start);
    let busy = message(ID, Command::ERROR, &[0x06]);
    let command = Output::Send(message(ID, Command::CBOR, COMMAND));
    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, start).unwrap();
    assert_eq!(give(&mut exchange, &busy, start), Ok(Output::Wait));
    let mut now = start + BUSY_PAUSE;
    assert_eq!(exchange.step(Input::Deadline, now), Ok(command));
    let done = give(&mut exchange, &message(ID, Command::CBOR, &[0]), now);
    assert_eq!(done, Ok(Output::Done(vec![0])), "free again");

    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, start).unwrap();
    let mut tries = 0;
    let error = loop {
        if let Err(error) = give(&mut exchange, &busy, now) {
            break error;
        }
        tries += 1;
        now += BUSY_PAUSE;
        exchange.step(Input::Deadline, now).unwrap();
    };
    assert_eq!((error.clone(), tries), (HidError::Busy, 20));
    assert_eq!(TransportError::from(error), TransportError::Busy);
}

#[test]
fn lost_sync_is_found_again_once_and_the_command_sent_again() {
    let now = Instant::now();
    for code in [0x04, 0x05] {
        let mut channel = allocated(now);
        let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
        let lost = message(ID, Command::ERROR, &[code]);
        let init = give(&mut exchange, &lost, now).unwrap();
        let sent = give(&mut exchange, &init_answer(&init, ID, 5), now);
        assert_eq!(sent, Ok(Output::Send(message(ID, Command::CBOR, COMMAND))));
        let error = HidError::Device(DeviceError::from_byte(code));
        assert_eq!(give(&mut exchange, &lost, now), Err(error), "but once only");
    }
    // A channel that the device forgot, over a suspend say, is allocated anew.
    let mut channel = allocated(now);
    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    let init = give(&mut exchange, &message(ID, Command::ERROR, &[0x0b]), now).unwrap();
    let answer = init_answer(&init, OTHER, 5);
    assert_eq!(answer.channel, ChannelId::BROADCAST);
    let sent = give(&mut exchange, &answer, now);
    assert_eq!(sent, Ok(Output::Send(message(OTHER, Command::CBOR, COMMAND))));
}

#[test]
fn every_error_of_the_standard_is_told_apart() {
    let errors = [
        (0x01, DeviceError::InvalidCommand),
        (0x02, DeviceError::InvalidParameter),
        (0x03, DeviceError::InvalidLength),
        (0x0a, DeviceError::LockRequired),
        (0x7f, DeviceError::Other),
        (0x99, DeviceError::Unknown(0x99)),
    ];
    for (code, error) in errors {
        assert_eq!(answered(&message(ID, Command::ERROR, &[code])), Err(HidError::Device(error)));
    }
    assert_eq!(DeviceError::from_byte(0x0b), DeviceError::InvalidChannel);
    assert_eq!(DeviceError::from_byte(0x06), DeviceError::ChannelBusy);
}

#[test]
fn answers_that_are_none_are_each_named() {
    let unexpected = HidError::Unexpected { sent: Command::CBOR, got: Command::MSG };
    assert_eq!(answered(&message(ID, Command::MSG, &[0])), Err(unexpected));
    assert_eq!(answered(&message(ID, Command::KEEPALIVE, &[3])), Err(HidError::Keepalive(3)));
    let length = Err(HidError::Length(Command::KEEPALIVE));
    assert_eq!(answered(&message(ID, Command::KEEPALIVE, &[1, 1])), length);
    assert_eq!(answered(&message(ID, Command::ERROR, &[])), Err(HidError::Length(Command::ERROR)));
    assert!(matches!(TransportError::from(HidError::Keepalive(3)), TransportError::Framing(_)));
}

#[test]
fn cancel_is_sent_once_and_the_devices_answer_is_the_result() {
    let now = Instant::now();
    let mut channel = allocated(now);
    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    let cancel = exchange.step(Input::Cancel, now);
    assert_eq!(cancel, Ok(Output::Send(message(ID, Command::CANCEL, &[]))));
    assert_eq!(exchange.step(Input::Cancel, now), Ok(Output::Wait));
    // Keepalives that were on their way don't prolong what is left.
    assert_eq!(give(&mut exchange, &message(ID, Command::KEEPALIVE, &[2]), now), Ok(Output::Wait));
    assert_eq!(exchange.deadline(), now + CANCEL_GRACE);
    let answer = give(&mut exchange, &message(ID, Command::CBOR, &[0x2d]), now);
    assert_eq!(answer, Ok(Output::Done(vec![0x2d])));
    assert_eq!(next_begins_with(&mut channel, now), (ID, Command::CBOR));
}

#[test]
fn a_device_that_does_not_hear_the_cancel_is_left_and_brought_in_step_later() {
    let now = Instant::now();
    let mut channel = allocated(now);
    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    exchange.step(Input::Cancel, now).unwrap();
    let keepalive = message(ID, Command::KEEPALIVE, &[2]);
    assert_eq!(give(&mut exchange, &keepalive, now + CANCEL_GRACE), Err(HidError::Cancelled));
    assert_eq!(next_begins_with(&mut channel, now), (ID, Command::INIT));
}

#[test]
fn a_response_that_has_begun_is_not_cancelled_but_taken() {
    let now = Instant::now();
    let mut channel = allocated(now);
    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    let reports: Vec<_> = message(ID, Command::CBOR, &[0; 100]).reports().collect();
    assert_eq!(exchange.step(Input::Report(&reports[0]), now), Ok(Output::Wait));
    assert_eq!(exchange.step(Input::Cancel, now), Ok(Output::Wait), "nothing is sent");
    assert_eq!(exchange.step(Input::Report(&reports[1]), now), Ok(Output::Done(vec![0; 100])));
}

/// A packet every now and then must not keep somebody waiting who has given up.
#[test]
fn a_response_that_trickles_in_after_a_cancel_is_left() {
    let now = Instant::now();
    let reports: Vec<_> = message(ID, Command::CBOR, &[0; 500]).reports().collect();
    for begun_before in [true, false] {
        let mut channel = allocated(now);
        let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
        let (before, after) = reports.split_at(usize::from(begun_before));
        for report in before {
            exchange.step(Input::Report(report), now).unwrap();
        }
        exchange.step(Input::Cancel, now).unwrap();
        let half = CANCEL_GRACE / 2;
        assert_eq!(exchange.step(Input::Report(&after[0]), now + half), Ok(Output::Wait));
        assert_eq!(exchange.deadline(), now + CANCEL_GRACE);
        let late = exchange.step(Input::Report(&after[1]), now + CANCEL_GRACE);
        assert_eq!(late, Err(HidError::Cancelled));
    }
}

/// Only CTAP2 commands wait for a user (CTAP 2.1 section 11.2.9.1.4), and a wink can't be cancelled.
#[test]
fn keepalives_prolong_nothing_but_ctap2_commands() {
    let now = Instant::now();
    for command in [Command::WINK, Command::PING] {
        let mut channel = allocated(now);
        let (mut exchange, _) = channel.begin(command, &[], NONCE, now).unwrap();
        let keepalive = message(ID, Command::KEEPALIVE, &[2]);
        assert_eq!(give(&mut exchange, &keepalive, now + SILENCE / 2), Ok(Output::Wait));
        assert_eq!(exchange.deadline(), now + SILENCE);
        assert_eq!(give(&mut exchange, &keepalive, now + SILENCE), Err(HidError::Silent));
    }
}

/// It may have done it: what a command carries (a PIN's hash, say) goes out once.
#[test]
fn a_command_that_the_device_was_at_work_on_is_not_sent_again() {
    let now = Instant::now();
    for code in [0x04, 0x05, 0x0b] {
        let mut channel = allocated(now);
        let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
        give(&mut exchange, &message(ID, Command::KEEPALIVE, &[1]), now).unwrap();
        let lost = give(&mut exchange, &message(ID, Command::ERROR, &[code]), now);
        assert_eq!(lost, Err(HidError::Device(DeviceError::from_byte(code))));
    }
    let mut channel = allocated(now);
    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    give(&mut exchange, &message(ID, Command::KEEPALIVE, &[1]), now).unwrap();
    let busy = give(&mut exchange, &message(ID, Command::ERROR, &[0x06]), now);
    assert_eq!(busy, Err(HidError::Busy));
}

#[test]
fn nothing_is_sent_for_a_cancel_before_the_command_was() {
    let now = Instant::now();
    let mut channel = Channel::new();
    let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
    assert_eq!(exchange.step(Input::Cancel, now), Err(HidError::Cancelled));
}

proptest! {
    /// The device answers the INIT, and then sends anything, much of it on our channel and of plausible kinds.
    #[test]
    fn whatever_a_device_sends_the_exchange_ends_in_time_and_in_bounds(
        reports in vec(
            (any::<bool>(), prop_oneof![0u8..0x80, Just(0x90), Just(0xbb), Just(0xbf), Just(0x86)], 0u16..300, vec(any::<u8>(), 57)),
            0..400,
        ),
        cancel_at in 0usize..400,
        millis in 1u64..2000,
    ) {
        let start = Instant::now();
        let mut now = start;
        let mut channel = allocated(now);
        let (mut exchange, _) = channel.begin(Command::CBOR, COMMAND, NONCE, now).unwrap();
        let mut result = Ok(Output::Wait);
        for (number, (ours, kind, len, data)) in reports.iter().enumerate() {
            now += Duration::from_millis(millis);
            let id = if *ours { ID } else { OTHER };
            let report: Vec<u8> = [&id.0[..], &[*kind], &len.to_be_bytes(), data].concat();
            let input = if number == cancel_at { Input::Cancel } else { Input::Report(&report) };
            result = exchange.step(input, now);
            if matches!(result, Err(_) | Ok(Output::Done(_))) {
                break;
            }
        }
        if let Ok(Output::Done(payload)) = &result {
            prop_assert!(payload.len() <= 7609);
        }
        prop_assert!(exchange.deadline() <= start + TOTAL + SILENCE);
    }
}
