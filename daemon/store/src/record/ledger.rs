//! An entry of the uniqueness ledger: which card a request was first authorized with.

use super::{RecordError, bounded};
use fwp::{Amount, Currency, PayeeHost};
use fwp_cose::cbor::{self, Fields, Map, Value};

const MAX_REQUEST_ID: usize = 4096;

/// (payeeHost, requestId) and the card that they are tied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRecord {
    /// Who asked.
    pub payee_host: PayeeHost,
    /// Its name of the request.
    pub request_id: String,
    /// The card, as the wallet's ledger names it: a hash, no account number.
    pub card: [u8; 32],
    /// What was authorized.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// When, in milliseconds since 1970 by the clock of that time.
    pub authorized_unix_ms: i64,
}

impl LedgerRecord {
    /// The record in deterministic CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let map = Map::new()
            .with(1, self.payee_host.as_str())
            .with(2, self.request_id.as_str())
            .with(3, self.card.as_slice())
            .with(4, self.amount.as_str())
            .with(5, self.currency.as_str())
            .with(6, self.authorized_unix_ms);
        Value::Map(map).encode()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut fields = Fields::of("ledger record", cbor::decode(bytes)?)?;
        let record = Self {
            payee_host: PayeeHost::parse(&fields.text(1)?)?,
            request_id: bounded(fields.text(2)?, "requestId", MAX_REQUEST_ID)?,
            card: fields.byte_array(3)?,
            amount: Amount::parse(&fields.text(4)?)?,
            currency: Currency::parse(&fields.text(5)?)?,
            authorized_unix_ms: fields.int(6)?,
        };
        fields.finish()?;
        Ok(record)
    }
}
