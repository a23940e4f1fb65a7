//! Signatures and public keys: every algorithm, its forms, and what only looks like it.

use crate::builder::{
    Case, Fido, RSA_1024, RSA_2048, RSA_2048_E3, RSA_4096, UP_UV, Want, at, authenticator_data, case, ec2,
    float, hex, line_of, okp, sample_ad, sample_sad, set, signed, signed_with, with_signature,
};
use fwp_cose::cbor::{Map, Value};
use sha2::{Digest, Sha256};

const SCHEMA: Want = Want::Reject(&["sad-schema"]);
const SIGNATURE: Want = Want::Reject(&["signature"]);
/// An empty or far too long signature is no SAD at all.
const EITHER: Want = Want::Reject(&["signature", "sad-schema"]);

const KEYS: [(&str, Fido); 3] = [("ES256", Fido::Es256), ("Ed25519", Fido::Ed25519), ("RS256", RSA_2048)];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, fido) in KEYS.into_iter().chain([("RS256 with 4096 bits", RSA_4096)]) {
        cases.push(case(format!("{name} is good"), line_of(&sample_sad(fido)), Want::Accept));
    }
    bytes(&mut cases);
    tampered(&mut cases);
    algorithms(&mut cases);
    public_keys(&mut cases);
    ecdsa(&mut cases);
    ed25519(&mut cases);
    rsa(&mut cases);
    authenticator(&mut cases);
    cases
}

fn message(ad: &Value) -> Vec<u8> {
    [&authenticator_data(UP_UV)[..], &Sha256::digest(ad.encode())].concat()
}

/// The sample of the key with another signature.
fn with(fido: Fido, signature: &[u8]) -> String {
    line_of(&with_signature(&sample_ad(fido), &authenticator_data(UP_UV), signature))
}

fn bytes(cases: &mut Vec<Case>) {
    for (name, fido) in KEYS {
        let good = fido.sign(&message(&sample_ad(fido)));
        for index in (0..good.len()).step_by(if good.len() > 100 { 23 } else { 1 }) {
            let mut flipped = good.clone();
            flipped[index] ^= 0x10;
            cases.push(case(
                format!("{name}: a bit of byte {index} flipped"),
                with(fido, &flipped),
                SIGNATURE,
            ));
        }
        for (what, signature) in [
            ("empty", vec![]),
            ("one byte", vec![0x30]),
            ("the last byte missing", good[..good.len() - 1].to_vec()),
            ("the first byte missing", good[1..].to_vec()),
            ("a 00 after it", [&good[..], &[0]].concat()),
            ("a 01 after it", [&good[..], &[1]].concat()),
            ("a 00 before it", [&[0], &good[..]].concat()),
            ("zeros", vec![0; good.len()]),
            ("ones", vec![0xff; good.len()]),
            ("twice", [&good[..], &good].concat()),
            ("of 10000 bytes", vec![7; 10_000]),
        ] {
            cases.push(case(format!("{name}: {what}"), with(fido, &signature), EITHER));
        }
        for (what, message) in [
            ("over AD without the authenticator's data", sample_ad(fido).encode()),
            ("over SHA-256(AD) alone", Sha256::digest(sample_ad(fido).encode()).to_vec()),
            ("over the hash and the data the other way round", {
                [&Sha256::digest(sample_ad(fido).encode())[..], &authenticator_data(UP_UV)].concat()
            }),
            ("over the SHA-256 of the message", Sha256::digest(message(&sample_ad(fido))).to_vec()),
            ("over SHA-256(SHA-256(AD))", {
                let twice = Sha256::digest(Sha256::digest(sample_ad(fido).encode()));
                [&authenticator_data(UP_UV)[..], &twice].concat()
            }),
        ] {
            cases.push(case(format!("{name}: {what}"), with(fido, &fido.sign(&message)), SIGNATURE));
        }
    }
}

