//! A security key that answers wrongly: which error each wrong answer ends in. The stream of all kinds of wrong answers is in
//! `hostile_stream.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use ctap_core::authenticator_data::{AttestedCredential, AuthenticatorData, Flags};
use ctap_core::ceremony::{AssertionRequest, NewCredential};
use ctap_core::messages::{
    ClientPinResponse, CommandCode, CredentialId, GetAssertionResponse, GetInfo, MakeCredentialResponse,
    Response,
};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use ctap_core::{Error, Mismatch, Status};
use fwp_cose::cbor::Value;
use fwp_cose::key::P256Key;
use fwp_cose::{PublicKey, SignatureAlgorithm, SignatureError};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest, Sha256};

type Change<'a> = Box<dyn FnMut(Vec<u8>) -> Vec<u8> + Send + 'a>;

/// What comes of an assertion whose `n`th answer, from 0, is changed.
fn assert_with(
    device: &mut AnyDevice,
    credential: &NewCredential,
    n: usize,
    mut change: Change<'_>,
) -> Result<(), Error> {
    let mut at = 0;
    let mut between = Between::new(device, move |_, response| {
        at += 1;
        if at == n + 1 { change(response) } else { response }
    });
    get_assertion(&mut between, &mut Typist::new(&[PIN]), assertion_request(credential)).map(|_| ())
}

/// getInfo, getPINRetries, getKeyAgreement, the token, getAssertion.
const ANSWERS: usize = 5;

#[test]
fn every_status_at_every_step_is_an_error() {
    let (mut device, credential) = enrolled(AnyDevice::platform(Touch::AtOnce));
    for n in 0..ANSWERS {
        for status in 1..=255 {
            let result = assert_with(&mut device, &credential, n, Box::new(move |_| vec![status]));
            let status = Status(status);
            let error = result.expect_err("no status but 0 is a success");
            match status {
                Status::KEEPALIVE_CANCEL => assert_eq!(error, Error::Cancelled),
                Status::OPERATION_DENIED => assert_eq!(error, Error::Denied),
                Status::NO_CREDENTIALS => assert_eq!(error, Error::NoCredentials),
                Status::PIN_BLOCKED => assert_eq!(error, Error::PinBlocked),
                Status::PIN_AUTH_BLOCKED => assert_eq!(error, Error::PinAuthBlocked),
                Status::PIN_NOT_SET => assert_eq!(error, Error::PinNotSet),
                // The PIN is asked for once more, and the typist gives up.
                Status::PIN_INVALID if n == 3 => assert_eq!(error, Error::Cancelled),
                Status::PIN_POLICY_VIOLATION if n == 3 => assert_eq!(error, Error::PinChangeRequired),
                Status(0xf0..) => {
                    assert!(matches!(error, Error::Status { status: said, .. } if said == status))
                }
                _ => {}
            }
        }
    }
}

#[test]
fn pin_retries_of_zero_and_wrong_tokens_are_refused() {
    let (mut device, credential) = enrolled(AnyDevice::platform(Touch::AtOnce));
    let mut with = |n, change: &mut (dyn FnMut(&mut ClientPinResponse) + Send)| {
        let change = |bytes: Vec<u8>| {
            let mut response = ClientPinResponse::decode(&bytes).unwrap().unwrap();
            change(&mut response);
            response.encode()
        };
        assert_with(&mut device, &credential, n, Box::new(change)).unwrap_err()
    };
    assert_eq!(with(1, &mut |response| response.pin_retries = Some(0)), Error::PinBlocked);
    assert_eq!(with(1, &mut |response| response.power_cycle_state = Some(true)), Error::PinAuthBlocked);
    assert!(matches!(with(1, &mut |response| response.pin_retries = None), Error::Response { .. }));
    assert!(matches!(with(2, &mut |response| response.key_agreement = None), Error::Response { .. }));
    assert!(matches!(with(3, &mut |response| response.pin_uv_auth_token = None), Error::Response { .. }));
    for len in [0, 16, 31, 32, 64, 80] {
        let error = with(3, &mut |response| response.pin_uv_auth_token = Some(vec![1; len]));
        assert!(matches!(error, Error::Response { .. }), "{len} bytes: {error:?}");
    }
    // A token of the right length that is another: the authenticator refuses what is made with it.
    let error = with(3, &mut |response| response.pin_uv_auth_token = Some(vec![1; 48]));
    assert!(matches!(error, Error::Status { status: Status::PIN_AUTH_INVALID, .. }), "{error:?}");
}

