//! Ceremonies as state machines: inputs out of turn, cancellation, sizes. (With real authenticators they are tried
//! where those are: in `ctap-authenticator`.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_core::authenticator_data::{AuthenticatorData, Flags};
use ctap_core::ceremony::{
    AssertionRequest, Ceremony, ChangePin, CredentialRequest, Event, GetAssertion, Held, Input,
    MakeCredential, Output, PinPurpose, PinRequest, SetPin, preflight,
};
use ctap_core::messages::{
    ClientPinResponse, ClientPinSubcommand, CredentialId, GetAssertionResponse, GetInfo, RelyingParty,
    Request, Response, UserAccount,
};
use ctap_core::pin_uv_auth::{KeyAgreement, Protocol};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use ctap_core::{Error, Pin, Random, RandomError, Status};
use fwp_cose::SignatureAlgorithm;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

struct Constant(u8);

impl Random for Constant {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        out.fill(self.0);
        Ok(())
    }
}

/// No random bytes at all.
struct Dry;

impl Random for Dry {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), RandomError> {
        Err(RandomError)
    }
}

fn make_credential() -> MakeCredential {
    MakeCredential::new(request())
}

fn request() -> CredentialRequest {
    CredentialRequest {
        rp: RelyingParty { id: "bank.example".to_owned(), name: None },
        user: UserAccount { id: vec![1], name: None, display_name: None },
        client_data_hash: [1; 32],
        algorithms: vec![SignatureAlgorithm::Es256],
        exclude: Vec::new(),
    }
}

fn info(pin: Option<bool>) -> Vec<u8> {
    let mut info = GetInfo {
        versions: vec!["FIDO_2_1".to_owned()],
        pin_uv_auth_protocols: vec![2],
        options: vec![("pinUvAuthToken".to_owned(), true)],
        ..GetInfo::default()
    };
    info.options.extend(pin.map(|set| ("clientPin".to_owned(), set)));
    info.encode()
}

fn retries(pin_retries: u64) -> Vec<u8> {
    ClientPinResponse { pin_retries: Some(pin_retries), ..ClientPinResponse::default() }.encode()
}

fn key() -> Vec<u8> {
    let key_agreement = Some(KeyAgreement::generate(&mut Constant(3)).unwrap().public_key().clone());
    ClientPinResponse { key_agreement, ..ClientPinResponse::default() }.encode()
}

fn pin() -> Pin {
    Pin::new("1234").unwrap()
}

#[test]
fn the_first_command_is_get_info_and_the_pin_is_asked_for_before_any_secret_is_used() {
    let mut ceremony = make_credential();
    let random = &mut Dry;
    let Output::Send(bytes) = ceremony.step(Input::Start, random).unwrap() else { panic!("no command") };
    assert_eq!(bytes, Request::GetInfo.encode());
    let Output::Send(_) = ceremony.step(Input::Response(&info(Some(true))), random).unwrap() else {
        panic!("no command")
    };
    let Output::Send(_) = ceremony.step(Input::Response(&retries(5)), random).unwrap() else {
        panic!("no command")
    };
    let Output::Event(Event::PinWanted(wanted)) = ceremony.step(Input::Response(&key()), random).unwrap()
    else {
        panic!("no question")
    };
    assert_eq!(wanted, PinRequest { purpose: PinPurpose::Current, attempts_left: Some(5), wrong: false });
    let result = ceremony.step(Input::Pin(pin()), random);
    assert_eq!(result.unwrap_err(), Error::Random(RandomError), "without random bytes nothing is encrypted");
}

