//! Several changes, made in one commit or not at all.

use crate::error::StoreError;
use crate::record::{
    AuditEvent, AuthenticatorState, CardId, HistoryId, HistoryRecord, LedgerRecord, NewCard, Settings,
};
use crate::seal::random;
use fwp::PayeeHost;
use std::fmt;
use zeroize::Zeroizing;

/// What a commit promises when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk (fsync): it survives the loss of power. All lazy commits before it are, too.
    Durable,
    /// It survives the end of this process, however sudden, but the loss of power within the next seconds may undo it,
    /// together with everything lazy after the last durable commit. The store opens in any case.
    Lazy,
}

/// Changes to be committed together, in the order in which they were asked for.
#[derive(Default)]
pub struct Changes {
    pub(crate) list: Vec<Change>,
}

pub(crate) enum Change {
    AddCard(CardId, Box<NewCard>),
    ReplaceCard(CardId, Box<NewCard>),
    RemoveCard(CardId),
    PutLedger(Box<LedgerRecord>),
    RemoveLedger(PayeeHost, String),
    AddHistory(Box<HistoryRecord>),
    ReplaceHistory(HistoryId, Box<HistoryRecord>),
    KeepHistory(u64),
    Audit(Box<AuditEvent>),
    KeepAudit(u64),
    PutAuthenticatorState(AuthenticatorState, Zeroizing<Vec<u8>>),
    RemoveAuthenticatorState(AuthenticatorState),
    PutSettings(Settings),
}

/// What a commit made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Names of the history entries that were added, in their order.
    pub history: Vec<HistoryId>,
    /// The store's generation.
    pub generation: u64,
}

impl Changes {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a card and names it.
    ///
    /// # Errors
    /// [`StoreError::Random`].
    pub fn add_card(&mut self, card: NewCard) -> Result<CardId, StoreError> {
        let id = CardId::new(card.enrolled_unix_ms, u32::from_be_bytes(random()?));
        self.list.push(Change::AddCard(id, Box::new(card)));
        Ok(id)
    }

    /// Puts another card in the place of one, or the same one with another label.
    pub fn replace_card(&mut self, id: CardId, card: NewCard) -> &mut Self {
        self.push(Change::ReplaceCard(id, Box::new(card)))
    }

    /// Removes a card; what it was is overwritten with zeros.
    pub fn remove_card(&mut self, id: CardId) -> &mut Self {
        self.push(Change::RemoveCard(id))
    }

    /// Puts a ledger entry in, in place of one with the same payeeHost and requestId.
    pub fn put_ledger(&mut self, record: LedgerRecord) -> &mut Self {
        self.push(Change::PutLedger(Box::new(record)))
    }

    /// Removes a ledger entry, if there is one.
    pub fn remove_ledger(&mut self, payee_host: &PayeeHost, request_id: &str) -> &mut Self {
        self.push(Change::RemoveLedger(payee_host.clone(), request_id.to_owned()))
    }

    /// Adds a history entry; [`Committed::history`] names it.
    pub fn add_history(&mut self, record: HistoryRecord) -> &mut Self {
        self.push(Change::AddHistory(Box::new(record)))
    }

    /// Puts another history entry in the place of one: its outcome is known better now.
    pub fn replace_history(&mut self, id: HistoryId, record: HistoryRecord) -> &mut Self {
        self.push(Change::ReplaceHistory(id, Box::new(record)))
    }

    /// Keeps the newest `entries` of the history and removes the rest.
    pub fn keep_history(&mut self, entries: u64) -> &mut Self {
        self.push(Change::KeepHistory(entries))
    }

    /// Appends to the audit log.
    pub fn audit(&mut self, event: AuditEvent) -> &mut Self {
        self.push(Change::Audit(Box::new(event)))
    }

    /// Keeps the newest `entries` of the audit log. The chain then begins with a link that the head vouches for.
    pub fn keep_audit(&mut self, entries: u64) -> &mut Self {
        self.push(Change::KeepAudit(entries))
    }

    /// Saves a state of one of this computer's own authenticators, in place of the one before.
    pub fn put_authenticator_state(
        &mut self,
        which: AuthenticatorState,
        state: Zeroizing<Vec<u8>>,
    ) -> &mut Self {
        self.push(Change::PutAuthenticatorState(which, state))
    }

    /// Removes such a state, if there is one; what it was is overwritten with zeros.
    pub fn remove_authenticator_state(&mut self, which: AuthenticatorState) -> &mut Self {
        self.push(Change::RemoveAuthenticatorState(which))
    }

    /// Saves all settings.
    pub fn put_settings(&mut self, settings: Settings) -> &mut Self {
        self.push(Change::PutSettings(settings))
    }

    fn push(&mut self, change: Change) -> &mut Self {
        self.list.push(change);
        self
    }
}

/// Says how many changes there are and nothing of what is in them.
impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Changes({})", self.list.len())
    }
}