fn tampered(cases: &mut Vec<Case>) {
    for (name, fido) in KEYS {
        for (path, value) in [
            (&[3][..], Value::from("FR7630002111110020050014383")),
            (&[5], "0057162933".into()),
            (&[6], "other stuff...".into()),
            (&[7, 1, 3], "Windows".into()),
            (&[7, 2, 4], "109".into()),
            (&[8], Value::Array(vec![float(40.5), float(-73.5)])),
            (&[9], "2023-02-16T10:14:08+01:00".into()),
            (&[9], "2023-02-16T09:14:07Z".into()),
            // The envelope repeats these, so that it is the signature that refuses.
            (&[1, 3], "435.01".into()),
            (&[1, 1], "Space shop".into()),
            (&[1, 2], "7040566322".into()),
            (&[1, 4], "USD".into()),
            (&[2], "spaceshop.example".into()),
            (&[4], "https://visa.com/fwp".into()),
        ] {
            let mut sad = sample_sad(fido);
            set(&mut sad, path, value);
            cases.push(case(format!("{name}: {path:?} changed after signing"), line_of(&sad), SIGNATURE));
        }
        for label in [6, 8] {
            let mut sad = sample_sad(fido);
            crate::builder::remove(&mut sad, &[label]);
            cases.push(case(format!("{name}: {label} removed after signing"), line_of(&sad), SIGNATURE));
        }
        let data = authenticator_data(UP_UV);
        for index in [0, 31, 33, 36] {
            let mut changed = data.clone();
            changed[index] ^= 1;
            let mut sad = sample_sad(fido);
            set(&mut sad, &[-1, 3], changed.into());
            cases.push(case(
                format!("{name}: byte {index} of authenticatorData changed"),
                line_of(&sad),
                SIGNATURE,
            ));
        }
    }
    // The message of one payment with the signature of another.
    let mut other = sample_ad(Fido::Es256);
    set(&mut other, &[1, 3], "1.00".into());
    let signature = at(&signed(&other, Fido::Es256), &[-1, 4]);
    let mut sad = sample_sad(Fido::Es256);
    set(&mut sad, &[-1, 4], signature);
    cases.push(case("another payment's signature", line_of(&sad), SIGNATURE));
}

fn algorithms(cases: &mut Vec<Case>) {
    for (name, fido) in KEYS {
        for algorithm in [
            -7,
            -8,
            -257,
            -9,
            -19,
            -35,
            -36,
            -37,
            -38,
            -39,
            -47,
            -258,
            -259,
            -65535,
            0,
            7,
            i64::MAX,
            i64::MIN,
        ] {
            if algorithm != fido.algorithm().id() {
                let mut ad = sample_ad(fido);
                set(&mut ad, &[-1, 1], algorithm.into());
                cases.push(case(
                    format!("{name} called {algorithm}, signed so"),
                    line_of(&signed(&ad, fido)),
                    SCHEMA,
                ));
            }
        }
        for (what, value) in [("a float", float(-7.0)), ("text", "ES256".into()), ("null", Value::Null)] {
            let mut ad = sample_ad(fido);
            set(&mut ad, &[-1, 1], value);
            cases.push(case(format!("{name}: the algorithm is {what}"), line_of(&signed(&ad, fido)), SCHEMA));
        }
    }
}

