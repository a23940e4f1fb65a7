//! Commands to a device on a hidraw node that is played by the tests: what comes back, and when it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{ID, open_node, open_the_key, play, played_key, timed, transact};
use ctap_core::transport::{CancelToken, KeepaliveStatus, TransportError};
use ctap_hid::frame::{ChannelId, Command};
use std::time::Duration;

/// `authenticatorGetInfo`, or whatever: the player does not look.
const COMMAND: &[u8] = &[4];

mockdev::test! {
    fn keepalives_are_told_and_then_the_answer() {
        let (_testbed, _key, player) = played_key(|player| {
            player.receive();
            // Another program's answer, on its channel, is on everybody's hidraw.
            player.send_on(ChannelId([9; 4]), Command::CBOR, &[0xee; 80]);
            for status in [1, 1, 2] {
                player.send(Command::KEEPALIVE, &[status]);
            }
            player.send(Command::CBOR, &[0, 0xa0]);
        });
        let mut statuses = Vec::new();
        let mut device = open_the_key();
        let response = device.transact(COMMAND, &mut |status| statuses.push(status), &CancelToken::new());
        assert_eq!(response, Ok(vec![0, 0xa0]));
        let [processing, touch] = [KeepaliveStatus::Processing, KeepaliveStatus::UserPresenceNeeded];
        assert_eq!(statuses, [processing, processing, touch]);
        assert_eq!(player.join().unwrap().messages.last().unwrap(), &(Command::CBOR, COMMAND.to_vec()));
    }

    fn the_longest_messages_go_both_ways_unchanged() {
        let (mut testbed, key, player) = played_key(|player| {
            while let Some((command, payload)) = player.receive() {
                player.send(command, &payload);
            }
        });
        let mut device = open_node();
        for len in [0, 57, 58, 1024, 7609] {
            let payload: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            assert_eq!(device.ping(&payload, &CancelToken::new()), Ok(payload), "{len} bytes");
        }
        assert!(matches!(device.ping(&[0; 7610], &CancelToken::new()), Err(TransportError::Framing(_))));
        testbed.unplug(key).unwrap();
        player.join().unwrap();
    }

    fn answers_to_others_that_piled_up_are_not_in_the_way() {
        let (_testbed, _key, player) = played_key(|player| {
            for _ in 0..2 {
                let (command, payload) = player.receive().unwrap();
                player.send(command, &payload);
                // Late, or somebody else's.
                for _ in 0..20 {
                    player.send(Command::CBOR, &[0xee]);
                }
            }
        });
        let mut device = open_node();
        assert_eq!(device.ping(b"one", &CancelToken::new()), Ok(b"one".to_vec()));
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(device.ping(b"two", &CancelToken::new()), Ok(b"two".to_vec()));
        player.join().unwrap();
    }

    fn a_device_that_never_answers_is_given_up() {
        let (_testbed, _key, player) = played_key(|player| while player.far_end.receive(Duration::from_secs(5)).is_some() {});
        let (result, time) = timed(|| transact(&mut *open_the_key(), COMMAND));
        assert_eq!(result, Err(TransportError::Timeout));
        assert!(time < Duration::from_secs(8), "{time:?}");
        player.join().unwrap();
    }

    fn a_device_that_talks_to_others_without_end_is_given_up() {
        let (testbed, key, player) = played_key(|player| {
            player.receive();
            let foreign = [&[9; 4][..], &[0xbb, 0, 1, 2], &[0; 56]].concat();
            while player.far_end.send(&foreign).is_ok() && player.far_end.receive(Duration::from_millis(1)).is_none() {}
        });
        let mut device = open_the_key();
        let (result, time) = timed(|| transact(&mut *device, COMMAND));
        assert_eq!(result, Err(TransportError::Timeout));
        assert!(time < Duration::from_secs(8), "{time:?}");
        // Ends the player: the next command is what it receives.
        let cancel = CancelToken::new();
        let canceller = cancel.clone();
        let later = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            canceller.cancel();
        });
        let _ = device.transact(COMMAND, &mut |_| {}, &cancel);
        later.join().unwrap();
        player.join().unwrap();
        drop((testbed, key));
    }

    fn a_device_that_is_busy_is_asked_again_and_then_said_to_be_busy() {
        let (mut testbed, key, player) = played_key(|player| {
            for _ in 0..3 {
                player.receive();
                player.send(Command::ERROR, &[0x06]);
            }
            player.receive();
            player.send(Command::CBOR, &[0]);
            while player.receive().is_some() {
                player.send(Command::ERROR, &[0x06]);
            }
        });
        let mut device = open_the_key();
        assert_eq!(transact(&mut *device, COMMAND), Ok(vec![0]));
        let (result, time) = timed(|| transact(&mut *device, COMMAND));
        assert_eq!(result, Err(TransportError::Busy));
        assert!(time < Duration::from_secs(8), "{time:?}");
        testbed.unplug(key).unwrap();
        player.join().unwrap();
    }

    fn cancel_reaches_the_device_at_once_and_nothing_is_sent_after_it() {
        let (_testbed, _key, player) = played_key(|player| {
            player.receive();
            player.send(Command::KEEPALIVE, &[2]);
            assert_eq!(player.receive(), Some((Command::CANCEL, Vec::new())));
            player.send(Command::CBOR, &[0x2d]);
            assert_eq!(player.receive_for(Duration::from_millis(500)), None);
        });
        let cancel = CancelToken::new();
        let canceller = cancel.clone();
        let mut device = open_the_key();
        let (blinks, is_blinking) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            is_blinking.recv().unwrap();
            canceller.cancel();
        });
        let result = device.transact(COMMAND, &mut |_| blinks.send(()).unwrap(), &cancel);
        assert_eq!(result, Ok(vec![0x2d]));
        thread.join().unwrap();
        assert_eq!(player.join().unwrap().count(Command::CANCEL), 1);
    }

    fn a_device_that_ignores_cancel_is_left_and_brought_in_step_before_the_next_command() {
        let (_testbed, _key, player) = played_key(|player| {
            player.receive();
            player.send(Command::KEEPALIVE, &[2]);
            assert_eq!(player.receive().unwrap().0, Command::CANCEL);
            // INIT is answered within `receive`.
            assert_eq!(player.receive().unwrap().0, Command::CBOR);
            player.send(Command::CBOR, &[7]);
        });
        let cancel = CancelToken::new();
        let mut device = open_the_key();
        let (result, time) = timed(|| device.transact(COMMAND, &mut |_| cancel.cancel(), &cancel));
        assert_eq!(result, Err(TransportError::Cancelled));
        assert!(time < Duration::from_secs(5), "{time:?}");
        assert_eq!(transact(&mut *device, COMMAND), Ok(vec![7]));
        let player = player.join().unwrap();
        let order: Vec<_> = player.messages.iter().map(|(command, _)| *command).collect();
        assert_eq!(order, [Command::INIT, Command::CBOR, Command::CANCEL, Command::INIT, Command::CBOR]);
        assert_eq!(player.reports[3][..4], ID.0, "the second INIT is on the channel itself");
    }

    fn a_wink_ends_soon_though_the_device_says_without_end_that_it_works() {
        let (mut testbed, key, player) = played_key(|player| {
            assert_eq!(player.receive().unwrap().0, Command::WINK);
            let keepalive = [&ID.0[..], &[0xbb, 0, 1, 2], &[0; 56]].concat();
            while player.far_end.send(&keepalive).is_ok() {
                player.far_end.receive(Duration::from_millis(100));
            }
        });
        assert_eq!(open_the_key().wink(), Err(TransportError::Timeout));
        testbed.unplug(key).unwrap();
        player.join().unwrap();
    }

    fn hundreds_of_opened_keys_leave_no_file_open() {
        let (mut testbed, key, player) = played_key(|player| {
            while let Some((command, _)) = player.receive() {
                match command {
                    Command::CBOR => player.send(Command::KEEPALIVE, &[2]),
                    _ => player.send(Command::CBOR, &[0x2d]),
                }
            }
        });
        let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        drop(open_the_key());
        let before = files();
        for _ in 0..200 {
            let cancel = CancelToken::new();
            let result = open_the_key().transact(COMMAND, &mut |_| cancel.cancel(), &cancel);
            assert_eq!(result, Ok(vec![0x2d]));
        }
        assert_eq!(files(), before);
        testbed.unplug(key).unwrap();
        player.join().unwrap();
    }

    fn nothing_is_sent_once_it_is_cancelled() {
        let (_testbed, _key, player) = played_key(|player| {
            assert_eq!(player.receive_for(Duration::from_millis(500)), None);
        });
        let cancel = CancelToken::new();
        cancel.cancel();
        let result = open_the_key().transact(COMMAND, &mut |_| {}, &cancel);
        assert_eq!(result, Err(TransportError::Cancelled));
        assert_eq!(player.join().unwrap().reports.len(), 0);
    }

    fn unplugged_in_the_middle_is_gone_at_once_and_stays_so() {
        let (mut testbed, key, player) = played_key(|player| {
            player.receive();
            player.send(Command::KEEPALIVE, &[2]);
            assert_eq!(player.receive(), None, "unplugged");
        });
        let mut device = open_the_key();
        let (blinks, is_blinking) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            is_blinking.recv().unwrap();
            testbed.unplug(key).unwrap();
            testbed
        });
        let mut work = || device.transact(COMMAND, &mut |_| blinks.send(()).unwrap(), &CancelToken::new());
        assert_eq!(work(), Err(TransportError::Gone), "not by a time-out");
        player.join().unwrap();
        let mut testbed = thread.join().unwrap();

        // The next one that is plugged in does not become this one.
        let next = testbed.plug(&mockdev::UsbDevice::key(1)).unwrap();
        let player = play(&mut testbed, &next, |player| {
            assert_eq!(player.receive().unwrap().0, Command::CBOR);
            player.send(Command::CBOR, &[1]);
        });
        assert_eq!(transact(&mut *device, COMMAND), Err(TransportError::Gone));
        assert_eq!(device.wink(), Err(TransportError::Gone));
        assert_eq!(transact(&mut *open_the_key(), COMMAND), Ok(vec![1]));
        player.join().unwrap();
    }

    fn a_u2f_only_key_is_too_old_and_never_sees_a_ctap2_command() {
        let (mut testbed, key, player) = played_key(|player| {
            player.capabilities = 0;
            assert_eq!(player.receive(), None);
        });
        let mut device = open_the_key();
        assert_eq!(transact(&mut *device, COMMAND), Err(TransportError::TooOld));
        assert_eq!(device.wink(), Err(TransportError::Unsupported("wink")));
        testbed.unplug(key).unwrap();
        let player = player.join().unwrap();
        assert_eq!(player.messages.iter().map(|(command, _)| *command).collect::<Vec<_>>(), [Command::INIT]);
    }

    fn wink_reaches_the_device() {
        let (_testbed, _key, player) = played_key(|player| {
            assert_eq!(player.receive(), Some((Command::WINK, Vec::new())));
            player.send(Command::WINK, &[]);
        });
        assert_eq!(open_the_key().wink(), Ok(()));
        player.join().unwrap();
    }

    fn malformed_answers_are_each_an_error_and_the_next_command_goes_well() {
        const CASES: u64 = 300;
        let (_testbed, _key, player) = played_key(|player| {
            for case in 0..CASES {
                assert_eq!(player.receive().unwrap().0, Command::CBOR);
                for report in hostile_reports(case) {
                    player.far_end.send(&report).unwrap();
                }
                let (command, payload) = player.receive().unwrap();
                assert_eq!(command, Command::PING);
                player.send(command, &payload);
            }
        });
        let mut device = open_node();
        let ((), time) = timed(|| {
            for case in 0..CASES {
                let result = transact(&mut device, COMMAND);
                assert!(matches!(result, Err(TransportError::Framing(_))), "case {case}: {result:?}");
                assert_eq!(device.ping(b"still there?", &CancelToken::new()), Ok(b"still there?".to_vec()), "case {case}");
            }
        });
        assert!(time < Duration::from_secs(50), "{time:?}");
        player.join().unwrap();
    }
}

