//! Every ceremony against both authenticators: ours and OpenSK.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use ctap_core::attestation::{Attestation, AttestationObject};
use ctap_core::ceremony::{Event, GetAssertion, PinPurpose, PinRequest, get_info, reset, run, select};
use ctap_core::messages::{ClientPinRequest, ClientPinSubcommand, GetInfo, Request, Response};
use ctap_core::pin_uv_auth::Protocol;
use ctap_core::transport::CancelToken;
use ctap_core::{Error, Status};
use fwp_cose::{PublicKey, SignatureAlgorithm, signature};
use virtual_keys::hostile::Exchange;
use virtual_keys::suite::{Plan, run as run_suite};

#[test]
fn a_key_is_made_and_signs_what_the_bank_can_verify() {
    for (name, mut device) in AnyDevice::both(Touch::AtOnce) {
        set_pin(&mut device, PIN).unwrap();
        let mut user = Typist::new(&[PIN]);
        let credential = make_credential(&mut device, &mut user, credential_request()).unwrap();
        assert_eq!(user.asked.len(), 1, "{name}");
        assert_eq!(
            user.asked[0],
            PinRequest { purpose: PinPurpose::Current, attempts_left: Some(8), wrong: false }
        );
        assert_eq!(credential.algorithm, SignatureAlgorithm::Es256, "{name}");
        assert!(matches!(credential.public_key, PublicKey::P256(_)), "{name}");
        assert_eq!(credential.attestation, Attestation::SelfSigned, "{name}");
        // What the bank gets is the same after a trip through CBOR.
        let object = AttestationObject::decode(&credential.attestation_object.encode()).unwrap();
        assert_eq!(object.verify(&HASH), Ok(Attestation::SelfSigned), "{name}");

        let request = assertion_request(&credential);
        let assertion = get_assertion(&mut device, &mut Typist::new(&[PIN]), request.clone()).unwrap();
        let message = [assertion.authenticator_data.as_slice(), &request.client_data_hash].concat();
        let verdict =
            signature::verify(credential.algorithm, &credential.public_key, &message, &assertion.signature);
        assert_eq!(verdict, Ok(()), "{name}");
        let later = get_assertion(&mut device, &mut Typist::new(&[PIN]), request).unwrap();
        assert!(later.sign_count > assertion.sign_count, "{name}");
    }
}

#[test]
fn a_key_still_signs_after_a_power_cycle_and_a_change_of_pin() {
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let (mut device, credential) = enrolled(device);
        let before =
            get_assertion(&mut device, &mut Typist::new(&[PIN]), assertion_request(&credential)).unwrap();
        device.power_cycle();
        change_pin(&mut device, &mut Typist::new(&[PIN, "another pin"])).unwrap();
        let mut user = Typist::new(&["another pin"]);
        let after = get_assertion(&mut device, &mut user, assertion_request(&credential)).unwrap();
        assert!(after.sign_count > before.sign_count, "{name}");
        let mut user = Typist::new(&[PIN]);
        let old = get_assertion(&mut device, &mut user, assertion_request(&credential));
        assert_eq!((old, user.asked.len()), (Err(Error::Cancelled), 2), "{name}: the old PIN is wrong now");
    }
}

#[test]
fn both_pin_protocols_work_and_two_is_preferred() {
    for only in [None, Some(Protocol::One), Some(Protocol::Two)] {
        for (name, device) in AnyDevice::both(Touch::AtOnce) {
            let mut device = Between::new(device, move |command, response| match only {
                Some(protocol) => {
                    with_info(command, response, |info| info.pin_uv_auth_protocols = vec![protocol.id()])
                }
                None => response,
            });
            set_pin(&mut device, PIN).unwrap();
            change_pin(&mut device, &mut Typist::new(&[PIN, "other-pin"])).unwrap();
            let pin = ["other-pin"];
            let credential =
                make_credential(&mut device, &mut Typist::new(&pin), credential_request()).unwrap();
            get_assertion(&mut device, &mut Typist::new(&pin), assertion_request(&credential)).unwrap();
            let protocols: Vec<_> =
                client_pins(&device.commands).map(|request| request.protocol.unwrap()).collect();
            assert!(protocols.len() >= 10);
            let expected = only.unwrap_or(Protocol::Two);
            assert!(protocols.iter().all(|protocol| *protocol == expected), "{name} {only:?}");
        }
    }
}

