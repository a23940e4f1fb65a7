//! Packets: what goes out comes back, and nothing that comes in panics or grows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_hid::HidError;
use ctap_hid::frame::{ChannelId, Command, Frame, MAX_MESSAGE_LEN, Message, REPORT_LEN, Reassembly};
use proptest::collection::vec;
use proptest::prelude::*;

const A: ChannelId = ChannelId([0, 0, 0, 1]);
const B: ChannelId = ChannelId([0, 0, 0, 2]);

fn message(channel: ChannelId, payload: Vec<u8>) -> Message {
    Message::new(channel, Command::CBOR, payload).unwrap()
}

fn reassemble(reports: impl IntoIterator<Item = [u8; REPORT_LEN]>) -> Result<Option<Message>, HidError> {
    let mut reassembly = Reassembly::default();
    let mut whole = None;
    for report in reports {
        assert!(whole.is_none(), "nothing after the last packet");
        whole = reassembly.push(Frame::parse(&report)?)?;
    }
    Ok(whole)
}

#[test]
fn packets_are_laid_out_as_the_standard_says() {
    let message = Message::new(ChannelId([1, 2, 3, 4]), Command::CBOR, (0..60).collect()).unwrap();
    let reports: Vec<_> = message.reports().collect();
    assert_eq!(reports.len(), 2);
    assert_eq!(reports[0][..8], [1, 2, 3, 4, 0x90, 0, 60, 0]);
    assert_eq!(reports[0][63], 56);
    assert_eq!(reports[1][..9], [1, 2, 3, 4, 0, 57, 58, 59, 0]);
    assert_eq!(reports[1][9..], [0; 55]);
}

#[test]
fn lengths_at_every_edge_take_the_packets_that_they_need() {
    for (len, packets) in [(0, 1), (57, 1), (58, 2), (57 + 59, 2), (57 + 60, 3), (MAX_MESSAGE_LEN, 129)] {
        let message = message(A, vec![0xa5; len]);
        assert_eq!(message.reports().count(), packets, "{len} bytes");
        assert_eq!(reassemble(message.reports()), Ok(Some(message)), "{len} bytes");
    }
    assert_eq!(MAX_MESSAGE_LEN, 7609);
    let too_long = Message::new(A, Command::CBOR, vec![0; 7610]);
    assert_eq!(too_long, Err(HidError::MessageLength(7610)));
}

#[test]
fn a_declared_length_beyond_what_packets_can_carry_is_refused_before_anything_is_kept() {
    for len in [7610u16, u16::MAX] {
        let mut report = [0; REPORT_LEN];
        report[4] = 0x90;
        report[5..7].copy_from_slice(&len.to_be_bytes());
        assert_eq!(reassemble([report]), Err(HidError::MessageLength(usize::from(len))));
    }
}

#[test]
fn packets_out_of_turn_are_each_named() {
    let reports: Vec<_> = message(A, vec![7; 200]).reports().collect();
    assert_eq!(reassemble([reports[0], reports[2]]), Err(HidError::Sequence { expected: 0, got: 1 }));
    assert_eq!(
        reassemble([reports[0], reports[1], reports[1]]),
        Err(HidError::Sequence { expected: 1, got: 0 })
    );
    assert_eq!(reassemble([reports[1]]), Err(HidError::Orphan));
    assert_eq!(reassemble([reports[0], reports[0]]), Err(HidError::Interrupted));
    assert_eq!(Frame::parse(&[0; 63]), Err(HidError::ReportLength(63)));
    assert_eq!(Frame::parse(&[0; 65]), Err(HidError::ReportLength(65)));
}

proptest! {
    #[test]
    fn any_message_comes_back_as_it_was(payload in vec(any::<u8>(), 0..=MAX_MESSAGE_LEN), command in 0u8..0x80, id: [u8; 4]) {
        let message = Message::new(ChannelId(id), Command(command), payload).unwrap();
        prop_assert_eq!(reassemble(message.reports()), Ok(Some(message.clone())));
    }

    #[test]
    fn messages_of_two_channels_that_are_mixed_come_apart_again(
        a in vec(any::<u8>(), 0..2000),
        b in vec(any::<u8>(), 0..2000),
        turns in vec(any::<bool>(), 80),
    ) {
        let (a, b) = (message(A, a), message(B, b));
        let (mut from_a, mut from_b) = (a.reports(), b.reports());
        let mut mixed = Vec::new();
        for turn in turns {
            mixed.extend(if turn { from_a.next() } else { from_b.next() });
        }
        mixed.extend(from_a);
        mixed.extend(from_b);
        for wanted in [&a, &b] {
            let own = mixed.iter().filter(|report| Frame::parse(*report).unwrap().channel() == wanted.channel);
            prop_assert_eq!(reassemble(own.copied()), Ok(Some(wanted.clone())));
        }
    }

    #[test]
    fn any_packets_give_messages_within_bounds_or_errors(reports in vec(vec(any::<u8>(), 60..=66), 0..200)) {
        let mut reassembly = Reassembly::default();
        for report in &reports {
            if let Ok(Some(message)) = Frame::parse(report).and_then(|frame| reassembly.push(frame)) {
                prop_assert!(message.payload().len() <= MAX_MESSAGE_LEN);
            }
        }
    }
}
