//! What is asked silently, and credProtect, which decides what such a question sees: with OpenSK and with ours, which takes
//! no silent questions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use ctap_core::Error;
use ctap_core::attestation::Attestation;
use ctap_core::authenticator_data::AuthenticatorData;
use ctap_core::ceremony::{Held, get_info, preflight};
use ctap_core::messages::{
    CommandCode, CredProtect, CredentialId, GetInfo, MakeCredentialResponse, Request, Response,
};
use ctap_core::transport::{CancelToken, Device};
use fwp_cose::cbor::{Map, Value};

const LEVEL_2: CredProtect = CredProtect::UserVerificationOptionalWithCredentialIdList;

/// IDs that look like the device's and are not.
fn strangers(n: u8, like: &CredentialId) -> Vec<CredentialId> {
    (1..=n)
        .map(|n| CredentialId::new(like.as_bytes().iter().map(|byte| byte ^ n).collect()).unwrap())
        .collect()
}

fn ask(device: &mut dyn Device, rp_id: &str, credentials: &[CredentialId]) -> Held {
    let cancel = CancelToken::new();
    let info = get_info(device, &cancel).unwrap();
    preflight(device, &info, rp_id, credentials, &cancel).unwrap()
}

#[test]
fn a_silent_question_finds_the_one_credential_that_is_there_and_nobody_is_asked_to_touch() {
    let (mut device, credential) = enrolled(AnyDevice::opensk(Touch::AtOnce));
    device.set_touch(Touch::Waits);
    let mut credentials = strangers(5, &credential.credential_id);
    assert_eq!(ask(&mut device, RP_ID, &credentials), Held::No);
    credentials.push(credential.credential_id.clone());
    assert_eq!(ask(&mut device, RP_ID, &credentials), Held::Yes(credential.credential_id));
    assert_eq!(ask(&mut device, "other.example", &credentials), Held::No);
    assert_eq!(ask(&mut device, RP_ID, &[]), Held::No);
}

#[test]
fn an_authenticator_that_takes_no_silent_questions_is_unclear() {
    let (mut device, credential) = enrolled(AnyDevice::platform(Touch::AtOnce));
    assert_eq!(ask(&mut device, RP_ID, &[credential.credential_id]), Held::Unclear);
}

/// The exclude list is longer than the device says that it takes.
#[test]
fn a_device_that_has_a_key_already_is_found_by_a_long_exclude_list_and_another_makes_one() {
    let (holding, credential) = enrolled(AnyDevice::opensk(Touch::AtOnce));
    let mut fresh = AnyDevice::opensk(Touch::AtOnce);
    set_pin(&mut fresh, PIN).unwrap();
    let mut request = credential_request();
    request.exclude = strangers(9, &credential.credential_id);
    request.exclude.insert(6, credential.credential_id.clone());
    for (device, has_one) in [(holding, true), (fresh, false)] {
        let mut device = Between::new(device, |command, response| {
            with_info(command, response, |info| info.max_credential_count_in_list = Some(4))
        });
        let made = make_credential(&mut device, &mut Typist::new(&[PIN]), request.clone());
        let mut silent = Vec::new();
        let mut excluded = None;
        for command in &device.commands {
            match Request::decode(command).unwrap() {
                Request::GetAssertion(question) => silent.push(question.allow),
                Request::MakeCredential(request) => excluded = Some(request.exclude),
                _ => {}
            }
        }
        if has_one {
            assert_eq!(made.unwrap_err(), Error::CredentialExcluded);
            assert_eq!(silent.concat(), request.exclude[..8], "found in the second part of three");
            assert_eq!(excluded.unwrap(), std::slice::from_ref(&credential.credential_id));
        } else {
            assert_eq!(made.unwrap().cred_protect, Some(LEVEL_2));
            assert_eq!(silent.concat(), request.exclude);
            assert_eq!(excluded.unwrap(), []);
        }
    }
}

#[test]
fn ours_is_excluded_by_the_beginning_of_a_long_list() {
    let (mut device, credential) = enrolled(AnyDevice::platform(Touch::AtOnce));
    let mut request = credential_request();
    request.exclude = strangers(99, &credential.credential_id);
    request.exclude.insert(20, credential.credential_id);
    let made = make_credential(&mut device, &mut Typist::new(&[PIN]), request);
    assert_eq!(made.unwrap_err(), Error::CredentialExcluded);
}

#[test]
fn keys_are_made_with_cred_protect_level_2_where_the_device_has_it_and_never_discoverable() {
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let mut device = Between::new(device, |_, response| response);
        set_pin(&mut device, PIN).unwrap();
        let made = make_credential(&mut device, &mut Typist::new(&[PIN]), credential_request()).unwrap();
        let has_it = name == "opensk";
        assert_eq!(made.cred_protect, has_it.then_some(LEVEL_2), "{name}");
        assert_eq!(made.attestation, Attestation::SelfSigned, "{name}: over the extension's answer too");
        let requests = device.commands.iter().filter_map(|command| match Request::decode(command).unwrap() {
            Request::MakeCredential(request) => Some((request.cred_protect, request.resident_key)),
            _ => None,
        });
        assert_eq!(requests.collect::<Vec<_>>(), [(has_it.then_some(LEVEL_2), None)], "{name}");
    }
}

#[test]
fn an_answer_to_cred_protect_that_is_none_is_refused() {
    let answers = [Value::Unsigned(0), Value::Unsigned(4), Value::from("2"), Value::Bool(true), Value::Null];
    for answer in answers {
        let mut device = AnyDevice::opensk(Touch::AtOnce);
        set_pin(&mut device, PIN).unwrap();
        let mut device = Between::new(device, |command: &[u8], response| {
            if command[0] != CommandCode::MakeCredential.byte() {
                return response;
            }
            let mut response = MakeCredentialResponse::decode(&response).unwrap().unwrap();
            let mut data = AuthenticatorData::parse(&response.attestation.auth_data).unwrap();
            let mut extensions = Map::new();
            extensions.insert(Value::from("credProtect"), answer.clone());
            data.extensions = Some(extensions);
            response.attestation.auth_data = data.encode();
            response.encode()
        });
        let made = make_credential(&mut device, &mut Typist::new(&[PIN]), credential_request());
        assert!(
            matches!(&made, Err(Error::Response { command: CommandCode::MakeCredential, .. })),
            "{answer:?}: {made:?}"
        );
    }
}

#[test]
fn a_pin_that_must_be_changed_can_be_and_then_the_ceremony_goes_on() {
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let (device, credential) = enrolled(device);
        let mut forced = true;
        let mut device = Between::new(device, move |command, response| {
            if let Ok(Request::ClientPin(request)) = Request::decode(command) {
                use ctap_core::messages::ClientPinSubcommand::ChangePin;
                forced &= !matches!(request.subcommand, ChangePin { .. });
            }
            with_info(command, response, |info| info.force_pin_change = forced)
        });
        let request = assertion_request(&credential);
        let refused = get_assertion(&mut device, &mut Typist::new(&[PIN]), request.clone());
        assert_eq!(refused, Err(Error::PinChangeRequired), "{name}");
        change_pin(&mut device, &mut Typist::new(&[PIN, "another pin"])).unwrap();
        get_assertion(&mut device, &mut Typist::new(&["another pin"]), request).unwrap();
    }
}

fn with_info(command: &[u8], response: Vec<u8>, change: impl FnOnce(&mut GetInfo)) -> Vec<u8> {
    if command != Request::GetInfo.encode() {
        return response;
    }
    let mut info = GetInfo::decode(&response).unwrap().unwrap();
    change(&mut info);
    info.encode()
}