/// Reports that are no answer: some noise on other channels, then one of each kind of breach, with random contents.
fn hostile_reports(case: u64) -> Vec<[u8; 64]> {
    let mut state = case.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    let mut report = |channel: ChannelId, header: &[u8]| {
        let mut report = [0; 64];
        report.iter_mut().for_each(|byte| *byte = random());
        report[..4].copy_from_slice(&channel.0);
        report[4..4 + header.len()].copy_from_slice(header);
        report
    };
    let noise = [report(ChannelId([7; 4]), &[]), report(ChannelId::BROADCAST, &[])];
    let begun = report(ID, &[0x90, 0x10, 0x00]);
    let breach = match case % 10 {
        0 => vec![report(ID, &[0x00])],                             // continues nothing
        1 => vec![begun, report(ID, &[0x01])],                      // a packet is missing
        2 => vec![begun, report(ID, &[0x00]), report(ID, &[0x00])], // a packet twice
        3 => vec![begun, begun],                                    // begins in the middle
        4 => vec![report(ID, &[0x90, 0xff, 0xff])],                 // longer than can be
        5 => vec![report(ID, &[0x83, 0x00, 0x02])],                 // the answer to something else
        6 => vec![report(ID, &[0xbb, 0x00, 0x01, 0x03 + (case % 200) as u8])], // no such keepalive
        7 => vec![report(ID, &[0xbb, 0x00, 0x02])],                 // a keepalive of two bytes
        8 => vec![report(ID, &[0xbf, 0x00, 0x00])],                 // an error without a code
        _ => vec![report(ID, &[0xbf, 0x00, 0x01, 0x10 + (case % 100) as u8])], // no such error
    };
    [&noise[..], &breach].concat()
}
