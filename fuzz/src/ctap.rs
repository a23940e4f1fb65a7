//! What security keys say, and what an authenticator is told.

use crate::check;
use ctap_authenticator::software::{InMemory, SoftwareKeyStore};
use ctap_authenticator::{Authenticator, Environment, Presence};
use ctap_core::attestation::AttestationObject;
use ctap_core::authenticator_data::AuthenticatorData;
use ctap_core::ceremony::{
    AssertionRequest, Ceremony, ChangePin, CredentialRequest, GetAssertion, Input, MakeCredential, Output,
    SetPin,
};
use ctap_core::messages::{
    ClientPinResponse, CredentialId, EmptyResponse, GetAssertionResponse, GetInfo, MakeCredentialResponse,
    RelyingParty, Request, Response, UserAccount,
};
use ctap_core::{Pin, Random, RandomError};
use fwp_cose::{PublicKey, SignatureAlgorithm, key::P256Key};
use std::time::Duration;

/// A response by an authenticator, of every kind.
pub fn ctap_response(data: &[u8]) {
    let _ = GetInfo::decode(data);
    let _ = MakeCredentialResponse::decode(data);
    let _ = GetAssertionResponse::decode(data);
    let _ = ClientPinResponse::decode(data);
    let _ = EmptyResponse::decode(data);
    if let Ok(authenticator_data) = AuthenticatorData::parse(data) {
        check(authenticator_data.encode() == data, "authenticatorData is written differently");
    }
    if let Ok(attestation) = AttestationObject::decode(data) {
        let _ = attestation.verify(&[7; 32]);
    }
}

/// A command to an authenticator.
pub fn ctap_request(data: &[u8]) {
    if let Ok(request) = Request::decode(data) {
        check(Request::decode(&request.encode()).is_ok(), "a request does not read again");
    }
}

/// A whole ceremony against an authenticator that answers what the input says: a byte that chooses the ceremony, then
/// responses, each behind two bytes of length. None may end as if it had succeeded.
pub fn ctap_ceremony(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    match which % 4 {
        0 => check(
            drive(&mut GetAssertion::new(assertion_request()), rest).is_none(),
            "a forged assertion was taken",
        ),
        1 => drop(drive(&mut MakeCredential::new(credential_request()), rest)),
        2 => drop(drive(&mut SetPin::new(), rest)),
        _ => drop(drive(&mut ChangePin::new(), rest)),
    }
}

fn drive<C: Ceremony>(ceremony: &mut C, mut responses: &[u8]) -> Option<C::Outcome> {
    let mut random = Counting(0);
    let mut output = ceremony.step(Input::Start, &mut random).ok()?;
    for _ in 0..64 {
        let input = match output {
            Output::Done(outcome) => return Some(outcome),
            Output::Event(_) => Input::Pin(Pin::new("1234").ok()?),
            Output::Send(_) => {
                let (length, rest) = responses.split_first_chunk::<2>()?;
                let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
                let (response, rest) = rest.split_at(length);
                responses = rest;
                Input::Response(response)
            }
        };
        output = ceremony.step(input, &mut random).ok()?;
    }
    None
}

/// The key is the generator, the public key of the secret 1: no corpus holds a signature by it, and no fuzzer makes one.
fn assertion_request() -> AssertionRequest {
    const GENERATOR: [u8; 64] = [
        0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77,
        0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3,
        0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33,
        0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
    ];
    let (x, y) = GENERATOR.split_at(32);
    let half = |bytes: &[u8]| bytes.try_into().unwrap_or([0; 32]);
    AssertionRequest {
        rp_id: "bank.example".to_owned(),
        client_data_hash: [7; 32],
        credential_id: credential_id(),
        public_key: P256Key::new(half(x), half(y))
            .map_or(PublicKey::X25519(fwp_cose::key::X25519Key::new([0; 32])), PublicKey::P256),
        algorithm: SignatureAlgorithm::Es256,
    }
}

fn credential_request() -> CredentialRequest {
    CredentialRequest {
        rp: RelyingParty { id: "bank.example".to_owned(), name: Some("Bank".to_owned()) },
        user: UserAccount { id: vec![1], name: Some("user".to_owned()), display_name: None },
        client_data_hash: [7; 32],
        algorithms: SignatureAlgorithm::ALL.to_vec(),
        exclude: vec![credential_id()],
    }
}

#[allow(clippy::expect_used, reason = "32 bytes are a credential ID")]
fn credential_id() -> CredentialId {
    CredentialId::new(vec![5; 32]).expect("32 bytes are a credential ID")
}

/// Bytes that differ from draw to draw and are the same in every run.
struct Counting(u8);

impl Random for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), RandomError> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(5).wrapping_add(1);
            *byte = self.0;
        }
        Ok(())
    }
}

/// A freshly made platform authenticator that is told a sequence of commands, each behind two bytes of length. Without
/// the PIN that nobody set it must neither make a key nor sign.
pub fn authenticator(data: &[u8]) {
    let Ok(keys) = SoftwareKeyStore::open(InMemory::default(), Counting(1)) else { return };
    let Ok(mut authenticator) = Authenticator::new(keys, Counting(2)) else { return };
    let mut commands = data;
    for _ in 0..16 {
        let Some((length, rest)) = commands.split_first_chunk::<2>() else { return };
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (command, rest) = rest.split_at(length);
        commands = rest;
        let response = authenticator.process(command, &mut || Presence::Confirmed);
        check(!response.is_empty(), "no status");
        let key_used = matches!(command.first(), Some(0x01 | 0x02)) && response.first() == Some(&0);
        check(!key_used, "a key was made or used without a PIN");
    }
}

impl Environment for Counting {
    fn now(&mut self) -> Duration {
        Duration::ZERO
    }
}
