//! APDUs and exchanges without I/O: against a card that reads them on its own, and against any bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_core::messages::MAX_MESSAGE;
use ctap_nfc::apdu::{ApduError, Expected, Header, MAX_EXTENDED_DATA, MAX_RESPONSE, Response, StatusWord};
use ctap_nfc::exchange::{
    Encoding, Exchange, ExchangeError, FIDO_AID, MAX_EMPTY, MAX_KEEPALIVES, Select, Step, Version,
};
use proptest::collection::vec;
use proptest::prelude::*;
use virtual_keys::applet::{Apdu, Applet, Card, FnDevice, Manners, Reply};

const HEADER: Header = Header { class: 0x80, instruction: 0x10, p1: 0x80, p2: 0 };

/// The answer of `card` to `command`, keepalives skipped, and the exchange.
fn exchange_with(
    command: &[u8],
    encoding: Encoding,
    mut card: impl FnMut(&[u8]) -> Vec<u8>,
) -> (Result<Vec<u8>, ExchangeError>, Exchange) {
    let (mut exchange, mut apdu) = Exchange::new(command, encoding).unwrap();
    loop {
        let step = exchange.answer(&card(&apdu));
        apdu = match step {
            Ok(Step::Send(apdu)) => apdu,
            Ok(Step::Keepalive(_)) => exchange.ask_again(false),
            Ok(Step::Done(response)) => return (Ok(response), exchange),
            Err(error) => return (Err(error), exchange),
        };
    }
}

fn select(card: &mut impl Card, encoding: Encoding) -> Version {
    let (mut select, mut apdu) = Select::new(encoding);
    loop {
        let Reply::Apdu(answer) = card.apdu(&apdu) else { panic!("no answer") };
        match select.answer(&answer).unwrap() {
            Ok(version) => return version,
            Err(next) => apdu = next,
        }
    }
}

fn encodings() -> impl Strategy<Value = Encoding> {
    prop_oneof![Just(Encoding::Short), Just(Encoding::Extended), Just(Encoding::ShortT0)]
}

