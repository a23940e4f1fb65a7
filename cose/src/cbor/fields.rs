//! Reading a map against a schema: every field asked for once by label, and nothing left over.

use super::value::{Map, Value};
use std::fmt;

/// A map key as it stands in an error: an integer label or a text name, shortened so that it can't flood a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    fn of(key: &Value) -> Self {
        match key {
            Value::Unsigned(n) => Self(n.to_string()),
            Value::Negative(n) => Self((-1 - i128::from(*n)).to_string()),
            Value::Text(text) => Self(format!(
                "\"{}\"",
                text.chars().take(32).flat_map(char::escape_debug).collect::<String>()
            )),
            _ => Self("(neither integer nor text)".to_owned()),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a CBOR value does not have the shape that its schema wants. `object` is the standard's name of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A label that must be there is not.
    #[error("{object} lacks label {label}")]
    Missing {
        /// What was read.
        object: &'static str,
        /// The label.
        label: Label,
    },
    /// A label that the schema does not know.
    #[error("{object} has the unknown label {label}")]
    Unknown {
        /// What was read.
        object: &'static str,
        /// The label.
        label: Label,
    },
    /// A value of another type.
    #[error("label {label} of {object} is not {expected}")]
    WrongType {
        /// What was read.
        object: &'static str,
        /// The label.
        label: Label,
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// The whole is of another type.
    #[error("{object} is not {expected}")]
    NotA {
        /// What was read.
        object: &'static str,
        /// What it should be, with its article.
        expected: &'static str,
    },
}

/// The fields of one map, taken out one by one.
#[derive(Debug)]
pub struct Fields {
    object: &'static str,
    map: Map,
}

impl Fields {
    /// Reads `value`, which must be a map; `object` names it in errors.
    ///
    /// # Errors
    /// [`SchemaError::NotA`] if it is none.
    pub fn of(object: &'static str, value: Value) -> Result<Self, SchemaError> {
        match value {
            Value::Map(map) => Ok(Self { object, map }),
            _ => Err(SchemaError::NotA { object, expected: "a map" }),
        }
    }

    /// Takes the value under `label` out, if there is one.
    pub fn optional(&mut self, label: i64) -> Option<Value> {
        self.map.remove(&Value::int(label))
    }

    /// Takes the value under `label` out.
    ///
    /// # Errors
    /// [`SchemaError::Missing`].
    pub fn required(&mut self, label: i64) -> Result<Value, SchemaError> {
        self.optional(label)
            .ok_or_else(|| SchemaError::Missing { object: self.object, label: Label::of(&Value::int(label)) })
    }

    /// Takes the text under `label` out.
    ///
    /// # Errors
    /// [`SchemaError::Missing`], [`SchemaError::WrongType`].
    pub fn text(&mut self, label: i64) -> Result<String, SchemaError> {
        match self.required(label)? {
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong_type(label, "text")),
        }
    }

    /// Takes the byte string under `label` out.
    ///
    /// # Errors
    /// [`SchemaError::Missing`], [`SchemaError::WrongType`].
    pub fn bytes(&mut self, label: i64) -> Result<Vec<u8>, SchemaError> {
        match self.required(label)? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong_type(label, "a byte string")),
        }
    }

    /// Takes the byte string of exactly `N` bytes under `label` out.
    ///
    /// # Errors
    /// [`SchemaError::Missing`], [`SchemaError::WrongType`].
    pub fn byte_array<const N: usize>(&mut self, label: i64) -> Result<[u8; N], SchemaError> {
        self.bytes(label)?.try_into().map_err(|_| self.wrong_type(label, "a byte string of the right length"))
    }

    /// Takes the integer under `label` out.
    ///
    /// # Errors
    /// [`SchemaError::Missing`], [`SchemaError::WrongType`] (also if it does not fit 64 bits with sign).
    pub fn int(&mut self, label: i64) -> Result<i64, SchemaError> {
        self.required(label)?.as_i64().ok_or_else(|| self.wrong_type(label, "an integer"))
    }

    /// The error that says `label` is not `expected`.
    pub fn wrong_type(&self, label: i64, expected: &'static str) -> SchemaError {
        SchemaError::WrongType { object: self.object, label: Label::of(&Value::int(label)), expected }
    }

    /// Ends the reading: nothing may be left.
    ///
    /// # Errors
    /// [`SchemaError::Unknown`] for the first label that nobody took.
    pub fn finish(self) -> Result<(), SchemaError> {
        match self.map.iter().next() {
            None => Ok(()),
            Some((key, _)) => Err(SchemaError::Unknown { object: self.object, label: Label::of(key) }),
        }
    }
}
