//! Deterministic encoding. It cannot fail: a [`Value`] has exactly one encoding.

use super::decode::{
    COTX_TAG, MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_NEGATIVE, MAJOR_TAG, MAJOR_TEXT, MAJOR_UNSIGNED,
};
use super::float::Shortest;
use super::value::Value;

impl Value {
    /// The deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(&mut out);
        out
    }

    /// Appends the deterministic encoding to `out`.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unsigned(n) => head(MAJOR_UNSIGNED, *n, out),
            Self::Negative(n) => head(MAJOR_NEGATIVE, *n, out),
            Self::Bytes(bytes) => {
                head(MAJOR_BYTES, bytes.len() as u64, out);
                out.extend_from_slice(bytes);
            }
            Self::Text(text) => {
                head(MAJOR_TEXT, text.len() as u64, out);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Array(items) => {
                head(MAJOR_ARRAY, items.len() as u64, out);
                items.iter().for_each(|item| item.encode_to(out));
            }
            Self::Map(map) => {
                head(MAJOR_MAP, map.len() as u64, out);
                for (key, value) in map.iter() {
                    key.encode_to(out);
                    value.encode_to(out);
                }
            }
            Self::Bool(false) => out.push(0xf4),
            Self::Bool(true) => out.push(0xf5),
            Self::Null => out.push(0xf6),
            Self::Float(float) => match float.shortest() {
                Shortest::Half(bits) => {
                    out.push(0xf9);
                    out.extend_from_slice(&bits.to_be_bytes());
                }
                Shortest::Single(bits) => {
                    out.push(0xfa);
                    out.extend_from_slice(&bits.to_be_bytes());
                }
                Shortest::Double(bits) => {
                    out.push(0xfb);
                    out.extend_from_slice(&bits.to_be_bytes());
                }
            },
            Self::Cotx(id, object) => {
                head(MAJOR_TAG, COTX_TAG, out);
                head(MAJOR_ARRAY, 2, out);
                head(MAJOR_TEXT, id.len() as u64, out);
                out.extend_from_slice(id.as_bytes());
                object.encode_to(out);
            }
        }
    }
}

/// An initial byte of the major type and the shortest form of its argument (RFC 8949 section 3).
fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    if argument < 24 {
        out.push(major | argument as u8);
    } else if let Ok(n) = u8::try_from(argument) {
        out.extend_from_slice(&[major | 24, n]);
    } else if let Ok(n) = u16::try_from(argument) {
        out.push(major | 25);
        out.extend_from_slice(&n.to_be_bytes());
    } else if let Ok(n) = u32::try_from(argument) {
        out.push(major | 26);
        out.extend_from_slice(&n.to_be_bytes());
    } else {
        out.push(major | 27);
        out.extend_from_slice(&argument.to_be_bytes());
    }
}