#[test]
fn an_authenticator_without_any_verification_or_known_protocol_is_told_apart() {
    let (mut device, credential) = enrolled(AnyDevice::platform(Touch::AtOnce));
    let mut with = |change: &(dyn Fn(&mut GetInfo) + Sync)| {
        let change = move |bytes: Vec<u8>| {
            let mut info = GetInfo::decode(&bytes).unwrap().unwrap();
            change(&mut info);
            info.encode()
        };
        assert_with(&mut device, &credential, 0, Box::new(change)).unwrap_err()
    };
    assert_eq!(with(&|info| info.options.clear()), Error::NoUserVerification);
    assert_eq!(with(&|info| info.pin_uv_auth_protocols = vec![3, 4]), Error::PinUvAuthProtocol);
    let options = |info: &mut GetInfo, options: &[(&str, bool)]| {
        info.options = options.iter().map(|(name, set)| ((*name).to_owned(), *set)).collect();
    };
    let no_pin = "noMcGaPermissionsWithClientPin";
    assert_eq!(with(&|info| options(info, &[("clientPin", false)])), Error::PinNotSet);
    assert_eq!(with(&|info| options(info, &[("clientPin", false), ("uv", false)])), Error::PinNotSet);
    assert_eq!(with(&|info| options(info, &[("uv", false)])), Error::UvNotSetUp);
    let both = [("clientPin", true), ("uv", false), (no_pin, true)];
    assert_eq!(with(&|info| options(info, &both)), Error::UvNotSetUp, "the PIN is not enough");
    assert_eq!(
        with(&|info| options(info, &[("clientPin", true), (no_pin, true)])),
        Error::NoUserVerification
    );
}

/// A key that signs whatever it is told to, so that only the check in question can refuse it.
struct Forger {
    key: SigningKey,
    data: AuthenticatorData,
    credential: Option<CredentialId>,
    hash: [u8; 32],
    device: AnyDevice,
}

impl Forger {
    fn new() -> (Self, AssertionRequest) {
        let mut device = AnyDevice::platform(Touch::AtOnce);
        set_pin(&mut device, PIN).unwrap();
        let key = SigningKey::from_slice(&[3; 32]).unwrap();
        let public_key = P256Key::from_sec1(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap();
        let credential_id = CredentialId::new(vec![5; 32]).unwrap();
        let request = AssertionRequest {
            rp_id: RP_ID.to_owned(),
            client_data_hash: HASH,
            credential_id: credential_id.clone(),
            public_key: PublicKey::P256(public_key),
            algorithm: SignatureAlgorithm::Es256,
        };
        let data = AuthenticatorData {
            rp_id_hash: Sha256::digest(RP_ID).into(),
            flags: Flags(5),
            sign_count: 1,
            attested: None,
            extensions: None,
        };
        (Self { key, data, credential: Some(credential_id), hash: HASH, device }, request)
    }
}

impl Device for Forger {
    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        if command[0] != CommandCode::GetAssertion.byte() {
            return self.device.transact(command, on_keepalive, cancel);
        }
        let auth_data = self.data.encode();
        let signature: Signature = self.key.sign(&[auth_data.as_slice(), &self.hash].concat());
        let response = GetAssertionResponse {
            credential: self.credential.clone(),
            auth_data,
            signature: signature.to_der().as_bytes().to_vec(),
            user: None,
            number_of_credentials: None,
        };
        Ok(response.encode())
    }
}

#[test]
fn a_well_signed_answer_to_another_question_is_refused() {
    type Forge = fn(&mut Forger);
    let attested = |forger: &mut Forger| {
        forger.data.attested = Some(AttestedCredential {
            aaguid: [0; 16],
            credential_id: CredentialId::new(vec![5; 32]).unwrap(),
            public_key: PublicKey::P256(
                P256Key::from_sec1(forger.key.verifying_key().to_sec1_point(false).as_bytes()).unwrap(),
            ),
            algorithm: SignatureAlgorithm::Es256,
        });
    };
    let cases: [(Forge, Option<Mismatch>); 9] = [
        (|_| {}, None),
        (|forger| forger.credential = None, None),
        (|forger| forger.data.rp_id_hash[31] ^= 1, Some(Mismatch::RpIdHash)),
        (|forger| forger.data.flags = Flags(4), Some(Mismatch::UserPresence)),
        (|forger| forger.data.flags = Flags(1), Some(Mismatch::UserVerification)),
        (
            |forger| forger.credential = Some(CredentialId::new(vec![6; 32]).unwrap()),
            Some(Mismatch::CredentialId),
        ),
        (attested, Some(Mismatch::AttestedCredential)),
        (|forger| forger.hash[0] ^= 1, Some(Mismatch::Signature(SignatureError::Invalid))),
        (
            |forger| forger.key = SigningKey::from_slice(&[4; 32]).unwrap(),
            Some(Mismatch::Signature(SignatureError::Invalid)),
        ),
    ];
    for (n, (forge, expected)) in cases.into_iter().enumerate() {
        let (mut forger, request) = Forger::new();
        forge(&mut forger);
        let result = get_assertion(&mut forger, &mut Typist::new(&[PIN]), request);
        match expected {
            None => assert!(result.is_ok(), "case {n}: {result:?}"),
            Some(mismatch) => assert_eq!(result, Err(Error::Mismatch(mismatch)), "case {n}"),
        }
    }
}

