//! A wallet whose key is in a real (software) TPM.

use super::UP_UV;
use ctap_authenticator::software::InMemory;
use ctap_authenticator::{CreatedKey, KeyStore, Os};
use ctap_core::Pin;
use ctap_tpm::{AAGUID, AttestationKey, Tpm, TpmKeyStore};
use fwp::CredentialId;
use fwp::certification::{
    ActivatedCredential, CertificationRequest, CredentialChallenge, IssuedCertificates,
};
use fwp::enrollment::{Attestation, Offer};
use fwp_cose::cbor::{Map, Value};
use fwp_cose::tpm::TpmStatement;
use fwp_cose::{PublicKey, SignatureAlgorithm};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::sync::Arc;

/// The first question to an authority.
pub fn question(tpm: &Tpm, key: &AttestationKey) -> CertificationRequest {
    CertificationRequest {
        endorsement_certificate: tpm.endorsement_certificate().unwrap().unwrap(),
        attestation_key: key.public().to_vec(),
    }
}

/// Has the attestation key certified; `ask` carries questions and answers.
pub fn certify(tpm: &Tpm, key: &AttestationKey, ask: impl Fn(String) -> String) -> Vec<Vec<u8>> {
    let answer = ask(question(tpm, key).to_json().to_string());
    let challenge = CredentialChallenge::parse(&answer).unwrap();
    let (blob, secret) = (&challenge.credential_blob, &challenge.encrypted_secret);
    let secret = tpm.activate_credential(key, blob, secret).unwrap();
    let activated = ActivatedCredential { challenge: challenge.challenge, secret: secret.into() };
    IssuedCertificates::parse(&ask(activated.to_json().to_string())).unwrap().certificates
}

/// A key for the bank in a TPM, which the attestation key vouches for.
pub struct TpmKey {
    store: RefCell<TpmKeyStore<InMemory>>,
    key: CreatedKey,
    attestation_key: AttestationKey,
    certificates: Vec<Vec<u8>>,
}

impl TpmKey {
    pub fn new(tpm: &Arc<Tpm>, attestation_key: &AttestationKey, certificates: Vec<Vec<u8>>) -> Self {
        let mut store = TpmKeyStore::open(tpm.clone(), InMemory::default(), Os::new()).unwrap();
        let pin = Pin::new("4711").unwrap().hash();
        store.set_pin(&pin).unwrap();
        store.unlock(&pin).unwrap();
        let key = store.create_key(&Sha256::digest("localhost").into()).unwrap();
        let attestation_key = attestation_key.clone();
        Self { store: RefCell::new(store), key, attestation_key, certificates }
    }

    /// The answer to `offer`.
    pub fn attest(&self, offer: &Offer) -> Attestation {
        let id = self.key.credential_id.as_bytes();
        let rp_id_hash: [u8; 32] = Sha256::digest(offer.rp_id.as_str()).into();
        let public = PublicKey::P256(self.key.public_key.clone());
        let auth_data = [
            &rp_id_hash[..],
            &[UP_UV | 0x40],
            &[0; 4],
            &AAGUID,
            &(id.len() as u16).to_be_bytes(),
            id,
            &public.to_credential_value(SignatureAlgorithm::Es256).encode(),
        ]
        .concat();
        let extra_data = Sha256::digest([&auth_data[..], &offer.client_data_hash()].concat()).into();
        let certified = self
            .store
            .borrow_mut()
            .certify(&rp_id_hash, &self.key.credential_id, &self.attestation_key, &extra_data)
            .unwrap();
        let statement = TpmStatement {
            alg: SignatureAlgorithm::Es256.id(),
            certificates: self.certificates.clone(),
            signature: certified.signature,
            cert_info: certified.cert_info,
            pub_area: certified.public,
        };
        let mut object = Map::new();
        object.insert("fmt".into(), "tpm".into());
        object.insert("attStmt".into(), Value::Map(statement.to_map()));
        object.insert("authData".into(), auth_data.as_slice().into());
        Attestation {
            rp_id: offer.rp_id.clone(),
            challenge: offer.challenge.clone(),
            credential_id: CredentialId::new(id.to_vec()).unwrap(),
            attestation_object: Value::Map(object).encode(),
        }
    }
}
