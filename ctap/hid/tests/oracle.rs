//! The same key, the same operations, through ctap-hid-fido2 and through ours: equal results, and each takes what the other
//! made. The other client is a program of its own (`tests/oracle`), which this test builds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_core::Error;
use ctap_core::authenticator_data::{AuthenticatorData, Flags};
use ctap_core::ceremony::{self, AssertionRequest, CredentialRequest, GetAssertion, MakeCredential, SetPin};
use ctap_core::messages::{CredentialId, RelyingParty, UserAccount};
use ctap_core::transport::{CancelToken, Device, Transport};
use ctap_hid::UsbTransport;
use data_encoding::HEXLOWER as HEX;
use fwp_cose::{PublicKey, SignatureAlgorithm, signature};
use mockdev::{Testbed, UsbDevice};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use virtual_keys::{OsRandom, Touch, Typist, opensk};

const PIN: &str = "123456";
const RP_ID: &str = "bank.example";
const CHALLENGE: &[u8] = b"what is signed for";

/// Where the other client is built: in this build's own folder, so that a second run finds it.
fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("oracle")
}

fn build_oracle() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/Cargo.toml");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir"])
        .arg(target())
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "tests/oracle: {}", String::from_utf8_lossy(&built.stderr));
}

/// The other client, running.
struct Oracle {
    program: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    fn start() -> Self {
        let mut program = Command::new(target().join("debug/ctap-oracle"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle runs");
        let input = program.stdin.take().unwrap();
        let output = BufReader::new(program.stdout.take().unwrap());
        Self { program, input, output }
    }

    fn ask(&mut self, command: &str) -> Value {
        writeln!(self.input, "{command}").unwrap();
        // ctap-hid-fido2 itself prints there too.
        let mut lines = self.output.by_ref().lines().map(Result::unwrap);
        let result = lines.find(|line| !line.starts_with("- "));
        let result = result.unwrap_or_else(|| panic!("{command}: no result"));
        serde_json::from_str(&result).unwrap_or_else(|error| panic!("{command}: {error}: {result:?}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn hex(value: &Value) -> Vec<u8> {
    HEX.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn client_data_hash() -> [u8; 32] {
    Sha256::digest(CHALLENGE).into()
}

/// Ours asserts with a key, and verifies it.
fn assert_by_ours(device: &mut dyn Device, id: &[u8], key: &PublicKey, pins: &[&str]) -> Result<u32, Error> {
    let request = AssertionRequest {
        rp_id: RP_ID.to_owned(),
        client_data_hash: client_data_hash(),
        credential_id: CredentialId::new(id.to_vec()).unwrap(),
        public_key: key.clone(),
        algorithm: SignatureAlgorithm::Es256,
    };
    let (mut user, cancel) = (Typist::new(pins), CancelToken::new());
    ceremony::run(&mut GetAssertion::new(request), device, &mut user, &mut OsRandom, &cancel)
        .map(|assertion| assertion.sign_count)
}

#[test]
fn both_clients_get_the_same_from_the_same_key() {
    if !mockdev::is_inside() {
        build_oracle();
    }
    let path = concat!(module_path!(), "::both_clients_get_the_same_from_the_same_key");
    mockdev::in_testbed(path, || {
        let mut testbed = Testbed::new().unwrap();
        let key = opensk::key(Touch::AtOnce);
        let _plugged = testbed.plug_key(&UsbDevice::key(0), &key).unwrap();
        let transport = UsbTransport::new();
        let id = transport.devices().unwrap().remove(0).id;
        let mut device = transport.open(&id).unwrap();
        let (mut user, cancel) = (Typist::new(&[PIN]), CancelToken::new());
        ceremony::run(&mut SetPin::new(), &mut *device, &mut user, &mut OsRandom, &cancel).unwrap();
        let mut oracle = Oracle::start();

        // getInfo, member for member; theirs has 0 where the key does not say.
        let info = ceremony::get_info(&mut *device, &cancel).unwrap();
        let ours = json!({
            "versions": info.versions,
            "extensions": info.extensions,
            "aaguid": HEX.encode(&info.aaguid),
            "options": info.options,
            "maxMsgSize": info.max_msg_size.unwrap_or(0),
            "pinUvAuthProtocols": info.pin_uv_auth_protocols,
            "maxCredentialCountInList": info.max_credential_count_in_list.unwrap_or(0),
            "maxCredentialIdLength": info.max_credential_id_length.unwrap_or(0),
            "transports": info.transports,
            "forcePinChange": info.force_pin_change,
            "minPinLength": info.min_pin_length.unwrap_or(0),
        });
        assert_eq!(oracle.ask("info"), ours);

        // A key that ours made: theirs signs with it, and ours verifies.
        let challenge = HEX.encode(CHALLENGE);
        let request = CredentialRequest {
            rp: RelyingParty { id: RP_ID.to_owned(), name: None },
            user: UserAccount { id: vec![1], name: Some("alice".to_owned()), display_name: None },
            client_data_hash: client_data_hash(),
            algorithms: vec![SignatureAlgorithm::Es256],
            exclude: Vec::new(),
        };
        let mut user = Typist::new(&[PIN]);
        let made =
            ceremony::run(&mut MakeCredential::new(request), &mut *device, &mut user, &mut OsRandom, &cancel)
                .unwrap();
        let credential_id = HEX.encode(made.credential_id.as_bytes());
        let asserted = oracle.ask(&format!("assert {RP_ID} {challenge} {PIN} {credential_id}"));
        let data = hex(&asserted["authData"]);
        let signed = [&data[..], &client_data_hash()].concat();
        let verified =
            signature::verify(made.algorithm, &made.public_key, &signed, &hex(&asserted["signature"]));
        assert_eq!(verified, Ok(()));
        let data = AuthenticatorData::parse(&data).unwrap();
        assert!(data.flags.contains(Flags::USER_PRESENT) && data.flags.contains(Flags::USER_VERIFIED));
        assert_eq!(asserted["signCount"], json!(data.sign_count), "both read the same counter");

        // A key that theirs made: ours reads it, signs with it and verifies.
        let theirs = oracle.ask(&format!("make {RP_ID} {challenge} {PIN}"));
        let attested = AuthenticatorData::parse(&hex(&theirs["authData"])).unwrap().attested.unwrap();
        assert_eq!(attested.credential_id.as_bytes(), hex(&theirs["credentialId"]));
        let count = assert_by_ours(&mut *device, &hex(&theirs["credentialId"]), &attested.public_key, &[PIN]);
        assert!(count.unwrap() > data.sign_count);

        // The same attempts are left for both.
        assert_eq!(oracle.ask("retries"), json!(8));
        let wrong =
            assert_by_ours(&mut *device, made.credential_id.as_bytes(), &made.public_key, &["654321"]);
        assert_eq!(wrong, Err(Error::Cancelled), "no second PIN was typed");
        assert_eq!(oracle.ask("retries"), json!(7));
    });
}
