//! SADs: labels, types, values and encodings. "Signed so" throughout: the signature is good for what stands there.

use crate::bent::{self, Bend};
use crate::builder::{
    Case, Fido, Want, authenticator_data, case, cotx, float, line_of, line_of_bytes, remove, sample_ad,
    sample_sad, set, signed,
};
use fwp_cose::cbor::{Map, Value};

const SCHEMA: Want = Want::Reject(&["sad-schema"]);
const CBOR: Want = Want::Reject(&["sad-cbor"]);
/// Text that the envelope repeats is refused there already.
const FORM: Want = Want::Reject(&["envelope", "sad-schema"]);

/// Every label of AD that must be there, and the type that it must have.
const TEXTS: [&[i64]; 14] = [
    &[1, 1],
    &[1, 2],
    &[1, 3],
    &[1, 4],
    &[2],
    &[3],
    &[4],
    &[5],
    &[7, 1, 3],
    &[7, 1, 4],
    &[7, 2, 3],
    &[7, 2, 4],
    &[9],
    &[9],
];
const MAPS: [&[i64]; 5] = [&[1], &[7], &[7, 1], &[7, 2], &[-1]];

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("the sample", line_of(&sample_sad(Fido::Es256)), Want::Accept),
        case("signed with Ed25519", line_of(&sample_sad(Fido::Ed25519)), Want::Accept),
    ];
    labels(&mut cases);
    network_options(&mut cases);
    locations(&mut cases);
    texts(&mut cases);
    encodings(&mut cases);
    cases
}

/// The AD changed by `work` and signed so.
fn changed(work: impl FnOnce(&mut Value)) -> String {
    let mut ad = sample_ad(Fido::Es256);
    work(&mut ad);
    line_of(&signed(&ad, Fido::Es256))
}

/// The SAD changed by `work` after signing.
fn bent_after(work: impl FnOnce(&mut Value)) -> String {
    let mut sad = sample_sad(Fido::Es256);
    work(&mut sad);
    line_of(&sad)
}

fn labels(cases: &mut Vec<Case>) {
    for path in TEXTS.iter().chain(&MAPS[..4]) {
        cases.push(case(format!("without {path:?}"), changed(|ad| remove(ad, path)), SCHEMA));
        for (name, value) in [
            ("an integer", Value::int(1)),
            ("a byte string", b"x".as_slice().into()),
            ("an array", Value::Array(vec!["x".into()])),
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("a float", float(1.5)),
        ] {
            cases.push(case(format!("{path:?} is {name}"), changed(|ad| set(ad, path, value)), SCHEMA));
        }
    }
    for path in MAPS {
        for (name, key) in [
            ("0", Value::int(0)),
            ("99", Value::int(99)),
            ("-9", Value::int(-9)),
            ("text", "x".into()),
            ("null", Value::Null),
        ] {
            let line = changed(|ad| {
                let mut map = match crate::builder::at(ad, path) {
                    Value::Map(map) => map,
                    other => panic!("{other:?}"),
                };
                map.insert(key, "x".into());
                set(ad, path, map.into());
            });
            cases.push(case(format!("an unknown label, {name}, in {path:?}"), line, SCHEMA));
        }
    }
    let top = |label: i64| changed(|ad| set(ad, &[label], "x".into()));
    cases.push(case("an unknown label 10", top(10), SCHEMA));
    cases.push(case("an unknown label -2", top(-2), SCHEMA));
    for path in [&[-1][..], &[-1, 1], &[-1, 2], &[-1, 3], &[-1, 4]] {
        cases.push(case(format!("without {path:?}"), bent_after(|sad| remove(sad, path)), SCHEMA));
        cases.push(case(format!("{path:?} is text"), bent_after(|sad| set(sad, path, "x".into())), SCHEMA));
    }
    cases.push(case(
        "a signature with clientDataJSON (5)",
        bent_after(|sad| set(sad, &[-1, 5], b"{}".as_slice().into())),
        SCHEMA,
    ));
    cases.push(case(
        "a signature with clientDataJSON (5) as text",
        bent_after(|sad| set(sad, &[-1, 5], "{}".into())),
        SCHEMA,
    ));
    for path in [&[6][..], &[8]] {
        cases.push(case(
            format!("without the optional {path:?}"),
            changed(|ad| remove(ad, path)),
            Want::Accept,
        ));
    }
    let both = changed(|ad| {
        remove(ad, &[6]);
        remove(ad, &[8]);
    });
    cases.push(case("without both optional labels", both, Want::Accept));
}

