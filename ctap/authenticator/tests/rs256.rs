//! RS256, which keys with a smart card's chip make: no other software key has it, so this test signs itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use ctap_core::attestation::{Attestation, AttestationObject, PackedStatement};
use ctap_core::authenticator_data::{AttestedCredential, AuthenticatorData, Flags};
use ctap_core::messages::{
    CredentialId, GetAssertionResponse, GetInfo, MakeCredentialResponse, Request, Response,
};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use ctap_core::{Error, Mismatch};
use fwp_cose::key::RsaKey;
use fwp_cose::{PublicKey, SignatureAlgorithm, SignatureError};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, RsaPrivateKey, rand_core};
use sha2::{Digest, Sha256};

const RS256: SignatureAlgorithm = SignatureAlgorithm::Rs256;
/// DigestInfo of SHA-256 (RFC 8017 section 9.2, note 1).
const SHA256: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

/// The platform authenticator's PIN with an RSA key.
struct RsaDevice {
    pin: AnyDevice,
    key: RsaPrivateKey,
}

impl RsaDevice {
    fn new() -> Self {
        let mut pin = AnyDevice::platform(Touch::AtOnce);
        set_pin(&mut pin, PIN).unwrap();
        Self { pin, key: RsaPrivateKey::new(&mut Os, 2048).unwrap() }
    }

    fn data(&self, attested: bool) -> Vec<u8> {
        let attested = attested.then(|| AttestedCredential {
            aaguid: [2; 16],
            credential_id: CredentialId::new(vec![5; 32]).unwrap(),
            public_key: PublicKey::Rsa(RsaKey::new(self.key.n().to_bytes_be()).unwrap()),
            algorithm: RS256,
        });
        let flags = Flags::USER_PRESENT.with(Flags::USER_VERIFIED);
        let rp_id_hash = Sha256::digest(RP_ID).into();
        AuthenticatorData { rp_id_hash, flags, sign_count: 1, attested, extensions: None }.encode()
    }

    fn sign(&self, auth_data: &[u8], hash: &[u8]) -> Vec<u8> {
        let digest = Sha256::new().chain_update(auth_data).chain_update(hash).finalize();
        let scheme = Pkcs1v15Sign { hash_len: Some(32), prefix: Box::from(SHA256.as_slice()) };
        self.key.sign(scheme, &digest).unwrap()
    }
}

impl Device for RsaDevice {
    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        match Request::decode(command).unwrap() {
            Request::GetInfo => {
                let answer = self.pin.transact(command, on_keepalive, cancel)?;
                let mut info = GetInfo::decode(&answer).unwrap().unwrap();
                info.algorithms = vec![RS256.id()];
                Ok(info.encode())
            }
            Request::MakeCredential(request) => {
                assert_eq!(request.algorithms, [RS256.id()]);
                let auth_data = self.data(true);
                let signature = self.sign(&auth_data, &request.client_data_hash);
                let statement = PackedStatement { alg: RS256.id(), signature, certificates: Vec::new() };
                let attestation =
                    AttestationObject { fmt: "packed".to_owned(), att_stmt: statement.to_map(), auth_data };
                Ok(MakeCredentialResponse { attestation }.encode())
            }
            Request::GetAssertion(request) => {
                let auth_data = self.data(false);
                let signature = self.sign(&auth_data, &request.client_data_hash);
                let response = GetAssertionResponse {
                    credential: None,
                    auth_data,
                    signature,
                    user: None,
                    number_of_credentials: None,
                };
                Ok(response.encode())
            }
            _ => self.pin.transact(command, on_keepalive, cancel),
        }
    }
}

/// The operating system's random bytes, for the key.
struct Os;

impl rand_core::RngCore for Os {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        getrandom::fill(out).unwrap();
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl rand_core::CryptoRng for Os {}

#[test]
fn an_rsa_key_is_made_and_signs_and_another_ones_signature_is_refused() {
    let (mut device, mut other) = (RsaDevice::new(), RsaDevice::new());
    let mut request = credential_request();
    request.algorithms = vec![RS256];
    let made = make_credential(&mut device, &mut Typist::new(&[PIN]), request).unwrap();
    assert_eq!((made.algorithm, &made.attestation), (RS256, &Attestation::SelfSigned));
    assert!(matches!(made.public_key, PublicKey::Rsa(_)));
    let request = assertion_request(&made);
    let signed = get_assertion(&mut device, &mut Typist::new(&[PIN]), request.clone()).unwrap();
    assert_eq!(signed.signature.len(), 256);
    let forged = get_assertion(&mut other, &mut Typist::new(&[PIN]), request);
    assert_eq!(forged, Err(Error::Mismatch(Mismatch::Signature(SignatureError::Invalid))));
}
