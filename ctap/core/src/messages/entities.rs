//! What requests name: relying parties, user accounts, credentials, algorithms (CTAP 2.1 section 6.1, WebAuthn 5.4).

use super::reader::{bad, text_member};
use crate::MessageError;
use fwp_cose::cbor::{Map, Value};
use std::fmt;

/// The longest credential ID, in bytes (WebAuthn Level 2 section 6.5.1).
pub const MAX_CREDENTIAL_ID: usize = 1023;
/// The longest user ID, in bytes (WebAuthn Level 2 section 5.4.3).
const MAX_USER_ID: usize = 64;
const PUBLIC_KEY: &str = "public-key";

/// A credential ID: 1 to 1023 bytes by which an authenticator knows a key again.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CredentialId(Vec<u8>);

impl CredentialId {
    /// The credential ID with these bytes.
    ///
    /// # Errors
    /// [`MessageError::Member`] if there are none or more than 1023.
    pub fn new(bytes: Vec<u8>) -> Result<Self, MessageError> {
        if (1..=MAX_CREDENTIAL_ID).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(bad("credential ID", "not 1 to 1023 bytes long"))
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The public key credential descriptor.
    pub(super) fn to_descriptor(&self) -> Value {
        let mut map = Map::new();
        map.insert(Value::from("id"), Value::from(self.as_bytes()));
        map.insert(Value::from("type"), Value::from(PUBLIC_KEY));
        Value::Map(map)
    }

    /// Reads a public key credential descriptor; one of another type is `None`.
    pub(super) fn from_descriptor(value: Value) -> Result<Option<Self>, MessageError> {
        let Value::Map(mut map) = value else { return Err(bad("credential descriptor", "not a map")) };
        let Some(kind) = text_member(&mut map, "type")? else {
            return Err(bad("credential descriptor", "without type"));
        };
        let Some(Value::Bytes(id)) = map.remove(&Value::from("id")) else {
            return Err(bad("credential descriptor", "without the byte string id"));
        };
        if kind == PUBLIC_KEY { Self::new(id).map(Some) } else { Ok(None) }
    }
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialId(")?;
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "..; {} bytes)", self.0.len())
    }
}

/// Descriptors of public keys; those of other types are left out.
pub(super) fn credential_list(items: Vec<Value>) -> Result<Vec<CredentialId>, MessageError> {
    items.into_iter().map(CredentialId::from_descriptor).filter_map(Result::transpose).collect()
}

/// A relying party: for us, a bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    /// The rpId: a domain.
    pub id: String,
    /// A name for people.
    pub name: Option<String>,
}

impl RelyingParty {
    pub(super) fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert(Value::from("id"), Value::from(self.id.as_str()));
        if let Some(name) = &self.name {
            map.insert(Value::from("name"), Value::from(name.as_str()));
        }
        Value::Map(map)
    }

    pub(super) fn from_value(value: Value) -> Result<Self, MessageError> {
        let Value::Map(mut map) = value else { return Err(bad("rp", "not a map")) };
        let id = text_member(&mut map, "id")?.ok_or(bad("rp", "without id"))?;
        Ok(Self { id, name: text_member(&mut map, "name")? })
    }
}

/// A user's account at a relying party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAccount {
    /// The user handle: 1 to 64 bytes.
    pub id: Vec<u8>,
    /// The account's name.
    pub name: Option<String>,
    /// The name that is shown.
    pub display_name: Option<String>,
}

impl UserAccount {
    pub(super) fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert(Value::from("id"), Value::from(self.id.as_slice()));
        for (key, text) in [("name", &self.name), ("displayName", &self.display_name)] {
            if let Some(text) = text {
                map.insert(Value::from(key), Value::from(text.as_str()));
            }
        }
        Value::Map(map)
    }

    pub(super) fn from_value(value: Value) -> Result<Self, MessageError> {
        let Value::Map(mut map) = value else { return Err(bad("user", "not a map")) };
        let id = match map.remove(&Value::from("id")) {
            Some(Value::Bytes(id)) if id.len() <= MAX_USER_ID => id,
            _ => return Err(bad("user", "without an id of at most 64 bytes")),
        };
        Ok(Self {
            id,
            name: text_member(&mut map, "name")?,
            display_name: text_member(&mut map, "displayName")?,
        })
    }
}

/// pubKeyCredParams: COSE algorithm identifiers, most wanted first.
pub(super) fn algorithms_to_value(algorithms: &[i64]) -> Value {
    let items = algorithms.iter().map(|alg| {
        let mut map = Map::new();
        map.insert(Value::from("alg"), Value::int(*alg));
        map.insert(Value::from("type"), Value::from(PUBLIC_KEY));
        Value::Map(map)
    });
    Value::Array(items.collect())
}

/// Reads pubKeyCredParams; entries of other types are left out.
pub(super) fn algorithms(items: Vec<Value>) -> Result<Vec<i64>, MessageError> {
    let mut algorithms = Vec::new();
    for item in items {
        let Value::Map(mut map) = item else { return Err(bad("pubKeyCredParams", "not an array of maps")) };
        let kind = text_member(&mut map, "type")?.ok_or(bad("pubKeyCredParams", "without type"))?;
        let alg = map.remove(&Value::from("alg")).and_then(|alg| alg.as_i64());
        let alg = alg.ok_or(bad("pubKeyCredParams", "without the integer alg"))?;
        if kind == PUBLIC_KEY {
            algorithms.push(alg);
        }
    }
    Ok(algorithms)
}