proptest! {
    #[test]
    fn a_card_reads_what_is_written(data in vec(any::<u8>(), 0..2_000), le in any::<u8>()) {
        let expected = Expected::of_sw2(le);
        if let Ok(short) = HEADER.short(&data, expected) {
            let read = Apdu::parse(&short).unwrap();
            prop_assert_eq!((read.data, read.le, read.extended), (data.as_slice(), Some(le.into()), false));
        } else {
            prop_assert!(data.len() > 255);
        }
        let extended = HEADER.extended(&data, expected).unwrap();
        let read = Apdu::parse(&extended).unwrap();
        prop_assert_eq!((read.data, read.le, read.extended), (data.as_slice(), Some(le.into()), true));

        let chain = HEADER.chain(&data, expected);
        let links: Vec<_> = chain.iter().map(|apdu| Apdu::parse(apdu).unwrap()).collect();
        prop_assert_eq!(links.iter().flat_map(|link| link.data).copied().collect::<Vec<_>>(), data);
        let (last, others) = links.split_last().unwrap();
        prop_assert!(others.iter().all(|link| link.class == 0x90 && link.data.len() == 255 && link.le.is_none()));
        prop_assert_eq!((last.class, last.le), (0x80, Some(le.into())));
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error(bytes in vec(any::<u8>(), 0..600)) {
        match Response::parse(&bytes) {
            Ok(response) => {
                let status = response.status.0.to_be_bytes();
                prop_assert_eq!([response.data, status.as_slice()].concat(), bytes);
            }
            Err(error) => prop_assert_eq!(error, ApduError::TooShort(bytes.len())),
        }
    }

    #[test]
    fn a_command_and_its_response_arrive_whole_however_they_are_encoded(
        command in vec(any::<u8>(), 1..3_000),
        response in vec(any::<u8>(), 1..3_000),
        encoding in encodings(),
        extended in any::<bool>(),
    ) {
        let (arrived, command_there) = std::sync::mpsc::channel();
        let answer = response.clone();
        let device = FnDevice(move |command: &[u8]| {
            arrived.send(command.to_vec()).unwrap();
            answer.clone()
        });
        let mut card = Applet::new(device, Manners { extended, ..Manners::default() });
        prop_assert_eq!(select(&mut card, encoding), Version::Fido2);
        let (result, exchange) = exchange_with(&command, encoding, |apdu| match card.apdu(apdu) {
            Reply::Apdu(answer) => answer,
            other => panic!("{other:?}"),
        });
        prop_assert_eq!(result, Ok(response));
        prop_assert_eq!(command_there.recv().unwrap(), command.clone());
        let sent_extended = encoding == Encoding::Extended && command.len() > 255;
        prop_assert_eq!(exchange.extended_refused(), sent_extended && !extended);
    }

    #[test]
    fn a_hostile_card_ends_with_an_error_or_a_bounded_answer(
        answers in vec(hostile_answer(), 1..40),
        command in vec(any::<u8>(), 1..600),
        encoding in encodings(),
    ) {
        let mut sent = 0_u32;
        let mut answers = answers.iter().cycle();
        let (result, _) = exchange_with(&command, encoding, |_| {
            sent += 1;
            assert!(sent < 200_000, "it goes on for ever");
            answers.next().unwrap().clone()
        });
        if let Ok(response) = result {
            prop_assert!((1..=MAX_MESSAGE).contains(&response.len()));
        }
    }

    #[test]
    fn a_hostile_card_is_selected_or_not(answers in vec(hostile_answer(), 1..40)) {
        let (mut select, _) = Select::new(Encoding::Short);
        let ended = answers
            .iter()
            .cycle()
            .take(100_000)
            .any(|answer| !matches!(select.answer(answer), Ok(Err(_))));
        prop_assert!(ended, "it goes on for ever");
    }
}

/// Some data and a status word, mostly one that means something.
fn hostile_answer() -> impl Strategy<Value = Vec<u8>> {
    let status = prop_oneof![
        Just(0x9000_u16),
        Just(0x9100),
        Just(0x6700),
        Just(0x6d00),
        Just(0x6e00),
        0x6100_u16..0x6200,
        0x6c00_u16..0x6d00,
        any::<u16>(),
    ];
    let whole = (vec(any::<u8>(), 0..300), status)
        .prop_map(|(data, status)| [data.as_slice(), status.to_be_bytes().as_slice()].concat());
    prop_oneof![9 => whole, 1 => vec(any::<u8>(), 0..3)]
}

#[test]
fn the_selection_is_the_standards() {
    let (mut select, apdu) = Select::new(Encoding::Short);
    assert_eq!(apdu, [[0x00, 0xa4, 0x04, 0x00, 8].as_slice(), FIDO_AID.as_slice(), [0].as_slice()].concat());
    assert_eq!(select.answer(b"U2F_V2\x90\x00"), Ok(Ok(Version::U2f)));
    for fido2 in [b"FIDO_2_0\x90\x00".as_slice(), b"FIDO_2_1_PRE\x90\x00", b"FIDO_2_3\x90\x00"] {
        assert_eq!(Select::new(Encoding::Short).0.answer(fido2), Ok(Ok(Version::Fido2)));
    }
    let other = Select::new(Encoding::Short).0.answer(b"VISA\x90\x00");
    assert_eq!(other, Err(ExchangeError::Version));
    let none = Select::new(Encoding::Short).0.answer(b"\x6a\x82");
    assert_eq!(none, Err(ExchangeError::Status(StatusWord(0x6a82))));
}

#[test]
fn a_keepalive_is_asked_after_and_cancelled() {
    let (mut exchange, apdu) = Exchange::new(&[4], Encoding::Short).unwrap();
    assert_eq!(apdu, [0x80, 0x10, 0x80, 0x00, 1, 4, 0]);
    assert!(matches!(exchange.answer(&[2, 0x91, 0x00]), Ok(Step::Keepalive(_))));
    assert_eq!(exchange.ask_again(false), [0x80, 0x11, 0x00, 0x00, 0]);
    assert!(matches!(exchange.answer(&[0x91, 0x00]), Ok(Step::Keepalive(_))));
    assert_eq!(exchange.ask_again(true), [0x80, 0x11, 0x11, 0x00, 0]);
    assert_eq!(exchange.answer(&[0x2d, 0x90, 0x00]), Ok(Step::Done(vec![0x2d])));
}

#[test]
fn a_wrong_expected_length_is_corrected_once() {
    let (mut exchange, _) = Exchange::new(&[4], Encoding::Short).unwrap();
    let corrected = exchange.answer(&[0x6c, 0x12]);
    assert_eq!(corrected, Ok(Step::Send(vec![0x80, 0x10, 0x80, 0x00, 1, 4, 0x12])));
    assert_eq!(exchange.answer(&[0x6c, 0x13]), Err(ExchangeError::Correction));
}

#[test]
fn a_card_that_knows_get_response_in_the_other_class_is_asked_in_that() {
    let (mut exchange, _) = Exchange::new(&[4], Encoding::Short).unwrap();
    assert_eq!(exchange.answer(&[0, 0x61, 0x02]), Ok(Step::Send(vec![0x80, 0xc0, 0, 0, 2])));
    assert_eq!(exchange.answer(&[0x6e, 0x00]), Ok(Step::Send(vec![0x00, 0xc0, 0, 0, 0])));
    assert_eq!(exchange.answer(&[1, 2, 0x90, 0x00]), Ok(Step::Done(vec![0, 1, 2])));
}

#[test]
fn what_never_ends_is_ended() {
    let endless = |answer: Vec<u8>| {
        let mut sent = 0;
        let (result, _) = exchange_with(&[4], Encoding::Short, |_| {
            sent += 1;
            answer.clone()
        });
        (result.unwrap_err(), sent)
    };
    assert_eq!(endless(vec![0x61, 0x00]), (ExchangeError::Endless, MAX_EMPTY + 1));
    assert_eq!(endless(vec![1, 0x91, 0x00]), (ExchangeError::Keepalives, MAX_KEEPALIVES + 1));
    let (error, sent) = endless([vec![0; 256], vec![0x61, 0x00]].concat());
    assert_eq!((error, sent), (ExchangeError::TooLarge, 256));
}

#[test]
fn what_no_apdu_carries_is_refused() {
    let too_long = vec![0; MAX_EXTENDED_DATA + 1];
    assert!(matches!(Exchange::new(&too_long, Encoding::Short), Err(ApduError::DataTooLong { .. })));
    assert!(matches!(HEADER.extended(&too_long, Expected::All), Err(ApduError::DataTooLong { .. })));
    let answer = vec![0; MAX_RESPONSE + 1];
    assert_eq!(Response::parse(&answer), Err(ApduError::TooLong(MAX_RESPONSE + 1)));
}

#[test]
fn an_answer_in_the_middle_of_a_chain_is_refused() {
    let (mut exchange, _) = Exchange::new(&[0; 600], Encoding::Short).unwrap();
    assert_eq!(exchange.answer(&[1, 0x90, 0x00]), Err(ExchangeError::Chain(1)));
    let (mut exchange, _) = Exchange::new(&[0; 600], Encoding::Short).unwrap();
    let unsupported = StatusWord(0x6884);
    assert_eq!(exchange.answer(&[0x68, 0x84]), Err(ExchangeError::Status(unsupported)));
}
