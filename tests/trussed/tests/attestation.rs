//! A key of another maker that vouches with its maker's certificate, as those that are sold do: from the factory to the bank.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_core::attestation::Attestation as Vouching;
use ctap_core::ceremony::{Ceremony, CredentialRequest, MakeCredential, NewCredential, SetPin, run};
use ctap_core::messages::{RelyingParty, UserAccount};
use ctap_core::transport::CancelToken;
use fwp::enrollment::{Attestation, Offer};
use fwp::{CredentialId, RpId};
use fwp_cose::SignatureAlgorithm;
use fwp_verifier::maker::MakerError;
use fwp_verifier::{AttestationRoots, AttestedKey, Vouched, verify_attestation};
use p256::pkcs8::EncodePrivateKey;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use trussed_key::Batch;
use virtual_keys::{Key, OsRandom, Touch, Typist};

const PIN: &str = "4711-pin";
const MODEL: [u8; 16] = *b"a tested model 1";
/// 2026-01-01.
const NOW_MS: i64 = 1_767_225_600_000;

/// A maker's root, and what its factory burns into a batch of keys.
fn maker() -> (AttestationRoots, Batch) {
    let (root_key, mut root) = (KeyPair::generate().unwrap(), CertificateParams::default());
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let roots = AttestationRoots::from_der([root.self_signed(&root_key).unwrap().der().as_ref()]).unwrap();

    let mut leaf = CertificateParams::default();
    leaf.distinguished_name = DistinguishedName::new();
    for (kind, value) in [
        (DnType::CountryName, "DE"),
        (DnType::OrganizationName, "Tested Keys GmbH"),
        (DnType::OrganizationalUnitName, "Authenticator Attestation"),
        (DnType::CommonName, "Tested Key Batch 1"),
    ] {
        leaf.distinguished_name.push(kind, value);
    }
    leaf.is_ca = IsCa::ExplicitNoCa;
    let model = [&[4, 16][..], &MODEL].concat();
    leaf.custom_extensions =
        vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 45724, 1, 1, 4], model)];
    let mut secret = [0; 32];
    let secret_key = loop {
        getrandom::fill(&mut secret).unwrap();
        // Zero and what lies beyond the order of the curve is no key.
        if let Ok(key) = p256::SecretKey::from_slice(&secret) {
            break key;
        }
    };
    let key = KeyPair::try_from(secret_key.to_pkcs8_der().unwrap().as_bytes()).unwrap();
    let certificate = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap().der().to_vec();
    (roots, Batch { certificate, secret })
}

fn offer() -> Offer {
    Offer {
        rp_id: RpId::parse("bank.example").unwrap(),
        rp_name: "Bank".into(),
        user_id: vec![1; 16],
        user_name: "Ada".into(),
        challenge: vec![9; 32],
        algorithms: SignatureAlgorithm::ALL.to_vec(),
        attestation_url: None,
    }
}

fn drive<C: Ceremony>(key: &Key, mut ceremony: C) -> C::Outcome {
    let mut user = Typist::new(&[PIN]);
    run(&mut ceremony, &mut key.device(), &mut user, &mut OsRandom, &CancelToken::new()).unwrap()
}

/// Makes a credential for the offer, as the wallet does.
fn enroll(key: &Key, offer: &Offer) -> NewCredential {
    drive(key, SetPin::new());
    drive(
        key,
        MakeCredential::new(CredentialRequest {
            rp: RelyingParty { id: offer.rp_id.as_str().into(), name: Some(offer.rp_name.clone()) },
            user: UserAccount {
                id: offer.user_id.clone(),
                name: Some(offer.user_name.clone()),
                display_name: None,
            },
            client_data_hash: offer.client_data_hash(),
            algorithms: offer.algorithms.clone(),
            exclude: Vec::new(),
        }),
    )
}

/// What the bank makes of it.
fn at_the_bank(made: &NewCredential, offer: &Offer) -> AttestedKey {
    let attestation = Attestation {
        rp_id: offer.rp_id.clone(),
        challenge: offer.challenge.clone(),
        credential_id: CredentialId::new(made.credential_id.as_bytes().to_vec()).unwrap(),
        attestation_object: made.attestation_object.encode(),
    };
    let sent = Attestation::parse(&attestation.to_json().to_string()).unwrap();
    verify_attestation(&sent, offer).unwrap()
}

#[test]
fn a_key_with_its_makers_certificate_is_vouched_for_at_the_bank_by_that_maker_alone() {
    let (roots, batch) = maker();
    let certificate = batch.certificate.clone();
    let offer = offer();
    let made = enroll(&trussed_key::provisioned_key(Touch::AtOnce, batch), &offer);
    assert!(matches!(made.attestation, Vouching::Certified { .. }), "{:?}", made.attestation);

    let key = at_the_bank(&made, &offer);
    assert_eq!((made.aaguid, key.aaguid), (MODEL, MODEL), "the certificate's model");
    assert_eq!(key.public_key, made.public_key);
    let Vouched::ByMaker(chain) = &key.vouched else { panic!("{:?}", key.vouched) };
    assert_eq!(chain.certificates().collect::<Vec<_>>(), [certificate]);
    assert_eq!(key.check_maker(&roots, NOW_MS), Ok(()));
    let (others, _) = maker();
    assert_eq!(key.check_maker(&others, NOW_MS), Err(MakerError::UnknownMaker));
}

#[test]
fn a_key_that_its_maker_left_without_a_certificate_vouches_for_itself() {
    let (offer, (roots, _)) = (offer(), maker());
    let key = at_the_bank(&enroll(&trussed_key::key(Touch::AtOnce), &offer), &offer);
    assert_eq!(key.vouched, Vouched::ByItself);
    assert_eq!(key.check_maker(&roots, NOW_MS), Err(MakerError::NoMaker));
}