/// An authenticator of CTAP 2.0 has neither permissions nor the pinUvAuthToken option.
#[test]
fn without_permissions_the_old_get_pin_token_is_used() {
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let mut device = Between::new(device, |command, response| {
            with_info(command, response, |info| {
                info.options.retain(|(name, _)| name != "pinUvAuthToken");
                info.pin_uv_auth_protocols = Vec::new();
            })
        });
        set_pin(&mut device, PIN).unwrap();
        let credential =
            make_credential(&mut device, &mut Typist::new(&[PIN]), credential_request()).unwrap();
        get_assertion(&mut device, &mut Typist::new(&[PIN]), assertion_request(&credential)).unwrap();
        let tokens = client_pins(&device.commands)
            .filter(|request| matches!(request.subcommand, ClientPinSubcommand::GetPinToken { .. }))
            .count();
        assert_eq!(tokens, 2, "{name}");
    }
}

#[test]
fn a_token_is_asked_for_one_permission_and_one_rp_id_and_never_with_the_uv_option() {
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let mut device = Between::new(device, |_, response| response);
        set_pin(&mut device, PIN).unwrap();
        let credential =
            make_credential(&mut device, &mut Typist::new(&[PIN]), credential_request()).unwrap();
        get_assertion(&mut device, &mut Typist::new(&[PIN]), assertion_request(&credential)).unwrap();
        let tokens: Vec<_> = client_pins(&device.commands)
            .filter_map(|request| match request.subcommand {
                ClientPinSubcommand::GetPinUvAuthTokenUsingPinWithPermissions {
                    permissions, rp_id, ..
                } => Some((permissions.0, rp_id.unwrap())),
                _ => None,
            })
            .collect();
        assert_eq!(tokens, [(1, RP_ID.to_owned()), (2, RP_ID.to_owned())], "{name}");
        for command in &device.commands {
            match Request::decode(command).unwrap() {
                Request::MakeCredential(request) => {
                    assert!(request.pin_uv_auth.is_some() && request.user_verification.is_none());
                }
                Request::GetAssertion(request) => {
                    assert!(request.pin_uv_auth.is_some() && request.user_verification.is_none());
                }
                _ => {}
            }
        }
    }
}

#[test]
fn wrong_pins_are_counted_down_until_the_device_blocks() {
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let (mut device, credential) = enrolled(device);
        let request = assertion_request(&credential);
        // A right PIN after two wrong ones restores all attempts.
        let mut user = Typist::new(&["wrong-1", "wrong-2", PIN]);
        get_assertion(&mut device, &mut user, request.clone()).unwrap();
        let asked: Vec<_> =
            user.asked.iter().map(|asked| (asked.attempts_left.unwrap(), asked.wrong)).collect();
        assert_eq!(asked, [(8, false), (7, true), (6, true)], "{name}");

        // Three in a row: nothing more until a power cycle, and no PIN is asked for.
        let mut wrong = Typist::new(&["wrong-1", "wrong-2", "wrong-3", PIN]);
        assert_eq!(
            get_assertion(&mut device, &mut wrong, request.clone()),
            Err(Error::PinAuthBlocked),
            "{name}"
        );
        assert_eq!(wrong.pins.len(), 1, "{name}: the right PIN was not wanted any more");
        let mut user = Typist::new(&[PIN]);
        assert_eq!(
            get_assertion(&mut device, &mut user, request.clone()),
            Err(Error::PinAuthBlocked),
            "{name}"
        );
        assert!(user.asked.is_empty(), "{name}");

        // After it five are left; three, a power cycle, two: blocked for good.
        device.power_cycle();
        let mut wrong = Typist::new(&["wrong-1", "wrong-2", "wrong-3"]);
        assert_eq!(
            get_assertion(&mut device, &mut wrong, request.clone()),
            Err(Error::PinAuthBlocked),
            "{name}"
        );
        assert_eq!(wrong.asked[0].attempts_left, Some(5), "{name}");
        device.power_cycle();
        let mut wrong = Typist::new(&["wrong-1", "wrong-2"]);
        assert_eq!(get_assertion(&mut device, &mut wrong, request.clone()), Err(Error::PinBlocked), "{name}");
        device.power_cycle();
        let mut user = Typist::new(&[PIN]);
        assert_eq!(get_assertion(&mut device, &mut user, request.clone()), Err(Error::PinBlocked), "{name}");
        assert!(user.asked.is_empty(), "{name}");
        let changed = change_pin(&mut device, &mut Typist::new(&[PIN, "new-pin"]));
        assert_eq!(changed, Err(Error::PinBlocked), "{name}");
    }
}

