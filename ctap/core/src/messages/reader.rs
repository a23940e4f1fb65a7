//! Reading members by type, beyond what [`Fields`] does.

use super::PinUvAuthParam;
use crate::MessageError;
use crate::pin_uv_auth::Protocol;
use fwp_cose::cbor::{Fields, Map, Value};

/// The most items of a list that is read; a limit of ours.
pub(super) const MAX_ITEMS: usize = 256;

pub(super) fn bad(member: &'static str, problem: &'static str) -> MessageError {
    MessageError::Member { member, problem }
}

pub(super) fn optional_bool(fields: &mut Fields, label: i64) -> Result<Option<bool>, MessageError> {
    match fields.optional(label) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(value)),
        Some(_) => Err(fields.wrong_type(label, "a boolean").into()),
    }
}

pub(super) fn optional_unsigned(fields: &mut Fields, label: i64) -> Result<Option<u64>, MessageError> {
    match fields.optional(label) {
        None => Ok(None),
        Some(Value::Unsigned(value)) => Ok(Some(value)),
        Some(_) => Err(fields.wrong_type(label, "an unsigned integer").into()),
    }
}

pub(super) fn optional_bytes(fields: &mut Fields, label: i64) -> Result<Option<Vec<u8>>, MessageError> {
    match fields.optional(label) {
        None => Ok(None),
        Some(Value::Bytes(value)) => Ok(Some(value)),
        Some(_) => Err(fields.wrong_type(label, "a byte string").into()),
    }
}

pub(super) fn optional_text(fields: &mut Fields, label: i64) -> Result<Option<String>, MessageError> {
    match fields.optional(label) {
        None => Ok(None),
        Some(Value::Text(value)) => Ok(Some(value)),
        Some(_) => Err(fields.wrong_type(label, "text").into()),
    }
}

pub(super) fn optional_map(fields: &mut Fields, label: i64) -> Result<Option<Map>, MessageError> {
    match fields.optional(label) {
        None => Ok(None),
        Some(Value::Map(value)) => Ok(Some(value)),
        Some(_) => Err(fields.wrong_type(label, "a map").into()),
    }
}

pub(super) fn optional_array(fields: &mut Fields, label: i64) -> Result<Option<Vec<Value>>, MessageError> {
    match fields.optional(label) {
        None => Ok(None),
        Some(Value::Array(value)) if value.len() <= MAX_ITEMS => Ok(Some(value)),
        Some(_) => Err(fields.wrong_type(label, "an array of at most 256 items").into()),
    }
}

/// An array of text.
pub(super) fn texts(fields: &mut Fields, label: i64) -> Result<Vec<String>, MessageError> {
    let items = optional_array(fields, label)?.unwrap_or_default();
    let texts = items.into_iter().map(|item| match item {
        Value::Text(text) => Ok(text),
        _ => Err(fields.wrong_type(label, "an array of text").into()),
    });
    texts.collect()
}

/// A map from text to booleans: `options`.
pub(super) fn options(fields: &mut Fields, label: i64) -> Result<Vec<(String, bool)>, MessageError> {
    let map = optional_map(fields, label)?.unwrap_or_default();
    let options = map.into_iter().map(|entry| match entry {
        (Value::Text(name), Value::Bool(value)) => Ok((name, value)),
        _ => Err(fields.wrong_type(label, "a map from text to booleans").into()),
    });
    options.collect()
}

/// Takes the text under the text `key` out of `map`.
pub(super) fn text_member(map: &mut Map, key: &'static str) -> Result<Option<String>, MessageError> {
    match map.remove(&Value::from(key)) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(bad(key, "not text")),
    }
}

/// pinUvAuthParam under its label, and pinUvAuthProtocol, which must be there then.
pub(super) fn pin_uv_auth(
    fields: &mut Fields,
    param: i64,
    protocol: i64,
) -> Result<Option<PinUvAuthParam>, MessageError> {
    let Some(param) = optional_bytes(fields, param)? else { return Ok(None) };
    let Value::Unsigned(id) = fields.required(protocol)? else {
        return Err(fields.wrong_type(protocol, "an unsigned integer").into());
    };
    let protocol = Protocol::from_id(id).ok_or(bad("pinUvAuthProtocol", "not one of 1 and 2"))?;
    Ok(Some(PinUvAuthParam { protocol, param }))
}

/// `options` of a request, from the options that are there.
pub(super) fn options_map(options: &[(&str, Option<bool>)]) -> Option<Map> {
    let mut map = Map::new();
    for (name, value) in options {
        if let Some(value) = value {
            map.insert(Value::from(*name), Value::Bool(*value));
        }
    }
    (!map.is_empty()).then_some(map)
}

/// The value of the option `name`.
pub(super) fn option(options: &[(String, bool)], name: &str) -> Option<bool> {
    options.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
}
