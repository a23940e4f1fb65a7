//! Builds cases part by part, so that each part can be bent: AD as a CBOR value, its signature, the encryption, the
//! envelope, the line.

use aes_gcm::aead::{AeadInOut, KeyInit, consts};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use fwp_cose::cbor::{Float, Map, Value};
use fwp_cose::{PublicKey, SignatureAlgorithm};
use hkdf::Hkdf;
use p256::elliptic_curve::sec1::ToSec1Point;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use serde_json::json;
use sha2::{Digest, Sha256};

pub const RP_ID: &str = "mybank.fr";
pub const UP_UV: u8 = 0x05;

/// What a case must get.
#[derive(Clone, Debug)]
pub enum Want {
    Accept,
    /// Refused with one of these codes.
    Reject(&'static [&'static str]),
}

/// A named case.
pub struct Case {
    pub name: String,
    pub line: Vec<u8>,
    pub want: Want,
}

pub fn case(name: impl Into<String>, line: impl Into<Vec<u8>>, want: Want) -> Case {
    Case { name: name.into(), line: line.into(), want }
}

/// The user's FIDO key.
#[derive(Clone, Copy, Debug)]
pub enum Fido {
    Es256,
    Ed25519,
    Rsa(&'static [u8]),
}

pub const RSA_1024: Fido = Fido::Rsa(include_bytes!("../data/rsa-1024.pk8"));
pub const RSA_2048: Fido = Fido::Rsa(include_bytes!("../data/rsa-2048.pk8"));
pub const RSA_2048_E3: Fido = Fido::Rsa(include_bytes!("../data/rsa-2048-e3.pk8"));
pub const RSA_4096: Fido = Fido::Rsa(include_bytes!("../data/rsa-4096.pk8"));

impl Fido {
    pub fn algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::Es256 => SignatureAlgorithm::Es256,
            Self::Ed25519 => SignatureAlgorithm::Ed25519,
            Self::Rsa(_) => SignatureAlgorithm::Rs256,
        }
    }

    pub fn es256() -> p256::ecdsa::SigningKey {
        p256::ecdsa::SigningKey::from_slice(&[3; 32]).unwrap()
    }

    pub fn ed25519() -> ed25519_dalek::SigningKey {
        ed25519_dalek::SigningKey::from_bytes(&[3; 32])
    }

    pub fn rsa(pkcs8: &[u8]) -> rsa::RsaPrivateKey {
        rsa::RsaPrivateKey::from_pkcs8_der(pkcs8).unwrap()
    }

    /// The public COSE key, core members only, whatever it is.
    pub fn public(self) -> Value {
        match self {
            Self::Es256 => {
                let point = Self::es256().verifying_key().to_sec1_point(false);
                ec2(point.x().unwrap(), point.y().unwrap())
            }
            Self::Ed25519 => okp(6, &Self::ed25519().verifying_key().to_bytes()),
            Self::Rsa(pkcs8) => {
                let key = Self::rsa(pkcs8);
                let (n, e) = (key.n().to_bytes_be(), key.e().to_bytes_be());
                Map::new().with(1, 3).with(-1, n).with(-2, e).into()
            }
        }
    }

    pub fn sign(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256 => {
                use p256::ecdsa::signature::Signer;
                let signature: p256::ecdsa::Signature = Self::es256().sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            Self::Ed25519 => {
                use ed25519_dalek::Signer;
                Self::ed25519().sign(message).to_bytes().to_vec()
            }
            Self::Rsa(pkcs8) => {
                let prefix = HEXLOWER.decode(b"3031300d060960864801650304020105000420").unwrap();
                let scheme = rsa::Pkcs1v15Sign { hash_len: Some(32), prefix: prefix.into() };
                Self::rsa(pkcs8).sign(scheme, &Sha256::digest(message)).unwrap()
            }
        }
    }
}

pub fn ec2(x: &[u8], y: &[u8]) -> Value {
    Map::new().with(1, 2).with(-1, 1).with(-2, x).with(-3, y).into()
}

pub fn okp(curve: i64, x: &[u8]) -> Value {
    Map::new().with(1, 1).with(-1, curve).with(-2, x).into()
}

