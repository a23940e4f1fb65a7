//! What the tables hold: each record as a type, with its deterministic CBOR both ways.

mod audit;
mod authenticator;
mod card;
mod history;
mod ledger;
mod setting;

pub use audit::{AuditEntry, AuditEvent, AuditKind};
pub(crate) use audit::{decode_row as decode_audit_row, encode_row as encode_audit_row};
pub use authenticator::AuthenticatorState;
pub use card::{AuthenticatorKind, AuthenticatorRef, CardId, CardRecord, NewCard};
pub use history::{HistoryId, HistoryRecord, Outcome};
pub use ledger::LedgerRecord;
pub use setting::Settings;

use fwp::credential::CredentialError;
use fwp::host::HostError;
use fwp::money::MoneyError;
use fwp::provider::ProviderError;
use fwp_cose::cbor::{DecodeError, Fields, SchemaError, Value};

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not deterministic CBOR.
    #[error(transparent)]
    Cbor(#[from] DecodeError),
    /// Labels or types are off.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The card in it is none.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A provider of the card is none.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A host is none.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Amount or currency is none.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// A code that this version does not know.
    #[error("{field} has the unknown code {code}")]
    Code {
        /// Name of the field.
        field: &'static str,
        /// The code.
        code: i64,
    },
    /// Text above its limit.
    #[error("{field} has more than {max} bytes")]
    TooLong {
        /// Name of the field.
        field: &'static str,
        /// The limit in bytes.
        max: usize,
    },
}

fn bounded(text: String, field: &'static str, max: usize) -> Result<String, RecordError> {
    if text.len() <= max { Ok(text) } else { Err(RecordError::TooLong { field, max }) }
}

fn optional_text(fields: &mut Fields, label: i64) -> Result<Option<String>, RecordError> {
    match fields.optional(label) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(fields.wrong_type(label, "text").into()),
    }
}

fn optional_int(fields: &mut Fields, label: i64) -> Result<Option<i64>, RecordError> {
    match fields.optional(label) {
        None => Ok(None),
        Some(value) => Ok(Some(value.as_i64().ok_or_else(|| fields.wrong_type(label, "an integer"))?)),
    }
}
