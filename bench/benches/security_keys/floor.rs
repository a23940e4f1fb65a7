//! What a client of any kind has to do: the reports of the exchange to a device that answers at once, and the primitives.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::mpsc::channel;

use cbc::cipher::{Block, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use mockdev::{Plugged, Testbed, UsbDevice};
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::elliptic_curve::sec1::ToSec1Point;
use sha2::{Digest, Sha256};

use crate::BY_HEART;

/// Which way a report goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToKey,
    FromKey,
}

/// Reports to the key, and those that it answers with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    asked: Vec<[u8; 64]>,
    answered: Vec<[u8; 64]>,
}

/// The steps of an exchange that was written down. Keepalives depend on time and are left out.
pub(crate) fn exchange(log: &[(Way, [u8; 64])]) -> Vec<Step> {
    const KEEPALIVE: u8 = 0xBB;
    let mut steps: Vec<Step> = Vec::new();
    for (way, packet) in log.iter().filter(|(_, packet)| packet[4] != KEEPALIVE) {
        match way {
            Way::ToKey => {
                if steps.last().is_none_or(|step| !step.answered.is_empty()) {
                    steps.push(Step::default());
                }
                steps.last_mut().unwrap().asked.push(*packet);
            }
            Way::FromKey => steps.last_mut().unwrap().answered.push(*packet),
        }
    }
    steps
}

/// The bare I/O.
pub(crate) struct Bare {
    node: File,
    steps: Vec<Step>,
    _plugged: Plugged,
}

impl Bare {
    /// Plugs in a device that knows the exchange by heart.
    pub(crate) fn new(testbed: &mut Testbed, steps: &[Step]) -> Self {
        let plugged = testbed.plug(&UsbDevice::key(BY_HEART)).unwrap();
        let (to_player, asked) = channel();
        let (answers, from_player) = channel();
        let to_device = move |packet| {
            let _ = to_player.send(packet);
        };
        testbed.connect(&plugged, to_device, from_player).unwrap();
        let known = steps.to_vec();
        // A thread of its own, as the key has one.
        std::thread::spawn(move || {
            for step in known.iter().cycle() {
                for _ in &step.asked {
                    if asked.recv().is_err() {
                        return;
                    }
                }
                for answer in &step.answered {
                    let _ = answers.send(*answer);
                }
            }
        });
        let node = File::options().read(true).write(true).open(format!("/dev/hidraw{BY_HEART}")).unwrap();
        Self { node, steps: steps.to_vec(), _plugged: plugged }
    }

    pub(crate) fn run(&mut self) {
        let mut report = [0; 64];
        for step in &self.steps {
            for packet in &step.asked {
                let mut numbered = [0; 65];
                numbered[1..].copy_from_slice(packet);
                self.node.write_all(&numbered).unwrap();
            }
            for _ in &step.answered {
                self.node.read_exact(&mut report).unwrap();
            }
        }
        black_box(report);
    }
}

/// The primitives of PIN/UV auth protocol two and of the check of the signature.
pub(crate) struct Primitives {
    peer: Vec<u8>,
    verifying: VerifyingKey,
    signature: Signature,
    message: Vec<u8>,
}

impl Primitives {
    pub(crate) fn new() -> Self {
        let signing = SigningKey::from_slice(&[7; 32]).unwrap();
        let message = vec![1; 37 + 32];
        Self {
            peer: secret().public_key().to_sec1_point(false).as_bytes().to_vec(),
            verifying: *signing.verifying_key(),
            signature: signing.sign(&message),
            message,
        }
    }

    pub(crate) fn run(&self) {
        // The shared secret.
        let ours = secret();
        black_box(ours.public_key().to_sec1_point(false));
        let peer = p256::PublicKey::from_sec1_bytes(&self.peer).unwrap();
        let z = p256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), peer.as_affine());
        let (mut hmac, mut aes) = ([0; 32], [0; 32]);
        for (key, info) in [(&mut hmac, b"CTAP2 HMAC key".as_slice()), (&mut aes, b"CTAP2 AES key")] {
            Hkdf::<Sha256>::new(Some(&[0; 32]), z.raw_secret_bytes()).expand(info, key).unwrap();
        }
        // The PIN there, the token back.
        let pin_hash = Sha256::digest(crate::PIN);
        let mut block = Block::<aes::Aes256>::try_from(&pin_hash[..16]).unwrap();
        cbc::Encryptor::<aes::Aes256>::new(&aes.into(), &[3; 16].into()).encrypt_block(&mut block);
        black_box(block);
        let mut token = [[5; 16].into(), [6; 16].into()];
        let mut decryptor = cbc::Decryptor::<aes::Aes256>::new(&aes.into(), &[4; 16].into());
        token.iter_mut().for_each(|block| decryptor.decrypt_block(block));
        black_box(token);
        // What is asked for, authenticated; what is answered, verified.
        let mut mac = Hmac::<Sha256>::new_from_slice(&hmac).unwrap();
        mac.update(crate::CHALLENGE);
        black_box(mac.finalize());
        black_box(Sha256::digest(crate::RP_ID));
        self.verifying.verify(&self.message, &self.signature).unwrap();
    }
}

fn secret() -> p256::SecretKey {
    let mut scalar = [0; 32];
    getrandom::fill(&mut scalar).unwrap();
    p256::SecretKey::from_slice(&scalar).unwrap()
}
