//! Attestation, with the endorsement certificate that swtpm_setup makes as a maker would, and tpm2-tools as the CA.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Computer, Hand, Memory, PIN, RP, Swtpm, hash, open};
use ctap_authenticator::{Authenticator, HardwareError, KeyStore, KeyStoreError, Os, PlatformDevice};
use ctap_core::attestation::AttestationObject;
use ctap_core::ceremony::{CredentialRequest, MakeCredential, SetPin, run};
use ctap_core::messages::{RelyingParty, UserAccount};
use ctap_core::transport::CancelToken;
use ctap_tpm::{Attestation, AttestationKey};
use fwp_cose::cbor::Value;
use fwp_cose::key::P256Key;
use fwp_cose::tpm::{TpmStatement, TpmStatementError};
use fwp_cose::{PublicKey, SignatureAlgorithm};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use virtual_keys::{OsRandom, Typist};

/// A computer whose TPM its maker gave an endorsement certificate.
fn from_the_maker() -> Computer {
    let swtpm = Swtpm::from_the_maker();
    let tpm = swtpm.tpm();
    Computer { swtpm, tpm, memory: Memory::default(), hand: Hand::default() }
}

#[test]
fn a_ca_gives_a_secret_to_this_tpm_and_this_attestation_key_only() {
    let computer = from_the_maker();
    let (swtpm, tpm) = (&computer.swtpm, &computer.tpm);
    let certificate = tpm.endorsement_certificate().unwrap().unwrap();
    assert_eq!(certificate[0], 0x30, "DER");
    let key = tpm.create_attestation_key().unwrap();
    assert_eq!(AttestationKey::decode(&key.encode()), Some(key.clone()));
    assert_eq!(AttestationKey::decode(&key.encode()[1..]), None);

    // The CA: the endorsement key, made from the TCG's template by another program.
    swtpm.tool("tpm2_createek", &["-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub"]);
    swtpm.tool("tpm2_flushcontext", &["-t"]);
    let directory = swtpm.state.path();
    std::fs::write(directory.join("secret"), b"sixteen letters.").unwrap();
    let name: String = key.name().iter().map(|byte| format!("{byte:02x}")).collect();
    let make = ["-u", "ek.pub", "-s", "secret", "-n", &name, "-o", "made"];
    swtpm.tool("tpm2_makecredential", &[&["-T", "none"], make.as_slice()].concat());
    // A magic (4), a version (4), TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET.
    let made = std::fs::read(directory.join("made")).unwrap();
    let (id_object, rest) = sized(&made[8..]);
    let (secret, _) = sized(rest);

    assert_eq!(tpm.activate_credential(&key, id_object, secret).unwrap(), b"sixteen letters.");
    assert_eq!(swtpm.left(), Vec::<String>::new());
    let other = tpm.create_attestation_key().unwrap();
    let refused = tpm.activate_credential(&other, id_object, secret);
    assert!(matches!(refused, Err(HardwareError::Failed { .. })), "{refused:?}");
    assert_eq!(swtpm.left(), Vec::<String>::new());
    let elsewhere = Swtpm::new();
    assert!(elsewhere.tpm().activate_credential(&key, id_object, secret).is_err());
    assert_eq!(elsewhere.tpm().endorsement_certificate(), Ok(None));
}

fn sized(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes[2..].split_at(u16::from_be_bytes([bytes[0], bytes[1]]).into())
}

#[test]
fn the_attestation_key_certifies_a_new_key() {
    let computer = Computer::new();
    let attester = computer.tpm.create_attestation_key().unwrap();
    let mut store = open(&computer.tpm, &computer.memory);
    store.set_pin(&hash(PIN)).unwrap();
    store.unlock(&hash(PIN)).unwrap();
    let key = store.create_key(&RP).unwrap();
    let extra = [0x77; 32];
    let certified = store.certify(&RP, &key.credential_id, &attester, &extra).unwrap();
    // The key is the one of the credential ID, and signs still.
    store.sign(&RP, &key.credential_id, &[0; 32]).unwrap();

    // TPMT_PUBLIC ends with x and y.
    assert!(
        certified
            .public
            .ends_with(&[&[0, 32], &key.public_key.x()[..], &[0, 32], key.public_key.y()].concat())
    );
    // TPMS_ATTEST: TPM_GENERATED_VALUE, TPM_ST_ATTEST_CERTIFY, qualifiedSigner, extraData, ..., the certified key's name.
    let info = certified.cert_info.as_slice();
    assert_eq!(info[..6], [0xff, 0x54, 0x43, 0x47, 0x80, 0x17]);
    let (_, rest) = sized(&info[6..]);
    assert_eq!(sized(rest).0, extra);
    let name = [&[0, 11], &Sha256::digest(&certified.public)[..]].concat();
    // clockInfo (17), firmwareVersion (8).
    assert_eq!(sized(&sized(rest).1[25..]).0, name);
    // TPMT_SIGNATURE: ECDSA, SHA-256, r, s.
    assert_eq!(certified.signature[..4], [0, 0x18, 0, 0x0b]);
    let (r, rest) = sized(&certified.signature[4..]);
    let s = sized(rest).0;
    let padded = |value: &[u8]| -> [u8; 32] {
        [vec![0; 32 - value.len()], value.to_vec()].concat().try_into().unwrap()
    };
    let signature = Signature::from_scalars(padded(r), padded(s)).unwrap();
    let public = attester.public();
    let (x, y) = (&public[public.len() - 66..public.len() - 34], &public[public.len() - 32..]);
    let verifying = VerifyingKey::from_sec1_bytes(&[&[4], x, y].concat()).unwrap();
    verifying.verify(info, &signature).unwrap();

    // Neither without the PIN nor for another rpId, nor with another TPM's attestation key.
    assert_eq!(store.certify(&[2; 32], &key.credential_id, &attester, &extra), Err(KeyStoreError::NotOurs));
    let foreign = Swtpm::new().tpm().create_attestation_key().unwrap();
    let lost = KeyStoreError::Hardware(HardwareError::AttestationKeyLost);
    assert_eq!(store.certify(&RP, &key.credential_id, &foreign, &extra), Err(lost));
    assert_eq!(store.certify(&RP, &key.credential_id, &attester, &extra), Err(KeyStoreError::Locked));
}