fn public_keys(cases: &mut Vec<Case>) {
    let with_key = |fido: Fido, key: Value| {
        let mut ad = sample_ad(fido);
        set(&mut ad, &[-1, 2], key);
        line_of(&signed(&ad, fido))
    };
    for (name, fido) in KEYS {
        for (label, value) in [
            (2, Value::from(b"kid".as_slice())),
            (3, fido.algorithm().id().into()),
            (4, Value::Array(vec![Value::int(2)])),
            (-4, b"d".as_slice().into()),
            (0, Value::int(1)),
        ] {
            let mut key = fido.public();
            set(&mut key, &[label], value);
            cases.push(case(
                format!("{name} key with label {label}, signed so"),
                with_key(fido, key),
                SCHEMA,
            ));
        }
        let Value::Map(members) = fido.public() else { panic!("a map") };
        for (label, _) in members.iter() {
            let mut key = members.clone();
            key.remove(label);
            cases.push(case(
                format!("{name} key without label {:?}, signed so", label.as_i64()),
                with_key(fido, key.into()),
                SCHEMA,
            ));
        }
        for (what, other) in KEYS {
            if what != name {
                cases.push(case(
                    format!("{name} with a key of {what}"),
                    with_key(fido, other.public()),
                    SCHEMA,
                ));
            }
        }
        let mut strange = fido.public();
        set(&mut strange, &[1], Value::int(4));
        cases.push(case(format!("{name}: a symmetric key"), with_key(fido, strange), SCHEMA));
    }
    let Value::Bytes(x) = at(&Fido::Es256.public(), &[-2]) else { panic!("x") };
    let Value::Bytes(y) = at(&Fido::Es256.public(), &[-3]) else { panic!("y") };
    let negated: Vec<u8> = {
        use p256::elliptic_curve::sec1::ToSec1Point;
        let key = -p256::NonZeroScalar::try_from(&[3u8; 32][..]).unwrap();
        let point = p256::PublicKey::from_secret_scalar(&key).to_sec1_point(false);
        point.y().unwrap().to_vec()
    };
    for (what, key, want) in [
        ("off the curve", ec2(&x, &x), SCHEMA),
        ("the point 0, 0", ec2(&[0; 32], &[0; 32]), SCHEMA),
        ("x beyond the field", ec2(&[0xff; 32], &y), SCHEMA),
        ("x with a zero before it", ec2(&[&[0], &x[..]].concat(), &y), SCHEMA),
        ("x cut off", ec2(&x[..31], &y), SCHEMA),
        ("compressed", Map::new().with(1, 2).with(-1, 1).with(-2, x.clone()).with(-3, true).into(), SCHEMA),
        (
            "secp256k1",
            Map::new().with(1, 2).with(-1, 8).with(-2, x.clone()).with(-3, y.clone()).into(),
            SCHEMA,
        ),
        (
            "P-384",
            Map::new().with(1, 2).with(-1, 2).with(-2, vec![1u8; 48]).with(-3, vec![1u8; 48]).into(),
            SCHEMA,
        ),
        ("its own negative", ec2(&x, &negated), SIGNATURE),
    ] {
        cases.push(case(format!("ES256 key {what}"), with_key(Fido::Es256, key), want));
    }
    for (what, key) in [
        ("X25519", okp(4, &[9; 32])),
        ("Ed448", okp(7, &[9; 57])),
        ("of 31 bytes", okp(6, &[9; 31])),
        ("of 33 bytes", okp(6, &[9; 33])),
    ] {
        cases.push(case(format!("Ed25519 key {what}"), with_key(Fido::Ed25519, key), SCHEMA));
    }
}

/// DER of SEQUENCE { INTEGER r, INTEGER s } from the contents of the integers.
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    [&[0x30, (r.len() + s.len() + 4) as u8, 2, r.len() as u8], r, &[2, s.len() as u8], s].concat()
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if out.first().is_none_or(|first| *first >= 0x80) {
        out.insert(0, 0);
    }
    out
}

fn ecdsa(cases: &mut Vec<Case>) {
    use p256::ecdsa::signature::Signer;
    let signature: p256::ecdsa::Signature = Fido::es256().sign(&message(&sample_ad(Fido::Es256)));
    let (r, low) = signature.split_bytes();
    let (_, high) = p256::ecdsa::Signature::from_scalars(r, -*signature.s()).unwrap().split_bytes();
    let (r, s, twin) = (integer(&r), integer(&low), integer(&high));
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    cases.push(case("ES256: s", with(Fido::Es256, &der(&r, &s)), Want::Accept));
    cases.push(case("ES256: n - s", with(Fido::Es256, &der(&r, &twin)), Want::Accept));
    let padded = |n: &[u8]| [&[0], n].concat();
    let good = der(&r, &s);
    let inner = |tail: &[u8]| {
        let mut out = [&good[..], tail].concat();
        out[1] += tail.len() as u8;
        out
    };
    for (what, bytes) in [
        ("r with a zero too many", der(&padded(&r), &s)),
        ("s with a zero too many", der(&r, &padded(&s))),
        ("r as a negative number", der(&[&[0xff], &r[..]].concat(), &s)),
        ("r = 0", der(&[0], &s)),
        ("s = 0", der(&r, &[0])),
        ("both 0", der(&[0], &[0])),
        ("both 1", der(&[1], &[1])),
        ("both empty", der(&[], &[])),
        ("r = n", der(&integer(&order), &s)),
        ("s = n", der(&r, &integer(&order))),
        ("a length in the long form", [&[0x30, 0x81, good[1]], &good[2..]].concat()),
        ("a length in the longer form", [&[0x30, 0x82, 0, good[1]], &good[2..]].concat()),
        ("an indefinite length", [&[0x30, 0x80], &good[2..], &[0, 0]].concat()),
        ("a byte within the sequence", inner(&[0])),
        ("a NULL within the sequence", inner(&[5, 0])),
        ("a third number", inner(&[2, 1, 1])),
        ("a SET", [&[0x31], &good[1..]].concat()),
        ("a BIT STRING around it", [&[3, good.len() as u8 + 1, 0], &good[..]].concat()),
        ("an OCTET STRING for r", {
            let mut out = good.clone();
            out[2] = 4;
            out
        }),
        ("r || s, 64 bytes", signature.to_bytes().to_vec()),
        ("r + n, the same modulo n", {
            // Beyond 256 bits for nearly every r; either way not below n.
            let mut sum = vec![0; 33];
            let mut carry = 0u16;
            let r = [
                vec![0; 32usize.saturating_sub(r.len())],
                r.iter().copied().skip(r.len().saturating_sub(32)).collect(),
            ]
            .concat();
            for index in (0..32).rev() {
                carry += u16::from(r[index]) + u16::from(order[index]);
                sum[index + 1] = carry as u8;
                carry >>= 8;
            }
            sum[0] = carry as u8;
            der(&integer(&sum), &s)
        }),
    ] {
        cases.push(case(format!("ES256: {what}"), with(Fido::Es256, &bytes), SIGNATURE));
    }
}

