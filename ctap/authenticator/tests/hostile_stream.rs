//! A generated stream of wrong answers to every command: each ends in an error, or in what is right in spite of it; none in
//! a panic, a signature that does not verify, or a key that was not made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod common;

use common::*;
use ctap_core::Error;
use ctap_core::ceremony::{Held, NewCredential, get_info, preflight, reset, select};
use ctap_core::messages::{GetInfo, Request, Response};
use ctap_core::transport::{CancelToken, Device};
use fwp_cose::signature;
use sha2::{Digest, Sha256};
use std::sync::OnceLock;
use virtual_keys::hostile::{Exchange, lies, lying};

/// What every authenticator of these tests remembers: a PIN and a credential.
fn enrolled_once() -> &'static (Vec<u8>, NewCredential) {
    static STATE: OnceLock<(Vec<u8>, NewCredential)> = OnceLock::new();
    STATE.get_or_init(|| {
        let platform = Platform::default();
        let mut device = platform.start();
        set_pin(&mut device, PIN).unwrap();
        let credential =
            make_credential(&mut device, &mut Typist::new(&[PIN]), credential_request()).unwrap();
        let state = platform.memory.0.lock().unwrap().state.clone().unwrap();
        (state, credential)
    })
}

fn with_pin() -> PlatformAuthenticator {
    let platform = Platform::default();
    platform.memory.0.lock().unwrap().state = Some(enrolled_once().0.clone());
    platform.start()
}

fn without_pin() -> PlatformAuthenticator {
    Platform::default().start()
}

fn an_assertion(device: &mut dyn Device) -> Result<(), Error> {
    let credential = &enrolled_once().1;
    let request = assertion_request(credential);
    let assertion = get_assertion(device, &mut Typist::new(&[PIN]), request.clone())?;
    // Whatever was said, what comes out is right.
    let message = [assertion.authenticator_data.as_slice(), &request.client_data_hash].concat();
    let verdict =
        signature::verify(credential.algorithm, &credential.public_key, &message, &assertion.signature);
    assert_eq!(verdict, Ok(()));
    assert_eq!(assertion.authenticator_data[..32], Sha256::digest(RP_ID)[..]);
    assert_eq!(assertion.authenticator_data[32] & 5, 5, "UP and UV");
    Ok(())
}

fn a_new_key(device: &mut dyn Device) -> Result<(), Error> {
    let made = make_credential(device, &mut Typist::new(&[PIN]), credential_request())?;
    let object = &made.attestation_object;
    assert!(object.verify(&HASH).is_ok());
    assert_eq!(object.auth_data[..32], Sha256::digest(RP_ID)[..]);
    Ok(())
}

fn a_change_of_pin(device: &mut dyn Device) -> Result<(), Error> {
    change_pin(device, &mut Typist::new(&[PIN, "new-pin"]))
}

fn a_choice(device: &mut dyn Device) -> Result<(), Error> {
    select(device, &mut Typist::default(), &CancelToken::new())
}

/// Runs `ceremony` on a new device from `fresh` for every lie told in `exchange`: how many there were that were none by
/// accident.
fn try_all<D: Device>(
    exchange: Exchange,
    mut fresh: impl FnMut() -> D,
    ceremony: impl Fn(&mut dyn Device) -> Result<(), Error>,
) -> usize {
    ceremony(&mut fresh()).expect("without a lie it goes through");
    let (mut told, mut refused) = (0, 0);
    for lie in lies(exchange) {
        let mut lied = None;
        let mut device = Between::new(fresh(), |command, response| {
            if Exchange::of(command) != Some(exchange) {
                return response;
            }
            let answer = lie.tell(command, response.clone());
            lied = Some(lied.unwrap_or(false) || answer != response);
            answer
        });
        let result = ceremony(&mut device);
        drop(device);
        let lied = lied.expect("the exchange is a part of the ceremony");
        told += usize::from(lied);
        refused += usize::from(result.is_err());
        match result {
            Ok(()) => assert!(!(lied && lie.grave), "{}: taken for an answer", lie.name),
            // It is said which answer was malformed, unless a lie about itself led the client elsewhere.
            Err(Error::Response { command, .. }) if exchange != Exchange::GetInfo => {
                assert_eq!(command, exchange.command(), "{}", lie.name);
            }
            Err(error) => assert!(lied && !error.to_string().is_empty(), "{}: {error:?}", lie.name),
        }
    }
    println!("{exchange:?}: {told} wrong answers, {refused} of them refused");
    told
}

