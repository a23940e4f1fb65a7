//! A virtual card in the wallet.

use super::{RecordError, bounded};
use fwp::provider::ProviderError;
use fwp::{Credential, Provider};
use fwp_cose::cbor::{self, Fields, Map, Value};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Most bytes of a card's label.
const MAX_LABEL: usize = 1024;

/// Names a card in this wallet: positive, and greater for cards that entered later. Not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CardId(pub(crate) i64);

/// Where the key of a card lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthenticatorKind {
    /// The platform authenticator with keys in software, sealed in this store.
    Software,
    /// The platform authenticator with keys in the TPM.
    Tpm,
    /// A security key on USB.
    Usb,
    /// A security key on NFC.
    Nfc,
}

/// The authenticator that made a card's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuthenticatorRef {
    /// Where the key lives.
    pub kind: AuthenticatorKind,
    /// The model (WebAuthn section 6.5.1); all zeros when it does not say.
    pub aaguid: [u8; 16],
}

/// A card that is about to enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCard {
    /// The card, tied to its key and rpId.
    pub credential: Arc<Credential>,
    /// What the user calls it, at most 1024 bytes.
    pub label: String,
    /// When it entered, in milliseconds since 1970.
    pub enrolled_unix_ms: i64,
    /// Which authenticator holds its key.
    pub authenticator: AuthenticatorRef,
    /// Who books payments with it that pages ask for by signed requests.
    pub providers: Vec<Provider>,
}

/// A card in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardRecord {
    /// Its name in this wallet.
    pub id: CardId,
    /// What was stored.
    pub card: NewCard,
}

impl CardId {
    /// 42 bits of milliseconds (until the year 2109) and 21 random ones, or the next number after the last that this process
    /// drew, whichever is greater. Should a clock that was set back give a number twice, the later card is refused.
    pub(crate) fn new(enrolled_unix_ms: i64, random: u32) -> Self {
        static LAST: AtomicI64 = AtomicI64::new(0);
        let milliseconds = enrolled_unix_ms.clamp(1, (1 << 42) - 1);
        let drawn = milliseconds << 21 | i64::from(random >> 11);
        let next = |last: i64| drawn.max(last.saturating_add(1));
        let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        Self(next(last.unwrap_or_else(|last| last)))
    }

    /// The number, positive.
    pub fn as_i64(self) -> i64 {
        self.0
    }

    /// The card with this number; whether there is one, the store knows.
    pub fn from_i64(id: i64) -> Self {
        Self(id)
    }
}

impl fmt::Display for CardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl AuthenticatorKind {
    fn code(self) -> i64 {
        match self {
            Self::Software => 1,
            Self::Tpm => 2,
            Self::Usb => 3,
            Self::Nfc => 4,
        }
    }

    fn from_code(code: i64) -> Result<Self, RecordError> {
        match code {
            1 => Ok(Self::Software),
            2 => Ok(Self::Tpm),
            3 => Ok(Self::Usb),
            4 => Ok(Self::Nfc),
            code => Err(RecordError::Code { field: "kind of authenticator", code }),
        }
    }
}

impl NewCard {
    /// The record in deterministic CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let mut map = Map::new()
            .with(1, self.credential.encode())
            .with(2, self.label.as_str())
            .with(3, self.enrolled_unix_ms)
            .with(4, self.authenticator.kind.code())
            .with(5, self.authenticator.aaguid.as_slice());
        // Cards of before there were providers have none, and are written as they were.
        if !self.providers.is_empty() {
            map = map.with(6, Provider::to_value(&self.providers));
        }
        Value::Map(map).encode()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut fields = Fields::of("card record", cbor::decode(bytes)?)?;
        let record = Self {
            credential: Arc::new(Credential::decode(&fields.bytes(1)?)?),
            label: bounded(fields.text(2)?, "label of a card", MAX_LABEL)?,
            enrolled_unix_ms: fields.int(3)?,
            authenticator: AuthenticatorRef {
                kind: AuthenticatorKind::from_code(fields.int(4)?)?,
                aaguid: fields.byte_array(5)?,
            },
            providers: fields.optional(6).map_or(Ok(Vec::new()), read_providers)?,
        };
        fields.finish()?;
        Ok(record)
    }
}

/// Providers under the label for them: none are not written.
fn read_providers(value: Value) -> Result<Vec<Provider>, RecordError> {
    match Provider::from_value(value)? {
        providers if providers.is_empty() => Err(ProviderError::Entries.into()),
        providers => Ok(providers),
    }
}
