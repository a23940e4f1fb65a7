//! Cards that answer what no card should, through a real pcscd: a typed error each, and an end.

use ctap_core::Error;
use ctap_core::ceremony::get_info;
use ctap_core::transport::{CancelToken, Transport, TransportError};
use ctap_nfc::{Limits, NfcTransport};
use std::time::{Duration, Instant};
use virtual_keys::applet::{Reply, Scripted};
use virtual_keys::pcscd::{self, Pcscd};
use virtual_keys::vpcd;

const SELECT: u8 = 0xa4;

fn transport() -> NfcTransport {
    NfcTransport::with_limits(Limits {
        select: Duration::from_secs(1),
        command: Duration::from_secs(3),
        cancel: Duration::from_secs(1),
        pause: Duration::from_millis(1),
    })
}

/// What getInfo comes to with a card that selects well and answers everything else with `answer`.
fn get_info_of(pcscd: &Pcscd, mut answer: impl FnMut(&[u8]) -> Reply + Send + 'static) -> Error {
    let card = Scripted::new(move |apdu: &[u8]| {
        if apdu[1] == SELECT { Reply::Apdu(b"FIDO_2_0\x90\x00".to_vec()) } else { answer(apdu) }
    });
    let laid = vpcd::lay(card, pcscd.port(0)).unwrap();
    let transport = transport();
    let mut device = crate::common::open_only(&transport);
    let begin = Instant::now();
    let error = get_info(device.as_mut(), &CancelToken::new()).unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(10), "{error}");
    drop(device);
    laid.lift();
    crate::common::wait_for(&transport, 0);
    error
}

fn says(error: &Error, what: &str) {
    let Error::Transport(TransportError::Framing(text)) = error else { panic!("{error:?} for {what}") };
    assert!(text.contains(what), "{text} for {what}");
}

fn always(answer: Vec<u8>) -> impl FnMut(&[u8]) -> Reply + Send + 'static {
    move |_| Reply::Apdu(answer.clone())
}

#[test]
fn a_card_that_answers_wrong_status_words_and_lengths_gets_an_error_each() {
    pcscd::run("hostile::a_card_that_answers_wrong_status_words_and_lengths_gets_an_error_each", |pcscd| {
        says(&get_info_of(pcscd, always(vec![0x6d, 0x00])), "6d00");
        says(&get_info_of(pcscd, always(vec![0x69, 0x85])), "6985");
        says(&get_info_of(pcscd, always(vec![0x12, 0x34])), "1234");
        says(&get_info_of(pcscd, always(vec![0x67, 0x00])), "6700");
        says(&get_info_of(pcscd, always(vec![0x90, 0x00])), "empty");
        says(&get_info_of(pcscd, always(vec![0x6c, 0x10])), "corrected");
        says(&get_info_of(pcscd, always(vec![1, 2, 3, 0x91, 0x00])), "keepalive of 3 bytes");
    });
}

#[test]
fn a_card_that_never_comes_to_an_end_is_ended() {
    pcscd::run("hostile::a_card_that_never_comes_to_an_end_is_ended", |pcscd| {
        says(&get_info_of(pcscd, always(vec![0x61, 0x00])), "announced");
        let endless = [vec![0; 256], vec![0x61, 0x00]].concat();
        says(&get_info_of(pcscd, always(endless)), "65535");
        let keepalive = get_info_of(pcscd, always(vec![1, 0x91, 0x00]));
        let silent = get_info_of(pcscd, |_| Reply::Silence);
        let leaves = get_info_of(pcscd, |_| Reply::Leave);
        assert!(
            keepalive == Error::Transport(TransportError::Timeout)
                || matches!(keepalive, Error::Transport(TransportError::Framing(_))),
            "{keepalive:?}"
        );
        assert_eq!(silent, Error::Transport(TransportError::Timeout));
        assert_eq!(leaves, Error::Transport(TransportError::Gone));
    });
}

#[test]
fn a_card_that_answers_rubbish_to_select_is_not_listed() {
    pcscd::run("hostile::a_card_that_answers_rubbish_to_select_is_not_listed", |pcscd| {
        let answers: [&[u8]; 6] =
            [b"\x90\x00", b"FIDO_3\x90\x00", b"\x61\x00", b"\x6c\x01", b"x", b"FIDO_2_0\x6a\x82"];
        for answer in answers {
            let card = Scripted::new(move |_: &[u8]| Reply::Apdu(answer.to_vec()));
            let asked = card.log();
            let laid = vpcd::lay(card, pcscd.port(0)).unwrap();
            let transport = transport();
            pcscd::wait_until("the card to be asked", || {
                assert_eq!(transport.devices(), Ok(Vec::new()));
                !asked.apdus().is_empty()
            });
            laid.lift();
        }
    });
}

#[test]
fn a_card_that_is_silent_at_select_is_not_listed_and_asked_once() {
    pcscd::run("hostile::a_card_that_is_silent_at_select_is_not_listed_and_asked_once", |pcscd| {
        let card = Scripted::new(|_: &[u8]| Reply::Silence);
        let asked = card.log();
        let _laid = vpcd::lay(card, pcscd.port(0)).unwrap();
        let transport = transport();
        pcscd::wait_until("the card to be asked", || {
            assert_eq!(transport.devices(), Ok(Vec::new()));
            !asked.apdus().is_empty()
        });
        assert_eq!(transport.devices(), Ok(Vec::new()));
        assert_eq!(asked.apdus().len(), 1);
    });
}

#[test]
fn generated_wrong_answers_end_in_an_error_each_and_the_next_command_is_tried_anew() {
    let name = "hostile::generated_wrong_answers_end_in_an_error_each_and_the_next_command_is_tried_anew";
    pcscd::run(name, |pcscd| {
        // xorshift: the same answers in every run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below).unwrap()
        };
        let statuses: [[u8; 2]; 10] = [
            [0x90, 0x00],
            [0x91, 0x00],
            [0x61, 0x00],
            [0x61, 0x07],
            [0x6c, 0x09],
            [0x67, 0x00],
            [0x6d, 0x00],
            [0x6e, 0x00],
            [0x69, 0x85],
            [0xff, 0xff],
        ];
        let card = Scripted::new(move |apdu: &[u8]| {
            if apdu[1] == SELECT {
                return Reply::Apdu(b"FIDO_2_0\x90\x00".to_vec());
            }
            let mut answer: Vec<u8> = (0..random(300)).map(|_| random(256) as u8).collect();
            // One in eight stays without a status word of ours.
            if random(8) > 0 {
                answer.extend(statuses[random(10)]);
            }
            answer.extend(if answer.is_empty() { &[0_u8][..] } else { &[] });
            Reply::Apdu(answer)
        });
        let log = card.log();
        let _laid = vpcd::lay(card, pcscd.port(0)).unwrap();
        let mut device = crate::common::open_only(&transport());
        for _ in 0..40 {
            let before = log.apdus().len();
            let error = get_info(device.as_mut(), &CancelToken::new()).unwrap_err();
            let typed = matches!(
                error,
                Error::Transport(TransportError::Framing(_)) | Error::Response { .. } | Error::Status { .. }
            );
            assert!(typed, "{error:?}");
            assert!(log.apdus().len() > before + 1, "the applet was selected anew");
        }
    });
}