pub fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// The document's sample AD, for the key, with every optional label.
pub fn sample_ad(fido: Fido) -> Value {
    let name_and_version = |name: &str, version: &str| Value::from(Map::new().with(3, name).with(4, version));
    Map::new()
        .with(1, Map::new().with(1, "Space Shop").with(2, "7040566321").with(3, "435.00").with(4, "EUR"))
        .with(2, "spaceshop.com")
        .with(3, "FR7630002111110020050014382")
        .with(4, "https://banknet2.org")
        .with(5, "0057162932")
        .with(6, "additional stuff...")
        .with(
            7,
            Map::new()
                .with(1, name_and_version("Android", "12.0"))
                .with(2, name_and_version("Chrome", "108")),
        )
        .with(8, Value::Array(vec![float(40.74844), float(-73.984559)]))
        .with(9, "2023-02-16T10:14:07+01:00")
        .with(-1, Map::new().with(1, fido.algorithm().id()).with(2, fido.public()))
        .into()
}

pub fn float(value: f64) -> Value {
    Value::Float(Float::new(value))
}

/// Puts `value` at the path of integer labels.
pub fn set(root: &mut Value, path: &[i64], value: Value) {
    change(root, path, &mut |map, label| {
        map.insert(Value::int(label), value.clone());
    });
}

/// Takes away what is at the path of integer labels.
pub fn remove(root: &mut Value, path: &[i64]) {
    change(root, path, &mut |map, label| {
        map.remove(&Value::int(label)).expect("there is something to take away");
    });
}

/// What is at the path of integer labels.
pub fn at(root: &Value, path: &[i64]) -> Value {
    path.iter().fold(root.clone(), |value, label| match value {
        Value::Map(map) => map.get(&Value::int(*label)).unwrap().clone(),
        other => panic!("{other:?} is no map"),
    })
}

fn change(root: &mut Value, path: &[i64], work: &mut dyn FnMut(&mut Map, i64)) {
    let Value::Map(map) = root else { panic!("{root:?} is no map") };
    match path {
        [label] => work(map, *label),
        [label, rest @ ..] => {
            let mut child = map.remove(&Value::int(*label)).unwrap();
            change(&mut child, rest, work);
            map.insert(Value::int(*label), child);
        }
        [] => panic!("an empty path"),
    }
}

pub fn authenticator_data(flags: u8) -> Vec<u8> {
    [&Sha256::digest(RP_ID)[..], &[flags], &7u32.to_be_bytes()].concat()
}

/// AD signed by the key, with authenticatorData of these bytes.
pub fn signed_with(ad: &Value, fido: Fido, data: &[u8]) -> Value {
    let message = [data, &Sha256::digest(ad.encode())].concat();
    with_signature(ad, data, &fido.sign(&message))
}

pub fn with_signature(ad: &Value, data: &[u8], signature: &[u8]) -> Value {
    let mut sad = ad.clone();
    set(&mut sad, &[-1, 3], data.into());
    set(&mut sad, &[-1, 4], signature.into());
    sad
}

pub fn signed(ad: &Value, fido: Fido) -> Value {
    signed_with(ad, fido, &authenticator_data(UP_UV))
}

/// The sample's SAD.
pub fn sample_sad(fido: Fido) -> Value {
    signed(&sample_ad(fido), fido)
}

/// The bank's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    X25519,
    P256,
}

const ISSUER_SECRET: [u8; 32] = [9; 32];
const EPHEMERAL_SECRET: [u8; 32] = [0x21; 32];

impl Issuer {
    pub fn public(self) -> Value {
        self.public_of(ISSUER_SECRET)
    }

    pub fn ephemeral(self) -> Value {
        self.public_of(EPHEMERAL_SECRET)
    }

