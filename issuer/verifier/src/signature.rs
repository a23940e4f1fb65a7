//! The authorization signature (protocol section 3, FIDO Web Pay section 6 step 10.4).
//!
//! ES256 and RS256 are verified by aws-lc-rs, which takes high S, strict DER only, and PKCS #1 v1.5 only. Ed25519 is
//! verified by `fwp-cose`: strictly, without small-order keys and malleable forms, which aws-lc-rs does not offer.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use fwp_cose::{PublicKey, SignatureAlgorithm, SignatureError};

/// The public exponent 65537, big-endian; the only one that [`PublicKey::Rsa`] has.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// Verifies `signature` over `message`.
///
/// # Errors
/// [`SignatureError::KeyMismatch`] for a key of another type than the algorithm's; [`SignatureError::Malformed`] or
/// [`SignatureError::Invalid`] for a signature that is not this key's over this message (ES256 and RS256 don't tell the
/// two apart).
pub fn verify(
    algorithm: SignatureAlgorithm,
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    match (algorithm, key) {
        (SignatureAlgorithm::Es256, PublicKey::P256(key)) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.to_sec1()).verify(message, signature)
        }
        (SignatureAlgorithm::Rs256, PublicKey::Rsa(key)) => {
            RsaPublicKeyComponents { n: key.modulus(), e: RSA_EXPONENT.as_slice() }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            )
        }
        _ => return fwp_cose::signature::verify(algorithm, key, message, signature),
    }
    .map_err(|_| SignatureError::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwp_cose::key::P256Key;
    use p256::ecdsa::signature::Signer;
    use p256::ecdsa::{Signature, SigningKey};
    use proptest::prelude::*;

    const MESSAGE: &[u8] = b"authenticatorData and SHA-256(AD)";

    fn signer() -> SigningKey {
        SigningKey::from_slice(&[3; 32]).unwrap()
    }

    fn public() -> PublicKey {
        PublicKey::P256(P256Key::from_sec1(signer().verifying_key().to_sec1_point(false).as_bytes()).unwrap())
    }

    fn es256(signature: &[u8]) -> Result<(), SignatureError> {
        verify(SignatureAlgorithm::Es256, &public(), MESSAGE, signature)
    }

    /// DER of SEQUENCE { INTEGER r, INTEGER s } from the integers' contents.
    fn sequence(r: &[u8], s: &[u8]) -> Vec<u8> {
        let mut out = vec![0x30, (r.len() + s.len() + 4) as u8, 2, r.len() as u8];
        out.extend_from_slice(r);
        out.extend_from_slice(&[2, s.len() as u8]);
        out.extend_from_slice(s);
        out
    }

    /// The shortest two's complement contents of a non-negative INTEGER.
    fn integer(bytes: &[u8]) -> Vec<u8> {
        let mut out: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        if out.first().is_none_or(|first| *first >= 0x80) {
            out.insert(0, 0);
        }
        out
    }

    fn parts() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let signature: Signature = signer().sign(MESSAGE);
        let (r, s) = signature.split_bytes();
        let (_, twin) = Signature::from_scalars(r, -*signature.s()).unwrap().split_bytes();
        (integer(&r), integer(&s), integer(&twin))
    }

    #[test]
    fn low_and_high_s_are_both_taken() {
        let (r, s, twin) = parts();
        assert_eq!(es256(&sequence(&r, &s)), Ok(()));
        assert_eq!(es256(&sequence(&r, &twin)), Ok(()));
    }

    #[test]
    fn der_is_strict() {
        let (r, s, _) = parts();
        let good = sequence(&r, &s);
        let padded = |n: &[u8]| [&[0], n].concat();
        let negative = |n: &[u8]| n.strip_prefix(&[0]).map_or_else(|| vec![0x80 | n[0]], <[u8]>::to_vec);
        let long_length = [&[0x30, 0x81, good[1]], &good[2..]].concat();
        let indefinite = [&[0x30, 0x80], &good[2..], &[0, 0]].concat();
        let inner_trailing = {
            let mut out = [&good[..], &[0]].concat();
            out[1] += 1;
            out
        };
        let third = {
            let mut out = [&good[..], &[2, 1, 1]].concat();
            out[1] += 3;
            out
        };
        for (name, bad) in [
            ("r with a leading zero too many", sequence(&padded(&r), &s)),
            ("s with a leading zero too many", sequence(&r, &padded(&s))),
            ("r negative", sequence(&negative(&r), &s)),
            ("s negative", sequence(&r, &negative(&s))),
            ("r empty", sequence(&[], &s)),
            ("r = 0", sequence(&[0], &s)),
            ("s = 0", sequence(&r, &[0])),
            ("a byte after the sequence", [&good[..], &[0]].concat()),
            ("a byte within the sequence", inner_trailing),
            ("a third integer", third),
            ("length in the long form", long_length),
            ("indefinite length", indefinite),
            ("cut off", good[..good.len() - 1].to_vec()),
            ("empty", vec![]),
            ("r || s without DER", [&r[..], &s[..]].concat()),
        ] {
            assert!(es256(&bad).is_err(), "{name}");
        }
    }

    #[test]
    fn r_or_s_beyond_the_order_is_refused() {
        let order = data_encoding::HEXLOWER
            .decode(b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
            .unwrap();
        let (r, s, _) = parts();
        assert!(es256(&sequence(&integer(&order), &s)).is_err());
        assert!(es256(&sequence(&r, &integer(&order))).is_err());
    }

    proptest! {
        /// Two implementations that share nothing say the same of every mutilated signature.
        #[test]
        fn verdicts_are_those_of_another_implementation(at in 0usize..72, to: u8, cut in 0usize..4) {
            let (r, s, _) = parts();
            let mut bytes = sequence(&r, &s);
            let at = at % bytes.len();
            bytes[at] = to;
            bytes.truncate(bytes.len() - cut);
            let theirs = fwp_cose::signature::verify(SignatureAlgorithm::Es256, &public(), MESSAGE, &bytes);
            prop_assert_eq!(es256(&bytes).is_ok(), theirs.is_ok());
        }
    }
}
