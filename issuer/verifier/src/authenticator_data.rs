//! authenticatorData (WebAuthn section 6.1), read to the last byte.

use fwp_cose::cbor::{Value, decode_prefix};
use fwp_cose::{PublicKey, SignatureAlgorithm};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const ATTESTED_CREDENTIAL: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;

/// authenticatorData that is exactly as long as its flags say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatorData {
    /// SHA-256 of the relying party identifier.
    pub rp_id_hash: [u8; 32],
    /// Flag UP: a person touched the authenticator.
    pub user_present: bool,
    /// Flag UV: the authenticator knew that person by PIN or fingerprint.
    pub user_verified: bool,
    /// The signature counter, per credential; 0 where the authenticator has none.
    pub sign_count: u32,
    /// The new key, in attestations (flag AT).
    pub attested_credential: Option<AttestedCredential>,
}

/// attestedCredentialData (WebAuthn section 6.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedCredential {
    /// The authenticator's model.
    pub aaguid: [u8; 16],
    /// Identifier of the key.
    pub credential_id: Vec<u8>,
    /// The key.
    pub public_key: PublicKey,
    /// The algorithm that the key signs with.
    pub algorithm: SignatureAlgorithm,
}

impl AuthenticatorData {
    /// Reads authenticatorData. `None` if it is not exactly as long as its flags say, or if a part is malformed.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let rp_id_hash = take(&mut rest)?;
        let [flags] = take(&mut rest)?;
        let sign_count = u32::from_be_bytes(take(&mut rest)?);
        let attested_credential =
            if flags & ATTESTED_CREDENTIAL != 0 { Some(AttestedCredential::read(&mut rest)?) } else { None };
        if flags & EXTENSIONS != 0 {
            let (extensions, used) = decode_prefix(rest).ok()?;
            let Value::Map(_) = extensions else { return None };
            rest = rest.get(used..)?;
        }
        rest.is_empty().then_some(Self {
            rp_id_hash,
            user_present: flags & USER_PRESENT != 0,
            user_verified: flags & USER_VERIFIED != 0,
            sign_count,
            attested_credential,
        })
    }
}

impl AttestedCredential {
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let aaguid = take(rest)?;
        let length = usize::from(u16::from_be_bytes(take(rest)?));
        let (credential_id, tail) = rest.split_at_checked(length)?;
        let (key, used) = decode_prefix(tail).ok()?;
        *rest = tail.get(used..)?;
        let (public_key, algorithm) = PublicKey::from_credential_value(key).ok()?;
        Some(Self { aaguid, credential_id: credential_id.to_vec(), public_key, algorithm })
    }
}

/// Takes the first `N` bytes off `rest`.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwp_cose::cbor::Map;
    use fwp_cose::key::Ed25519Key;
    use proptest::prelude::*;

    fn data(flags: u8, tail: &[u8]) -> Vec<u8> {
        [&[0x11; 32][..], &[flags], &7u32.to_be_bytes(), tail].concat()
    }

    fn attested() -> Vec<u8> {
        let key = p256::ecdsa::SigningKey::from_slice(&[3; 32]).unwrap();
        let point = key.verifying_key().to_sec1_point(false);
        let key = PublicKey::P256(fwp_cose::key::P256Key::from_sec1(point.as_bytes()).unwrap());
        let cose = key.to_credential_value(SignatureAlgorithm::Es256).encode();
        [&[0xaa; 16][..], &[0, 3], b"key", &cose].concat()
    }

    #[test]
    fn flags_and_counter_are_read() {
        let read = AuthenticatorData::parse(&data(USER_PRESENT | USER_VERIFIED, &[])).unwrap();
        assert!(read.user_present && read.user_verified && read.attested_credential.is_none());
        assert_eq!((read.sign_count, read.rp_id_hash), (7, [0x11; 32]));
        let read = AuthenticatorData::parse(&data(USER_PRESENT, &[])).unwrap();
        assert!(read.user_present && !read.user_verified);
    }

    #[test]
    fn extensions_and_attested_data_are_as_long_as_they_say() {
        let extensions = Value::Map(Map::new().with(1, true)).encode();
        assert!(AuthenticatorData::parse(&data(0x85, &extensions)).is_some());
        assert!(AuthenticatorData::parse(&data(0x85, &[])).is_none(), "the flag without the data");
        assert!(AuthenticatorData::parse(&data(0x05, &extensions)).is_none(), "the data without the flag");
        assert!(
            AuthenticatorData::parse(&data(0x85, &[&extensions[..], &[0]].concat())).is_none(),
            "a byte after"
        );
        assert!(AuthenticatorData::parse(&data(0x85, &[1])).is_none(), "extensions that are no map");
        let read = AuthenticatorData::parse(&data(0x45, &attested())).unwrap();
        assert_eq!(read.attested_credential.unwrap().credential_id, b"key");
        assert!(AuthenticatorData::parse(&data(0xc5, &[attested(), extensions].concat())).is_some());
        assert!(AuthenticatorData::parse(&data(0x45, &[])).is_none());
        assert!(AuthenticatorData::parse(&data(0x45, &[attested(), vec![0]].concat())).is_none());
        for cut in 1..attested().len() {
            assert!(AuthenticatorData::parse(&data(0x45, &attested()[..cut])).is_none(), "{cut}");
        }
    }

    #[test]
    fn a_key_without_its_algorithm_or_with_anothers_is_refused() {
        let key = PublicKey::Ed25519(
            Ed25519Key::new(hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")).unwrap(),
        );
        let with = |key: Value| data(0x45, &[&[0; 16][..], &[0, 1, 9], &key.encode()].concat());
        assert!(
            AuthenticatorData::parse(&with(key.to_credential_value(SignatureAlgorithm::Ed25519))).is_some()
        );
        assert!(
            AuthenticatorData::parse(&with(key.to_credential_value(SignatureAlgorithm::Es256))).is_none()
        );
        assert!(AuthenticatorData::parse(&with(key.to_value())).is_none());
    }

    fn hex(text: &str) -> [u8; 32] {
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = AuthenticatorData::parse(&bytes);
        }
    }
}
