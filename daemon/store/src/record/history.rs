//! An entry of the payment history. It says "authorized", never "paid": the wallet does not know.

use super::{CardId, RecordError, bounded, optional_int, optional_text};
use fwp::{Amount, Currency, PayeeHost};
use fwp_cose::cbor::{self, Fields, Map, Value};

const MAX_TEXT: usize = 4096;

/// Names a history entry in this wallet: counted from 1, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HistoryId(pub(crate) i64);

/// How a payment ended, as far as the wallet knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The authorization was handed to its owner.
    Authorized,
    /// The user said no.
    Declined,
    /// The owner withdrew it or vanished.
    Aborted,
    /// A deadline passed.
    Expired,
    /// No card matches.
    NoCard,
    /// The wallet refused: another card was used for this request, or a limit was reached.
    Refused,
    /// The authenticator or the store failed.
    Failed,
    /// Handed over, and the merchant completed with "success". Its word, not the bank's.
    CompletedSuccess,
    /// Handed over, and the merchant completed with "fail".
    CompletedFail,
    /// Handed over, and the merchant completed without saying how.
    CompletedUnknown,
}

/// One payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRecord {
    /// When it ended, in milliseconds since 1970.
    pub at_unix_ms: i64,
    /// Who asked.
    pub payee_host: PayeeHost,
    /// What it calls itself.
    pub payee_name: String,
    /// Its name of the request.
    pub request_id: String,
    /// How much.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// The card that was chosen, if one was.
    pub card: Option<CardId>,
    /// What the user called it then: the card may be gone.
    pub card_label: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

impl HistoryId {
    /// The number.
    pub fn as_i64(self) -> i64 {
        self.0
    }

    /// The entry with this number; whether there is one, the store knows.
    pub fn from_i64(id: i64) -> Self {
        Self(id)
    }
}

impl Outcome {
    const ALL: [(Self, i64, &'static str); 10] = [
        (Self::Authorized, 1, "authorized"),
        (Self::Declined, 2, "declined"),
        (Self::Aborted, 3, "aborted"),
        (Self::Expired, 4, "expired"),
        (Self::NoCard, 5, "no-card"),
        (Self::Refused, 6, "refused"),
        (Self::Failed, 7, "failed"),
        (Self::CompletedSuccess, 8, "authorized, merchant says success"),
        (Self::CompletedFail, 9, "authorized, merchant says fail"),
        (Self::CompletedUnknown, 10, "authorized, merchant says unknown"),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(outcome, ..)| *outcome == self).map_or("", |(_, _, word)| word)
    }

    fn code(self) -> i64 {
        Self::ALL.iter().find(|(outcome, ..)| *outcome == self).map_or(0, |(_, code, _)| *code)
    }

    fn from_code(code: i64) -> Result<Self, RecordError> {
        let found = Self::ALL.iter().find(|(_, known, _)| *known == code);
        found.map(|(outcome, ..)| *outcome).ok_or(RecordError::Code { field: "outcome", code })
    }
}

impl HistoryRecord {
    /// The record in deterministic CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let mut map = Map::new()
            .with(1, self.at_unix_ms)
            .with(2, self.payee_host.as_str())
            .with(3, self.payee_name.as_str())
            .with(4, self.request_id.as_str())
            .with(5, self.amount.as_str())
            .with(6, self.currency.as_str())
            .with(9, self.outcome.code());
        if let Some(card) = self.card {
            map = map.with(7, card.0);
        }
        if let Some(label) = &self.card_label {
            map = map.with(8, label.as_str());
        }
        Value::Map(map).encode()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut fields = Fields::of("history record", cbor::decode(bytes)?)?;
        let record = Self {
            at_unix_ms: fields.int(1)?,
            payee_host: PayeeHost::parse(&fields.text(2)?)?,
            payee_name: bounded(fields.text(3)?, "payeeName", MAX_TEXT)?,
            request_id: bounded(fields.text(4)?, "requestId", MAX_TEXT)?,
            amount: Amount::parse(&fields.text(5)?)?,
            currency: Currency::parse(&fields.text(6)?)?,
            card: optional_int(&mut fields, 7)?.map(CardId),
            card_label: optional_text(&mut fields, 8)?,
            outcome: Outcome::from_code(fields.int(9)?)?,
        };
        fields.finish()?;
        Ok(record)
    }
}
