//! The messages between a wallet and a certification authority: what is taken, and what is refused by which field.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use data_encoding::BASE64URL_NOPAD;
use fwp::certification::{
    ActivatedCredential, CertificationQuestion, CertificationRequest, CredentialChallenge,
    IssuedCertificates, MAX_ATTESTATION_KEY_BYTES, MAX_CERTIFICATE_BYTES, MAX_CERTIFICATES,
    MAX_CREDENTIAL_BYTES, MAX_MESSAGE_BYTES, MAX_SECRET_BYTES,
};
use fwp::json::FieldError;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

fn b64(length: usize) -> Value {
    BASE64URL_NOPAD.encode(&vec![0x30; length]).into()
}

const VERSION: &str = "fwpd-certification/1";

/// Each message with its name, as JSON, and what reads it.
type Message = (&'static str, Value, fn(&str) -> Result<Value, FieldError>);

fn messages() -> [Message; 4] {
    let request =
        json!({ "version": VERSION, "endorsementCertificate": b64(900), "attestationKey": b64(90) });
    let challenge = json!({ "version": VERSION, "challenge": b64(32), "credentialBlob": b64(68), "encryptedSecret": b64(256) });
    let activated = json!({ "version": VERSION, "challenge": b64(32), "secret": b64(32) });
    let issued = json!({ "version": VERSION, "certificates": [b64(500), b64(400)] });
    [
        ("certificationRequest", request, |text| {
            CertificationRequest::parse(text).map(|read| read.to_json())
        }),
        ("credentialChallenge", challenge, |text| {
            CredentialChallenge::parse(text).map(|read| read.to_json())
        }),
        ("activatedCredential", activated, |text| {
            ActivatedCredential::parse(text).map(|read| read.to_json())
        }),
        ("issuedCertificates", issued, |text| IssuedCertificates::parse(text).map(|read| read.to_json())),
    ]
}

#[test]
fn each_message_goes_both_ways() {
    for (name, message, read) in messages() {
        assert_eq!(read(&message.to_string()), Ok(message), "{name}");
    }
}

#[test]
fn an_attribute_that_is_missing_unknown_or_wrong_is_named() {
    for (name, message, read) in messages() {
        for attribute in message.as_object().unwrap().keys() {
            let field = format!("{name}.{attribute}");
            let mut without = message.clone();
            without.as_object_mut().unwrap().remove(attribute);
            assert_eq!(read(&without.to_string()).unwrap_err(), FieldError::missing(&field));
            for wrong in
                [json!(7), json!(null), json!("="), json!("MA=="), json!("M+"), json!("MB"), json!([])]
            {
                let mut with = message.clone();
                with[attribute] = wrong.clone();
                assert_eq!(read(&with.to_string()).unwrap_err().field, field, "{wrong}");
            }
        }
        for (attribute, field) in
            [("surprise", format!("{name}.surprise")), ("version", format!("{name}.version"))]
        {
            let mut with = message.clone();
            with[attribute] = json!("fwpd-certification/2");
            assert_eq!(read(&with.to_string()).unwrap_err().field, field);
        }
        for text in ["", "[]", "7", &format!("{message}x"), &" ".repeat(MAX_MESSAGE_BYTES + 1)] {
            assert_eq!(read(text).unwrap_err().field, name);
        }
    }
}

#[test]
fn every_length_is_bounded() {
    let lengths = [
        ("endorsementCertificate", 1, MAX_CERTIFICATE_BYTES),
        ("attestationKey", 1, MAX_ATTESTATION_KEY_BYTES),
        ("challenge", 16, 64),
        ("credentialBlob", 1, MAX_CREDENTIAL_BYTES),
        ("encryptedSecret", 1, MAX_CREDENTIAL_BYTES),
        ("secret", 1, MAX_SECRET_BYTES),
    ];
    for (name, message, read) in messages() {
        for (attribute, least, most) in lengths {
            if message.get(attribute).is_none() {
                continue;
            }
            let with = |length: usize| {
                let mut message = message.clone();
                message[attribute] = b64(length);
                read(&message.to_string())
            };
            assert!(with(least).is_ok() && with(most).is_ok(), "{attribute}");
            for length in [least - 1, most + 1] {
                assert_eq!(with(length).unwrap_err().field, format!("{name}.{attribute}"), "{length}");
            }
        }
    }
}

#[test]
fn one_to_eight_certificates_are_taken_and_a_bad_one_is_named() {
    let read = |certificates: Value| {
        IssuedCertificates::parse(&json!({ "version": VERSION, "certificates": certificates }).to_string())
    };
    let many = |count: usize, length: usize| Value::Array(vec![b64(length); count]);
    assert_eq!(read(many(MAX_CERTIFICATES, MAX_CERTIFICATE_BYTES)).unwrap().certificates.len(), 8);
    for count in [0, MAX_CERTIFICATES + 1] {
        assert_eq!(read(many(count, 9)).unwrap_err().field, "issuedCertificates.certificates");
    }
    for bad in [b64(0), b64(MAX_CERTIFICATE_BYTES + 1), json!(1), json!("?")] {
        assert_eq!(read(json!([b64(9), bad])).unwrap_err().field, "issuedCertificates.certificates[1]");
    }
}

#[test]
fn the_two_questions_are_told_apart() {
    let [(_, request, _), (_, challenge, _), (_, activated, _), _] = messages();
    let read = |message: &Value| CertificationQuestion::parse(&message.to_string());
    assert!(matches!(read(&request), Ok(CertificationQuestion::Request(_))));
    assert!(matches!(read(&activated), Ok(CertificationQuestion::Activated(_))));
    assert_eq!(read(&challenge).unwrap_err(), FieldError::missing("certification.secret"));
    let mut both = request.clone();
    both["challenge"] = activated["challenge"].clone();
    both["secret"] = activated["secret"].clone();
    assert!(read(&both).is_err());
    assert_eq!(
        read(&json!({ "version": VERSION })).unwrap_err().field,
        "certification.endorsementCertificate"
    );
}

const DOCUMENT: &str = include_str!("../../docs/enrollment.md");

#[test]
fn the_document_shows_each_message_as_it_is() {
    let shown = DOCUMENT.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    // Shortened values end with dots.
    let shown: Vec<_> = shown.map(|text| text.replace("...\"", "\"")).collect();
    assert_eq!(shown.len(), 4);
    for ((name, message, read), text) in messages().into_iter().zip(&shown) {
        let as_read = read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(as_read, serde_json::from_str::<Value>(text).unwrap(), "{name}");
        assert!(as_read.as_object().unwrap().keys().eq(message.as_object().unwrap().keys()), "{name}");
    }
    for limit in ["at most 8 KiB", "at most 512", "16 to 64", "at most 1 KiB", "1 to 32 bytes", "1 to 8"] {
        assert!(DOCUMENT.contains(limit), "{limit}");
    }
}

#[test]
fn the_secret_is_not_shown() {
    let activated = ActivatedCredential { challenge: vec![1; 16], secret: vec![0xab; 32].into() };
    let shown = format!("{activated:?}");
    assert!(!shown.contains("171") && shown.contains("challenge"), "{shown}");
}

fn parse_all(text: &str) {
    for (_, _, read) in messages() {
        let _ = read(text);
    }
    let _ = CertificationQuestion::parse(text);
}

proptest! {
    #[test]
    fn whatever_fits_goes_both_ways(
        certificate in vec(any::<u8>(), 1..2000),
        small in vec(any::<u8>(), 16..=64),
        other in vec(any::<u8>(), 1..=512),
        secret in vec(any::<u8>(), 1..=32),
    ) {
        let request =
            CertificationRequest { endorsement_certificate: certificate.clone(), attestation_key: other.clone() };
        prop_assert_eq!(CertificationRequest::parse(&request.to_json().to_string()), Ok(request));
        let challenge =
            CredentialChallenge { challenge: small.clone(), credential_blob: other.clone(), encrypted_secret: other.clone() };
        prop_assert_eq!(CredentialChallenge::parse(&challenge.to_json().to_string()), Ok(challenge));
        let activated = ActivatedCredential { challenge: small, secret: secret.into() };
        prop_assert_eq!(ActivatedCredential::parse(&activated.to_json().to_string()), Ok(activated));
        let issued = IssuedCertificates { certificates: vec![certificate, other] };
        prop_assert_eq!(IssuedCertificates::parse(&issued.to_json().to_string()), Ok(issued));
    }

    #[test]
    fn no_text_makes_it_panic(bytes in vec(any::<u8>(), 0..400)) {
        parse_all(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_changed_message_makes_it_panic(at in 0usize..4, cut in any::<prop::sample::Index>(), by in any::<char>()) {
        let text = messages()[at].1.to_string();
        let cut = cut.index(text.len());
        parse_all(&format!("{}{by}{}", &text[..cut], &text[cut..]));
        parse_all(&text[..cut]);
    }
}
