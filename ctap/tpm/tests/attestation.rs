//! Attestation, with the endorsement certificate that swtpm_setup makes as a maker would, and tpm2-tools as the CA.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Computer, Hand, Memory, PIN, RP, Swtpm, hash, open};
use ctap_authenticator::{HardwareError, KeyStore, KeyStoreError};
use ctap_tpm::AttestationKey;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use std::process::Command;

/// A computer whose TPM its maker gave an endorsement certificate.
fn from_the_maker() -> Computer {
    let state = tempfile::tempdir().unwrap();
    let (directory, ca) = (state.path().display().to_string(), state.path().join("ca"));
    std::fs::create_dir(&ca).unwrap();
    let config = state.path().join("localca.conf");
    let ca = ca.display();
    std::fs::write(
        &config,
        format!("statedir = {ca}\nsigningkey = {ca}/key.pem\nissuercert = {ca}/cert.pem\ncertserial = {ca}/serial\n"),
    )
    .unwrap();
    let options = state.path().join("options.conf");
    std::fs::write(&options, "--platform-manufacturer Fwpd\n--platform-version 1\n--platform-model Test\n")
        .unwrap();
    let setup = state.path().join("setup.conf");
    let tool = "/usr/bin/swtpm_localca";
    std::fs::write(
        &setup,
        format!(
            "create_certs_tool={tool}\ncreate_certs_tool_config={}\ncreate_certs_tool_options={}\n",
            config.display(),
            options.display()
        ),
    )
    .unwrap();
    let output = Command::new("swtpm_setup")
        .args(["--tpm2", "--tpm-state", &directory, "--create-ek-cert", "--overwrite"])
        .args(["--config", &setup.display().to_string()])
        .output()
        .unwrap_or_else(|error| panic!("swtpm_setup: {error}: install the Debian package swtpm-tools"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let swtpm = Swtpm::with_state(state);
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
    assert!(store.certify(&RP, &key.credential_id, &foreign, &extra).is_err());
    assert_eq!(store.certify(&RP, &key.credential_id, &attester, &extra), Err(KeyStoreError::Locked));
}
