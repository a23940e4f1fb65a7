//! The audit log: a chain of entries, each with an HMAC over itself and the one before. It has no field that an account
//! number could stand in.

use super::{CardId, RecordError, bounded, optional_int, optional_text};
use fwp::{Amount, Currency, PayeeHost};
use fwp_cose::cbor::{self, Fields, Map, Value};

const MAX_REASON: usize = 128;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditKind {
    /// The wallet was made.
    WalletCreated,
    /// A key slot was added.
    SlotAdded,
    /// A key slot was removed.
    SlotRemoved,
    /// The user consented to an enrollment.
    EnrollmentConsented,
    /// A card entered.
    CardStored,
    /// A card left.
    CardDeleted,
    /// The user said yes and the authenticator is about to be asked.
    PaymentAuthorizing,
    /// An authorization was made.
    PaymentAuthorized,
    /// The user said no.
    PaymentDeclined,
    /// The wallet refused: another card was used for this request, or a limit was reached.
    PaymentRefused,
    /// The authenticator or the store failed.
    PaymentFailed,
    /// The owner withdrew the payment or vanished, or a deadline passed.
    PaymentClosed,
    /// An agent registered.
    AgentRegistered,
    /// An agent left.
    AgentGone,
    /// A PIN was set.
    PinSet,
    /// The PIN was changed.
    PinChanged,
    /// The PIN is blocked.
    PinBlocked,
    /// A setting was changed.
    SettingChanged,
    /// All keys of an authenticator were deleted.
    AuthenticatorReset,
    /// The key slots were filled anew, or the data key was replaced.
    KeyRotated,
    /// The outside counter was against this copy of the store, and the user said that it is meant.
    OldCopyAccepted,
    /// A copy of all cards was written, encrypted by a passphrase.
    CardsExported,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// When, in milliseconds since 1970.
    pub at_unix_ms: i64,
    /// What.
    pub kind: AuditKind,
    /// The card it is about.
    pub card: Option<CardId>,
    /// The payee it is about.
    pub payee_host: Option<PayeeHost>,
    /// The sum it is about.
    pub total: Option<(Amount, Currency)>,
    /// The name of the error or the reason, at most 128 bytes.
    pub reason: Option<String>,
}

/// An event with its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Counted from 1.
    pub sequence: i64,
    /// What happened.
    pub event: AuditEvent,
    /// HMAC-SHA256 over the link before, the sequence number and the event.
    pub link: [u8; 32],
}

impl AuditKind {
    const ALL: [(Self, i64, &'static str); 22] = [
        (Self::WalletCreated, 1, "wallet-created"),
        (Self::SlotAdded, 2, "slot-added"),
        (Self::SlotRemoved, 3, "slot-removed"),
        (Self::EnrollmentConsented, 4, "enrollment-consented"),
        (Self::CardStored, 5, "card-stored"),
        (Self::CardDeleted, 6, "card-deleted"),
        (Self::PaymentAuthorizing, 7, "payment-authorizing"),
        (Self::PaymentAuthorized, 8, "payment-authorized"),
        (Self::PaymentDeclined, 9, "payment-declined"),
        (Self::PaymentRefused, 10, "payment-refused"),
        (Self::PaymentFailed, 11, "payment-failed"),
        (Self::PaymentClosed, 12, "payment-closed"),
        (Self::AgentRegistered, 13, "agent-registered"),
        (Self::AgentGone, 14, "agent-gone"),
        (Self::PinSet, 15, "pin-set"),
        (Self::PinChanged, 16, "pin-changed"),
        (Self::PinBlocked, 17, "pin-blocked"),
        (Self::SettingChanged, 18, "setting-changed"),
        (Self::AuthenticatorReset, 19, "authenticator-reset"),
        (Self::KeyRotated, 20, "key-rotated"),
        (Self::OldCopyAccepted, 21, "old-copy-accepted"),
        (Self::CardsExported, 22, "cards-exported"),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, _, word)| word)
    }

    fn code(self) -> i64 {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or(0, |(_, code, _)| *code)
    }

    fn from_code(code: i64) -> Result<Self, RecordError> {
        let found = Self::ALL.iter().find(|(_, known, _)| *known == code);
        found.map(|(kind, ..)| *kind).ok_or(RecordError::Code { field: "kind of audit event", code })
    }
}