#[test]
fn changing_the_pin_asks_again_when_the_old_one_is_wrong() {
    for (name, mut device) in AnyDevice::both(Touch::AtOnce) {
        set_pin(&mut device, PIN).unwrap();
        let mut user = Typist::new(&["wrong-1", "new-pin", PIN]);
        change_pin(&mut device, &mut user).unwrap();
        assert_eq!(user.asked.len(), 3, "{name}");
        assert_eq!(user.asked[1].purpose, PinPurpose::New { min_code_points: 4 }, "{name}");
        let again = PinRequest { purpose: PinPurpose::Current, attempts_left: Some(7), wrong: true };
        assert_eq!(user.asked[2], again, "{name}");
        make_credential(&mut device, &mut Typist::new(&["new-pin"]), credential_request()).unwrap();
    }
}

#[test]
fn without_a_pin_nothing_is_asked_and_the_user_is_told_to_set_one() {
    for (name, mut device) in AnyDevice::both(Touch::AtOnce) {
        let mut user = Typist::new(&[PIN]);
        let made = make_credential(&mut device, &mut user, credential_request());
        assert_eq!(made.unwrap_err(), Error::PinNotSet, "{name}");
        assert_eq!(change_pin(&mut device, &mut user), Err(Error::PinNotSet), "{name}");
        assert!(user.asked.is_empty(), "{name}");
        set_pin(&mut device, PIN).unwrap();
        assert_eq!(set_pin(&mut device, PIN), Err(Error::PinAlreadySet), "{name}");
    }
}

#[test]
fn pins_at_both_limits_and_in_other_scripts_work() {
    let pins = ["1234", &"x".repeat(63), "пароль", "\u{e9}\u{e9}\u{e9}\u{e9}"];
    for pin in pins {
        for (name, mut device) in AnyDevice::both(Touch::AtOnce) {
            set_pin(&mut device, pin).unwrap();
            let typed = if pin.starts_with('\u{e9}') { "e\u{301}e\u{301}e\u{301}e\u{301}" } else { pin };
            let made = make_credential(&mut device, &mut Typist::new(&[typed]), credential_request());
            assert!(made.is_ok(), "{name} {pin}");
        }
    }
}

#[test]
fn cancelling_during_the_touch_ends_in_the_device_too() {
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let (mut device, credential) = enrolled(device);
        device.set_touch(Touch::Waits);
        let cancel = CancelToken::new();
        let mut user = Typist::new(&[PIN]);
        user.cancel_at_touch = Some(cancel.clone());
        let mut ceremony = GetAssertion::new(assertion_request(&credential));
        let result = run(&mut ceremony, &mut device, &mut user, &mut Fixed::new(5), &cancel);
        assert_eq!(result, Err(Error::Cancelled), "{name}");
        assert!(user.events.contains(&Event::TouchWanted), "{name}");
        // It is fit for the next ceremony.
        device.set_touch(Touch::AtOnce);
        get_assertion(&mut device, &mut Typist::new(&[PIN]), assertion_request(&credential)).unwrap();
    }
}

#[test]
fn giving_no_pin_and_declining_the_touch_are_told_apart() {
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let (mut device, credential) = enrolled(device);
        let request = assertion_request(&credential);
        assert_eq!(
            get_assertion(&mut device, &mut Typist::new(&[]), request.clone()),
            Err(Error::Cancelled),
            "{name}"
        );
        device.set_touch(Touch::Declines);
        assert_eq!(
            get_assertion(&mut device, &mut Typist::new(&[PIN]), request),
            Err(Error::Denied),
            "{name}"
        );
    }
}

