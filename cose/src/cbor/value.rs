//! A CBOR value of the subset, and maps that keep their keys in deterministic order.

use super::float::{Float, Shortest};
use std::cmp::Ordering;

/// A CBOR value. What can be said with it has exactly one encoding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A non-negative integer, `0 ..= 2^64 - 1`.
    Unsigned(u64),
    /// The negative integer `-1 - n`, down to `-2^64`.
    Negative(u64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A UTF-8 text string.
    Text(String),
    /// An array.
    Array(Vec<Value>),
    /// A map.
    Map(Map),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// A floating point number.
    Float(Float),
    /// Tag 1010 (COTX): an object with the text that names its type, `1010([id, object])`.
    Cotx(String, Box<Value>),
}

impl Value {
    /// The integer `n`.
    pub fn int(n: i64) -> Self {
        match u64::try_from(n) {
            Ok(n) => Self::Unsigned(n),
            // -1 - n without overflow: the bitwise complement.
            Err(_) => Self::Negative((!n) as u64),
        }
    }

    /// This value as an `i64`, if it is an integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Unsigned(n) => i64::try_from(*n).ok(),
            Self::Negative(n) => i64::try_from(*n).ok().map(|n| !n),
            _ => None,
        }
    }

    /// Whether `test` is true of this value or of any value within it (map keys too).
    pub fn any(&self, test: &impl Fn(&Value) -> bool) -> bool {
        test(self)
            || match self {
                Self::Array(items) => items.iter().any(|v| v.any(test)),
                Self::Map(map) => map.iter().any(|(k, v)| k.any(test) || v.any(test)),
                Self::Cotx(_, inner) => inner.any(test),
                _ => false,
            }
    }

    /// How deep values nest in this one: 1 for a value without parts.
    pub fn depth(&self) -> usize {
        1 + match self {
            Self::Array(items) => items.iter().map(Value::depth).max().unwrap_or(0),
            Self::Map(map) => map.iter().map(|(k, v)| k.depth().max(v.depth())).max().unwrap_or(0),
            Self::Cotx(_, inner) => 1 + inner.depth(), // the tag and its array
            _ => 0,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Unsigned(_) => 0,
            Self::Negative(_) => 1,
            Self::Bytes(_) => 2,
            Self::Text(_) => 3,
            Self::Array(_) => 4,
            Self::Map(_) => 5,
            Self::Cotx(..) => 6,
            Self::Bool(false) => 7,
            Self::Bool(true) => 8,
            Self::Null => 9,
            Self::Float(f) => match f.shortest() {
                Shortest::Half(_) => 10,
                Shortest::Single(_) => 11,
                Shortest::Double(_) => 12,
            },
        }
    }
}

/// Bytewise order of the encodings (RFC 8949 section 4.2.1), found without encoding.
impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Unsigned(a), Self::Unsigned(b)) | (Self::Negative(a), Self::Negative(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (Self::Array(a), Self::Array(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (Self::Map(a), Self::Map(b)) => a.len().cmp(&b.len()).then_with(|| a.0.cmp(&b.0)),
            (Self::Cotx(a, x), Self::Cotx(b, y)) => {
                a.len().cmp(&b.len()).then_with(|| a.cmp(b)).then_with(|| x.cmp(y))
            }
            (Self::Float(a), Self::Float(b)) => match (a.shortest(), b.shortest()) {
                (Shortest::Half(a), Shortest::Half(b)) => a.cmp(&b),
                (Shortest::Single(a), Shortest::Single(b)) => a.cmp(&b),
                (Shortest::Double(a), Shortest::Double(b)) => a.cmp(&b),
                _ => self.rank().cmp(&other.rank()),
            },
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::int(n)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::Array(items)
    }
}

/// A map: entries with distinct keys in deterministic order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Map(Vec<(Value, Value)>);

impl Map {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// This map with `value` under the integer `label`, replacing what was there.
    #[must_use]
    pub fn with(mut self, label: i64, value: impl Into<Value>) -> Self {
        self.insert(Value::int(label), value.into());
        self
    }

    /// Puts `value` under `key` and returns what was there before.
    pub fn insert(&mut self, key: Value, value: Value) -> Option<Value> {
        match self.0.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => self.0.get_mut(at).map(|entry| std::mem::replace(&mut entry.1, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// The value under `key`.
    pub fn get(&self, key: &Value) -> Option<&Value> {
        let at = self.0.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        self.0.get(at).map(|(_, v)| v)
    }

    /// Takes the value under `key` out.
    pub fn remove(&mut self, key: &Value) -> Option<Value> {
        let at = self.0.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        Some(self.0.remove(at).1)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries in deterministic order.
    pub fn iter(&self) -> impl Iterator<Item = &(Value, Value)> {
        self.0.iter()
    }

    /// Appends an entry whose key is known to come after all others (the decoder has checked it).
    pub(super) fn push_in_order(&mut self, key: Value, value: Value) {
        self.0.push((key, value));
    }
}

impl IntoIterator for Map {
    type Item = (Value, Value);
    type IntoIter = std::vec::IntoIter<(Value, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
