//! The bank's and the wallet's cryptography against its bare primitives, and the bank's primitives against other kept
//! crates'. ES256, X25519, ECDH-ES+A256KW, A256GCM: the algorithms of the document's sample.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs)]

use aes_gcm::KeyInit as _;
use aes_gcm::aead::AeadInOut;
use fwp::authorization::{ContentEncryption, KeyEncryption, Randomness, derive_key};
use fwp::credential::CardData;
use fwp::{
    AuthorizationData, Credential, EncryptedSad, PaymentRequest, PlatformData, RpId, SignedAuthorizationData,
    TimeStamp,
};
use fwp_bench::{Row, print};
use fwp_cose::key::{P256Key, X25519Key};
use fwp_cose::{PublicKey, SignatureAlgorithm};
use fwp_verifier::{IssuerKey, KeyRing};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::{Signer, Verifier};
use sha2::{Digest, Sha256};
use std::hint::black_box;

const METHODS: &str = r#"[{"supportedMethods":"fido-web-pay/v1","data":{"payeeName":"Space Shop","networks":[
    {"id":"https://mastercard.com/fwp"},{"id":"https://banknet2.org","networkOptions":"additional stuff..."}]}}]"#;
const DETAILS: &str =
    r#"{"id":"7040566321","total":{"label":null,"amount":{"currency":"EUR","value":"435.00"}}}"#;

struct Sample {
    card: Credential,
    request: PaymentRequest,
    sad: SignedAuthorizationData,
    esad: Vec<u8>,
    keys: KeyRing,
    issuer_secret: [u8; 32],
}

fn main() {
    let sample = Sample::make();
    print("The wallet's and the bank's cryptography", &[wallet(&sample), bank(&sample)]);
    print("The bank's primitives, against the fastest kept crate's", &bank_primitives(&sample));
}

fn wallet(sample: &Sample) -> Row {
    let platform = platform();
    let encoded = sample.sad.encode();
    let aad = EncryptedSad::decode(&sample.esad).unwrap().aad();
    Row::measure(
        "wallet, AD to ESAD without signing",
        1.25,
        || {
            let ad = authorization(&sample.request, &sample.card, platform.clone());
            black_box(ad.client_data_hash());
            let sad =
                ad.signed(sample.sad.authenticator_data().to_vec(), sample.sad.signature().to_vec()).unwrap();
            black_box(sad.encrypt(&sample.card, &randomness()).unwrap().encode());
        },
        || {
            // SHA-256 of AD, a fresh X25519 key and the agreement, HKDF, key wrap, AES-GCM.
            black_box(Sha256::digest(&encoded));
            let random = randomness();
            let secret = x25519_dalek::StaticSecret::from(random.ephemeral_secret);
            black_box(x25519_dalek::PublicKey::from(&secret));
            let PublicKey::X25519(issuer) = &sample.card.card.encryption_key else { panic!("X25519") };
            let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(*issuer.as_bytes()));
            let derived =
                derive_key(shared.as_bytes(), KeyEncryption::EcdhEsA256Kw, ContentEncryption::A256Gcm);
            let mut wrapped = [0; 40];
            aes_kw::KwAes256::new_from_slice(&derived)
                .unwrap()
                .wrap_key(&random.content_key, &mut wrapped)
                .unwrap();
            let mut buffer = encoded.clone();
            let cipher = aes_gcm::Aes256Gcm::new_from_slice(&random.content_key).unwrap();
            black_box(
                cipher.encrypt_inout_detached(&random.iv.into(), &aad, buffer.as_mut_slice().into()).unwrap(),
            );
        },
    )
}

fn bank(sample: &Sample) -> Row {
    let primitives = aws_lc(sample);
    Row::measure(
        "bank, ESAD to verified signature",
        1.25,
        || drop(black_box(fwp_verifier::open_and_verify(&sample.esad, &sample.keys).unwrap())),
        primitives,
    )
}

/// The bare primitives with the crate that the bank's library uses.
fn aws_lc(sample: &Sample) -> impl FnMut() {
    let [mut agree, mut open, mut verify] = aws_lc_parts(sample);
    let esad = EncryptedSad::decode(&sample.esad).unwrap();
    let ad = sample.sad.authorization_data().encode();
    let derived = [7; 32];
    let mut content_key = [0; 32];
    let wrapped = {
        let mut out = [0; 40];
        aes_kw::KwAes256::new_from_slice(&derived).unwrap().wrap_key(&[9; 32], &mut out).unwrap();
        out
    };
    move || {
        agree();
        black_box(derive_key(&derived, esad.key_encryption, esad.content_encryption));
        aes_kw::KwAes256::new_from_slice(&derived).unwrap().unwrap_key(&wrapped, &mut content_key).unwrap();
        open();
        black_box(Sha256::digest(&ad));
        verify();
    }
}

