//! Strict decoding: what is not the deterministic encoding of exactly one [`Value`] is an error.

use super::float::{Float, Shortest};
use super::value::{Map, Value};

pub(super) const MAJOR_UNSIGNED: u8 = 0;
pub(super) const MAJOR_NEGATIVE: u8 = 1;
pub(super) const MAJOR_BYTES: u8 = 2;
pub(super) const MAJOR_TEXT: u8 = 3;
pub(super) const MAJOR_ARRAY: u8 = 4;
pub(super) const MAJOR_MAP: u8 = 5;
pub(super) const MAJOR_TAG: u8 = 6;
/// CBOR tag "object with a type identifier": `1010([tstr, any])`.
pub(super) const COTX_TAG: u64 = 1010;

/// How deep arrays, maps and tags may nest. A limit of ours, so that hostile input cannot exhaust the stack.
pub const MAX_DEPTH: usize = 100;

/// Why bytes are not the deterministic CBOR of one value. `at` is the offset in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside a value.
    #[error("CBOR ends in the middle of a value, at byte {at}")]
    Truncated {
        /// Offset in bytes.
        at: usize,
    },
    /// Bytes follow the value.
    #[error("CBOR has bytes after the value, from byte {at} on")]
    Trailing {
        /// Offset in bytes.
        at: usize,
    },
    /// An integer, length or float that has a shorter form.
    #[error("CBOR is not deterministic: byte {at} starts a number that has a shorter form")]
    NotShortest {
        /// Offset in bytes.
        at: usize,
    },
    /// An indefinite length (RFC 8949 section 3.2).
    #[error("CBOR is not deterministic: byte {at} starts an indefinite length")]
    Indefinite {
        /// Offset in bytes.
        at: usize,
    },
    /// Map keys out of order.
    #[error("CBOR is not deterministic: the map key at byte {at} is out of order")]
    Unsorted {
        /// Offset in bytes.
        at: usize,
    },
    /// A map key that occurs twice.
    #[error("CBOR map has the key at byte {at} twice")]
    Duplicate {
        /// Offset in bytes.
        at: usize,
    },
    /// Text that is not UTF-8.
    #[error("CBOR text at byte {at} is not UTF-8")]
    Utf8 {
        /// Offset in bytes.
        at: usize,
    },
    /// A type outside the subset: another tag, a simple value, a reserved initial byte.
    #[error("CBOR has a type outside the FIDO Web Pay subset at byte {at}")]
    Unsupported {
        /// Offset in bytes.
        at: usize,
    },
    /// Deeper than [`MAX_DEPTH`].
    #[error("CBOR nests deeper than {MAX_DEPTH} levels at byte {at}")]
    TooDeep {
        /// Offset in bytes.
        at: usize,
    },
}

/// Decodes the one value that `input` is.
///
/// # Errors
/// [`DecodeError`] if `input` is not the deterministic encoding of exactly one value of the subset.
pub fn decode(input: &[u8]) -> Result<Value, DecodeError> {
    let (value, used) = decode_prefix(input)?;
    if used == input.len() { Ok(value) } else { Err(DecodeError::Trailing { at: used }) }
}