    fn public_of(self, secret: [u8; 32]) -> Value {
        match self {
            Self::X25519 => {
                okp(4, &x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(secret)).to_bytes())
            }
            Self::P256 => {
                let point = p256::SecretKey::from_slice(&secret).unwrap().public_key().to_sec1_point(false);
                ec2(point.x().unwrap(), point.y().unwrap())
            }
        }
    }

    fn private(self) -> Value {
        match self.public() {
            Value::Map(map) => map.with(-4, ISSUER_SECRET.as_slice()).into(),
            other => other,
        }
    }

    pub fn shared(self) -> [u8; 32] {
        match self {
            Self::X25519 => {
                let Value::Bytes(x) = at(&self.public(), &[-2]) else { panic!("x") };
                let theirs = x25519_dalek::PublicKey::from(<[u8; 32]>::try_from(x).unwrap());
                x25519_dalek::StaticSecret::from(EPHEMERAL_SECRET).diffie_hellman(&theirs).to_bytes()
            }
            Self::P256 => {
                let ours = p256::SecretKey::from_slice(&EPHEMERAL_SECRET).unwrap();
                let theirs = p256::SecretKey::from_slice(&ISSUER_SECRET).unwrap().public_key();
                let shared = p256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine());
                shared.raw_secret_bytes()[..].try_into().unwrap()
            }
        }
    }
}

/// How a SAD is encrypted.
#[derive(Clone)]
pub struct Encryption {
    pub issuer: Issuer,
    pub content: i64,
    pub key: i64,
    pub shared: [u8; 32],
    /// `info` of the KDF.
    pub info: Vec<u8>,
    /// The object without 8, 9 and 10; the wrapped key is put in when it is known.
    pub header: Value,
    /// The keyId of the bank's key, if it has one.
    pub key_id: Option<Value>,
}

pub fn encryption(issuer: Issuer, content: i64, key: i64) -> Encryption {
    let key_id = Value::from("x25519:2022:1");
    let sub = Map::new().with(1, key).with(3, key_id.clone()).with(7, issuer.ephemeral());
    Encryption {
        issuer,
        content,
        key,
        shared: issuer.shared(),
        info: (key as i32).to_be_bytes().to_vec(),
        header: Map::new().with(1, content).with(2, sub).into(),
        key_id: Some(key_id),
    }
}

/// The algorithms that most cases use.
pub fn usual() -> Encryption {
    encryption(Issuer::X25519, 3, -31)
}

pub fn cotx(id: &str, object: Value) -> Value {
    Value::Cotx(id.to_owned(), Box::new(object))
}

pub const VERSION: &str = "https://fido-web-pay.github.io/ns/p1";
const IV: [u8; 12] = [5; 12];

impl Encryption {
    fn key_bytes(&self) -> usize {
        match self.content {
            1 => 16,
            2 => 24,
            _ => 32,
        }
    }

    /// The header with the wrapped key in it, and the content key.
    pub fn keys(&self) -> (Value, Vec<u8>) {
        let derived_bytes = match self.key {
            -29 => 16,
            -30 => 24,
            -31 => 32,
            _ => self.key_bytes(),
        };
        let mut derived = vec![0; derived_bytes];
        Hkdf::<Sha256>::new(None, &self.shared).expand(&self.info, &mut derived).unwrap();
        let mut header = self.header.clone();
        if self.key == -25 {
            return (header, derived);
        }
        let content_key: Vec<u8> = (0..self.key_bytes() as u8).collect();
        let mut wrapped = vec![0; content_key.len() + 8];
        match derived_bytes {
            16 => aes_kw::KwAes128::new_from_slice(&derived)
                .unwrap()
                .wrap_key(&content_key, &mut wrapped)
                .unwrap(),
            24 => aes_kw::KwAes192::new_from_slice(&derived)
                .unwrap()
                .wrap_key(&content_key, &mut wrapped)
                .unwrap(),
            _ => aes_kw::KwAes256::new_from_slice(&derived)
                .unwrap()
                .wrap_key(&content_key, &mut wrapped)
                .unwrap(),
        };
        set(&mut header, &[2, 10], wrapped.into());
        (header, content_key)
    }

    /// The ESAD as a value.
    pub fn esad(&self, sad: &[u8]) -> Value {
        let (header, content_key) = self.keys();
        let aad = cotx(VERSION, header.clone()).encode();
        self.sealed(header, &content_key, &aad, VERSION, sad)
    }

    /// The ESAD of a header that was changed before encryption, so that the AAD has the change too.
    pub fn esad_with_header(&self, sad: &[u8], work: impl FnOnce(&mut Value)) -> Value {
        let (mut header, content_key) = self.keys();
        work(&mut header);
        let aad = cotx(VERSION, header.clone()).encode();
        self.sealed(header, &content_key, &aad, VERSION, sad)
    }

