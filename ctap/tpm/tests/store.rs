//! The key store on a real swtpm, method by method.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Computer, Memory, PIN, RP, Store, Swtpm, hash, open};
use ctap_authenticator::{Authenticator, KeyStore, KeyStoreError, Os, PlatformDevice, Unlock};
use ctap_core::messages::{
    ClientPinRequest, ClientPinResponse, ClientPinSubcommand, CredentialId, Request, Response,
};
use ctap_core::pin_uv_auth::{Permissions, Protocol, encapsulate};
use ctap_core::transport::{CancelToken, Device, TransportError};
use fwp_cose::{PublicKey, SignatureAlgorithm, signature};
use sha2::{Digest, Sha256};

fn unlocked(computer: &Computer) -> Store {
    let mut store = open(&computer.tpm, &computer.memory);
    store.set_pin(&hash(PIN)).unwrap();
    assert_eq!(store.unlock(&hash(PIN)), Ok(Unlock::Unlocked));
    store
}

#[test]
fn a_key_is_made_and_signs() {
    let computer = Computer::new();
    let mut store = unlocked(&computer);
    let key = store.create_key(&RP).unwrap();
    let digest = Sha256::digest(b"message").into();
    let key_of = PublicKey::P256(key.public_key);
    // Often enough for a coordinate or a part of a signature that begins with zeros.
    for _ in 0..300 {
        let signed = store.sign(&RP, &key.credential_id, &digest).unwrap();
        signature::verify(SignatureAlgorithm::Es256, &key_of, b"message", &signed).unwrap();
    }
}

#[test]
fn the_model_is_not_that_of_software_keys() {
    assert_ne!(ctap_tpm::AAGUID, ctap_authenticator::software::AAGUID);
}

#[test]
fn keys_are_bound_to_their_rp_id_and_locked_without_the_pin() {
    let computer = Computer::new();
    let mut store = unlocked(&computer);
    let key = store.create_key(&RP).unwrap().credential_id;
    store.sign(&RP, &key, &[0; 32]).unwrap();
    assert_eq!(store.owns(&RP, &key), Ok(true));
    assert_eq!(store.owns(&[2; 32], &key), Ok(false));
    assert_eq!(store.sign(&[2; 32], &key, &[0; 32]), Err(KeyStoreError::NotOurs));
    store.lock();
    assert_eq!(store.sign(&RP, &key, &[0; 32]), Err(KeyStoreError::Locked));
    assert_eq!(store.create_key(&RP).unwrap_err(), KeyStoreError::Locked);
    assert_eq!((store.owns(&RP, &key), store.owns(&[2; 32], &key)), (Ok(true), Ok(false)));
    store.unlock(&hash(PIN)).unwrap();
    store.unlock(&hash("wrong")).unwrap();
    assert_eq!(store.sign(&RP, &key, &[0; 32]), Err(KeyStoreError::Locked), "a wrong PIN locks");
}

/// The public part says for which rpId a key is. Whoever writes another one into it has a key that does not load.
#[test]
fn a_credential_id_rewritten_for_another_rp_id_does_not_load() {
    let computer = Computer::new();
    let mut store = unlocked(&computer);
    let (ours, theirs) = (store.create_key(&RP).unwrap(), store.create_key(&[2; 32]).unwrap());
    let (mut forged, policy) = (ours.credential_id.as_bytes().to_vec(), 13..45);
    forged[policy.clone()].copy_from_slice(&theirs.credential_id.as_bytes()[policy]);
    let forged = CredentialId::new(forged).unwrap();
    assert_eq!(store.owns(&RP, &forged), Ok(false));
    assert_eq!(store.owns(&[2; 32], &forged), Ok(false), "the TPM refuses it");
    assert_eq!(store.sign(&[2; 32], &forged, &[0; 32]), Err(KeyStoreError::NotOurs));
    assert_eq!(store.owns(&[2; 32], &theirs.credential_id), Ok(true), "where the policy is");
}

#[test]
fn keys_of_another_wallet_on_the_same_tpm_are_not_ours() {
    let computer = Computer::new();
    let mut store = unlocked(&computer);
    let key = store.create_key(&RP).unwrap().credential_id;
    drop(store);
    let mut other = open(&computer.tpm, &Memory::default());
    other.set_pin(&hash(PIN)).unwrap();
    other.unlock(&hash(PIN)).unwrap();
    assert_eq!(other.owns(&RP, &key), Ok(false));
    assert_eq!(other.sign(&RP, &key, &[0; 32]), Err(KeyStoreError::NotOurs));
}