#[test]
fn a_key_of_another_site_or_device_is_not_used() {
    let (mut other, foreign) = enrolled(AnyDevice::platform(Touch::AtOnce));
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let (mut device, credential) = enrolled(device);
        let mut request = assertion_request(&credential);
        request.rp_id = "evil.example".to_owned();
        let result = get_assertion(&mut device, &mut Typist::new(&[PIN]), request);
        assert_eq!(result, Err(Error::NoCredentials), "{name}: another rpId");
        if name == "opensk" {
            let result = get_assertion(&mut device, &mut Typist::new(&[PIN]), assertion_request(&foreign));
            assert_eq!(result, Err(Error::NoCredentials), "{name}: our key");
            let result = get_assertion(&mut other, &mut Typist::new(&[PIN]), assertion_request(&credential));
            assert_eq!(result, Err(Error::NoCredentials), "platform: OpenSK's key");
        }
    }
}

#[test]
fn an_authenticator_that_has_a_key_already_is_excluded() {
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let (mut device, credential) = enrolled(device);
        let mut request = credential_request();
        request.exclude = vec![credential.credential_id];
        let result = make_credential(&mut device, &mut Typist::new(&[PIN]), request.clone());
        assert_eq!(result.unwrap_err(), Error::CredentialExcluded, "{name}");
        request.rp.id = "other.example".to_owned();
        assert!(
            make_credential(&mut device, &mut Typist::new(&[PIN]), request).is_ok(),
            "{name}: another site"
        );
    }
}

#[test]
fn ed25519_keys_work_where_the_device_has_them_and_are_refused_early_where_not() {
    let mut request = credential_request();
    request.algorithms = vec![SignatureAlgorithm::Ed25519];

    let mut opensk = AnyDevice::opensk(Touch::AtOnce);
    set_pin(&mut opensk, PIN).unwrap();
    let credential = make_credential(&mut opensk, &mut Typist::new(&[PIN]), request.clone()).unwrap();
    assert!(matches!(credential.public_key, PublicKey::Ed25519(_)));
    let assertion =
        get_assertion(&mut opensk, &mut Typist::new(&[PIN]), assertion_request(&credential)).unwrap();
    assert_eq!(assertion.signature.len(), 64);

    let mut platform = AnyDevice::platform(Touch::AtOnce);
    set_pin(&mut platform, PIN).unwrap();
    let mut user = Typist::new(&[PIN]);
    assert_eq!(make_credential(&mut platform, &mut user, request).unwrap_err(), Error::UnsupportedAlgorithm);
    assert!(user.asked.is_empty());
}

#[test]
fn selection_and_reset_wait_for_a_touch() {
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let (mut device, credential) = enrolled(device);
        let cancel = CancelToken::new();
        select(&mut device, &mut Typist::default(), &cancel).unwrap();
        // OpenSK takes a reset right after it was plugged in only.
        device.power_cycle();
        reset(&mut device, &mut Typist::default(), &cancel).unwrap();
        assert_eq!(get_info(&mut device, &cancel).unwrap().option("clientPin"), Some(false), "{name}");
        set_pin(&mut device, PIN).unwrap();
        let result = get_assertion(&mut device, &mut Typist::new(&[PIN]), assertion_request(&credential));
        assert_eq!(result, Err(Error::NoCredentials), "{name}: the old key is gone");
    }
}

#[test]
fn a_pin_that_must_be_changed_is_said_before_it_is_asked_for() {
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let (device, credential) = enrolled(device);
        let mut device = Between::new(device, |command, response| {
            with_info(command, response, |info| info.force_pin_change = true)
        });
        let mut user = Typist::new(&[PIN]);
        let result = get_assertion(&mut device, &mut user, assertion_request(&credential));
        assert_eq!((result, user.asked.len()), (Err(Error::PinChangeRequired), 0), "{name}");
    }
}

#[test]
fn a_new_pin_that_is_too_short_for_the_device_is_not_sent() {
    for (name, device) in AnyDevice::both(Touch::AtOnce) {
        let mut device = Between::new(device, |command, response| {
            with_info(command, response, |info| info.min_pin_length = Some(9))
        });
        assert_eq!(set_pin(&mut device, "12345678"), Err(Error::PinPolicy { min_code_points: 9 }), "{name}");
        let sent: Vec<_> = device.commands.iter().map(|command| Exchange::of(command).unwrap()).collect();
        assert_eq!(sent, [Exchange::GetInfo, Exchange::KeyAgreement], "{name}");
        set_pin(&mut device, "123456789").unwrap();
    }
}