#[test]
fn inputs_out_of_turn_end_a_ceremony() {
    let inputs: [fn() -> Input<'static>; 3] =
        [|| Input::Response(&[0]), || Input::Pin(pin()), || Input::Keepalive(KeepaliveStatus::Processing)];
    for input in inputs {
        let mut ceremony = make_credential();
        assert!(matches!(ceremony.step(input(), &mut Constant(1)), Err(Error::OutOfTurn(_))));
        let again = ceremony.step(Input::Start, &mut Constant(1));
        assert!(matches!(again, Err(Error::OutOfTurn(_))), "it is over");
    }
}

#[test]
fn every_ceremony_ends_when_cancelled() {
    fn check<C: Ceremony>(mut ceremony: C) {
        ceremony.step(Input::Start, &mut Constant(1)).map(|_| ()).unwrap();
        let cancelled = ceremony.step(Input::Cancel, &mut Constant(1)).map(|_| ());
        assert_eq!(cancelled, Err(Error::Cancelled));
        let after = ceremony.step(Input::Response(&info(Some(true))), &mut Constant(1)).map(|_| ());
        assert!(matches!(after, Err(Error::OutOfTurn(_))));
    }
    check(make_credential());
    check(SetPin::new());
    check(ChangePin::new());
    check(GetAssertion::new(AssertionRequest {
        rp_id: "bank.example".to_owned(),
        client_data_hash: [0; 32],
        credential_id: CredentialId::new(vec![1]).unwrap(),
        public_key: fwp_cose::PublicKey::X25519(fwp_cose::key::X25519Key::new([9; 32])),
        algorithm: SignatureAlgorithm::Es256,
    }));
}

#[test]
fn keepalives_tell_touch_from_work_and_change_nothing() {
    let mut ceremony = make_credential();
    ceremony.step(Input::Start, &mut Constant(1)).unwrap();
    for (status, expected) in [
        (KeepaliveStatus::Processing, Event::Processing),
        (KeepaliveStatus::UserPresenceNeeded, Event::TouchWanted),
    ] {
        let Output::Event(event) = ceremony.step(Input::Keepalive(status), &mut Constant(1)).unwrap() else {
            panic!("no event")
        };
        assert_eq!(event, expected);
    }
    assert!(ceremony.step(Input::Response(&info(Some(true))), &mut Constant(1)).is_ok());
}

#[test]
fn a_request_larger_than_the_device_takes_is_not_sent() {
    let mut request = request();
    request.user.display_name = Some("x".repeat(1000));
    let mut ceremony = MakeCredential::new(request);
    let random = &mut Constant(1);
    ceremony.step(Input::Start, random).unwrap();
    // With built-in verification and no tokens, the command itself comes next.
    let info = GetInfo {
        versions: vec!["FIDO_2_0".to_owned()],
        options: vec![("uv".to_owned(), true)],
        ..GetInfo::default()
    };
    let result = ceremony.step(Input::Response(&info.encode()), random);
    assert!(matches!(result, Err(Error::RequestTooLarge { limit: 1024, .. })), "{result:?}");
}

#[test]
fn a_longer_exclude_list_than_the_device_takes_is_asked_for_silently_in_parts() {
    let ids: Vec<_> = (0..40).map(|n| CredentialId::new(vec![n; 64]).unwrap()).collect();
    let too_long = CredentialId::new(vec![99; 65]).unwrap();
    let mut request = request();
    request.exclude = ids.iter().cloned().chain([too_long.clone()]).collect();
    // 1. By the number of credentials, 2. by the size of a message, 3. by neither.
    for (count, size, parts) in [(Some(16), Some(9000), 3), (None, Some(1024), 4), (None, Some(9000), 0)] {
        let info = GetInfo {
            versions: vec!["FIDO_2_1".to_owned()],
            options: vec![("uv".to_owned(), true)],
            max_credential_count_in_list: count,
            max_credential_id_length: Some(64),
            max_msg_size: size,
            ..GetInfo::default()
        };
        let mut ceremony = MakeCredential::new(request.clone());
        let random = &mut Constant(1);
        ceremony.step(Input::Start, random).unwrap();
        let mut output = ceremony.step(Input::Response(&info.encode()), random).unwrap();
        let mut asked = Vec::new();
        let mut questions = 0;
        let last = loop {
            let Output::Send(bytes) = output else { panic!("no command") };
            assert!(bytes.len() <= info.max_request());
            match Request::decode(&bytes).unwrap() {
                Request::GetAssertion(question) => {
                    assert_eq!((question.user_presence, question.pin_uv_auth), (Some(false), None));
                    assert_eq!(question.user_verification, None);
                    assert!(question.allow.len() <= count.map_or(usize::MAX, |count| count as usize));
                    asked.extend(question.allow);
                    questions += 1;
                }
                Request::MakeCredential(request) => break request,
                other => panic!("{other:?}"),
            }
            output = ceremony.step(Input::Response(&[Status::NO_CREDENTIALS.0]), random).unwrap();
        };
        assert_eq!(questions, parts, "{count:?} {size:?}");
        if parts == 0 {
            assert_eq!(last.exclude, ids, "without the one that can't be this device's");
        } else {
            assert_eq!((asked, last.exclude), (ids.clone(), Vec::new()));
        }
    }
}

#[test]
fn a_device_that_refuses_silent_questions_gets_as_much_of_the_exclude_list_as_it_takes() {
    let mut request = request();
    request.exclude = (0..40).map(|n| CredentialId::new(vec![n; 64]).unwrap()).collect();
    let info = GetInfo {
        versions: vec!["FIDO_2_1".to_owned()],
        options: vec![("uv".to_owned(), true)],
        ..GetInfo::default()
    };
    let mut ceremony = MakeCredential::new(request.clone());
    let random = &mut Constant(1);
    ceremony.step(Input::Start, random).unwrap();
    let mut output = ceremony.step(Input::Response(&info.encode()), random).unwrap();
    let sent = loop {
        let Output::Send(bytes) = output else { panic!("no command") };
        assert!(bytes.len() <= 1024);
        if let Request::MakeCredential(sent) = Request::decode(&bytes).unwrap() {
            break sent;
        }
        output = ceremony.step(Input::Response(&[Status::UNSUPPORTED_OPTION.0]), random).unwrap();
    };
    assert!(sent.exclude.len() > 8, "{}", sent.exclude.len());
    assert_eq!(sent.exclude[..], request.exclude[..sent.exclude.len()]);
}

#[test]
fn a_new_pin_longer_than_the_device_takes_is_not_sent() {
    let info = GetInfo {
        versions: vec!["FIDO_2_3".to_owned()],
        pin_uv_auth_protocols: vec![2],
        options: vec![("clientPin".to_owned(), false)],
        max_pin_length: Some(8),
        ..GetInfo::default()
    };
    let mut ceremony = SetPin::new();
    let random = &mut Constant(1);
    ceremony.step(Input::Start, random).unwrap();
    ceremony.step(Input::Response(&info.encode()), random).unwrap();
    ceremony.step(Input::Response(&key()), random).unwrap();
    let result = ceremony.step(Input::Pin(Pin::new("123456789").unwrap()), random);
    assert_eq!(result.unwrap_err(), Error::PinTooLong { max_code_points: 8 });
}

#[test]
fn a_new_pin_goes_out_encrypted() {
    let mut ceremony = SetPin::new();
    let random = &mut Constant(1);
    ceremony.step(Input::Start, random).unwrap();
    ceremony.step(Input::Response(&info(Some(false))), random).unwrap();
    ceremony.step(Input::Response(&key()), random).unwrap();
    let Output::Send(bytes) =
        ceremony.step(Input::Pin(Pin::new("a very long pin").unwrap()), random).unwrap()
    else {
        panic!("no command")
    };
    assert!(!bytes.windows(4).any(|window| window == b"long"));
    let refused = ceremony.step(Input::Response(&[Status::PIN_POLICY_VIOLATION.0]), random);
    assert_eq!(refused.unwrap_err(), Error::PinPolicy { min_code_points: 4 });
}

/// A card that is lifted while the PIN is typed, and another laid in its place, must not get what it could read.
#[test]
fn pins_can_be_read_by_the_device_only_that_was_there_when_they_were_asked_for() {
    let there = KeyAgreement::generate(&mut Constant(3)).unwrap();
    let secrets = |command: &[u8]| {
        let Request::ClientPin(request) = Request::decode(command).unwrap() else { panic!("{command:?}") };
        let (key, secrets) = match request.subcommand {
            ClientPinSubcommand::GetPinUvAuthTokenUsingPinWithPermissions {
                key_agreement,
                pin_hash_enc,
                ..
            } => (key_agreement, vec![pin_hash_enc]),
            ClientPinSubcommand::SetPin { key_agreement, new_pin_enc, .. } => {
                (key_agreement, vec![new_pin_enc])
            }
            ClientPinSubcommand::ChangePin { key_agreement, pin_hash_enc, new_pin_enc, .. } => {
                (key_agreement, vec![pin_hash_enc, new_pin_enc])
            }
            other => panic!("another question after the PIN: {other:?}"),
        };
        let secret = there.shared_secret(Protocol::Two, &key);
        secrets.iter().map(|secret_enc| secret.decrypt(secret_enc).unwrap().to_vec()).collect::<Vec<_>>()
    };
    let (hash, mut padded) = (pin().hash().as_bytes().to_vec(), b"1234".to_vec());
    padded.resize(64, 0);
    let typed = |ceremony: &mut dyn Step, responses: &[Vec<u8>], pins: usize| {
        ceremony.take(Input::Start);
        responses.iter().for_each(|response| drop(ceremony.take(Input::Response(response))));
        (0..pins).map(|_| ceremony.take(Input::Pin(pin()))).last().unwrap().unwrap()
    };
    let sent = typed(&mut make_credential(), &[info(Some(true)), retries(8), key()], 1);
    assert_eq!(secrets(&sent), std::slice::from_ref(&hash));
    let sent = typed(&mut SetPin::new(), &[info(Some(false)), key()], 1);
    assert_eq!(secrets(&sent), [padded.clone()]);
    let sent = typed(&mut ChangePin::new(), &[info(Some(true)), retries(8), key()], 2);
    assert_eq!(secrets(&sent), [hash, padded]);
}

/// A ceremony of whatever outcome: what it sends, if it does.
trait Step {
    fn take(&mut self, input: Input<'_>) -> Option<Vec<u8>>;
}

impl<C: Ceremony> Step for C {
    fn take(&mut self, input: Input<'_>) -> Option<Vec<u8>> {
        match self.step(input, &mut Constant(1)).map_err(|error| error.to_string()) {
            Ok(Output::Send(bytes)) => Some(bytes),
            Ok(Output::Event(_)) => None,
            Ok(Output::Done(_)) => panic!("done"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// An input of any kind, with responses that are sometimes good ones.
fn inputs() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let responses = prop_oneof![
        any::<Vec<u8>>(),
        any::<u8>().prop_map(|status| vec![status]),
        any::<Option<bool>>().prop_map(info),
        any::<u64>().prop_map(retries),
        Just(key()),
    ];
    (0..12u8, responses)
}

fn drive<C: Ceremony>(mut ceremony: C, inputs: &[(u8, Vec<u8>)]) -> Result<(), TestCaseError> {
    let mut over = ceremony.step(Input::Start, &mut Constant(1)).is_err();
    for (kind, response) in inputs {
        let input = match kind {
            0 => Input::Start,
            1 => Input::Cancel,
            2 => Input::Keepalive(KeepaliveStatus::UserPresenceNeeded),
            3..=5 => Input::Pin(pin()),
            _ => Input::Response(response),
        };
        let result = ceremony.step(input, &mut Constant(1)).map(|_| ());
        prop_assert!(!over || matches!(result, Err(Error::OutOfTurn(_))), "nothing comes after the end");
        over |= result.is_err();
    }
    Ok(())
}

/// One that asks the device silently for its exclude list first.
fn excluding_many() -> MakeCredential {
    let exclude = (0..40).map(|n| CredentialId::new(vec![n; 64]).unwrap()).collect();
    MakeCredential::new(CredentialRequest { exclude, ..request() })
}

/// A device that answers everything alike.
struct Always(Vec<u8>);

impl Device for Always {
    fn transact(
        &mut self,
        _: &[u8],
        _: &mut dyn FnMut(KeepaliveStatus),
        _: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        Ok(self.0.clone())
    }
}

/// An answer to a silent question, for this site and credential where they are given.
fn silent_answer() -> impl Strategy<Value = Vec<u8>> {
    let data = |ours: bool| AuthenticatorData {
        rp_id_hash: if ours { Sha256::digest(b"bank.example").into() } else { [0; 32] },
        flags: Flags(0),
        sign_count: 1,
        attested: None,
        extensions: None,
    };
    let answer = (any::<bool>(), proptest::option::of(0..4u8), any::<Vec<u8>>());
    let answer = answer.prop_map(move |(ours, credential, signature)| {
        GetAssertionResponse {
            credential: credential.map(|n| CredentialId::new(vec![n]).unwrap()),
            auth_data: data(ours).encode(),
            signature,
            user: None,
            number_of_credentials: None,
        }
        .encode()
    });
    prop_oneof![answer, any::<Vec<u8>>(), any::<u8>().prop_map(|status| vec![status])]
}

proptest! {
    #[test]
    fn a_silent_question_believes_only_answers_to_itself(response in silent_answer(), asked in 1..3u8) {
        let credentials: Vec<_> = (1..=asked).map(|n| CredentialId::new(vec![n]).unwrap()).collect();
        let (info, cancel) = (GetInfo::default(), CancelToken::new());
        let held = preflight(&mut Always(response.clone()), &info, "bank.example", &credentials, &cancel);
        match held {
            Ok(Held::No) => prop_assert_eq!(response[0], Status::NO_CREDENTIALS.0),
            Ok(Held::Yes(credential)) => {
                let answer = GetAssertionResponse::decode(&response).unwrap().unwrap();
                prop_assert!(credentials.contains(&credential));
                prop_assert!(answer.credential.is_none_or(|id| id == credential));
                let data = AuthenticatorData::parse(&answer.auth_data).unwrap();
                prop_assert_eq!(data.rp_id_hash, <[u8; 32]>::from(Sha256::digest(b"bank.example")));
            }
            Ok(Held::Unclear) => {}
            Err(error) => prop_assert_eq!((error, response[0]), (Error::Cancelled, Status::KEEPALIVE_CANCEL.0)),
        }
    }

    #[test]
    fn any_inputs_in_any_order_are_taken_or_refused(inputs in proptest::collection::vec(inputs(), 0..12)) {
        drive(make_credential(), &inputs)?;
        drive(excluding_many(), &inputs)?;
        drive(SetPin::new(), &inputs)?;
        drive(ChangePin::new(), &inputs)?;
    }
}
