//! ESADs: every pair of algorithms, labels, types, keys and encodings. Changes of the header are in the AAD too unless the
//! name says otherwise, so that it is the check that refuses and not the decryption.

use crate::bent::{self, Bend};
use crate::builder::{
    Case, Encryption, Fido, Issuer, VERSION, Want, at, case, cotx, ec2, encryption, float, hex, okp, remove,
    sample_sad, set, usual,
};
use fwp_cose::cbor::{Map, Value};

const SCHEMA: Want = Want::Reject(&["esad-schema"]);
const CBOR: Want = Want::Reject(&["esad-cbor"]);
const ALGORITHM: Want = Want::Reject(&["esad-algorithm", "esad-schema"]);
const UNREADABLE: Want = Want::Reject(&["decryption", "key-unwrap"]);

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    algorithms(&mut cases);
    header(&mut cases);
    key_references(&mut cases);
    ephemeral_keys(&mut cases);
    content(&mut cases);
    derivation(&mut cases);
    encodings(&mut cases);
    cases
}

fn sad() -> Value {
    sample_sad(Fido::Es256)
}

/// The line of an ESAD whose header was changed before encryption.
fn with_header(encryption: &Encryption, work: impl FnOnce(&mut Value)) -> String {
    encryption.line(&encryption.esad_with_header(&sad().encode(), work).encode(), &sad())
}

/// The line of an ESAD that was changed after encryption.
fn changed(encryption: &Encryption, work: impl FnOnce(&mut Value)) -> String {
    let Value::Cotx(id, mut object) = encryption.esad(&sad().encode()) else { panic!("COTX") };
    work(&mut object);
    encryption.line(&cotx(&id, *object).encode(), &sad())
}

fn algorithms(cases: &mut Vec<Case>) {
    for issuer in [Issuer::X25519, Issuer::P256] {
        for content in [1, 2, 3] {
            for key in [-25, -29, -30, -31] {
                let encryption = encryption(issuer, content, key);
                let line = encryption.line(&encryption.esad(&sad().encode()).encode(), &sad());
                cases.push(case(format!("{issuer:?} with {content} and {key}"), line, Want::Accept));
                for other in [-25, -29, -30, -31, -26, -28, -3, 0, 1, i64::MAX, i64::MIN] {
                    if other != key {
                        let line = changed(&encryption, |object| set(object, &[2, 1], other.into()));
                        let want =
                            Want::Reject(&["esad-algorithm", "esad-schema", "decryption", "key-unwrap"]);
                        cases.push(case(
                            format!("{issuer:?} with {content} and {key}, then called {other}"),
                            line,
                            want,
                        ));
                    }
                }
                for other in [1, 2, 3, 0, 4, -7, 30] {
                    if other != content {
                        let line = changed(&encryption, |object| set(object, &[1], other.into()));
                        let want =
                            Want::Reject(&["esad-algorithm", "esad-schema", "decryption", "key-unwrap"]);
                        cases.push(case(
                            format!("{issuer:?} with {content} and {key}, then content {other}"),
                            line,
                            want,
                        ));
                    }
                }
            }
        }
    }
    for path in [&[1][..], &[2, 1]] {
        for (name, value) in [
            ("a float", float(3.0)),
            ("text", "A256GCM".into()),
            ("null", Value::Null),
            ("beyond 64 bits", Value::Unsigned(u64::MAX)),
            ("a byte string", b"\x03".as_slice().into()),
        ] {
            let line = with_header(&usual(), |header| set(header, path, value));
            cases.push(case(format!("the algorithm {path:?} is {name}"), line, ALGORITHM));
        }
    }
}

