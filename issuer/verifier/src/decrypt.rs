//! From ESAD to SAD with the bank's keys (protocol section 4, FIDO Web Pay section 6 step 10.2).

use crate::error::Refusal;
use crate::issuer_key::{IssuerKey, KeyRing};
use aes_kw::{KeyInit, KwAes128, KwAes192, KwAes256};
use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use fwp::authorization::{ContentEncryption, KeyReference, derive_key};
use fwp::{EncryptedSad, SignedAuthorizationData};
use zeroize::Zeroizing;

/// Decrypts an encoded ESAD and reads the SAD in it. What the SAD says is not verified yet.
///
/// # Errors
/// [`Refusal::Esad`], [`Refusal::UnknownIssuerKey`], [`Refusal::KeyAgreement`], [`Refusal::KeyUnwrap`],
/// [`Refusal::Decryption`], [`Refusal::Sad`].
pub fn open(esad: &[u8], keys: &KeyRing) -> Result<SignedAuthorizationData, Refusal> {
    let esad = EncryptedSad::decode(esad)?;
    let key = match &esad.key_reference {
        KeyReference::Id(id) => keys.by_id(id),
        KeyReference::PublicKey(public) => keys.by_public_key(public),
    };
    let sad = decrypt(&esad, key.ok_or(Refusal::UnknownIssuerKey)?)?;
    Ok(SignedAuthorizationData::decode(&sad)?)
}

/// Decrypts `esad` with `key` and returns the encoded SAD.
///
/// # Errors
/// [`Refusal::KeyAgreement`], [`Refusal::KeyUnwrap`], [`Refusal::Decryption`].
pub fn decrypt(esad: &EncryptedSad, key: &IssuerKey) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let shared = key.agree(&esad.ephemeral_key).ok_or(Refusal::KeyAgreement)?;
    let derived = derive_key(shared.as_slice(), esad.key_encryption, esad.content_encryption);
    let content_key = match &esad.wrapped_key {
        Some(wrapped) => unwrap(&derived, wrapped, esad.content_encryption.key_bytes())?,
        None => derived,
    };
    let algorithm = match esad.content_encryption {
        ContentEncryption::A128Gcm => &AES_128_GCM,
        ContentEncryption::A192Gcm => &AES_192_GCM,
        ContentEncryption::A256Gcm => &AES_256_GCM,
    };
    let cipher = LessSafeKey::new(UnboundKey::new(algorithm, &content_key).map_err(|_| Refusal::Decryption)?);
    let mut plain = Zeroizing::new(vec![0; esad.cipher_text.len()]);
    cipher
        .open_separate_gather(
            Nonce::assume_unique_for_key(esad.iv),
            Aad::from(esad.aad()),
            &esad.cipher_text,
            &esad.tag,
            &mut plain,
        )
        .map_err(|_| Refusal::Decryption)?;
    Ok(plain)
}

/// AES key unwrap (RFC 3394); the key within must have `key_bytes` bytes.
fn unwrap(derived: &[u8], wrapped: &[u8], key_bytes: usize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let mut content_key = Zeroizing::new(vec![0; key_bytes]);
    let unwrapped = match derived.len() {
        16 => KwAes128::new_from_slice(derived)
            .map(|kw| kw.unwrap_key(wrapped, &mut content_key).map(<[u8]>::len)),
        24 => KwAes192::new_from_slice(derived)
            .map(|kw| kw.unwrap_key(wrapped, &mut content_key).map(<[u8]>::len)),
        _ => KwAes256::new_from_slice(derived)
            .map(|kw| kw.unwrap_key(wrapped, &mut content_key).map(<[u8]>::len)),
    };
    match unwrapped {
        Ok(Ok(length)) if length == key_bytes => Ok(content_key),
        _ => Err(Refusal::KeyUnwrap),
    }
}
