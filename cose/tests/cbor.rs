//! Deterministic CBOR, held against RFC 8949's examples and against another implementation (ciborium).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use data_encoding::HEXLOWER;
use fwp_cose::cbor::{DecodeError, Float, MAX_DEPTH, Map, Value, decode};
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

#[test]
fn examples_of_rfc_8949_appendix_a_go_both_ways() {
    let float = |n: f64| Value::Float(Float::new(n));
    let cases = [
        ("00", Value::int(0)),
        ("17", Value::int(23)),
        ("1818", Value::int(24)),
        ("1903e8", Value::int(1000)),
        ("1b000000e8d4a51000", Value::int(1_000_000_000_000)),
        ("1bffffffffffffffff", Value::Unsigned(u64::MAX)),
        ("20", Value::int(-1)),
        ("3903e7", Value::int(-1000)),
        ("3bffffffffffffffff", Value::Negative(u64::MAX)),
        ("f90000", float(0.0)),
        ("f98000", float(-0.0)),
        ("f93c00", float(1.0)),
        ("fb3ff199999999999a", float(1.1)),
        ("f97bff", float(65504.0)),
        ("fa47c35000", float(100_000.0)),
        ("fa7f7fffff", float(3.402_823_466_385_288_6e38)),
        ("fb7e37e43c8800759c", float(1.0e300)),
        ("f90001", float(5.960_464_477_539_063e-8)),
        ("f90400", float(6.103_515_625e-5)),
        ("f97c00", float(f64::INFINITY)),
        ("f97e00", float(f64::NAN)),
        ("f9fc00", float(f64::NEG_INFINITY)),
        ("f4", Value::Bool(false)),
        ("f6", Value::Null),
        ("4401020304", Value::Bytes(vec![1, 2, 3, 4])),
        ("62c3bc", Value::from("ü")),
        ("83010203", Value::Array(vec![Value::int(1), Value::int(2), Value::int(3)])),
        ("a201020304", Map::new().with(3, 4).with(1, 2).into()),
    ];
    for (encoded, value) in cases {
        assert_eq!(HEXLOWER.encode(&value.encode()), encoded);
        assert_eq!(decode(&hex(encoded)), Ok(value), "{encoded}");
    }
}

#[test]
fn minus_one_comes_after_the_small_labels_and_keys_sort_bytewise() {
    let map = Map::new().with(-1, 0).with(23, 0).with(24, 0).with(1, 0).with(-2, 0);
    assert_eq!(HEXLOWER.encode(&Value::Map(map).encode()), "a501001700181800200021".to_owned() + "00");
}

#[test]
fn what_is_not_deterministic_is_refused_by_its_reason() {
    use DecodeError::{
        Duplicate, Indefinite, NotShortest, TooDeep, Trailing, Truncated, Unsorted, Unsupported, Utf8,
    };
    let cases = [
        ("", Truncated { at: 0 }),
        ("1817", NotShortest { at: 0 }),
        ("190017", NotShortest { at: 0 }),
        ("5801ff", NotShortest { at: 0 }),
        ("fa3f800000", NotShortest { at: 0 }),
        ("fb3ff0000000000000", NotShortest { at: 0 }),
        ("f97e01", NotShortest { at: 0 }),
        ("fa7fc00000", NotShortest { at: 0 }),
        ("f815", Unsupported { at: 0 }),
        ("f7", Unsupported { at: 0 }),
        ("f0", Unsupported { at: 0 }),
        ("1c", Unsupported { at: 0 }),
        ("c100", Unsupported { at: 0 }),
        ("c249010000000000000000", Unsupported { at: 0 }),
        ("5f4101ff", Indefinite { at: 0 }),
        ("bfff", Indefinite { at: 0 }),
        ("ff", Indefinite { at: 0 }),
        ("a2020001f6", Unsorted { at: 3 }),
        ("a2010001f6", Duplicate { at: 3 }),
        ("62c328", Utf8 { at: 0 }),
        ("63eda080", Utf8 { at: 0 }),
        ("0000", Trailing { at: 1 }),
        ("4401", Truncated { at: 2 }),
        ("9b7fffffffffffffff00", Truncated { at: 10 }),
        ("d903f280", Unsupported { at: 3 }),
        ("d903f28200f6", Unsupported { at: 3 }),
        ("d903f28360f6f6", Unsupported { at: 3 }),
    ];
    for (encoded, error) in cases {
        assert_eq!(decode(&hex(encoded)), Err(error), "{encoded}");
    }
    let nested = |depth: usize| [vec![0x81; depth - 1], vec![0x80]].concat();
    assert!(decode(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(decode(&nested(MAX_DEPTH + 1)), Err(TooDeep { at: MAX_DEPTH }));
    assert!(decode(&vec![0x81; 1_000_000]).is_err());
}

#[test]
fn a_value_knows_its_depth() {
    let nested = Value::Array(vec![Value::Map(Map::new().with(1, Value::Array(vec![Value::Null])))]);
    assert_eq!((Value::Null.depth(), nested.depth()), (1, 4));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(Value::Unsigned),
        any::<u64>().prop_map(Value::Negative),
        any::<i64>().prop_map(Value::int),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        any::<String>().prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
        any::<f64>().prop_map(|n| Value::Float(Float::new(n))),
        any::<f32>().prop_map(|n| Value::Float(Float::new(f64::from(n)))),
        any::<u16>()
            .prop_map(|bits| decode(&[&[0xf9][..], &bits.to_be_bytes()].concat()).unwrap_or(Value::Null)),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(|entries| {
                let mut map = Map::new();
                for (key, value) in entries {
                    map.insert(key, value);
                }
                Value::Map(map)
            }),
            (any::<String>(), inner).prop_map(|(id, value)| Value::Cotx(id, Box::new(value))),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_reads_as_it_was_written(value in value()) {
        prop_assert_eq!(decode(&value.encode()), Ok(value));
    }

    #[test]
    fn what_is_read_is_written_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(value) = decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes);
        }
    }

    #[test]
    fn values_order_as_their_encodings_do(a in value(), b in value()) {
        prop_assert_eq!(a.cmp(&b), a.encode().cmp(&b.encode()));
    }

    #[test]
    fn ciborium_reads_what_we_write(value in value()) {
        let theirs: ciborium::Value = ciborium::from_reader(value.encode().as_slice()).unwrap();
        let mut again = Vec::new();
        ciborium::into_writer(&theirs, &mut again).unwrap();
        prop_assert_eq!(again, value.encode());
    }

    #[test]
    fn a_changed_byte_is_another_value_or_an_error(value in value(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = value.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert_ne!(decode(&bytes), Ok(value));
    }
}
