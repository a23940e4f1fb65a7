//! What security keys say below CTAP: packets on a channel, answers of a card.

use crate::check;
use ctap_core::messages::MAX_MESSAGE;
use ctap_hid::channel::{BUSY, BUSY_PAUSE, Channel, Input, Output};
use ctap_hid::frame::{Command, Frame, MAX_MESSAGE_LEN, REPORT_LEN};
use ctap_nfc::exchange::{Encoding, Exchange, Select, Step};
use std::time::{Duration, Instant};

/// A command on a CTAPHID channel: a byte that chooses it, then what happens, each with a byte before it. 0: a report of 64
/// bytes comes. 1: the caller gives up. 2: time passes until the deadline. Others: a millisecond passes.
///
/// Whatever comes, the exchange ends once nothing comes any more.
pub fn ctap_hid(data: &[u8]) {
    let Some((which, mut rest)) = data.split_first() else { return };
    let command = match which % 3 {
        0 => Command::CBOR,
        1 => Command::WINK,
        _ => Command::PING,
    };
    let mut now = Instant::now();
    let mut channel = Channel::new();
    let Ok((mut exchange, _)) = channel.begin(command, &[4], [0; 8], now) else { return };
    while let Some((kind, more)) = rest.split_first() {
        rest = more;
        let input = match kind {
            0 => match rest.split_first_chunk::<REPORT_LEN>() {
                Some((report, more)) => {
                    rest = more;
                    check(Frame::parse(report).is_ok(), "a report of 64 bytes is not read");
                    Input::Report(report)
                }
                None => {
                    check(Frame::parse(rest).is_err(), "a report of another length is read");
                    return;
                }
            },
            1 => Input::Cancel,
            2 => {
                now = now.max(exchange.deadline());
                Input::Deadline
            }
            _ => {
                now += Duration::from_millis(1);
                Input::Deadline
            }
        };
        match exchange.step(input, now) {
            Ok(Output::Done(payload)) => {
                return check(payload.len() <= MAX_MESSAGE_LEN, "a response is longer than a message can be");
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
    let pauses = BUSY.div_duration_f64(BUSY_PAUSE) as usize;
    for _ in 0..pauses + 8 {
        now = now.max(exchange.deadline());
        if exchange.step(Input::Deadline, now).is_err() {
            return;
        }
    }
    check(false, "an exchange with a silent device goes on");
}

/// A card that answers what the input says: a byte that chooses encoding and command, then answers, each behind two bytes
/// of length.
pub fn ctap_nfc(data: &[u8]) {
    let Some((which, answers)) = data.split_first() else { return };
    let answers = Answers(answers);
    let encoding = match which % 3 {
        0 => Encoding::Short,
        1 => Encoding::Extended,
        _ => Encoding::ShortT0,
    };
    if which & 0x80 != 0 {
        let (mut select, _) = Select::new(encoding);
        for answer in answers {
            match select.answer(answer) {
                Ok(Err(apdu)) => check(apdu.len() >= 4, "a command APDU without a header"),
                Ok(Ok(_)) | Err(_) => return,
            }
        }
        return;
    }
    let command = vec![0x55; if which & 0x40 == 0 { 1 } else { 700 }];
    let Ok((mut exchange, _)) = Exchange::new(&command, encoding) else {
        return check(false, "a command of 700 bytes is refused");
    };
    for answer in answers {
        match exchange.answer(answer) {
            Ok(Step::Send(apdu)) => check(apdu.len() >= 4, "a command APDU without a header"),
            Ok(Step::Keepalive(_)) => drop(exchange.ask_again(which & 0x20 != 0)),
            Ok(Step::Done(response)) => {
                return check(
                    (1..=MAX_MESSAGE).contains(&response.len()),
                    "a response is too long, or empty",
                );
            }
            Err(_) => return,
        }
    }
}

struct Answers<'a>(&'a [u8]);

impl<'a> Iterator for Answers<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (answer, rest) = rest.split_at(usize::from(u16::from_be_bytes(*len)).min(rest.len()));
        self.0 = rest;
        Some(answer)
    }
}
