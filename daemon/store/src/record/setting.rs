//! Settings: names and values, both text, few and small.

use super::{RecordError, bounded};
use fwp_cose::cbor::{self, SchemaError, Value};
use std::collections::BTreeMap;

/// Most bytes of a name or value.
const MAX_TEXT: usize = 4096;

/// All settings of a wallet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(pub BTreeMap<String, String>);

impl Settings {
    /// The settings in deterministic CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let mut map = cbor::Map::new();
        for (name, value) in &self.0 {
            map.insert(Value::from(name.as_str()), Value::from(value.as_str()));
        }
        Value::Map(map).encode()
    }

    /// Reads settings.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let not = |expected| RecordError::Schema(SchemaError::NotA { object: "settings", expected });
        let Value::Map(map) = cbor::decode(bytes)? else { return Err(not("a map")) };
        let mut settings = BTreeMap::new();
        for entry in map {
            let (Value::Text(name), Value::Text(value)) = entry else {
                return Err(not("a map of text to text"));
            };
            settings.insert(
                bounded(name, "name of a setting", MAX_TEXT)?,
                bounded(value, "value of a setting", MAX_TEXT)?,
            );
        }
        Ok(Self(settings))
    }
}
