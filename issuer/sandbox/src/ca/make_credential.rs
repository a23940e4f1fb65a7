//! TPM2_MakeCredential without a TPM (TPM 2.0 Library, Part 1, section 24, for an RSA 2048 endorsement key of the TCG's template L-1:
//! name algorithm SHA-256, AES-128 in CFB mode).

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey, PublicKeyComponents,
};
use fwp::certification::MAX_SECRET_BYTES;
use fwp_verifier::endorsement::EndorsementKey;
use zeroize::Zeroizing;

/// Bytes of the seed: the digest size of the endorsement key's name algorithm.
const SEED_BYTES: usize = 32;
/// Bits of the symmetric key, and of the HMAC key.
const SYMMETRIC_BITS: u32 = 128;
const HMAC_BITS: u32 = 256;
/// Part 1, section B.10.4: the labels end with a zero byte.
const IDENTITY: &[u8] = b"IDENTITY\0";
const STORAGE: &[u8] = b"STORAGE\0";
const INTEGRITY: &[u8] = b"INTEGRITY\0";

/// What TPM2_ActivateCredential takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeCredential {
    /// Contents of TPM2B_ID_OBJECT (Part 2, section 12.4.3).
    pub id_object: Vec<u8>,
    /// Contents of TPM2B_ENCRYPTED_SECRET (Part 2, section 11.4.3).
    pub encrypted_secret: Vec<u8>,
}

/// Makes a credential with `secret` (at most [`MAX_SECRET_BYTES`]) that the TPM with the endorsement key `key` alone can open, and
/// only for an object named `name` that it holds. `seed` is fresh random. `None` if the secret is too long, or the key none.
pub fn make_credential(
    key: &EndorsementKey,
    name: &[u8],
    secret: &[u8],
    seed: &Zeroizing<[u8; SEED_BYTES]>,
) -> Option<MadeCredential> {
    if secret.len() > MAX_SECRET_BYTES {
        return None;
    }
    // 24.4: the seed for the endorsement key, by OAEP.
    let components = PublicKeyComponents { n: &key.modulus[..], e: EndorsementKey::EXPONENT };
    let public: PublicEncryptingKey = components.try_into().ok()?;
    let public = OaepPublicEncryptingKey::new(public).ok()?;
    let mut encrypted_secret = vec![0; public.ciphertext_size()];
    public.encrypt(&OAEP_SHA256_MGF1SHA256, &seed[..], &mut encrypted_secret, Some(IDENTITY)).ok()?;

    // 24.4: the secret as TPM2B_DIGEST, under a key for this name.
    let mut encrypted = Zeroizing::new(u16::try_from(secret.len()).ok()?.to_be_bytes().to_vec());
    encrypted.extend_from_slice(secret);
    let symmetric_key = kdf_a(&seed[..], STORAGE, name, SYMMETRIC_BITS)?;
    let cipher = EncryptingKey::cfb128(UnboundCipherKey::new(&AES_128, &symmetric_key).ok()?).ok()?;
    // Each key encrypts once, so the initialization vector is zero (Part 1, section 22.4).
    let zero = EncryptionContext::Iv128(FixedLength::from([0; 16]));
    cipher.less_safe_encrypt(&mut encrypted, zero).ok()?;

    // 24.5: an HMAC over it and the name.
    let hmac_key = kdf_a(&seed[..], INTEGRITY, &[], HMAC_BITS)?;
    let mut integrity = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &hmac_key));
    integrity.update(&encrypted);
    integrity.update(name);
    let integrity = integrity.sign();
    let integrity = integrity.as_ref();
    let length = u16::try_from(integrity.len()).ok()?.to_be_bytes();
    Some(MadeCredential { id_object: [&length[..], integrity, &encrypted].concat(), encrypted_secret })
}

/// KDFa (Part 1, section 11.4.10.2) with HMAC-SHA256, for at most 256 bits. `label` ends with its zero byte; contextV is empty.
fn kdf_a(key: &[u8], label: &[u8], context: &[u8], bits: u32) -> Option<Zeroizing<Vec<u8>>> {
    let mut block = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in [&1_u32.to_be_bytes(), label, context, &bits.to_be_bytes()] {
        block.update(part);
    }
    let block = block.sign();
    let key = block.as_ref().get(..usize::try_from(bits / 8).ok()?)?;
    Some(Zeroizing::new(key.to_vec()))
}
