//! The software key store: what it saves, what survives a power failure, what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use ctap_authenticator::software::SoftwareKeyStore;
use ctap_authenticator::{Authenticator, KeyStore, KeyStoreError, Presence, Unlock};
use ctap_core::messages::{
    ClientPinRequest, ClientPinResponse, ClientPinSubcommand, CredentialId, GetAssertionRequest,
    PinUvAuthParam, Request, Response,
};
use ctap_core::pin_uv_auth::{Permissions, Protocol, SharedSecret, Token, encapsulate};
use ctap_core::{Error, Pin, PinHash, Status};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn hash(pin: &str) -> PinHash {
    Pin::new(pin).unwrap().hash()
}

fn open(memory: &Memory) -> SoftwareKeyStore<Memory> {
    SoftwareKeyStore::open(memory.clone(), Fixed::new(memory.saves().0 as u64)).unwrap()
}

fn with_pin(memory: &Memory) -> SoftwareKeyStore<Memory> {
    let mut store = open(memory);
    store.set_pin(&hash(PIN)).unwrap();
    store
}

#[test]
fn an_assertion_costs_one_durable_save_and_a_lazy_one() {
    let memory = Memory::default();
    let mut device = Platform { memory: memory.clone(), ..Platform::default() }.start();
    assert_eq!(memory.saves(), (0, 0), "opening saves nothing");
    set_pin(&mut device, PIN).unwrap();
    assert_eq!(memory.saves(), (1, 0));
    let credential = make_credential(&mut device, &mut Typist::new(&[PIN]), credential_request()).unwrap();
    assert_eq!(memory.saves(), (2, 1));
    for n in 1..=5 {
        get_assertion(&mut device, &mut Typist::new(&[PIN]), assertion_request(&credential)).unwrap();
        assert_eq!(memory.saves(), (2 + n, 1 + n));
    }
}

#[test]
fn a_power_failure_loses_attempts_but_never_gives_any_back() {
    let memory = Memory::default();
    let mut store = with_pin(&memory);
    assert_eq!(store.unlock(&hash("wrong")).unwrap(), Unlock::Wrong);
    assert_eq!(store.unlock(&hash(PIN)).unwrap(), Unlock::Unlocked);
    assert_eq!(store.pin_state().unwrap().retries, 8);
    // The lazy save is lost: two attempts are gone, as if both had been wrong.
    memory.power_failure();
    let mut store = open(&memory);
    assert_eq!(store.pin_state().unwrap().retries, 6);
    for left in (0..6).rev() {
        assert_eq!(store.unlock(&hash("wrong")).unwrap(), Unlock::Wrong);
        memory.power_failure();
        store = open(&memory);
        assert_eq!(store.pin_state().unwrap().retries, left);
    }
    assert_eq!(store.unlock(&hash(PIN)), Err(KeyStoreError::PinBlocked));
}

#[test]
fn no_pin_is_compared_when_the_attempt_cannot_be_counted() {
    let memory = Memory::default();
    let mut store = with_pin(&memory);
    memory.0.lock().unwrap().fail = true;
    for _ in 0..20 {
        assert!(matches!(store.unlock(&hash(PIN)), Err(KeyStoreError::Storage(_))));
    }
    memory.0.lock().unwrap().fail = false;
    assert_eq!(store.unlock(&hash(PIN)).unwrap(), Unlock::Unlocked);
}

#[test]
fn the_counter_never_goes_back_over_power_failures_and_resets() {
    let memory = Memory::default();
    let mut store = with_pin(&memory);
    let mut last = 0;
    for round in 0..12 {
        if round % 3 != 2 {
            store.unlock(&hash(PIN)).unwrap();
        }
        for _ in 0..round % 4 {
            let next = store.next_counter().unwrap();
            assert!(next > last, "round {round}");
            last = next;
        }
        match round % 3 {
            0 => memory.power_failure(),
            1 => {
                store.reset().unwrap();
                store.set_pin(&hash(PIN)).unwrap();
            }
            _ => {}
        }
        store = open(&memory);
    }
    assert!(last > 10);
}

#[test]
fn keys_are_bound_to_their_rp_id_and_locked_without_the_pin() {
    let memory = Memory::default();
    let mut store = with_pin(&memory);
    let key = store.create_key(&[1; 32]).unwrap();
    assert_eq!(store.sign(&[1; 32], &key.credential_id, &[0; 32]), Err(KeyStoreError::Locked));
    store.unlock(&hash(PIN)).unwrap();
    store.sign(&[1; 32], &key.credential_id, &[0; 32]).unwrap();
    assert_eq!(store.sign(&[2; 32], &key.credential_id, &[0; 32]), Err(KeyStoreError::NotOurs));
    store.lock();
    assert_eq!(store.sign(&[1; 32], &key.credential_id, &[0; 32]), Err(KeyStoreError::Locked));
    assert_eq!(store.change_pin(&hash("other")), Err(KeyStoreError::Locked));
    store.unlock(&hash(PIN)).unwrap();
    store.unlock(&hash("wrong")).unwrap();
    assert_eq!(
        store.sign(&[1; 32], &key.credential_id, &[0; 32]),
        Err(KeyStoreError::Locked),
        "a wrong PIN locks"
    );
}