fn header(cases: &mut Vec<Case>) {
    let usual = usual();
    for (key, name) in [
        (Value::int(0), "0"),
        (Value::int(3), "3"),
        (Value::int(7), "7"),
        (Value::int(-1), "-1"),
        ("x".into(), "text"),
        (Value::Null, "null"),
    ] {
        let line = with_header(&usual, |header| {
            let Value::Map(map) = header else { panic!("a map") };
            map.insert(key, "x".into());
        });
        cases.push(case(format!("an unknown label, {name}, in the main map"), line, SCHEMA));
    }
    for label in [0, 2, 5, 6, 8, 9, 11, -1] {
        let line = with_header(&usual, |header| set(header, &[2, label], b"x".as_slice().into()));
        cases.push(case(format!("an unknown label, {label}, in keyEncryption"), line, SCHEMA));
    }
    for path in [&[1][..], &[2, 1], &[2, 3], &[2, 7], &[2, 10], &[2]] {
        cases.push(case(
            format!("without {path:?}"),
            with_header(&usual, |header| remove(header, path)),
            SCHEMA,
        ));
    }
    for path in [&[8][..], &[9], &[10]] {
        cases.push(case(format!("without {path:?}"), changed(&usual, |object| remove(object, path)), SCHEMA));
        for (name, value) in
            [("text", Value::from("x")), ("null", Value::Null), ("an array", Value::Array(vec![]))]
        {
            cases.push(case(
                format!("{path:?} is {name}"),
                changed(&usual, |object| set(object, path, value)),
                SCHEMA,
            ));
        }
    }
    cases.push(case(
        "keyEncryption is an array",
        with_header(&usual, |header| set(header, &[2], Value::Array(vec![]))),
        SCHEMA,
    ));
    let direct = encryption(Issuer::X25519, 3, -25);
    for wrapped in [0, 24, 40] {
        let line = with_header(&direct, |header| set(header, &[2, 10], vec![7u8; wrapped].into()));
        cases.push(case(format!("ECDH-ES with a wrapped key of {wrapped} bytes"), line, SCHEMA));
    }

    let (header, content_key) = usual.keys();
    for id in [
        "",
        "https://fido-web-pay.github.io/ns/p1/",
        "https://fido-web-pay.github.io/ns/p2",
        "HTTPS://fido-web-pay.github.io/ns/p1",
        "https://fido-web-pay.github.io/ns/w1",
    ] {
        let aad = cotx(id, header.clone()).encode();
        let esad = usual.sealed(header.clone(), &content_key, &aad, id, &sad().encode());
        cases.push(case(
            format!("another identifier: {id:?}"),
            usual.line(&esad.encode(), &sad()),
            Want::Reject(&["esad-version"]),
        ));
    }
    let bare = usual.sealed(header.clone(), &content_key, &header.encode(), VERSION, &sad().encode());
    cases.push(case("the AAD is the bare map", usual.line(&bare.encode(), &sad()), UNREADABLE));
    let empty = usual.sealed(header.clone(), &content_key, b"", VERSION, &sad().encode());
    cases.push(case("the AAD is empty", usual.line(&empty.encode(), &sad()), UNREADABLE));
    let Value::Cotx(_, object) = usual.esad(&sad().encode()) else { panic!("COTX") };
    for (name, bytes) in [
        ("without COTX", object.encode()),
        ("COTX twice", cotx(VERSION, cotx(VERSION, (*object).clone())).encode()),
        ("an array without the tag", Value::Array(vec![VERSION.into(), (*object).clone()]).encode()),
        ("a byte string", Value::Bytes(object.encode()).encode()),
    ] {
        cases.push(case(name, usual.line(&bytes, &sad()), Want::Reject(&["esad-version", "esad-schema"])));
    }
    let good = usual.esad(&sad().encode()).encode();
    for (name, tag) in [
        ("d903f1", "tag 1009"),
        ("d903f3", "tag 1011"),
        ("d9d9f7", "tag 55799"),
        ("c0", "tag 0"),
        ("da000003f2", "tag 1010, longer than needed"),
    ] {
        let bytes = [&hex(name)[..], &good[3..]].concat();
        cases.push(case(tag, usual.line(&bytes, &sad()), CBOR));
    }
}

/// The usual encryption with the bank's key named by `key_id`, and the same in the header.
fn named(key_id: Value) -> Encryption {
    let mut encryption = usual();
    set(&mut encryption.header, &[2, 3], key_id.clone());
    encryption.key_id = Some(key_id);
    encryption
}

fn key_references(cases: &mut Vec<Case>) {
    let any = [
        ("text", Value::from("clé ü 😀")),
        ("empty text", "".into()),
        ("7", Value::int(7)),
        ("-1", Value::int(-1)),
        ("7.0", float(7.0)),
        ("0.5", float(0.5)),
        ("-0.0", float(-0.0)),
        ("NaN", float(f64::NAN)),
        ("a byte string", b"\x37".as_slice().into()),
        ("null", Value::Null),
        ("true", Value::Bool(true)),
        ("an array", Value::Array(vec![Value::int(1), float(1.5)])),
        ("a map", Map::new().with(1, "x").into()),
        ("a typed object", cotx("x", Value::int(1))),
    ];
    for (name, key_id) in &any {
        let encryption = named(key_id.clone());
        let line = encryption.line(&encryption.esad(&sad().encode()).encode(), &sad());
        cases.push(case(format!("keyId is {name}"), line, Want::Accept));
        for (other, other_id) in &any {
            if other != name {
                let line = with_header(&encryption, |header| set(header, &[2, 3], other_id.clone()));
                cases.push(case(
                    format!("keyId {name} called {other}"),
                    line,
                    Want::Reject(&["unknown-issuer-key"]),
                ));
            }
        }
    }

    for issuer in [Issuer::X25519, Issuer::P256] {
        let mut by_key = encryption(issuer, 1, -25);
        remove(&mut by_key.header, &[2, 3]);
        set(&mut by_key.header, &[2, 4], issuer.public());
        let line = by_key.line(&by_key.esad(&sad().encode()).encode(), &sad());
        cases.push(case(format!("{issuer:?} named by its public key"), line, Want::Accept));
        by_key.key_id = None;
        let line = by_key.line(&by_key.esad(&sad().encode()).encode(), &sad());
        cases.push(case(
            format!("{issuer:?}, which has no keyId, named by its public key"),
            line,
            Want::Accept,
        ));
        let line = with_header(&by_key, |header| set(header, &[2, 3], "x25519:2022:1".into()));
        cases.push(case(format!("{issuer:?} named by both"), line, SCHEMA));
        let line = with_header(&by_key, |header| set(header, &[2, 4], issuer.ephemeral()));
        cases.push(case(
            format!("{issuer:?} named by another's public key"),
            line,
            Want::Reject(&["unknown-issuer-key"]),
        ));
        for (label, value) in [
            (2, Value::from(b"kid".as_slice())),
            (3, Value::int(-25)),
            (-4, b"d".as_slice().into()),
            (4, Value::Array(vec![])),
        ] {
            let line = with_header(&by_key, |header| set(header, &[2, 4, label], value));
            cases.push(case(format!("{issuer:?} named by a public key with label {label}"), line, SCHEMA));
        }
    }
}