#[test]
fn a_credential_id_with_any_bit_changed_is_not_ours() {
    let computer = Computer::new();
    let mut store = unlocked(&computer);
    let id = store.create_key(&RP).unwrap().credential_id;
    assert!(id.as_bytes().len() <= store.max_credential_id_length());
    for bit in 0..id.as_bytes().len() * 8 {
        let mut bytes = id.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(store.owns(&RP, &CredentialId::new(bytes).unwrap()), Ok(false), "bit {bit}");
    }
    for len in 1..id.as_bytes().len() {
        let short = CredentialId::new(id.as_bytes()[..len].to_vec()).unwrap();
        assert_eq!(store.owns(&RP, &short), Ok(false), "{len} bytes");
    }
    assert_eq!(store.owns(&RP, &id), Ok(true));
}

#[test]
fn the_counter_never_goes_back_over_power_failures_and_resets() {
    let mut swtpm = Swtpm::new();
    let memory = Memory::default();
    let mut last = 0;
    for round in 0..9 {
        let mut store = open(&swtpm.tpm(), &memory);
        if !store.pin_state().unwrap().set {
            store.set_pin(&hash(PIN)).unwrap();
        }
        if round % 2 == 0 {
            store.unlock(&hash(PIN)).unwrap();
        }
        for _ in 0..=round % 4 {
            let next = store.next_counter().unwrap();
            assert!(next > last, "round {round}");
            last = next;
        }
        match round % 3 {
            0 => {
                drop(store);
                swtpm.restart();
            }
            1 => store.reset().unwrap(),
            _ => {
                drop(store);
                // Somebody deletes it.
                swtpm.tool("tpm2_nvundefine", &["0x1bcf0d0", "-C", "o"]);
            }
        }
        assert_eq!(swtpm.left(), Vec::<String>::new());
    }
}

#[test]
fn a_reset_forgets_pin_and_keys() {
    let computer = Computer::new();
    let mut store = unlocked(&computer);
    let key = store.create_key(&RP).unwrap().credential_id;
    store.reset().unwrap();
    assert_eq!(computer.swtpm.nv_indices(), Vec::<String>::new());
    assert_eq!(store.unlock(&hash(PIN)), Err(KeyStoreError::PinNotSet));
    assert_eq!(store.owns(&RP, &key), Ok(false));
    store.set_pin(&hash(PIN)).unwrap();
    store.unlock(&hash(PIN)).unwrap();
    assert_eq!(store.owns(&RP, &key), Ok(false));
}

#[test]
fn the_state_outside_the_tpm_holds_no_pin_and_no_secret() {
    let computer = Computer::new();
    drop(unlocked(&computer));
    let state = computer.memory.0.lock().unwrap().state.clone().unwrap();
    assert!(state.len() < 128, "{} bytes", state.len());
    assert!(!state.windows(16).any(|window| window == hash(PIN).as_bytes()));
}

/// A platform that takes a token and then gives up, by cancelling or by ending the ceremony.
#[test]
fn a_ceremony_that_is_given_up_after_the_pin_leaves_nothing_in_the_tpm() {
    let computer = Computer::new();
    drop(unlocked(&computer));
    for cancelled in [false, true] {
        let mut device = computer.device();
        let cancel = CancelToken::new();
        token(&mut device, &cancel);
        if cancelled {
            cancel.cancel();
            let command = Request::GetInfo.encode();
            assert_eq!(device.transact(&command, &mut |_| (), &cancel), Err(TransportError::Cancelled));
        } else {
            device.end();
        }
        assert_eq!(computer.swtpm.left(), Vec::<String>::new(), "the device is there still");
    }
    // Nor does a program that just ends.
    let store = open(&computer.tpm, &computer.memory);
    let mut device =
        PlatformDevice::new(Authenticator::new(store, Os::new()).unwrap(), computer.hand.clone());
    token(&mut device, &CancelToken::new());
    drop(device);
    assert_eq!(computer.swtpm.left(), Vec::<String>::new());
}

/// What a platform does before an assertion: it has the authenticator check the PIN.
fn token(device: &mut dyn Device, cancel: &CancelToken) {
    let mut pin = |subcommand| {
        let request = Request::ClientPin(ClientPinRequest { protocol: Some(Protocol::Two), subcommand });
        let response = device.transact(&request.encode(), &mut |_| (), cancel).unwrap();
        ClientPinResponse::decode(&response).unwrap().unwrap()
    };
    let peer = pin(ClientPinSubcommand::GetKeyAgreement).key_agreement.unwrap();
    let (key_agreement, secret) = encapsulate(Protocol::Two, &peer, &mut Os::new()).unwrap();
    let pin_hash_enc = secret.encrypt(hash(PIN).as_bytes(), &mut Os::new()).unwrap();
    let permissions = ClientPinSubcommand::GetPinUvAuthTokenUsingPinWithPermissions {
        key_agreement,
        pin_hash_enc,
        permissions: Permissions(2),
        rp_id: Some("bank.example".to_owned()),
    };
    assert!(pin(permissions).pin_uv_auth_token.is_some());
}