#[test]
fn a_fingerprint_is_preferred_to_the_pin() {
    for tokens in [true, false] {
        let mut device = Between::new(
            opensk::key_with_finger(Touch::AtOnce, Finger::Right).device(),
            move |command, response| {
                with_info(command, response, |info| {
                    // Without tokens, as in CTAP 2.0, the uv option does it.
                    if !tokens {
                        info.options.retain(|(name, _)| name != "pinUvAuthToken");
                    }
                })
            },
        );
        set_pin(&mut device, PIN).unwrap();
        let mut user = Typist::new(&[PIN]);
        let credential = make_credential(&mut device, &mut user, credential_request()).unwrap();
        get_assertion(&mut device, &mut user, assertion_request(&credential)).unwrap();
        assert!(user.asked.is_empty(), "no PIN is asked for");
        let uses_option =
            device.commands.iter().filter_map(|command| match Request::decode(command).unwrap() {
                Request::GetAssertion(request) => {
                    assert_ne!(request.user_verification.is_some(), request.pin_uv_auth.is_some());
                    Some(request.user_verification == Some(true))
                }
                _ => None,
            });
        assert_eq!(uses_option.collect::<Vec<_>>(), [!tokens]);
    }
}

#[test]
fn a_finger_that_is_not_recognised_falls_back_to_the_pin() {
    for tokens in [true, false] {
        let mut device = Between::new(
            opensk::key_with_finger(Touch::AtOnce, Finger::Wrong).device(),
            move |command, response| {
                with_info(command, response, |info| {
                    if !tokens {
                        info.options.retain(|(name, _)| name != "pinUvAuthToken");
                    }
                })
            },
        );
        set_pin(&mut device, PIN).unwrap();
        let mut user = Typist::new(&[PIN, PIN]);
        let credential = make_credential(&mut device, &mut user, credential_request()).unwrap();
        get_assertion(&mut device, &mut user, assertion_request(&credential)).unwrap();
        assert_eq!(user.asked.len(), 2, "tokens: {tokens}");
    }
    // No PIN to fall back to.
    let mut device = opensk::key_with_finger(Touch::AtOnce, Finger::Wrong).device();
    let result = make_credential(&mut device, &mut Typist::new(&[]), credential_request());
    assert!(matches!(result, Err(Error::UvInvalid | Error::UvBlocked)), "{result:?}");
}

/// The same ceremonies that hardware keys are put through, and their columns of the table.
#[test]
fn every_ceremony_with_the_platform_authenticator() {
    run_suite("platform", "in-process", &Plan::everything(), |_| Box::new(Platform::default()));
}

/// Requests that the wallet never makes.
#[test]
fn our_authenticator_signs_nothing_without_a_token() {
    let (mut device, credential) = enrolled(AnyDevice::platform(Touch::AtOnce));
    let mut request = ctap_core::messages::GetAssertionRequest {
        rp_id: RP_ID.to_owned(),
        client_data_hash: HASH,
        allow: vec![credential.credential_id],
        user_presence: None,
        user_verification: None,
        pin_uv_auth: None,
    };
    let mut answer = |request: &ctap_core::messages::GetAssertionRequest| {
        use ctap_core::transport::Device;
        let bytes = Request::GetAssertion(request.clone()).encode();
        Status(device.transact(&bytes, &mut |_| {}, &CancelToken::new()).unwrap()[0])
    };
    assert_eq!(answer(&request), Status::PUAT_REQUIRED);
    request.user_presence = Some(false);
    assert_eq!(answer(&request), Status::UNSUPPORTED_OPTION);
    request.user_presence = None;
    request.user_verification = Some(true);
    assert_eq!(answer(&request), Status::INVALID_OPTION);
}

fn with_info(command: &[u8], response: Vec<u8>, change: impl FnOnce(&mut GetInfo)) -> Vec<u8> {
    if command != Request::GetInfo.encode() {
        return response;
    }
    let mut info = GetInfo::decode(&response).unwrap().unwrap();
    change(&mut info);
    info.encode()
}

fn client_pins(commands: &[Vec<u8>]) -> impl Iterator<Item = ClientPinRequest> {
    commands.iter().filter_map(|command| match Request::decode(command).unwrap() {
        Request::ClientPin(request) => Some(request),
        _ => None,
    })
}
