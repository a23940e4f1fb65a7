//! The ceremonies themselves. What must hold is asserted; what a key does not have is said by [`NotApplicable`].

use super::{Case, Ceremony, NotApplicable, PIN, RP_ID, assertion_request, credential_request};
use crate::key::Touch;
use crate::user::{Between, OsRandom, Typist};
use ctap_core::Error;
use ctap_core::ceremony::{
    self, Event, Held, PinPurpose, PinRequest, SetPin, get_info, preflight, reset, select,
};
use ctap_core::messages::{ClientPinSubcommand, CredentialId, GetInfo, Request, Response};
use ctap_core::transport::{CancelToken, Device, TransportError};
use fwp_cose::{SignatureAlgorithm, signature};

type Tried = Result<(), NotApplicable>;

pub(super) fn run(ceremony: Ceremony, case: &mut Case) -> Tried {
    match ceremony {
        Ceremony::GetInfo => info(case),
        Ceremony::SetPin => set_pin(case),
        Ceremony::ShortPin => short_pin(case),
        Ceremony::WrongPin => wrong_pin(case),
        Ceremony::ChangePin => change_pin(case),
        Ceremony::Es256 => new_key(case, SignatureAlgorithm::Es256),
        Ceremony::EdDsa => new_key(case, SignatureAlgorithm::Ed25519),
        Ceremony::Rs256 => new_key(case, SignatureAlgorithm::Rs256),
        Ceremony::Excluded => excluded(case),
        Ceremony::GetAssertion => assertion(case),
        Ceremony::UnknownCredential => unknown_credential(case),
        Ceremony::Preflight => silent_question(case),
        Ceremony::PinNotSet => pin_not_set(case),
        Ceremony::NoPinGiven => no_pin_given(case),
        Ceremony::CancelAtTouch => cancel_at_touch(case),
        Ceremony::DeclinedTouch => declined_touch(case),
        Ceremony::SoftBlock => soft_block(case),
        Ceremony::BlockedForGood => blocked_for_good(case),
        Ceremony::Selection => selection(case),
        Ceremony::Wink => wink(case),
        Ceremony::Reset => resetting(case),
        Ceremony::BuiltInUv => built_in_uv(case),
        Ceremony::UvFallsBack => uv_falls_back(case),
    }
}

fn info(case: &mut Case) -> Tried {
    let protocol = case.protocol;
    let info = case.info();
    assert!(info.versions.iter().any(|version| version.starts_with("FIDO_2")), "{info:?}");
    assert_eq!(info.option("clientPin"), Some(false), "a PIN can be set and is not: {info:?}");
    assert_eq!(info.protocol(), Some(protocol));
    Ok(())
}

fn set_pin(case: &mut Case) -> Tried {
    case.set_pin(PIN).expect("a PIN is set");
    assert_eq!(case.info().option("clientPin"), Some(true));
    assert_eq!(case.set_pin("another"), Err(Error::PinAlreadySet));
    Ok(())
}

fn short_pin(case: &mut Case) -> Tried {
    // Keys take four characters, unless their owner or maker wants more.
    let mut device = Between::new(case.device(), |command, response| match Request::decode(command) {
        Ok(Request::GetInfo) => {
            let mut info = GetInfo::decode(&response).expect("getInfo").expect("getInfo");
            info.min_pin_length = Some(9);
            info.encode()
        }
        _ => response,
    });
    let cancel = CancelToken::new();
    let mut user = Typist::new(&["12345678"]);
    let result = ceremony::run(&mut SetPin::new(), &mut device, &mut user, &mut OsRandom, &cancel);
    assert_eq!(result, Err(Error::PinPolicy { min_code_points: 9 }));
    let sets_pin = |command: &Vec<u8>| match Request::decode(command) {
        Ok(Request::ClientPin(request)) => matches!(request.subcommand, ClientPinSubcommand::SetPin { .. }),
        _ => false,
    };
    assert!(!device.commands.iter().any(sets_pin), "it was not even sent");
    let mut user = Typist::new(&["123456789"]);
    ceremony::run(&mut SetPin::new(), &mut device, &mut user, &mut OsRandom, &cancel).expect("a long one");
    Ok(())
}

