//! Credential IDs: `version (1) || nonce (12) || AES-256-GCM(private key (32)) || tag (16)`, with the rpId's hash as
//! additional data.

use crate::KeyStoreError;
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use ctap_core::Random;
use ctap_core::messages::CredentialId;
use hkdf::Hkdf;
use p256::ecdsa::SigningKey;
use sha2::Sha256;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const NONCE: usize = 12;
const TAG: usize = 16;
/// The length of every credential ID, in bytes.
pub(super) const CREDENTIAL_ID: usize = 1 + NONCE + 32 + TAG;

fn cipher(master_key: &[u8; 32]) -> Result<Aes256Gcm, KeyStoreError> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, master_key)
        .expand(b"fwpd software key: credential IDs, version 1", &mut *key)
        .map_err(|_| KeyStoreError::Backend("HKDF".to_owned()))?;
    Ok(Aes256Gcm::new(&(*key).into()))
}

pub(super) fn seal(
    master_key: &[u8; 32],
    rp_id_hash: &[u8; 32],
    key: &SigningKey,
    random: &mut dyn Random,
) -> Result<CredentialId, KeyStoreError> {
    let mut nonce = [0; NONCE];
    random.fill(&mut nonce)?;
    let scalar = Zeroizing::new(<[u8; 32]>::from(key.to_bytes()));
    let sealed = cipher(master_key)?
        .encrypt(&nonce.into(), Payload { msg: scalar.as_slice(), aad: &aad(rp_id_hash) })
        .map_err(|_| KeyStoreError::Backend("AES-GCM".to_owned()))?;
    CredentialId::new([&[VERSION], nonce.as_slice(), &sealed].concat())
        .map_err(|error| KeyStoreError::Backend(error.to_string()))
}

pub(super) fn open(
    master_key: &[u8; 32],
    rp_id_hash: &[u8; 32],
    credential_id: &CredentialId,
) -> Result<SigningKey, KeyStoreError> {
    let Some((&VERSION, rest)) = credential_id.as_bytes().split_first() else {
        return Err(KeyStoreError::NotOurs);
    };
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(KeyStoreError::NotOurs)?;
    let scalar = cipher(master_key)?
        .decrypt(&(*nonce).into(), Payload { msg: sealed, aad: &aad(rp_id_hash) })
        .map_err(|_| KeyStoreError::NotOurs)?;
    SigningKey::from_slice(&Zeroizing::new(scalar)).map_err(|_| KeyStoreError::NotOurs)
}

fn aad(rp_id_hash: &[u8; 32]) -> Vec<u8> {
    [&[VERSION], rp_id_hash.as_slice()].concat()
}