#[test]
fn a_credential_id_with_any_bit_changed_is_not_ours() {
    let memory = Memory::default();
    let mut store = with_pin(&memory);
    let id = store.create_key(&[1; 32]).unwrap().credential_id;
    assert_eq!(id.as_bytes().len(), store.max_credential_id_length());
    assert_eq!(store.owns(&[1; 32], &id), Ok(true));
    for bit in 0..id.as_bytes().len() * 8 {
        let mut bytes = id.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(store.owns(&[1; 32], &CredentialId::new(bytes).unwrap()), Ok(false), "bit {bit}");
    }
    for len in 1..id.as_bytes().len() {
        let short = CredentialId::new(id.as_bytes()[..len].to_vec()).unwrap();
        assert_eq!(store.owns(&[1; 32], &short), Ok(false), "{len} bytes");
    }
}

#[test]
fn the_state_shows_neither_the_pin_nor_its_hash() {
    let memory = Memory::default();
    drop(with_pin(&memory));
    let state = memory.0.lock().unwrap().state.clone().unwrap();
    assert!(state.len() < 200, "{} bytes", state.len());
    let contains = |needle: &[u8]| state.windows(needle.len()).any(|window| window == needle);
    assert!(!contains(PIN.as_bytes()) && !contains(hash(PIN).as_bytes()));
}

#[test]
fn a_damaged_or_newer_state_is_not_opened() {
    let memory = Memory::default();
    drop(with_pin(&memory));
    let good = memory.0.lock().unwrap().state.clone().unwrap();
    let opened = |bytes: &[u8]| {
        memory.0.lock().unwrap().state = Some(bytes.to_vec());
        SoftwareKeyStore::open(memory.clone(), Fixed::new(0)).map(|_| ())
    };
    assert_eq!(opened(&good), Ok(()));
    for len in 0..good.len() {
        assert!(matches!(opened(&good[..len]), Err(KeyStoreError::Damaged(_))), "{len} bytes");
    }
    assert!(matches!(opened(&[good.as_slice(), &[0]].concat()), Err(KeyStoreError::Damaged(_))));
    let mut newer = good.clone();
    newer[0] = 2;
    assert_eq!(opened(&newer), Err(KeyStoreError::Newer(2)));
}

/// A platform without our ceremonies, to send what they never would.
struct Raw {
    authenticator: Authenticator<SoftwareKeyStore<Memory>>,
    now: Arc<Mutex<Duration>>,
    random: Fixed,
    credential: CredentialId,
}

impl Raw {
    fn new() -> Self {
        let memory = Memory::default();
        let mut device = Platform { memory: memory.clone(), ..Platform::default() }.start();
        set_pin(&mut device, PIN).unwrap();
        let made = make_credential(&mut device, &mut Typist::new(&[PIN]), credential_request()).unwrap();
        let environment = Fixed::new(77);
        let now = environment.now.clone();
        let authenticator = Authenticator::new(open(&memory), environment).unwrap();
        Self { authenticator, now, random: Fixed::new(3), credential: made.credential_id }
    }

    fn send(&mut self, request: &Request) -> Vec<u8> {
        self.authenticator.process(&request.encode(), &mut || Presence::Confirmed)
    }

    fn pin(&mut self, subcommand: ClientPinSubcommand) -> Result<ClientPinResponse, Status> {
        let request = ClientPinRequest { protocol: Some(Protocol::Two), subcommand };
        ClientPinResponse::decode(&self.send(&Request::ClientPin(request))).unwrap()
    }

    fn token(&mut self, permissions: u8, rp_id: Option<&str>) -> Result<Token, Status> {
        let (secret, token) = self.encrypted_token(permissions, rp_id)?;
        Ok(Token::decrypt(&secret, &token).unwrap())
    }

    fn encrypted_token(
        &mut self,
        permissions: u8,
        rp_id: Option<&str>,
    ) -> Result<(SharedSecret, Vec<u8>), Status> {
        let peer = self.pin(ClientPinSubcommand::GetKeyAgreement)?.key_agreement.unwrap();
        let (key_agreement, secret) = encapsulate(Protocol::Two, &peer, &mut self.random).unwrap();
        let pin_hash_enc = secret.encrypt(hash(PIN).as_bytes(), &mut self.random).unwrap();
        let response = self.pin(ClientPinSubcommand::GetPinUvAuthTokenUsingPinWithPermissions {
            key_agreement,
            pin_hash_enc,
            permissions: Permissions(permissions),
            rp_id: rp_id.map(str::to_owned),
        })?;
        Ok((secret, response.pin_uv_auth_token.unwrap()))
    }