fn wrong_pin(case: &mut Case) -> Tried {
    let credential = case.enrolled();
    let mut user = Typist::new(&["wrong-1", "wrong-2", PIN]);
    case.assert(&mut user, assertion_request(&credential)).expect("the right PIN in the end");
    let asked: Vec<_> = user.asked.iter().map(|asked| (asked.attempts_left, asked.wrong)).collect();
    assert_eq!(asked, [(Some(8), false), (Some(7), true), (Some(6), true)]);
    // The right one restored all attempts.
    let mut user = Typist::new(&[PIN]);
    case.assert(&mut user, assertion_request(&credential)).expect("an assertion");
    assert_eq!(user.asked[0].attempts_left, Some(8));
    Ok(())
}

fn change_pin(case: &mut Case) -> Tried {
    let credential = case.enrolled();
    let mut user = Typist::new(&["wrong-1", "new-pin", PIN]);
    case.change_pin(&mut user).expect("the PIN is changed");
    assert!(matches!(user.asked[1].purpose, PinPurpose::New { .. }), "{:?}", user.asked);
    let again = PinRequest { purpose: PinPurpose::Current, attempts_left: Some(7), wrong: true };
    assert_eq!(user.asked[2], again);
    case.assert(&mut Typist::new(&["new-pin"]), assertion_request(&credential)).expect("the new PIN works");
    let mut user = Typist::new(&[PIN]);
    assert_eq!(case.assert(&mut user, assertion_request(&credential)), Err(Error::Cancelled));
    assert_eq!(user.asked.len(), 2, "the old PIN is wrong");
    Ok(())
}