fn ed25519(cases: &mut Vec<Case>) {
    // The eight points of small order, and their encodings that are not canonical.
    let small = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];
    for key in small {
        for r in [small[0], key] {
            let mut ad = sample_ad(Fido::Ed25519);
            set(&mut ad, &[-1, 2], okp(6, &hex(key)));
            let signature = [hex(r), vec![0; 32]].concat();
            let sad = with_signature(&ad, &authenticator_data(UP_UV), &signature);
            cases.push(case(
                format!("Ed25519: key {key} of small order, R = {r}, S = 0"),
                line_of(&sad),
                SCHEMA,
            ));
        }
    }
    let good = Fido::Ed25519.sign(&message(&sample_ad(Fido::Ed25519)));
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut malleable = good.clone();
    let mut carry = 0u16;
    for (byte, add) in malleable[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    let mut sign = good.clone();
    sign[63] |= 0x80;
    for (what, bytes) in [
        ("S + L", malleable),
        ("the top bit of S set", sign),
        ("R of small order", [&hex(small[0])[..], &good[32..]].concat()),
        ("S = 0", [&good[..32], &[0; 32]].concat()),
        ("in DER", der(&integer(&good[..32]), &integer(&good[32..]))),
    ] {
        cases.push(case(format!("Ed25519: {what}"), with(Fido::Ed25519, &bytes), SIGNATURE));
    }
    let prehashed = {
        let mut hash = sha2::Sha512::new();
        hash.update(message(&sample_ad(Fido::Ed25519)));
        use ed25519_dalek::Signer;
        Fido::ed25519().sign(&hash.finalize()).to_bytes()
    };
    cases.push(case("Ed25519: over the SHA-512 of the message", with(Fido::Ed25519, &prehashed), SIGNATURE));
}

fn rsa(cases: &mut Vec<Case>) {
    for (what, fido) in [("1024 bits", RSA_1024), ("the exponent 3", RSA_2048_E3)] {
        cases.push(case(format!("RS256 with {what}, signed so"), line_of(&sample_sad(fido)), SCHEMA));
    }
    let Fido::Rsa(pkcs8) = RSA_2048 else { panic!("RSA") };
    let key = Fido::rsa(pkcs8);
    let message = message(&sample_ad(RSA_2048));
    let pss = key
        .sign_with_rng(
            &mut rsa::rand_core::OsRng,
            rsa::Pss::new::<sha2_10::Sha256>(),
            &Sha256::digest(&message),
        )
        .unwrap();
    cases.push(case("RS256: PSS", with(RSA_2048, &pss), SIGNATURE));
    let bare = key.sign(rsa::Pkcs1v15Sign::new_unprefixed(), &Sha256::digest(&message)).unwrap();
    cases.push(case("RS256: without DigestInfo", with(RSA_2048, &bare), SIGNATURE));
    for (what, prefix) in [
        ("SHA-1's DigestInfo", "3021300906052b0e03021a05000414"),
        ("SHA-512's DigestInfo", "3051300d060960864801650304020305000440"),
        ("DigestInfo without NULL", "302f300b0609608648016503040201 0420"),
        ("DigestInfo with a long length", "308131300d060960864801650304020105000420"),
    ] {
        let scheme = rsa::Pkcs1v15Sign { hash_len: Some(32), prefix: hex(&prefix.replace(' ', "")).into() };
        let signature = key.sign(scheme, &Sha256::digest(&message)).unwrap();
        cases.push(case(format!("RS256: {what}"), with(RSA_2048, &signature), SIGNATURE));
    }
    let Value::Bytes(n) = at(&RSA_2048.public(), &[-1]) else { panic!("n") };
    let with_key = |label: i64, bytes: Vec<u8>| {
        let mut ad = sample_ad(RSA_2048);
        set(&mut ad, &[-1, 2, label], bytes.into());
        line_of(&signed(&ad, RSA_2048))
    };
    let mut even = n.clone();
    *even.last_mut().unwrap() &= 0xfe;
    for (what, label, bytes) in [
        ("n with a leading zero", -1, [&[0], &n[..]].concat()),
        ("n even", -1, even),
        ("n empty", -1, vec![]),
        ("n of 8192 bits", -1, [&n[..], &n, &n, &n].concat()),
        ("e = 1", -2, vec![1]),
        ("e = 3", -2, vec![3]),
        ("e = 65537 with a leading zero", -2, vec![0, 1, 0, 1]),
        ("e = 65539", -2, vec![1, 0, 3]),
        ("e empty", -2, vec![]),
    ] {
        cases.push(case(format!("RS256 key: {what}, signed so"), with_key(label, bytes), SCHEMA));
    }
}

