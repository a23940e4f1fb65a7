//! The three signature algorithms of FIDO Web Pay (protocol section 3), verification only.

use crate::algorithm::SignatureAlgorithm;
use crate::key::PublicKey;
use sha2::{Digest, Sha256};

/// Why a signature is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The key is of another type than the algorithm signs with.
    #[error("the public key is of another type than the signature algorithm")]
    KeyMismatch,
    /// The signature's bytes are not in the algorithm's form.
    #[error("the signature is malformed")]
    Malformed,
    /// The signature is not this key's over this message.
    #[error("the signature is not this key's over this message")]
    Invalid,
}

/// Verifies `signature` over `message`. ECDSA takes high S (authenticators make it) and strict DER only; Ed25519 is
/// strict: no small-order keys, no malleable forms; RSA keys have 2048 to 4096 bits.
///
/// # Errors
/// [`SignatureError`], by cause.
pub fn verify(
    algorithm: SignatureAlgorithm,
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    match (algorithm, key) {
        (SignatureAlgorithm::Es256, PublicKey::P256(key)) => {
            use p256::ecdsa::signature::Verifier;
            let key = key.verifying_key().map_err(|_| SignatureError::KeyMismatch)?;
            let signature =
                p256::ecdsa::Signature::from_der(signature).map_err(|_| SignatureError::Malformed)?;
            key.verify(message, &signature).map_err(|_| SignatureError::Invalid)
        }
        (SignatureAlgorithm::Ed25519, PublicKey::Ed25519(key)) => {
            let signature =
                ed25519_dalek::Signature::from_slice(signature).map_err(|_| SignatureError::Malformed)?;
            let key = ed25519_dalek::VerifyingKey::from_bytes(key.as_bytes())
                .map_err(|_| SignatureError::KeyMismatch)?;
            key.verify_strict(message, &signature).map_err(|_| SignatureError::Invalid)
        }
        (SignatureAlgorithm::Rs256, PublicKey::Rsa(key)) => {
            if signature.len() != key.modulus().len() {
                return Err(SignatureError::Malformed);
            }
            let key = rsa::RsaPublicKey::new(
                rsa::BigUint::from_bytes_be(key.modulus()),
                rsa::BigUint::from(crate::key::RSA_EXPONENT),
            )
            .map_err(|_| SignatureError::KeyMismatch)?;
            let scheme =
                rsa::Pkcs1v15Sign { hash_len: Some(32), prefix: Box::from(SHA256_DIGEST_INFO.as_slice()) };
            key.verify(scheme, &Sha256::digest(message), signature).map_err(|_| SignatureError::Invalid)
        }
        _ => Err(SignatureError::KeyMismatch),
    }
}

/// The ASN.1 DigestInfo of SHA-256 up to the digest itself (RFC 8017 section 9.2, note 1).
const SHA256_DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];
