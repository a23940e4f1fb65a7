//! The extension credProtect (CTAP 2.1 section 12.1): what it takes to see that a key is there.

use super::reader::bad;
use crate::MessageError;
use fwp_cose::cbor::{Map, Value};

const NAME: &str = "credProtect";

/// What it takes to use a key, or to see by asking silently that it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredProtect {
    /// `userVerificationOptional`: nothing more than the request.
    UserVerificationOptional,
    /// `userVerificationOptionalWithCredentialIDList`: its credential ID, or a verified user.
    UserVerificationOptionalWithCredentialIdList,
    /// `userVerificationRequired`: a verified user. A silent question does not find it.
    UserVerificationRequired,
}

impl CredProtect {
    /// The extension's name in requests, getInfo and authenticatorData.
    pub const NAME: &str = NAME;

    /// The level: 1 to 3.
    pub fn level(self) -> u8 {
        match self {
            Self::UserVerificationOptional => 1,
            Self::UserVerificationOptionalWithCredentialIdList => 2,
            Self::UserVerificationRequired => 3,
        }
    }

    /// The policy of this level.
    pub fn from_level(level: u64) -> Option<Self> {
        match level {
            1 => Some(Self::UserVerificationOptional),
            2 => Some(Self::UserVerificationOptionalWithCredentialIdList),
            3 => Some(Self::UserVerificationRequired),
            _ => None,
        }
    }

    /// The extensions of a request (or of authenticatorData) with this policy.
    pub fn to_extensions(self) -> Map {
        let mut map = Map::new();
        map.insert(Value::from(NAME), Value::Unsigned(u64::from(self.level())));
        map
    }

    /// The policy among `extensions`, of a request or of authenticatorData, if it is there.
    ///
    /// # Errors
    /// [`MessageError::Member`] if it is not one of 1 to 3.
    pub fn from_extensions(extensions: &Map) -> Result<Option<Self>, MessageError> {
        match extensions.get(&Value::from(NAME)) {
            None => Ok(None),
            Some(Value::Unsigned(level)) => {
                Self::from_level(*level).map(Some).ok_or(bad(NAME, "not one of 1 to 3"))
            }
            Some(_) => Err(bad(NAME, "not one of 1 to 3")),
        }
    }
}
