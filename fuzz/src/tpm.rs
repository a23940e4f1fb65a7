//! What TPMs say, and what is said between wallets and certification authorities.

use crate::{check, texts};
use ctap_tpm::{AttestationKey, Sealed};
use fwp::certification::{
    ActivatedCredential, CertificationQuestion, CertificationRequest, CredentialChallenge, IssuedCertificates,
};
use fwp::enrollment::{Attestation, Offer};
use fwp::{CredentialId, RpId};
use fwp_cose::SignatureAlgorithm;
use fwp_cose::cbor::{Value, decode};
use fwp_cose::tpm::{PublicArea, TpmStatement};
use fwp_store_tpm::SealedKey;
use fwp_verifier::authenticator_data::AuthenticatorData;
use fwp_verifier::endorsement::check_endorsement;
use fwp_verifier::tpm_certificate::check_tpm_certificates;
use fwp_verifier::{AttestationRoots, verify_attestation};

/// A message of a certification.
pub fn certification(data: &[u8]) {
    let [text] = texts(data);
    if let Ok(request) = CertificationRequest::parse(&text) {
        let again = CertificationRequest::parse(&request.to_json().to_string());
        check(again == Ok(request), "a request reads differently again");
    }
    if let Ok(challenge) = CredentialChallenge::parse(&text) {
        let again = CredentialChallenge::parse(&challenge.to_json().to_string());
        check(again == Ok(challenge), "a challenge reads differently again");
    }
    if let Ok(activated) = ActivatedCredential::parse(&text) {
        let again = ActivatedCredential::parse(&activated.to_json().to_string());
        check(again == Ok(activated), "an opened credential reads differently again");
    }
    if let Ok(issued) = IssuedCertificates::parse(&text) {
        let again = IssuedCertificates::parse(&issued.to_json().to_string());
        check(again == Ok(issued), "certificates read differently again");
    }
    let _ = CertificationQuestion::parse(&text);
}

/// An attestation object, a TPM's among others, as the bank verifies it for an offer.
pub fn tpm_attestation(data: &[u8]) {
    let Ok(Value::Map(object)) = decode(data) else { return };
    if let Some(Value::Map(statement)) = object.get(&"attStmt".into())
        && let Ok(read) = TpmStatement::from_map(statement)
    {
        check(read.to_map() == *statement, "a statement is written differently");
        let _ = check_tpm_certificates(&read.certificates, &[0x11; 16]);
    }
    let Some(Value::Bytes(auth_data)) = object.get(&"authData".into()) else { return };
    let key = AuthenticatorData::parse(auth_data).and_then(|data| data.attested_credential);
    let Some(credential_id) = key.and_then(|key| CredentialId::new(key.credential_id).ok()) else { return };
    let Ok(rp_id) = RpId::parse("bank.example") else { return };
    let offer = Offer {
        rp_id: rp_id.clone(),
        rp_name: "Bank".to_owned(),
        user_id: vec![1; 16],
        user_name: "Ada".to_owned(),
        challenge: vec![9; 32],
        algorithms: SignatureAlgorithm::ALL.to_vec(),
        attestation_url: None,
    };
    let attestation = Attestation {
        rp_id,
        challenge: offer.challenge.clone(),
        credential_id,
        attestation_object: data.to_vec(),
    };
    if let (Ok(key), Some(roots)) = (verify_attestation(&attestation, &offer), root()) {
        check(key.check_maker(&roots, 0).is_err(), "a stranger's key is vouched for");
    }
}

/// A TPM's certificate by its maker.
pub fn endorsement_certificate(data: &[u8]) {
    if let Some(roots) = root() {
        check(check_endorsement(data, &roots, 0).is_err(), "a stranger's TPM is vouched for");
    }
}

/// TPMT_PUBLIC of an attestation key.
pub fn tpm_public(data: &[u8]) {
    if let Ok(area) = PublicArea::parse(data) {
        // Zeros at the beginning may be left out.
        let y = area.key().y();
        let zeros = y.iter().take_while(|byte| **byte == 0).count();
        check(data.ends_with(y.get(zeros..).unwrap_or_default()), "another key");
        check(data.get(4..8) != Some(&[0; 4]) || !area.is_bound(), "attributes that nobody has set");
    }
}

/// What a store keeps of keys in a TPM: the slot's own key, what is sealed, and the attestation key. Whoever has the file chooses it.
pub fn tpm_blobs(data: &[u8]) {
    if let Ok(key) = SealedKey::decode(data) {
        check(key.encode() == data, "a slot's key is written differently");
        let _ = key.parts();
    }
    if let Some(sealed) = Sealed::decode(data) {
        check(sealed.encode() == data, "what was sealed is written differently");
        let _ = sealed.parts();
    }
    if let Some(key) = AttestationKey::decode(data) {
        check(key.encode() == data, "an attestation key is written differently");
        let _ = (key.public_key(), key.name());
    }
}

/// A root that has signed nothing in any corpus: the one of the security keys' corpus.
fn root() -> Option<AttestationRoots> {
    AttestationRoots::from_pem(include_bytes!("../corpus/attestation_certificates/pem")).ok()
}