fn ephemeral_keys(cases: &mut Vec<Case>) {
    let x25519 = usual();
    let p256 = encryption(Issuer::P256, 3, -31);
    let (Value::Bytes(x), Value::Bytes(y)) =
        (at(&Issuer::P256.ephemeral(), &[-2]), at(&Issuer::P256.ephemeral(), &[-3]))
    else {
        panic!("a point")
    };
    let mut with = |name: &str, encryption: &Encryption, key: Value, want: Want| {
        cases.push(case(
            format!("ephemeralKey: {name}"),
            with_header(encryption, |header| set(header, &[2, 7], key)),
            want,
        ));
    };
    let key_agreement = Want::Reject(&["key-agreement"]);
    with("P-256 for X25519", &x25519, Issuer::P256.ephemeral(), key_agreement.clone());
    with("X25519 for P-256", &p256, Issuer::X25519.ephemeral(), key_agreement.clone());
    with("Ed25519", &x25519, Fido::Ed25519.public(), SCHEMA);
    with("RSA", &x25519, crate::builder::RSA_2048.public(), SCHEMA);
    with("off the curve", &p256, ec2(&x, &[1; 32]), SCHEMA);
    with("the point 0, 0", &p256, ec2(&[0; 32], &[0; 32]), SCHEMA);
    with("x beyond the field", &p256, ec2(&[0xff; 32], &y), SCHEMA);
    with(
        "y compressed to a sign",
        &p256,
        Map::new().with(1, 2).with(-1, 1).with(-2, x.clone()).with(-3, true).into(),
        SCHEMA,
    );
    with("without y", &p256, Map::new().with(1, 2).with(-1, 1).with(-2, x.clone()).into(), SCHEMA);
    with("x of 31 bytes", &p256, ec2(&x[1..], &y), SCHEMA);
    with("x of 33 bytes", &p256, ec2(&[&[0], &x[..]].concat(), &y), SCHEMA);
    with(
        "P-384",
        &p256,
        Map::new().with(1, 2).with(-1, 2).with(-2, x.clone()).with(-3, y.clone()).into(),
        SCHEMA,
    );
    with("X448", &x25519, okp(5, &[9; 56]), SCHEMA);
    with("31 bytes", &x25519, okp(4, &[9; 31]), SCHEMA);
    with("33 bytes", &x25519, okp(4, &[9; 33]), SCHEMA);
    with("not a map", &x25519, Value::Bytes(vec![9; 32]), SCHEMA);
    for (label, value) in [
        (2, Value::from(b"kid".as_slice())),
        (3, Value::int(-25)),
        (-3, b"y".as_slice().into()),
        (-4, b"d".as_slice().into()),
    ] {
        let mut key = Issuer::X25519.ephemeral();
        set(&mut key, &[label], value);
        with(&format!("with label {label}"), &x25519, key, SCHEMA);
    }
    // Points of small order: whoever sends one knows the shared secret, all zeros, without any private key.
    for point in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        for key in [-25, -31] {
            let mut encryption = encryption(Issuer::X25519, 3, key);
            encryption.shared = [0; 32];
            with(
                &format!("small order {point} with {key}, encrypted for zeros"),
                &encryption,
                okp(4, &hex(point)),
                key_agreement.clone(),
            );
        }
    }
}