fn new_key(case: &mut Case, algorithm: SignatureAlgorithm) -> Tried {
    case.set_pin(PIN).expect("a PIN is set");
    let mut request = credential_request();
    request.algorithms = vec![algorithm];
    let credential = match case.make(&mut Typist::new(&[PIN]), request) {
        Ok(credential) => credential,
        Err(Error::UnsupportedAlgorithm) if algorithm != SignatureAlgorithm::Es256 => {
            let name = if algorithm == SignatureAlgorithm::Rs256 { "RS256" } else { "EdDSA" };
            return Err(NotApplicable(format!(
                "this key has no {name} and says so; tests with keys that have it show the ceremony"
            )));
        }
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(credential.algorithm, algorithm);
    let request = assertion_request(&credential);
    let assertion = case.assert(&mut Typist::new(&[PIN]), request.clone()).expect("the new key signs");
    let message = [assertion.authenticator_data.as_slice(), &request.client_data_hash].concat();
    assert_eq!(signature::verify(algorithm, &credential.public_key, &message, &assertion.signature), Ok(()));
    Ok(())
}

fn excluded(case: &mut Case) -> Tried {
    let credential = case.enrolled();
    let mut request = credential_request();
    request.exclude =
        vec![CredentialId::new(vec![5; 64]).expect("a credential ID"), credential.credential_id];
    let made = case.make(&mut Typist::new(&[PIN]), request.clone());
    assert_eq!(made.expect_err("it is there"), Error::CredentialExcluded);
    request.rp.id = "other.example".to_owned();
    case.make(&mut Typist::new(&[PIN]), request).expect("a key for another site");
    Ok(())
}

fn assertion(case: &mut Case) -> Tried {
    let credential = case.enrolled();
    let request = assertion_request(&credential);
    let first = case.assert(&mut Typist::new(&[PIN]), request.clone()).expect("an assertion");
    case.power_cycle();
    let second = case.assert(&mut Typist::new(&[PIN]), request).expect("an assertion after a power cycle");
    assert!(second.sign_count > first.sign_count, "{} then {}", first.sign_count, second.sign_count);
    Ok(())
}

fn unknown_credential(case: &mut Case) -> Tried {
    let credential = case.enrolled();
    let mut request = assertion_request(&credential);
    request.rp_id = "evil.example".to_owned();
    assert_eq!(case.assert(&mut Typist::new(&[PIN]), request), Err(Error::NoCredentials), "another site");
    let mut request = assertion_request(&credential);
    let mut changed = request.credential_id.as_bytes().to_vec();
    changed[10] ^= 1;
    request.credential_id = CredentialId::new(changed).expect("a credential ID");
    assert_eq!(case.assert(&mut Typist::new(&[PIN]), request), Err(Error::NoCredentials), "an unknown key");
    Ok(())
}

fn silent_question(case: &mut Case) -> Tried {
    let credential = case.enrolled();
    let foreign = |number: u8| CredentialId::new(vec![number; 96]).expect("a credential ID");
    let mut asked: Vec<_> = (0..29).map(foreign).collect();
    // A key that wants a touch for this would wait for it.
    case.subject.set_touch(Touch::Waits);
    let cancel = CancelToken::new();
    let info = case.info();
    let none = preflight(&mut case.device(), &info, RP_ID, &asked, &cancel).expect("an answer");
    asked.push(credential.credential_id.clone());
    let held = preflight(&mut case.device(), &info, RP_ID, &asked, &cancel).expect("an answer");
    if held == Held::Unclear {
        assert!(!matches!(none, Held::Yes(_)), "{none:?}");
        return Err(NotApplicable(
            "this key names none of its keys without a touch, and is asked with one".to_owned(),
        ));
    }
    assert_eq!(none, Held::No);
    assert_eq!(held, Held::Yes(credential.credential_id));
    Ok(())
}

fn pin_not_set(case: &mut Case) -> Tried {
    let mut user = Typist::new(&[PIN]);
    assert_eq!(case.make(&mut user, credential_request()).expect_err("no PIN"), Error::PinNotSet);
    assert_eq!(case.change_pin(&mut user), Err(Error::PinNotSet));
    assert!(user.asked.is_empty(), "{:?}", user.asked);
    Ok(())
}

fn no_pin_given(case: &mut Case) -> Tried {
    let credential = case.enrolled();
    assert_eq!(case.assert(&mut Typist::new(&[]), assertion_request(&credential)), Err(Error::Cancelled));
    let mut user = Typist::new(&[PIN]);
    case.assert(&mut user, assertion_request(&credential)).expect("an assertion");
    assert_eq!(user.asked[0].attempts_left, Some(8), "no attempt was used up");
    Ok(())
}

fn cancel_at_touch(case: &mut Case) -> Tried {
    let credential = case.enrolled();
    case.subject.set_touch(Touch::Waits);
    let mut user = Typist::new(&[PIN]);
    user.cancel_at_touch = Some(CancelToken::new());
    assert_eq!(case.assert(&mut user, assertion_request(&credential)), Err(Error::Cancelled));
    assert!(user.events.contains(&Event::TouchWanted), "{:?}", user.events);
    // It is fit for the next ceremony.
    case.subject.set_touch(Touch::AtOnce);
    case.assert(&mut Typist::new(&[PIN]), assertion_request(&credential)).expect("an assertion");
    Ok(())
}

fn declined_touch(case: &mut Case) -> Tried {
    let credential = case.enrolled();
    case.subject.set_touch(Touch::Declines);
    assert_eq!(case.assert(&mut Typist::new(&[PIN]), assertion_request(&credential)), Err(Error::Denied));
    Ok(())
}

fn three_wrong(case: &mut Case, credential: &ctap_core::ceremony::NewCredential, left: u32) {
    let mut wrong = Typist::new(&["wrong-1", "wrong-2", "wrong-3", PIN]);
    assert_eq!(case.assert(&mut wrong, assertion_request(credential)), Err(Error::PinAuthBlocked));
    assert_eq!(wrong.asked[0].attempts_left, Some(left));
    assert_eq!(wrong.pins.len(), 1, "the right PIN was not wanted any more");
}

fn soft_block(case: &mut Case) -> Tried {
    let credential = case.enrolled();
    three_wrong(case, &credential, 8);
    assert_eq!(
        case.assert(&mut Typist::new(&[PIN]), assertion_request(&credential)),
        Err(Error::PinAuthBlocked),
        "even with the right PIN"
    );
    case.power_cycle();
    let mut user = Typist::new(&[PIN]);
    case.assert(&mut user, assertion_request(&credential)).expect("the right PIN after a power cycle");
    assert_eq!(user.asked[0].attempts_left, Some(5));
    Ok(())
}

fn blocked_for_good(case: &mut Case) -> Tried {
    let credential = case.enrolled();
    three_wrong(case, &credential, 8);
    case.power_cycle();
    three_wrong(case, &credential, 5);
    case.power_cycle();
    let mut wrong = Typist::new(&["wrong-1", "wrong-2", PIN]);
    assert_eq!(case.assert(&mut wrong, assertion_request(&credential)), Err(Error::PinBlocked));
    assert_eq!(wrong.pins.len(), 1);
    case.power_cycle();
    let mut user = Typist::new(&[PIN]);
    assert_eq!(case.assert(&mut user, assertion_request(&credential)), Err(Error::PinBlocked));
    assert!(user.asked.is_empty(), "{:?}", user.asked);
    Ok(())
}

fn selection(case: &mut Case) -> Tried {
    let cancel = CancelToken::new();
    select(&mut case.device(), &mut Typist::default(), &cancel).expect("chosen by a touch");
    case.subject.set_touch(Touch::Waits);
    let mut user = Typist { cancel_at_touch: Some(cancel.clone()), ..Typist::default() };
    assert_eq!(
        select(&mut case.device(), &mut user, &cancel),
        Err(Error::Cancelled),
        "another one was chosen"
    );
    Ok(())
}

fn wink(case: &mut Case) -> Tried {
    match case.device().wink() {
        Ok(()) => Ok(()),
        Err(TransportError::Unsupported(_)) => {
            Err(NotApplicable("no wink on this key or transport, which is said".to_owned()))
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn resetting(case: &mut Case) -> Tried {
    let credential = case.enrolled();
    // Most keys take a reset right after they were plugged in only.
    case.power_cycle();
    reset(&mut case.device(), &mut Typist::default(), &CancelToken::new()).expect("a reset");
    let info = get_info(&mut case.device(), &CancelToken::new()).expect("getInfo");
    assert_eq!(info.option("clientPin"), Some(false));
    case.set_pin(PIN).expect("a new PIN");
    let result = case.assert(&mut Typist::new(&[PIN]), assertion_request(&credential));
    assert_eq!(result, Err(Error::NoCredentials), "the old key is gone");
    Ok(())
}

fn built_in_uv(case: &mut Case) -> Tried {
    if case.info().option("uv") != Some(true) {
        return Err(NotApplicable("this key has no way to verify its user but the PIN".to_owned()));
    }
    case.set_pin(PIN).expect("a PIN is set");
    let mut user = Typist::new(&[PIN]);
    let credential = case.make(&mut user, credential_request()).expect("a key is made");
    case.assert(&mut user, assertion_request(&credential)).expect("an assertion");
    assert!(user.asked.is_empty(), "no PIN is asked for: {:?}", user.asked);
    Ok(())
}

fn uv_falls_back(case: &mut Case) -> Tried {
    if case.info().option("uv") != Some(true) {
        return Err(NotApplicable("this key has no way to verify its user but the PIN".to_owned()));
    }
    case.set_pin(PIN).expect("a PIN is set");
    let mut user = Typist::new(&[PIN, PIN]);
    let credential = case.make(&mut user, credential_request()).expect("a key is made");
    case.assert(&mut user, assertion_request(&credential)).expect("an assertion");
    assert_eq!(user.asked.len(), 2, "{:?}", user.asked);
    Ok(())
}