fn aws_lc_parts(sample: &Sample) -> [Box<dyn FnMut()>; 3] {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
    let esad = EncryptedSad::decode(&sample.esad).unwrap();
    let PublicKey::X25519(ephemeral) = esad.ephemeral_key.clone() else { panic!("X25519") };
    let private = PrivateKey::from_private_key(&X25519, &sample.issuer_secret).unwrap();
    let agreement = move || {
        agree(&private, UnparsedPublicKey::new(&X25519, ephemeral.as_bytes()), (), |z| {
            black_box(z[0]);
            Ok(())
        })
        .unwrap();
    };
    let content_key = content_key(sample);
    let (aad, mut plain) = (esad.aad(), vec![0; esad.cipher_text.len()]);
    let opening = move || {
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &content_key).unwrap());
        let nonce = Nonce::assume_unique_for_key(esad.iv);
        cipher
            .open_separate_gather(nonce, Aad::from(&aad), &esad.cipher_text, &esad.tag, &mut plain)
            .unwrap();
        black_box(&plain);
    };
    let (key, message, signature) = signature_parts(sample);
    let verification = move || {
        aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1, &key)
            .verify(&message, &signature)
            .unwrap();
    };
    [Box::new(agreement), Box::new(opening), Box::new(verification)]
}

fn bank_primitives(sample: &Sample) -> Vec<Row> {
    let against = |what: &str, part: usize, other: Box<dyn FnMut()>| {
        let [a, b, c] = aws_lc_parts(sample);
        let ours = [a, b, c].into_iter().nth(part).unwrap();
        Row::measure(what, 1.3, ours, other)
    };
    let esad = EncryptedSad::decode(&sample.esad).unwrap();
    let PublicKey::X25519(ephemeral) = esad.ephemeral_key.clone() else { panic!("X25519") };
    let dalek = x25519_dalek::StaticSecret::from(sample.issuer_secret);
    let content_key = content_key(sample);
    let (key, message, signature) = signature_parts(sample);
    let (ring_key, ring_message, ring_signature) = (key.clone(), message.clone(), signature.clone());
    let (aad, ring_aad) = (esad.aad(), esad.aad());
    let sealed = [esad.cipher_text.as_slice(), &esad.tag].concat();
    let (iv, tag, cipher_text) = (esad.iv, esad.tag, esad.cipher_text);
    vec![
        against(
            "X25519 agreement, aws-lc-rs : x25519-dalek",
            0,
            Box::new(move || {
                let theirs = x25519_dalek::PublicKey::from(*ephemeral.as_bytes());
                black_box(dalek.diffie_hellman(&theirs).was_contributory());
            }),
        ),
        against(
            "A256GCM opening, aws-lc-rs : aes-gcm",
            1,
            Box::new(move || {
                let mut buffer = cipher_text.clone();
                let cipher = aes_gcm::Aes256Gcm::new_from_slice(&content_key).unwrap();
                cipher
                    .decrypt_inout_detached(&iv.into(), &aad, buffer.as_mut_slice().into(), &tag.into())
                    .unwrap();
                black_box(&buffer);
            }),
        ),
        against(
            "A256GCM opening, aws-lc-rs : ring",
            1,
            Box::new(move || {
                use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
                let mut buffer = sealed.clone();
                let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &content_key).unwrap());
                let nonce = Nonce::assume_unique_for_key(iv);
                black_box(cipher.open_in_place(nonce, Aad::from(&ring_aad), &mut buffer).unwrap());
            }),
        ),
        against(
            "ES256 verification, aws-lc-rs : ring",
            2,
            Box::new(move || {
                ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_ASN1, &ring_key)
                    .verify(&ring_message, &ring_signature)
                    .unwrap();
            }),
        ),
        against(
            "ES256 verification, aws-lc-rs : p256",
            2,
            Box::new(move || {
                let signature = p256::ecdsa::Signature::from_der(&signature).unwrap();
                p256::ecdsa::VerifyingKey::from_sec1_bytes(&key)
                    .unwrap()
                    .verify(&message, &signature)
                    .unwrap();
            }),
        ),
    ]
}