#[test]
fn an_enrollment_brings_a_statement_of_the_tpm_that_verifies_for_its_key_only() {
    let computer = Computer::new();
    let attester = computer.tpm.create_attestation_key().unwrap();
    let certificates = vec![b"a certificate".to_vec()];
    let attestation = Attestation { key: attester.clone(), certificates: certificates.clone() };
    let store = open(&computer.tpm, &computer.memory).attested_by(attestation);
    let mut device =
        PlatformDevice::new(Authenticator::new(store, Os::new()).unwrap(), computer.hand.clone());
    let cancel = CancelToken::new();
    let mut random = OsRandom;
    run(&mut SetPin::new(), &mut device, &mut Typist::new(&[PIN]), &mut random, &cancel).unwrap();
    let request = CredentialRequest {
        rp: RelyingParty { id: "bank.example".to_owned(), name: None },
        user: UserAccount { id: vec![1; 16], name: None, display_name: None },
        client_data_hash: [7; 32],
        algorithms: vec![SignatureAlgorithm::Es256],
        exclude: Vec::new(),
    };
    let mut ceremony = MakeCredential::new(request);
    let made = run(&mut ceremony, &mut device, &mut Typist::new(&[PIN]), &mut random, &cancel).unwrap();
    assert_eq!(computer.swtpm.left(), Vec::<String>::new());

    let object = AttestationObject::decode(&made.attestation_object.encode()).unwrap();
    assert_eq!(object.fmt, "tpm");
    let statement = TpmStatement::from_map(&object.att_stmt).unwrap();
    assert_eq!(statement.certificates, certificates);
    let key = PublicKey::P256(attester.public_key().unwrap());
    let message = [object.auth_data.as_slice(), &[7; 32]].concat();
    assert_eq!(statement.verify(&key, &made.public_key, &message), Ok(()));

    // For nothing else.
    assert_eq!(statement.verify(&key, &key, &message), Err(TpmStatementError::OtherKey));
    assert_eq!(statement.verify(&key, &made.public_key, b"other"), Err(TpmStatementError::ExtraData));
    let by_another = statement.verify(&made.public_key, &made.public_key, &message);
    assert!(matches!(by_another, Err(TpmStatementError::Signature(_))), "{by_another:?}");
    let changed = |change: fn(&mut TpmStatement)| {
        let mut changed = statement.clone();
        change(&mut changed);
        changed.verify(&key, &made.public_key, &message)
    };
    assert_eq!(changed(|it| it.alg = -257), Err(TpmStatementError::Member("alg")));
    // sensitiveDataOrigin, of the attributes: the key came from outside.
    assert_eq!(changed(|it| it.pub_area[7] &= !(1 << 5)), Err(TpmStatementError::NotBound));
    // Any bit of any structure.
    for bit in 0..statement.cert_info.len() * 8 {
        let mut one = statement.clone();
        one.cert_info[bit / 8] ^= 1 << (bit % 8);
        assert!(one.verify(&key, &made.public_key, &message).is_err(), "certInfo, bit {bit}");
    }
    for bit in 0..statement.pub_area.len() * 8 {
        let mut one = statement.clone();
        one.pub_area[bit / 8] ^= 1 << (bit % 8);
        assert!(one.verify(&key, &made.public_key, &message).is_err(), "pubArea, bit {bit}");
    }
    for len in 0..statement.signature.len() {
        let mut one = statement.clone();
        one.signature.truncate(len);
        assert_eq!(one.verify(&key, &made.public_key, &message), Err(TpmStatementError::Structure("sig")));
    }
    for member in ["ver", "alg", "x5c", "sig", "certInfo", "pubArea"] {
        let mut map = object.att_stmt.clone();
        map.remove(&Value::from(member));
        assert_eq!(TpmStatement::from_map(&map), Err(TpmStatementError::Member(member)));
    }
}

proptest! {
    #[test]
    fn any_structures_are_refused_and_never_panic(
        signature in any::<Vec<u8>>(),
        cert_info in any::<Vec<u8>>(),
        pub_area in any::<Vec<u8>>(),
    ) {
        let statement = TpmStatement { alg: -7, certificates: vec![vec![1]], signature, cert_info, pub_area };
        let key = PublicKey::P256(P256Key::from_sec1(GENERATOR).unwrap());
        prop_assert!(statement.verify(&key, &key, b"").is_err());
        prop_assert_eq!(TpmStatement::from_map(&statement.to_map()), Ok(statement));
    }
}

/// A point on P-256.
const GENERATOR: &[u8] = &[
    4, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77,
    0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3,
    0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33,
    0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];