    fn assert(&mut self, token: &Token, rp_id: &str) -> Status {
        let request = GetAssertionRequest {
            rp_id: rp_id.to_owned(),
            client_data_hash: HASH,
            allow: vec![self.credential.clone()],
            user_presence: None,
            user_verification: None,
            pin_uv_auth: Some(PinUvAuthParam {
                protocol: token.protocol(),
                param: token.authenticate(&HASH),
            }),
        };
        Status(self.send(&Request::GetAssertion(request))[0])
    }
}

#[test]
fn a_token_is_good_for_one_command_of_its_permission_and_rp_id_and_thirty_seconds() {
    let mut raw = Raw::new();
    let token = raw.token(2, Some(RP_ID)).unwrap();
    assert_eq!(raw.assert(&token, RP_ID), Status::OK);
    assert_eq!(raw.assert(&token, RP_ID), Status::PIN_AUTH_INVALID, "used twice");
    let token = raw.token(1, Some(RP_ID)).unwrap();
    assert_eq!(raw.assert(&token, RP_ID), Status::PIN_AUTH_INVALID, "permission mc only");
    let token = raw.token(2, Some("other.example")).unwrap();
    assert_eq!(raw.assert(&token, RP_ID), Status::PIN_AUTH_INVALID, "another rpId");
    let old = raw.token(2, Some(RP_ID)).unwrap();
    let new = raw.token(2, Some(RP_ID)).unwrap();
    assert_eq!(raw.assert(&old, RP_ID), Status::PIN_AUTH_INVALID, "an older token");
    assert_eq!(raw.assert(&new, RP_ID), Status::PIN_AUTH_INVALID, "what is refused uses the token up");
    let token = raw.token(2, Some(RP_ID)).unwrap();
    *raw.now.lock().unwrap() += Duration::from_secs(30);
    assert_eq!(raw.assert(&token, RP_ID), Status::OK, "in time");
    let token = raw.token(2, Some(RP_ID)).unwrap();
    *raw.now.lock().unwrap() += Duration::from_secs(31);
    assert_eq!(raw.assert(&token, RP_ID), Status::PIN_AUTH_INVALID, "too late");
}

#[test]
fn tokens_for_what_there_is_not_are_refused() {
    let mut raw = Raw::new();
    assert_eq!(raw.token(4, Some(RP_ID)).unwrap_err(), Status::UNAUTHORIZED_PERMISSION);
    assert_eq!(raw.token(0, Some(RP_ID)).unwrap_err(), Status::INVALID_PARAMETER);
    assert_eq!(raw.token(2, None).unwrap_err(), Status::MISSING_PARAMETER);
    assert_eq!(raw.pin(ClientPinSubcommand::GetUvRetries).unwrap_err(), Status::INVALID_SUBCOMMAND);
    assert_eq!(Status(raw.send(&Request::GetNextAssertion)[0]), Status::NOT_ALLOWED);
    let unknown = raw.authenticator.process(&[0x41], &mut || Presence::Confirmed);
    assert_eq!(unknown, [Status::INVALID_COMMAND.0]);
    let huge = raw.authenticator.process(&vec![1; 10_000], &mut || Presence::Confirmed);
    assert_eq!(huge, [Status::REQUEST_TOO_LARGE.0]);
}

#[test]
fn a_full_disk_is_an_error_and_not_a_payment() {
    let memory = Memory::default();
    let mut device = Platform { memory: memory.clone(), ..Platform::default() }.start();
    set_pin(&mut device, PIN).unwrap();
    let credential = make_credential(&mut device, &mut Typist::new(&[PIN]), credential_request()).unwrap();
    memory.0.lock().unwrap().fail = true;
    let result = get_assertion(&mut device, &mut Typist::new(&[PIN]), assertion_request(&credential));
    assert!(matches!(result, Err(Error::Status { status: Status::OTHER, .. })), "{result:?}");
    memory.0.lock().unwrap().fail = false;
    get_assertion(&mut device, &mut Typist::new(&[PIN]), assertion_request(&credential)).unwrap();
}

proptest! {
    #[test]
    fn any_bytes_are_answered_with_a_status(command: u8, body: Vec<u8>) {
        let memory = Memory::default();
        let mut authenticator = Authenticator::new(open(&memory), Fixed::new(1)).unwrap();
        for first in [command, 1, 2, 6] {
            let bytes = [&[first], body.as_slice()].concat();
            let answer = authenticator.process(&bytes, &mut || Presence::Confirmed);
            prop_assert!(!answer.is_empty());
        }
    }

    #[test]
    fn any_state_opens_or_is_refused(bytes: Vec<u8>) {
        let memory = Memory::default();
        memory.0.lock().unwrap().state = Some(bytes);
        prop_assert!(SoftwareKeyStore::open(memory, Fixed::new(1)).is_err());
    }
}