impl AuditEvent {
    /// An event about nothing in particular.
    pub fn new(at_unix_ms: i64, kind: AuditKind) -> Self {
        Self { at_unix_ms, kind, card: None, payee_host: None, total: None, reason: None }
    }

    /// About this card.
    #[must_use]
    pub fn card(mut self, card: CardId) -> Self {
        self.card = Some(card);
        self
    }

    /// About this payee and sum.
    #[must_use]
    pub fn payment(mut self, payee_host: &PayeeHost, amount: &Amount, currency: &Currency) -> Self {
        self.payee_host = Some(payee_host.clone());
        self.total = Some((amount.clone(), *currency));
        self
    }

    /// For this reason; what is beyond 128 bytes is cut off.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        let end = (0..=reason.len().min(MAX_REASON)).rev().find(|at| reason.is_char_boundary(*at));
        self.reason = reason.get(..end.unwrap_or(0)).map(str::to_owned);
        self
    }

    /// The event in deterministic CBOR: what a link of the chain is made over.
    pub fn encode(&self) -> Vec<u8> {
        let mut map = Map::new().with(1, self.at_unix_ms).with(2, self.kind.code());
        if let Some(card) = self.card {
            map = map.with(3, card.0);
        }
        if let Some(host) = &self.payee_host {
            map = map.with(4, host.as_str());
        }
        if let Some((amount, currency)) = &self.total {
            map = map.with(5, vec![Value::from(amount.as_str()), Value::from(currency.as_str())]);
        }
        if let Some(reason) = &self.reason {
            map = map.with(6, reason.as_str());
        }
        Value::Map(map).encode()
    }

    /// Reads an event.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut fields = Fields::of("audit event", cbor::decode(bytes)?)?;
        let event = Self {
            at_unix_ms: fields.int(1)?,
            kind: AuditKind::from_code(fields.int(2)?)?,
            card: optional_int(&mut fields, 3)?.map(CardId),
            payee_host: optional_text(&mut fields, 4)?.map(|host| PayeeHost::parse(&host)).transpose()?,
            total: fields.optional(5).map(|value| read_total(&fields, value)).transpose()?,
            reason: optional_text(&mut fields, 6)?
                .map(|text| bounded(text, "reason", MAX_REASON))
                .transpose()?,
        };
        fields.finish()?;
        Ok(event)
    }
}

fn read_total(fields: &Fields, value: Value) -> Result<(Amount, Currency), RecordError> {
    let wrong = || fields.wrong_type(5, "an array of amount and currency");
    let Value::Array(parts) = value else { return Err(wrong().into()) };
    let parts: [Value; 2] = parts.try_into().map_err(|_| wrong())?;
    match parts {
        [Value::Text(amount), Value::Text(currency)] => {
            Ok((Amount::parse(&amount)?, Currency::parse(&currency)?))
        }
        _ => Err(wrong().into()),
    }
}

/// What is sealed in a row of the audit table.
pub(crate) fn encode_row(event: &[u8], link: &[u8; 32]) -> Vec<u8> {
    Value::Map(Map::new().with(1, event).with(2, link.as_slice())).encode()
}

/// Event and link of a row of the audit table.
pub(crate) fn decode_row(bytes: &[u8]) -> Result<(Vec<u8>, [u8; 32]), RecordError> {
    let mut fields = Fields::of("audit record", cbor::decode(bytes)?)?;
    let row = (fields.bytes(1)?, fields.byte_array(2)?);
    fields.finish()?;
    Ok(row)
}