    pub fn sealed(&self, header: Value, content_key: &[u8], aad: &[u8], id: &str, sad: &[u8]) -> Value {
        let mut buffer = sad.to_vec();
        let tag = match content_key.len() {
            16 => seal::<aes_gcm::Aes128Gcm>(content_key, aad, &mut buffer),
            24 => seal::<aes_gcm::AesGcm<aes_gcm::aes::Aes192, consts::U12>>(content_key, aad, &mut buffer),
            _ => seal::<aes_gcm::Aes256Gcm>(content_key, aad, &mut buffer),
        };
        let mut object = header;
        for (label, bytes) in [(8, tag.to_vec()), (9, IV.to_vec()), (10, buffer)] {
            set(&mut object, &[label], bytes.into());
        }
        cotx(id, object)
    }

    /// `issuerKeys` of a case.
    pub fn issuer_keys(&self) -> serde_json::Value {
        let mut key = json!({
            "publicKey": HEXLOWER.encode(&self.issuer.public().encode()),
            "cosePrivate": HEXLOWER.encode(&self.issuer.private().encode()),
        });
        if let Some(key_id) = &self.key_id {
            key["keyId"] = HEXLOWER.encode(&key_id.encode()).into();
        }
        json!([key])
    }

    /// The line of a case with these bytes as ESAD, in an envelope that repeats what `sad` says.
    pub fn line(&self, esad: &[u8], sad: &Value) -> String {
        self.line_with(&envelope(esad, sad).to_string())
    }

    /// The line of a case with this text as IssuerRequest.
    pub fn line_with(&self, issuer_request: &str) -> String {
        json!({ "id": "x", "issuerKeys": self.issuer_keys(), "issuerRequestText": issuer_request })
            .to_string()
    }
}

fn seal<C: AeadInOut<NonceSize = consts::U12, TagSize = consts::U16> + KeyInit>(
    key: &[u8],
    aad: &[u8],
    buffer: &mut [u8],
) -> [u8; 16] {
    C::new_from_slice(key).unwrap().encrypt_inout_detached(&IV.into(), aad, buffer.into()).unwrap().into()
}

/// An IssuerRequest that repeats what `sad` says, or the sample where it says nothing that can be repeated.
pub fn envelope(esad: &[u8], sad: &Value) -> serde_json::Value {
    let sample = sample_ad(Fido::Es256);
    let text = |path: &[i64]| {
        let read = |root: &Value| {
            path.iter().try_fold(root.clone(), |value, label| match value {
                Value::Map(map) => map.get(&Value::int(*label)).cloned(),
                _ => None,
            })
        };
        match (read(sad), read(&sample)) {
            (Some(Value::Text(text)), _) | (_, Some(Value::Text(text))) => text,
            _ => panic!("no text at {path:?}"),
        }
    };
    json!({
        "pspRequest": {
            "paymentRequest": {
                "payeeName": text(&[1, 1]), "requestId": text(&[1, 2]), "amount": text(&[1, 3]), "currency": text(&[1, 4]),
            },
            "fwpAssertion": {
                "paymentNetworkId": text(&[4]),
                "issuerId": "https://mybank.fr/payment",
                "userAuthorization": BASE64URL_NOPAD.encode(esad),
            },
            "receiveAccount": "DE89370400440532013000",
            "clientIpAddress": "220.13.198.144",
            "timeStamp": "2023-02-16T09:14:22Z",
        },
        "payeeHost": text(&[2]),
        "timeStamp": "2023-02-16T09:14:23Z",
    })
}

/// The line of a case whose SAD is `sad`, encrypted as usual.
pub fn line_of(sad: &Value) -> String {
    let usual = usual();
    usual.line(&usual.esad(&sad.encode()).encode(), sad)
}

/// The same for a SAD of any bytes.
pub fn line_of_bytes(sad: &[u8]) -> String {
    let usual = usual();
    usual.line(&usual.esad(sad).encode(), &sample_ad(Fido::Es256))
}

/// For public keys as the house's own type.
pub fn public_key(value: Value) -> PublicKey {
    PublicKey::from_value(value).unwrap()
}
