//! JSON from outside, strictly: no duplicate attributes, no lone surrogates, numbers that are integers in -2^53 ..= 2^53.

mod attributes;

pub use attributes::{Attributes, FieldError, FieldProblem};

use fwp_cose::cbor::{Map, Value};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The largest magnitude of a number, 2^53: every integer up to it is exact in JavaScript.
pub const MAX_NUMBER: i64 = 1 << 53;

/// A JSON value. Its conversion to CBOR is the one that FIDO Web Pay section 4.2 (networkOptions) mandates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number whose value is an integer in range, however it was written (`1.0` is `1`).
    Int(i64),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, its attributes in the order of the text.
    Object(Vec<(String, Json)>),
}

/// Why text is not JSON as we take it. `at` says where and what, without quoting the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}")]
pub struct JsonError {
    at: String,
}

impl Json {
    /// Reads the one JSON value that `text` is.
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        serde_json::from_str(text).map_err(|error| JsonError { at: error.to_string() })
    }

    /// The CBOR counterpart.
    pub fn to_cbor(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(n) => Value::int(*n),
            Self::Text(text) => Value::Text(text.clone()),
            Self::Array(items) => Value::Array(items.iter().map(Json::to_cbor).collect()),
            Self::Object(attributes) => {
                let mut map = Map::new();
                for (name, value) in attributes {
                    map.insert(Value::Text(name.clone()), value.to_cbor());
                }
                Value::Map(map)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Json, E> {
        Ok(Json::Bool(b))
    }

    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Json, E> {
        if (-MAX_NUMBER..=MAX_NUMBER).contains(&n) { Ok(Json::Int(n)) } else { Err(out_of_range()) }
    }

    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Json, E> {
        i64::try_from(n).map_err(|_| out_of_range()).and_then(|n| self.visit_i64(n))
    }

    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Json, E> {
        if n.fract() == 0.0 && n.abs() <= MAX_NUMBER as f64 {
            Ok(Json::Int(n as i64))
        } else {
            Err(out_of_range())
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut attributes: Vec<(String, Json)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((name, value)) = entries.next_entry::<String, Json>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("an object has the same attribute twice"));
            }
            attributes.push((name, value));
        }
        Ok(Json::Object(attributes))
    }
}

fn out_of_range<E: serde::de::Error>() -> E {
    E::custom("a number is not an integer in -2^53 ..= 2^53")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_integers_in_range_however_written() {
        for (text, n) in [
            ("1", 1),
            ("1.0", 1),
            ("-0", 0),
            ("-0.0", 0),
            ("1e3", 1000),
            ("9007199254740992", MAX_NUMBER),
            ("-9007199254740992", -MAX_NUMBER),
        ] {
            assert_eq!(Json::parse(text), Ok(Json::Int(n)), "{text}");
        }
        for text in ["1.5", "9007199254740993", "-9007199254740993", "18446744073709551616", "1e300", "1e-1"]
        {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn duplicate_attributes_lone_surrogates_and_sloppy_text_are_refused() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#""\ud800""#,
            r#""\udc00x""#,
            "[1,]",
            "{a:1}",
            "1 2",
            "",
            "NaN",
            "\u{feff}1",
            "'a'",
            "[//\n]",
            "\"\n\"",
            "01",
        ] {
            assert!(Json::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Json::parse(r#""\ud83d\uded2""#), Ok(Json::Text("🛒".into())));
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(Json::parse(&("[".repeat(100_000) + &"]".repeat(100_000))).is_err());
    }
}