#[test]
fn over_400_wrong_answers_to_get_info() {
    assert!(try_all(Exchange::GetInfo, with_pin, an_assertion) > 400);
    let alone = |device: &mut dyn Device| get_info(device, &CancelToken::new()).map(|_| ());
    assert!(try_all(Exchange::GetInfo, without_pin, alone) > 400);
}

#[test]
fn over_400_wrong_answers_to_get_pin_retries() {
    assert!(try_all(Exchange::PinRetries, with_pin, an_assertion) > 400);
}

#[test]
fn over_400_wrong_answers_to_get_key_agreement() {
    assert!(try_all(Exchange::KeyAgreement, with_pin, an_assertion) > 400);
}

#[test]
fn over_400_wrong_answers_to_get_pin_token() {
    // A device of CTAP 2.0 has no other.
    let old = || {
        Between::new(with_pin(), |command, response| match Request::decode(command) {
            Ok(Request::GetInfo) => {
                let mut info = GetInfo::decode(&response).unwrap().unwrap();
                info.options.retain(|(name, _)| name != "pinUvAuthToken");
                info.encode()
            }
            _ => response,
        })
    };
    assert!(try_all(Exchange::PinToken, old, an_assertion) > 400);
}

#[test]
fn over_400_wrong_answers_to_get_token_using_pin() {
    assert!(try_all(Exchange::PinUvAuthTokenUsingPin, with_pin, a_new_key) > 400);
}

#[test]
fn over_400_wrong_answers_to_get_token_using_built_in_verification() {
    let key = opensk::key_with_finger(Touch::AtOnce, Finger::Right);
    set_pin(&mut key.device(), PIN).unwrap();
    let fresh = || {
        key.power_cycle();
        key.device()
    };
    // A user who gives no PIN where it is fallen back to.
    let ceremony = |device: &mut dyn Device| {
        make_credential(device, &mut Typist::default(), credential_request()).map(|_| ())
    };
    assert!(try_all(Exchange::PinUvAuthTokenUsingUv, fresh, ceremony) > 400);
}

#[test]
fn over_400_wrong_answers_to_set_pin() {
    assert!(try_all(Exchange::SetPin, without_pin, |device| set_pin(device, PIN)) > 400);
}

#[test]
fn over_400_wrong_answers_to_change_pin() {
    assert!(try_all(Exchange::ChangePin, with_pin, a_change_of_pin) > 400);
}

#[test]
fn over_400_wrong_answers_to_make_credential() {
    assert!(try_all(Exchange::MakeCredential, with_pin, a_new_key) > 400);
}

#[test]
fn over_400_wrong_answers_to_get_assertion() {
    assert!(try_all(Exchange::GetAssertion, with_pin, an_assertion) > 400);
}

#[test]
fn over_400_wrong_answers_to_selection() {
    assert!(try_all(Exchange::Selection, with_pin, a_choice) > 400);
}

#[test]
fn over_400_wrong_answers_to_reset() {
    let resets = |device: &mut dyn Device| reset(device, &mut Typist::default(), &CancelToken::new());
    assert!(try_all(Exchange::Reset, with_pin, resets) > 400);
}

/// A silent question is answered by no more than "it may be there": the signature is asked for later.
#[test]
fn no_wrong_answer_to_a_silent_question_names_a_key_that_was_not_asked_for() {
    let key = opensk::key(Touch::AtOnce);
    set_pin(&mut key.device(), PIN).unwrap();
    let made = make_credential(&mut key.device(), &mut Typist::new(&[PIN]), credential_request()).unwrap();
    let cancel = CancelToken::new();
    let info = get_info(&mut key.device(), &cancel).unwrap();
    let asked = [made.credential_id];
    assert_eq!(preflight(&mut key.device(), &info, RP_ID, &asked, &cancel), Ok(Held::Yes(asked[0].clone())));
    for lie in lies(Exchange::GetAssertion) {
        let mut device = lying(key.device(), Exchange::GetAssertion, &lie);
        match preflight(&mut device, &info, RP_ID, &asked, &cancel) {
            Ok(Held::Yes(held)) => assert_eq!(held, asked[0], "{}", lie.name),
            Ok(Held::No | Held::Unclear) | Err(Error::Cancelled) => {}
            Err(error) => panic!("{}: {error:?}", lie.name),
        }
    }
}