#[test]
fn a_new_key_with_a_wrong_attestation_is_refused() {
    type Forge = fn(&mut MakeCredentialResponse, &mut AuthenticatorData);
    let cases: [(&str, Forge, Mismatch); 8] = [
        ("rpIdHash", |_, data| data.rp_id_hash[0] ^= 1, Mismatch::RpIdHash),
        ("UP", |_, data| data.flags = Flags(4), Mismatch::UserPresence),
        ("UV", |_, data| data.flags = Flags(1), Mismatch::UserVerification),
        ("no key", |_, data| data.attested = None, Mismatch::AttestedCredential),
        (
            "changed after signing",
            |_, data| data.sign_count += 1,
            Mismatch::Signature(SignatureError::Invalid),
        ),
        (
            "alg",
            |response, _| {
                response.attestation.att_stmt.insert(Value::from("alg"), Value::int(-8));
            },
            Mismatch::Attestation("alg of a self attestation is not the new key's"),
        ),
        (
            "sig",
            |response, _| {
                response.attestation.att_stmt.remove(&Value::from("sig"));
            },
            Mismatch::Attestation("sig is not a byte string"),
        ),
        (
            "none with a statement",
            |response, _| response.attestation.fmt = "none".to_owned(),
            Mismatch::Attestation("the format none has an empty statement"),
        ),
    ];
    for (what, forge, expected) in cases {
        let mut device = AnyDevice::platform(Touch::AtOnce);
        set_pin(&mut device, PIN).unwrap();
        let mut between = Between::new(device, move |command, bytes| {
            if command[0] != CommandCode::MakeCredential.byte() {
                return bytes;
            }
            let mut response = MakeCredentialResponse::decode(&bytes).unwrap().unwrap();
            let mut data = AuthenticatorData::parse(&response.attestation.auth_data).unwrap();
            forge(&mut response, &mut data);
            response.attestation.auth_data = data.encode();
            response.encode()
        });
        let result = make_credential(&mut between, &mut Typist::new(&[PIN]), credential_request());
        assert_eq!(result.unwrap_err(), Error::Mismatch(expected), "{what}");
    }
}

#[test]
fn a_key_of_an_algorithm_that_was_not_asked_for_is_refused() {
    // OpenSK makes an EdDSA key for a request that our client did not send.
    let mut device = AnyDevice::opensk(Touch::AtOnce);
    set_pin(&mut device, PIN).unwrap();
    let mut asked = credential_request();
    asked.algorithms = vec![SignatureAlgorithm::Ed25519];
    let mut made = Vec::new();
    let mut recorder = Between::new(&mut device, |command, response| {
        if command[0] == CommandCode::MakeCredential.byte() {
            made = response.clone();
        }
        response
    });
    make_credential(&mut recorder, &mut Typist::new(&[PIN]), asked).unwrap();
    drop(recorder);
    let mut swapped = Between::new(&mut device, |command, response| {
        if command[0] == CommandCode::MakeCredential.byte() { made.clone() } else { response }
    });
    let result = make_credential(&mut swapped, &mut Typist::new(&[PIN]), credential_request());
    assert_eq!(result.unwrap_err(), Error::Mismatch(Mismatch::Algorithm));
}

#[test]
fn a_device_that_goes_away_is_a_transport_error_at_every_step() {
    struct Leaving(AnyDevice, usize);
    impl Device for Leaving {
        fn transact(
            &mut self,
            command: &[u8],
            on_keepalive: &mut dyn FnMut(KeepaliveStatus),
            cancel: &CancelToken,
        ) -> Result<Vec<u8>, TransportError> {
            self.1 = self.1.checked_sub(1).ok_or(TransportError::Gone)?;
            self.0.transact(command, on_keepalive, cancel)
        }
    }
    for n in 0..ANSWERS {
        let (device, credential) = enrolled(AnyDevice::platform(Touch::AtOnce));
        let result =
            get_assertion(&mut Leaving(device, n), &mut Typist::new(&[PIN]), assertion_request(&credential));
        assert_eq!(result, Err(Error::Transport(TransportError::Gone)), "after {n} answers");
    }
}
