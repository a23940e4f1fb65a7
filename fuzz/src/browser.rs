//! What comes from browsers at the native-messaging host.

use crate::{check, texts};
use fwp_native_host::frame::{Decoder, Frame, MAX_MESSAGE};
use fwp_native_host::message::Request;
use fwp_native_host::origin::payee_host;

/// A stream of frames: cut anywhere, the same messages come out, and none is larger than it may be.
pub fn native_frames(data: &[u8]) {
    let whole = frames(data, data.len().max(1));
    check(frames(data, 1) == whole, "the same stream has other frames when it comes byte by byte");
    check(frames(data, 7) == whole, "the same stream has other frames when it comes in pieces");
    for frame in &whole {
        match frame {
            Frame::Message(message) => check(message.len() <= MAX_MESSAGE, "a message is too large"),
            Frame::TooLarge(length) => {
                check(*length as usize > MAX_MESSAGE, "a message that fits was refused")
            }
        }
    }
}

fn frames(data: &[u8], piece: usize) -> Vec<Frame> {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for mut bytes in data.chunks(piece) {
        frames.extend(std::iter::from_fn(|| decoder.read(&mut bytes)));
        check(bytes.is_empty(), "bytes were left");
    }
    frames
}

/// A message of the extension; and as an origin.
pub fn native_message(data: &[u8]) {
    match Request::parse(data) {
        Ok((_, Request::CreatePayment { payee_host, .. })) => {
            check(fwp::PayeeHost::parse(payee_host.as_str()).is_ok(), "a payee host is none");
        }
        Ok(_) => {}
        Err(unreadable) => check(unreadable.failure.message.chars().count() <= 1024, "a refusal is long"),
    }
    let [origin] = texts(data);
    if let Ok(host) = payee_host(&origin) {
        check(origin.contains("://") && origin.contains(host.as_str()), "a payee host is not in its origin");
        let is_bare = origin.matches('/').count() == 2 && !origin.contains(['@', '?', '#']);
        check(is_bare, "more than an origin was taken");
    }
}