/// Decodes the value that `input` begins with, and tells how many bytes it took.
///
/// # Errors
/// [`DecodeError`] if `input` does not begin with the deterministic encoding of a value of the subset.
pub fn decode_prefix(input: &[u8]) -> Result<(Value, usize), DecodeError> {
    let mut reader = Reader { input, at: 0 };
    let value = reader.value(0)?;
    Ok((value, reader.at))
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        match rest.split_at_checked(len) {
            Some((taken, _)) => {
                self.at += len;
                Ok(taken)
            }
            None => Err(DecodeError::Truncated { at: self.input.len() }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| DecodeError::Truncated { at })
    }

    /// The argument of an initial byte with the low five bits `info` (RFC 8949 section 3), shortest form only.
    fn argument(&mut self, info: u8, start: usize) -> Result<u64, DecodeError> {
        let (n, least) = match info {
            0..=23 => return Ok(u64::from(info)),
            24 => (u64::from(u8::from_be_bytes(self.array()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.array()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.array()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.array()?), 1 << 32),
            31 => return Err(DecodeError::Indefinite { at: start }),
            _ => return Err(DecodeError::Unsupported { at: start }),
        };
        if n < least { Err(DecodeError::NotShortest { at: start }) } else { Ok(n) }
    }

    /// A length that the rest of the input can hold, `unit` bytes at least for each of its items.
    fn length(&mut self, info: u8, start: usize, unit: usize) -> Result<usize, DecodeError> {
        let length = self.argument(info, start)?;
        let rest = self.input.len().saturating_sub(self.at) / unit;
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= rest)
            .ok_or(DecodeError::Truncated { at: self.input.len() })
    }

    fn text(&mut self, info: u8, start: usize) -> Result<String, DecodeError> {
        let length = self.length(info, start, 1)?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::Utf8 { at: start })
    }

    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let start = self.at;
        if depth >= MAX_DEPTH {
            return Err(DecodeError::TooDeep { at: start });
        }
        let [initial] = self.array()?;
        let info = initial & 0x1f;
        match initial >> 5 {
            MAJOR_UNSIGNED => Ok(Value::Unsigned(self.argument(info, start)?)),
            MAJOR_NEGATIVE => Ok(Value::Negative(self.argument(info, start)?)),
            MAJOR_BYTES => {
                let length = self.length(info, start, 1)?;
                Ok(Value::Bytes(self.take(length)?.to_vec()))
            }
            MAJOR_TEXT => Ok(Value::Text(self.text(info, start)?)),
            MAJOR_ARRAY => {
                let length = self.length(info, start, 1)?;
                (0..length).map(|_| self.value(depth + 1)).collect::<Result<_, _>>().map(Value::Array)
            }
            MAJOR_MAP => {
                let length = self.length(info, start, 2)?;
                self.map(length, depth)
            }
            MAJOR_TAG => self.cotx(info, start, depth),
            _ => self.simple_or_float(info, start),
        }
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Value, DecodeError> {
        let mut map = Map::new();
        let mut previous: Option<&[u8]> = None;
        for _ in 0..length {
            let start = self.at;
            let key = self.value(depth + 1)?;
            let encoded = self.input.get(start..self.at).unwrap_or_default();
            match previous.map(|previous| previous.cmp(encoded)) {
                Some(std::cmp::Ordering::Equal) => return Err(DecodeError::Duplicate { at: start }),
                Some(std::cmp::Ordering::Greater) => return Err(DecodeError::Unsorted { at: start }),
                _ => previous = Some(encoded),
            }
            map.push_in_order(key, self.value(depth + 1)?);
        }
        Ok(Value::Map(map))
    }

    fn cotx(&mut self, info: u8, start: usize, depth: usize) -> Result<Value, DecodeError> {
        if self.argument(info, start)? != COTX_TAG {
            return Err(DecodeError::Unsupported { at: start });
        }
        let at = self.at;
        match self.value(depth + 1)? {
            Value::Array(items) => match <[Value; 2]>::try_from(items) {
                Ok([Value::Text(id), object]) => Ok(Value::Cotx(id, Box::new(object))),
                _ => Err(DecodeError::Unsupported { at }),
            },
            _ => Err(DecodeError::Unsupported { at }),
        }
    }

    fn simple_or_float(&mut self, info: u8, start: usize) -> Result<Value, DecodeError> {
        let (float, read) = match info {
            20 => return Ok(Value::Bool(false)),
            21 => return Ok(Value::Bool(true)),
            22 => return Ok(Value::Null),
            25 => {
                let bits = u16::from_be_bytes(self.array()?);
                (Float::from_half(bits), Shortest::Half(bits))
            }
            26 => {
                let bits = u32::from_be_bytes(self.array()?);
                (Float::new(f64::from(f32::from_bits(bits))), Shortest::Single(bits))
            }
            27 => {
                let bits = u64::from_be_bytes(self.array()?);
                (Float::new(f64::from_bits(bits)), Shortest::Double(bits))
            }
            31 => return Err(DecodeError::Indefinite { at: start }),
            _ => return Err(DecodeError::Unsupported { at: start }),
        };
        // Only the shortest form, and of the NaNs only the canonical one, encodes to what was read.
        if float.shortest() == read {
            Ok(Value::Float(float))
        } else {
            Err(DecodeError::NotShortest { at: start })
        }
    }
}
