//! Ours, ctap-hid-fido2 and python-fido2 as programs of one kind: `pay RP_ID CHALLENGE PIN CREDENTIAL_ID PUBLIC_KEY` on a line of
//! standard input (hex), a line of output for each. Each keeps its node and channel open, and does what a wallet has to:
//! getInfo, the attempts that are left, a token for the PIN, the assertion, its signature verified.

use std::io::{BufRead, BufReader, Write, stdin};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use ctap_core::ceremony::{self, AssertionRequest, GetAssertion, NewCredential};
use ctap_core::messages::CredentialId;
use ctap_core::transport::CancelToken;
use data_encoding::HEXLOWER as HEX;
use fwp_bench::Row;
use fwp_cose::key::P256Key;
use fwp_cose::{PublicKey, SignatureAlgorithm};
use fwp_tests::programs::target_dir;
use sha2::{Digest, Sha256};
use virtual_keys::{OsRandom, Typist};

use crate::{CHALLENGE, NODE, PIN, ROUNDS, RP_ID, open};

/// The role of this program in which it is our client.
pub(crate) const OURS: &str = "--ours";
/// The one that is compared with.
const PYTHON_FIDO2: &str = "fido2==2.2.1";

pub(crate) fn client_data_hash() -> [u8; 32] {
    Sha256::digest(CHALLENGE).into()
}

fn oracle() -> PathBuf {
    target_dir().join("oracle/release/ctap-oracle")
}

fn python() -> PathBuf {
    target_dir().join("python-fido2/bin/python3")
}

/// Builds and installs the other two, under the target folder.
pub(crate) fn prepare() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/oracle/Cargo.toml");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--release", "--locked", "--manifest-path", manifest, "--target-dir"]);
    succeeds(build.arg(target_dir().join("oracle")));
    if !target_dir().join("python-fido2/complete").exists() {
        // Debian's package python3-venv.
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(target_dir().join("python-fido2")));
        succeeds(Command::new(python()).args(["-m", "pip", "install", "--quiet", PYTHON_FIDO2]));
        std::fs::write(target_dir().join("python-fido2/complete"), "").unwrap();
    }
}

fn succeeds(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Our client.
pub(crate) fn serve() {
    let mut device = open(NODE);
    for line in stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let ["pay", rp_id, challenge, pin, credential_id, point] = words[..] else { panic!("{line}") };
        let point = P256Key::from_sec1(&HEX.decode(point.as_bytes()).unwrap()).unwrap();
        let request = AssertionRequest {
            rp_id: rp_id.to_owned(),
            client_data_hash: Sha256::digest(HEX.decode(challenge.as_bytes()).unwrap()).into(),
            credential_id: CredentialId::new(HEX.decode(credential_id.as_bytes()).unwrap()).unwrap(),
            public_key: PublicKey::P256(point),
            algorithm: SignatureAlgorithm::Es256,
        };
        let (mut user, cancel) = (Typist::new(&[pin]), CancelToken::new());
        let assertion =
            ceremony::run(&mut GetAssertion::new(request), &mut device, &mut user, &mut OsRandom, &cancel);
        println!("{{\"signature\":\"{}\"}}", HEX.encode(&assertion.unwrap().signature));
    }
}

/// A client, running.
struct Client {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Client {
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, input, output }
    }

    /// Seconds until the answer to `command`.
    fn time(&mut self, command: &str) -> f64 {
        let started = Instant::now();
        writeln!(self.input, "{command}").unwrap();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the client ended");
            // ctap-hid-fido2 itself prints there too.
            if line.contains("signature") {
                return started.elapsed().as_secs_f64();
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ours beside the others.
pub(crate) fn beside_others(made: &NewCredential) -> [Row; 2] {
    let PublicKey::P256(point) = &made.public_key else { panic!("not a key on P-256") };
    let mut ours = Client::start(Command::new(std::env::current_exe().unwrap()).arg(OURS));
    let mut rust = Client::start(&mut Command::new(oracle()));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/security_keys/python_fido2.py");
    let mut python = Client::start(Command::new(python()).arg(script).arg(format!("/dev/hidraw{NODE}")));
    let id = HEX.encode(made.credential_id.as_bytes());
    let command =
        format!("pay {RP_ID} {} {PIN} {id} {}", HEX.encode(CHALLENGE), HEX.encode(&point.to_sec1()));
    // The first one opens channels and imports modules.
    for client in [&mut ours, &mut rust, &mut python] {
        client.time(&command);
    }
    let mut beside = |what: &str, other: &mut Client| {
        let mut pairs = Vec::new();
        for round in 0..ROUNDS {
            // Who goes first takes turns, too.
            pairs.push(if round % 2 == 0 {
                let first = ours.time(&command);
                (first, other.time(&command))
            } else {
                let first = other.time(&command);
                (ours.time(&command), first)
            });
        }
        Row::from_rounds(what, 1.0, &pairs)
    };
    [beside("ours : ctap-hid-fido2 3.6.1", &mut rust), beside("ours : python-fido2 2.2.1", &mut python)]
}