fn content(cases: &mut Vec<Case>) {
    let usual = usual();
    let Value::Cotx(_, object) = usual.esad(&sad().encode()) else { panic!("COTX") };
    for (label, lengths) in [(8, [0, 12, 15, 17, 32]), (9, [0, 8, 11, 13, 16])] {
        let Value::Bytes(mut bytes) = at(&object, &[label]) else { panic!("bytes") };
        for length in lengths {
            bytes.resize(length, 0);
            let line = changed(&usual, |object| set(object, &[label], bytes.clone().into()));
            cases.push(case(format!("label {label} with {length} bytes"), line, SCHEMA));
        }
    }
    for path in [&[8][..], &[9], &[10], &[2, 10], &[2, 7, -2]] {
        let Value::Bytes(bytes) = at(&object, path) else { panic!("bytes") };
        for bit in [0, bytes.len() * 4, bytes.len() * 8 - 2] {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let line = changed(&usual, |object| set(object, path, flipped.into()));
            cases.push(case(
                format!("bit {bit} of {path:?} flipped"),
                line,
                Want::Reject(&["decryption", "key-unwrap", "key-agreement"]),
            ));
        }
    }
    let Value::Bytes(text) = at(&object, &[10]) else { panic!("bytes") };
    for (name, bytes) in [
        ("empty", vec![]),
        ("one byte short", text[..text.len() - 1].to_vec()),
        ("one byte longer", [&text[..], &[0]].concat()),
    ] {
        cases.push(case(
            format!("cipherText {name}"),
            changed(&usual, |object| set(object, &[10], bytes.into())),
            UNREADABLE,
        ));
    }
    for length in [0, 8, 16, 24, 32, 39, 41, 48] {
        let line = with_header(&usual, |header| set(header, &[2, 10], vec![7u8; length].into()));
        cases.push(case(format!("a wrapped key of {length} bytes"), line, SCHEMA));
    }
    let line = with_header(&usual, |header| set(header, &[2, 10], vec![7u8; 40].into()));
    cases.push(case("a wrapped key that does not unwrap", line, Want::Reject(&["key-unwrap"])));
    cases.push(case(
        "nothing is encrypted",
        usual.line(&usual.esad(b"").encode(), &sad()),
        Want::Reject(&["sad-cbor"]),
    ));
}

fn derivation(cases: &mut Vec<Case>) {
    for key in [-25i32, -31] {
        let mut with = |name: &str, info: Vec<u8>| {
            let mut encryption = encryption(Issuer::X25519, 3, key.into());
            encryption.info = info;
            let line = encryption.line(&encryption.esad(&sad().encode()).encode(), &sad());
            cases.push(case(format!("{key}, the KDF's info {name}"), line, UNREADABLE));
        };
        with("little-endian", key.to_le_bytes().to_vec());
        with("of 8 bytes", i64::from(key).to_be_bytes().to_vec());
        with("of 2 bytes", (key as i16).to_be_bytes().to_vec());
        with("empty", vec![]);
        with("as text", key.to_string().into_bytes());
        with("unsigned", key.unsigned_abs().to_be_bytes().to_vec());
        with("of the content algorithm", 3i32.to_be_bytes().to_vec());
    }
}

fn encodings(cases: &mut Vec<Case>) {
    let usual = usual();
    let esad = usual.esad(&sad().encode());
    for bend in [Bend::LongHead, Bend::Indefinite, Bend::Swapped, Bend::Doubled] {
        for (place, bytes) in bent::all(&esad, bend).into_iter().enumerate() {
            cases.push(case(format!("{bend:?} at place {place}"), usual.line(&bytes, &sad()), CBOR));
        }
    }
    let bytes = esad.encode();
    for length in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        cases.push(case(format!("cut off after {length} bytes"), usual.line(&bytes[..length], &sad()), CBOR));
    }
    for (name, tail) in [("00", &[0][..]), ("f6", &[0xf6]), ("itself", &bytes)] {
        cases.push(case(format!("{name} after it"), usual.line(&[&bytes[..], tail].concat(), &sad()), CBOR));
    }
    for (name, hex_text) in [
        ("an array of 2^32 - 1", "9affffffff"),
        ("a map of 2^64 - 1", "bbffffffffffffffff"),
        ("text of 2^63", "7b8000000000000000"),
        ("a break", "ff"),
        ("additional information 28", "1c"),
        ("additional information 29 in a map", "bd"),
        ("nothing", ""),
    ] {
        cases.push(case(name, usual.line(&hex(hex_text), &sad()), CBOR));
    }
    for (name, byte) in [("arrays", 0x81u8), ("maps", 0xa1), ("tags", 0xd9)] {
        cases.push(case(format!("100000 {name}"), usual.line(&vec![byte; 100_000], &sad()), CBOR));
    }
    let deep = named((0..90).fold(Value::Null, |inner, _| Value::Array(vec![inner])));
    cases.push(case(
        "a keyId of 90 levels",
        deep.line(&deep.esad(&sad().encode()).encode(), &sad()),
        Want::Accept,
    ));
}
