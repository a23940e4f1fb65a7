//! The CBOR subset of FIDO Web Pay: integers, text, bytes, arrays, maps, `true`/`false`/`null`, floats and tag 1010
//! (COTX), always in the deterministic encoding of RFC 8949 section 4.2.1.
//!
//! A library that normalises while it reads (ciborium does) cannot tell whether the bytes were deterministic, so both
//! directions are our own; ciborium is the oracle in the tests.

mod decode;
mod encode;
mod fields;
mod float;
mod value;

pub use decode::{DecodeError, MAX_DEPTH, decode, decode_prefix};
pub use fields::{Fields, Label, SchemaError};
pub use float::Float;
pub use value::{Map, Value};