fn network_options(cases: &mut Vec<Case>) {
    let mut with = |name: &str, value: Value, want: Want| {
        cases.push(case(format!("networkOptions: {name}"), changed(|ad| set(ad, &[6], value)), want));
    };
    let nested = |levels: usize| (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    with("null", Value::Null, Want::Accept);
    with("true", Value::Bool(true), Want::Accept);
    with("0", Value::int(0), Want::Accept);
    with("2^53", Value::int(1 << 53), Want::Accept);
    with("-2^53", Value::int(-(1 << 53)), Want::Accept);
    with("the greatest integer", Value::Unsigned(u64::MAX), Want::Accept);
    with("the least integer", Value::Negative(u64::MAX), Want::Accept);
    with("empty text", "".into(), Want::Accept);
    with("a byte string", b"\xff".as_slice().into(), Want::Accept);
    with("an empty array", Value::Array(vec![]), Want::Accept);
    with("an empty map", Map::new().into(), Want::Accept);
    with("a map of maps", Map::new().with(1, Map::new().with(-1, "x")).into(), Want::Accept);
    with("a typed object", cotx("https://example.com/", Value::int(1)), Want::Accept);
    with("60 levels of arrays", nested(60), Want::Accept);
    with("a float", float(1.5), SCHEMA);
    with("a whole float", float(1.0), SCHEMA);
    with(
        "a float deep within",
        Value::Array(vec![Map::new().with(1, Value::Array(vec![float(0.5)])).into()]),
        SCHEMA,
    );
    with("a float in a typed object", cotx("x", float(0.5)), SCHEMA);
    with("NaN", float(f64::NAN), SCHEMA);
    with("150 levels of arrays", nested(150), CBOR);

    // What the encoder of the house cannot write: other tags and simple values.
    let deep = "81".repeat(50_000) + "f6";
    for (name, hex) in [
        ("50000 levels of arrays", deep.as_str()),
        ("tag 0 on a date", "c074323032332d30322d31365430393a31343a30375a"),
        ("tag 2 (a big number)", "c2410f"),
        ("tag 24", "d8184100"),
        ("tag 1010 on what is no pair", "d903f28101"),
        ("tag 1010 whose identifier is no text", "d903f2820101"),
        ("undefined", "f7"),
        ("simple value 16", "f0"),
        ("simple value 32 in two bytes", "f820"),
        ("a break alone", "ff"),
        ("reserved additional information", "1c"),
        ("map keys twice", "a201020103"),
        ("map keys out of order", "a202010102"),
        ("text keys in the order of length second", "a2626161016162"),
        ("a half float that is no number, not canonical", "f97e01"),
        ("a double that a half could be", "fb3ff8000000000000"),
        ("an integer longer than needed", "1817"),
    ] {
        let marker = Value::from("MARKER");
        let sad = signed(
            &{
                let mut ad = sample_ad(Fido::Es256);
                set(&mut ad, &[6], marker.clone());
                ad
            },
            Fido::Es256,
        );
        let bytes = replace(&sad.encode(), &marker.encode(), &crate::builder::hex(hex));
        cases.push(case(
            format!("networkOptions: {name}"),
            line_of_bytes(&bytes),
            Want::Reject(&["sad-cbor", "sad-schema"]),
        ));
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

fn locations(cases: &mut Vec<Case>) {
    let mut with = |name: String, value: Value, want: Want| {
        cases.push(case(format!("location: {name}"), changed(|ad| set(ad, &[8], value)), want));
    };
    for (latitude, longitude) in [
        (0.0, -0.0),
        (90.0, 180.0),
        (-90.0, -180.0),
        (1.5, 2.5),
        (40.74844, -73.984559),
        (f64::MIN_POSITIVE, 1e-300),
    ] {
        let name = format!("{latitude}, {longitude}");
        with(name, Value::Array(vec![float(latitude), float(longitude)]), Want::Accept);
    }
    for (latitude, longitude) in [
        (90.000_001, 0.0),
        (-90.1, 0.0),
        (0.0, 180.000_001),
        (0.0, -181.0),
        (f64::NAN, 0.0),
        (0.0, f64::NAN),
        (f64::INFINITY, 0.0),
        (0.0, f64::NEG_INFINITY),
    ] {
        let name = format!("{latitude}, {longitude}");
        with(name, Value::Array(vec![float(latitude), float(longitude)]), SCHEMA);
    }
    for (name, value) in [
        ("integers", Value::Array(vec![Value::int(40), Value::int(-73)])),
        ("one of them an integer", Value::Array(vec![float(40.5), Value::int(-73)])),
        ("texts", Value::Array(vec!["40.7".into(), "-73.9".into()])),
        ("one float", Value::Array(vec![float(40.5)])),
        ("three floats", Value::Array(vec![float(40.5), float(1.5), float(0.5)])),
        ("no float", Value::Array(vec![])),
        ("a map", Map::new().with(1, float(1.5)).with(2, float(1.5)).into()),
        ("null", Value::Null),
    ] {
        with(name.to_owned(), value, SCHEMA);
    }
}

fn texts(cases: &mut Vec<Case>) {
    let long = "9".repeat(64);
    let longer = "9".repeat(65);
    let big = "x".repeat(100_000);
    for (path, good, bad) in [
        (
            &[1, 3][..],
            &["0", "0.01", "000.10", "1000000", &long][..],
            &[
                "", "-1", "-0", "+1", ".5", "5.", "1.2.3", "1e3", "1,5", " 1", "1 ", "\u{663}", "0x1",
                "435.00\n", &longer,
            ][..],
        ),
        (&[1, 4], &["EUR", "XXX"], &["", "eur", "EU", "EURO", "E1R", "ÉUR", "EUR "]),
        (
            &[2],
            &["localhost", "127.0.0.1", "[::1]", "xn--caf-dma.example", "a.b.c.d.example"],
            &[
                "",
                "Spaceshop.com",
                "spaceshop.com.",
                "spaceshop.com:443",
                "https://spaceshop.com",
                "café.example",
                "a..b",
                "a b",
                "1.2.3.256",
                "::1",
            ],
        ),
        (&[1, 1], &["x", "", "\u{0}\u{1f}\u{7f}", "\u{202e}pohs ecapS", "🛒", "e\u{301}", &big], &[]),
        (&[1, 2], &["x", "", "\u{feff}", "req/ö/1", &big], &[]),
        (&[3], &["", "x", &big], &[]),
        (&[5], &["", "x"], &[]),
        (&[7, 1, 4], &["", "N/A"], &[]),
    ] {
        for text in good {
            let shown: String = text.chars().take(40).flat_map(char::escape_unicode).take(60).collect();
            cases.push(case(
                format!("{path:?} is {shown:?} ({} bytes)", text.len()),
                changed(|ad| set(ad, path, (*text).into())),
                Want::Accept,
            ));
        }
        for text in bad {
            cases.push(case(
                format!("{path:?} is {text:?}"),
                changed(|ad| set(ad, path, (*text).into())),
                FORM,
            ));
        }
    }
    for text in [
        "2023-02-16T09:14:07Z",
        "2023-02-16T09:14:07.1Z",
        "2023-02-16T09:14:07.123456789Z",
        "2023-02-16T09:14:07-23:59",
        "2023-02-16T09:14:07+00:00",
        "2023-02-16T09:14:07-00:00",
        "2024-02-29T23:59:59Z",
        "2000-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0000-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59.999999999-23:59",
    ] {
        cases.push(case(
            format!("timeStamp {text:?}"),
            changed(|ad| set(ad, &[9], text.into())),
            Want::Accept,
        ));
    }
    for text in [
        "2023-02-16",
        "2023-02-16T09:14:07",
        "2023-02-16T09:14Z",
        "2023-02-16T09:14:07.Z",
        "2023-02-16T09:14:07.1234567890Z",
        "2023-02-16T09:14:07,5Z",
        "2023-02-16t09:14:07Z",
        "2023-02-16T09:14:07z",
        "2023-02-16 09:14:07Z",
        "20230216T091407Z",
        "2023-02-16T09:14:07+0100",
        "2023-02-16T09:14:07+01",
        "2023-02-16T09:14:07+24:00",
        "2023-02-16T09:14:07+01:60",
        "2023-02-16T09:14:07 Z",
        "2023-02-30T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2023-04-31T00:00:00Z",
        "2023-00-10T00:00:00Z",
        "2023-13-10T00:00:00Z",
        "2023-01-00T00:00:00Z",
        "2023-01-32T00:00:00Z",
        "2023-01-01T24:00:00Z",
        "2023-01-01T00:60:00Z",
        "2016-12-31T23:59:60Z",
        "2023-1-01T00:00:00Z",
        "02023-01-01T00:00:00Z",
        "-2023-01-01T00:00:00Z",
        "+2023-01-01T00:00:00Z",
        "2023-02-16T09:14:07Z\u{0}",
        "２023-02-16T09:14:07Z",
        "1676538847",
        "",
    ] {
        cases.push(case(format!("timeStamp {text:?}"), changed(|ad| set(ad, &[9], text.into())), SCHEMA));
    }
}

fn encodings(cases: &mut Vec<Case>) {
    let sad = sample_sad(Fido::Es256);
    for bend in [Bend::LongHead, Bend::Indefinite, Bend::Swapped, Bend::Doubled] {
        for (place, bytes) in bent::all(&sad, bend).into_iter().enumerate() {
            cases.push(case(format!("{bend:?} at place {place}"), line_of_bytes(&bytes), CBOR));
        }
    }
    let bytes = sad.encode();
    for length in 0..bytes.len() {
        cases.push(case(format!("cut off after {length} bytes"), line_of_bytes(&bytes[..length]), CBOR));
    }
    for (name, tail) in [("00", &[0][..]), ("f6", &[0xf6]), ("itself", &bytes)] {
        cases.push(case(format!("{name} after it"), line_of_bytes(&[&bytes[..], tail].concat()), CBOR));
    }
    for bad in ["c0", "ff", "ed_a0_80", "c0_80", "f8_88_80_80_80", "f4_90_80_80", "e2_82", "61_c0"] {
        let invalid = crate::builder::hex(&bad.replace('_', ""));
        let marker = "M".repeat(invalid.len());
        let mut ad = sample_ad(Fido::Es256);
        set(&mut ad, &[1, 1], marker.as_str().into());
        let bytes = replace(&signed(&ad, Fido::Es256).encode(), marker.as_bytes(), &invalid);
        cases.push(case(format!("text that is not UTF-8: {bad}"), line_of_bytes(&bytes), CBOR));
    }
    for (name, value) in [
        ("an array", Value::Array(vec![sad.clone()])),
        ("a byte string", Value::Bytes(bytes.clone())),
        ("inside COTX", cotx(crate::builder::VERSION, sad.clone())),
        ("an AD that nobody signed", sample_ad(Fido::Es256)),
        ("an integer", Value::int(1)),
    ] {
        cases.push(case(format!("the SAD is {name}"), line_of_bytes(&value.encode()), SCHEMA));
    }
    for flags in 0..=u8::MAX {
        let sad =
            crate::builder::signed_with(&sample_ad(Fido::Es256), Fido::Es256, &authenticator_data(flags));
        let want = match flags {
            _ if flags & 0xc0 != 0 => Want::Reject(&["authenticator-data"]),
            _ if flags & 0x01 == 0 => Want::Reject(&["user-not-present"]),
            _ if flags & 0x04 == 0 => Want::Reject(&["user-not-verified"]),
            _ => Want::Accept,
        };
        cases.push(case(
            format!("authenticatorData of 37 bytes with the flags {flags:#04x}"),
            line_of(&sad),
            want,
        ));
    }
}