/// SEC 1 key, message and DER signature of the sample.
fn signature_parts(sample: &Sample) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let PublicKey::P256(key) = &sample.sad.authorization_data().public_key else { panic!("P-256") };
    (key.to_sec1().to_vec(), sample.sad.signed_message(), sample.sad.signature().to_vec())
}

fn content_key(sample: &Sample) -> [u8; 32] {
    let esad = EncryptedSad::decode(&sample.esad).unwrap();
    let PublicKey::X25519(ephemeral) = &esad.ephemeral_key else { panic!("X25519") };
    let secret = x25519_dalek::StaticSecret::from(sample.issuer_secret);
    let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(*ephemeral.as_bytes()));
    let derived = derive_key(shared.as_bytes(), esad.key_encryption, esad.content_encryption);
    let mut key = [0; 32];
    let kw = aes_kw::KwAes256::new_from_slice(&derived).unwrap();
    kw.unwrap_key(&esad.wrapped_key.unwrap(), &mut key).unwrap();
    key
}

impl Sample {
    fn make() -> Self {
        let issuer_secret = [42; 32];
        let issuer = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(issuer_secret));
        let issuer = PublicKey::X25519(X25519Key::new(issuer.to_bytes()));
        let signer = SigningKey::from_slice(&[3; 32]).unwrap();
        let public = P256Key::from_sec1(signer.verifying_key().to_sec1_point(false).as_bytes()).unwrap();
        let key_id: fwp_cose::cbor::Value = "x25519:2022:1".into();
        let card = Credential {
            credential_id: fwp::CredentialId::new(vec![1; 64]).unwrap(),
            rp_id: RpId::parse("mybank.fr").unwrap(),
            public_key: PublicKey::P256(public),
            signature_algorithm: SignatureAlgorithm::Es256,
            card: CardData {
                encryption_key: issuer.clone(),
                encryption_key_id: Some(key_id.clone()),
                content_encryption: ContentEncryption::A256Gcm,
                key_encryption: KeyEncryption::EcdhEsA256Kw,
                account_id: fwp::AccountId::new("FR7630002111110020050014382"),
                payment_network_id: "https://banknet2.org".into(),
                issuer_id: "https://mybank.fr/payment".into(),
                serial_number: "0057162932".into(),
                card_image: "<svg xmlns=\"http://www.w3.org/2000/svg\"/>".into(),
            },
        };
        let request = PaymentRequest::from_json("spaceshop.com", METHODS, DETAILS).unwrap();
        let ad = authorization(&request, &card, platform());
        let authenticator_data =
            [Sha256::digest(card.rp_id.as_str()).as_slice(), &[0x05, 0, 0, 0, 23]].concat();
        let message = [authenticator_data.as_slice(), &ad.client_data_hash()].concat();
        let signature: p256::ecdsa::Signature = signer.sign(&message);
        let sad = ad.signed(authenticator_data, signature.to_der().as_bytes().to_vec()).unwrap();
        let esad = sad.encrypt(&card, &randomness()).unwrap().encode();
        let Some(fwp_cose::cbor::Value::Map(cose_private)) = Some(issuer.to_value()) else { panic!("a map") };
        let cose_private = fwp_cose::cbor::Value::Map(cose_private.with(-4, issuer_secret.as_slice()));
        let key = IssuerKey::from_cose_private(&cose_private.encode(), Some(&key_id)).unwrap();
        Self { card, request, sad, esad, keys: KeyRing::new(vec![key]), issuer_secret }
    }
}

fn authorization(request: &PaymentRequest, card: &Credential, platform: PlatformData) -> AuthorizationData {
    let time_stamp = TimeStamp::from_unix_ms(1_676_538_847_000, Some(60)).unwrap();
    AuthorizationData::new(request, card, platform, None, time_stamp).unwrap()
}

fn platform() -> PlatformData {
    PlatformData {
        os_name: "Debian GNU/Linux".into(),
        os_version: "12".into(),
        user_agent_name: "Chromium".into(),
        user_agent_version: "156.0".into(),
    }
}

fn randomness() -> Randomness {
    let mut random = Randomness { ephemeral_secret: [0; 32], content_key: [0; 32], iv: [0; 12] };
    getrandom::fill(&mut random.ephemeral_secret).unwrap();
    getrandom::fill(&mut random.content_key).unwrap();
    getrandom::fill(&mut random.iv).unwrap();
    random
}
