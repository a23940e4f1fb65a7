//! The key store on a real swtpm, method by method.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Computer, PIN, RP, hash, open};
use ctap_authenticator::{KeyStore, Unlock};
use fwp_cose::{PublicKey, SignatureAlgorithm, signature};
use sha2::{Digest, Sha256};

#[test]
fn a_key_is_made_and_signs() {
    let computer = Computer::new();
    let mut store = open(&computer.tpm, &computer.memory);
    store.set_pin(&hash(PIN)).unwrap();
    assert_eq!(store.unlock(&hash(PIN)), Ok(Unlock::Unlocked));
    let key = store.create_key(&RP).unwrap();
    let digest = Sha256::digest(b"message").into();
    let signed = store.sign(&RP, &key.credential_id, &digest).unwrap();
    signature::verify(SignatureAlgorithm::Es256, &PublicKey::P256(key.public_key), b"message", &signed)
        .unwrap();
    assert_eq!((store.next_counter().unwrap(), store.next_counter().unwrap()), (1, 2));
}