fn authenticator(cases: &mut Vec<Case>) {
    let malformed = Want::Reject(&["authenticator-data", "sad-schema"]);
    let base = authenticator_data(UP_UV);
    let flags = |flags: u8, tail: &[u8]| [&authenticator_data(flags)[..], tail].concat();
    let cose = Value::from(
        Map::new()
            .with(1, 2)
            .with(3, -7)
            .with(-1, 1)
            .with(
                -2,
                match at(&Fido::Es256.public(), &[-2]) {
                    Value::Bytes(x) => x,
                    _ => panic!("x"),
                },
            )
            .with(
                -3,
                match at(&Fido::Es256.public(), &[-3]) {
                    Value::Bytes(y) => y,
                    _ => panic!("y"),
                },
            ),
    )
    .encode();
    let attested = [&[0xaa; 16][..], &[0, 4], b"cred", &cose].concat();
    for (what, data, want) in [
        ("36 bytes", base[..36].to_vec(), malformed.clone()),
        ("empty", vec![], malformed.clone()),
        ("a byte after it", [&base[..], &[0]].concat(), malformed.clone()),
        ("100 bytes after it", [&base[..], &[0; 100]].concat(), malformed.clone()),
        ("10000 bytes after it", [&base[..], &[0; 10_000]].concat(), malformed.clone()),
        ("ED without extensions", flags(0x85, &[]), malformed.clone()),
        ("extensions without ED", flags(0x05, &[0xa0]), malformed.clone()),
        ("empty extensions", flags(0x85, &[0xa0]), Want::Accept),
        ("extensions", flags(0x85, &hex("a16b6372656450726f7465637402")), Want::Accept),
        ("extensions and a byte", flags(0x85, &[0xa0, 0]), malformed.clone()),
        ("extensions that are an array", flags(0x85, &[0x80]), malformed.clone()),
        ("extensions of indefinite length", flags(0x85, &[0xbf, 0xff]), malformed.clone()),
        ("AT without the key", flags(0x45, &[]), malformed.clone()),
        ("AT with the key", flags(0x45, &attested), Want::Accept),
        ("the key without AT", flags(0x05, &attested), malformed.clone()),
        ("AT with half a key", flags(0x45, &attested[..40]), malformed.clone()),
        ("AT with the key and a byte", flags(0x45, &[&attested[..], &[0]].concat()), malformed.clone()),
        (
            "AT with a credential ID longer than all",
            flags(0x45, &[&[0xaa; 16][..], &[0xff, 0xff], b"cred"].concat()),
            malformed.clone(),
        ),
        ("AT and ED with both", flags(0xc5, &[&attested[..], &[0xa0]].concat()), Want::Accept),
        ("AT and ED the other way round", flags(0xc5, &[&[0xa0], &attested[..]].concat()), malformed),
    ] {
        let line = line_of(&signed_with(&sample_ad(Fido::Es256), Fido::Es256, &data));
        cases.push(case(format!("authenticatorData: {what}, signed so"), line, want));
    }
}
