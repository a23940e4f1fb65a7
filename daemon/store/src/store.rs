//! A store that is open.

use crate::changes::{Change, Changes, Committed, Durability};
use crate::counting::Counting;
use crate::error::StoreError;
use crate::files::WalletDirectory;
use crate::head::Head;
use crate::record::{
    AuditEntry, AuditEvent, AuthenticatorState, CardId, CardRecord, HistoryId, HistoryRecord, LedgerRecord,
    RecordError, Settings, decode_audit_row,
};
use crate::seal::{DataKey, Keys, WalletId};
use crate::slot::SlotKind;
use crate::slots::SlotId;
use crate::table::{SCHEMA_VERSION, Table};
use crate::verify::{ONLY_ROW, Verified, for_each_row, open_row};
use crate::writer::Writer;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A wallet's store, unlocked. Cards and settings are in memory; the rest is read when it is asked for.
///
/// Every record that is read is authenticated by itself; the set of all records was checked when the store was opened,
/// and the file has been locked since.
pub struct Store {
    // Before the directory, so that the database is closed before the lock goes.
    pub(crate) connection: Connection,
    pub(crate) wallet: WalletId,
    pub(crate) data_key: DataKey,
    pub(crate) keys: Keys,
    pub(crate) head: Head,
    cards: BTreeMap<CardId, Arc<CardRecord>>,
    settings: Settings,
    pub(crate) counting: Counting,
    pub(crate) opened_by: Option<(SlotId, SlotKind)>,
    synchronous: Durability,
    broken: bool,
    /// Something was removed of which the write-ahead log may still have a copy.
    pub(crate) scrub_due: bool,
    _directory: WalletDirectory,
}

/// What a [`Store`] is put together from.
pub(crate) struct Parts {
    pub(crate) connection: Connection,
    pub(crate) directory: WalletDirectory,
    pub(crate) wallet: WalletId,
    pub(crate) data_key: DataKey,
    pub(crate) keys: Keys,
    pub(crate) verified: Verified,
    pub(crate) opened_by: Option<(SlotId, SlotKind)>,
}

impl Store {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            connection: parts.connection,
            wallet: parts.wallet,
            data_key: parts.data_key,
            keys: parts.keys,
            head: parts.verified.head,
            cards: parts.verified.cards,
            settings: parts.verified.settings,
            counting: Counting::default(),
            opened_by: parts.opened_by,
            synchronous: Durability::Durable,
            broken: false,
            scrub_due: false,
            _directory: parts.directory,
        }
    }

    /// The wallet's name, not secret.
    pub fn wallet_id(&self) -> WalletId {
        self.wallet
    }

    /// Number of commits so far.
    pub fn generation(&self) -> u64 {
        self.head.generation
    }

    /// All cards, oldest first; from memory.
    pub fn cards(&self) -> impl ExactSizeIterator<Item = &Arc<CardRecord>> {
        self.cards.values()
    }

    /// One card; from memory.
    pub fn card(&self, id: CardId) -> Option<&Arc<CardRecord>> {
        self.cards.get(&id)
    }

    /// The settings; from memory.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The whole ledger.
    ///
    /// # Errors
    /// [`StoreError::Altered`], [`StoreError::Record`], [`StoreError::Database`].
    pub fn ledger(&self) -> Result<Vec<LedgerRecord>, StoreError> {
        let mut records = Vec::new();
        for_each_row(&self.connection, Table::Ledger, |row| {
            let plain = self.keys.open(row.place(SCHEMA_VERSION, Table::Ledger), &row.stored)?;
            records.push(LedgerRecord::decode(&plain).map_err(bad(Table::Ledger, row.row))?);
            Ok(())
        })?;
        Ok(records)
    }

    /// At most `limit` history entries, newest first, older than `before` if that is given.
    ///
    /// # Errors
    /// [`StoreError::Altered`], [`StoreError::Record`], [`StoreError::Database`].
    pub fn history(
        &self,
        before: Option<HistoryId>,
        limit: usize,
    ) -> Result<Vec<(HistoryId, HistoryRecord)>, StoreError> {
        let rows: Vec<i64> = self
            .connection
            .prepare_cached("SELECT id FROM history WHERE id < ?1 ORDER BY id DESC LIMIT ?2")?
            .query_map(
                [before.map_or(i64::MAX, HistoryId::as_i64), i64::try_from(limit).unwrap_or(i64::MAX)],
                |columns| columns.get(0),
            )?
            .collect::<Result<_, _>>()?;
        rows.into_iter().filter_map(|row| self.history_entry(HistoryId(row)).transpose()).collect()
    }

    /// One history entry.
    ///
    /// # Errors
    /// [`StoreError::Altered`], [`StoreError::Record`], [`StoreError::Database`].
    pub fn history_entry(&self, id: HistoryId) -> Result<Option<(HistoryId, HistoryRecord)>, StoreError> {
        let plain = self.open_row(Table::History, id.0)?;
        plain
            .map(|plain| HistoryRecord::decode(&plain).map(|record| (id, record)))
            .transpose()
            .map_err(bad(Table::History, id.0))
    }

    /// At most `limit` audit entries, oldest first, after the one with the number `after` (0: from the first kept).
    /// The chain was checked when the store was opened.
    ///
    /// # Errors
    /// [`StoreError::Altered`], [`StoreError::Record`], [`StoreError::Database`].
    pub fn audit(&self, after: i64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let first = after.max(self.head.audit.dropped_up_to).saturating_add(1);
        (first..=self.head.audit.last)
            .take(limit)
            .map(|sequence| {
                let plain = self
                    .open_row(Table::Audit, sequence)?
                    .ok_or(StoreError::NoSuchRow { table: Table::Audit, row: sequence })?;
                let bad = bad(Table::Audit, sequence);
                let entry = decode_audit_row(&plain).and_then(|(event, link)| {
                    AuditEvent::decode(&event).map(|event| AuditEntry { sequence, event, link })
                });
                entry.map_err(bad)
            })
            .collect()
    }

    /// A state of one of this computer's own authenticators, if one was saved.
    ///
    /// # Errors
    /// [`StoreError::Altered`], [`StoreError::Database`].
    pub fn authenticator_state(
        &self,
        which: AuthenticatorState,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.open_row(Table::Authenticator, which.row())
    }

    /// Makes all `changes` or none. Waits for the disk if it is to be durable.
    ///
    /// The payment path needs two: a durable one before the authenticator is asked (ledger, audit), and a lazy one after
    /// (history, audit).
    ///
    /// # Errors
    /// [`StoreError::NoSuchRow`] for a card or history entry that is not there, [`StoreError::Database`],
    /// [`StoreError::Random`], [`StoreError::NoRoom`]: nothing was changed. [`StoreError::Broken`]: open the store again. An
    /// outside counter that lags behind is no error: [`Store::counter_problem`] says so.
    pub fn commit(&mut self, changes: Changes, durability: Durability) -> Result<Committed, StoreError> {
        let mut committed = Committed::default();
        let removes =
            |change: &Change| matches!(change, Change::RemoveCard(_) | Change::RemoveAuthenticatorState(_));
        let removed = changes.list.iter().any(removes);
        let list = self.write(durability, |writer| {
            for change in &changes.list {
                make(change, writer, &mut committed)?;
            }
            Ok(changes.list)
        })?;
        committed.generation = self.head.generation;
        list.into_iter().for_each(|change| self.remember(change));
        self.scrub_due |= removed;
        self.scrub();
        Ok(committed)
    }

    /// One transaction: `work`, then the head that vouches for it, then the outside counter.
    pub(crate) fn write<T>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&mut Writer<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let before = self.counted_head(durability);
        let (value, head) = self.transaction(durability, |connection, keys| {
            let mut writer = Writer::after(connection, keys, &before);
            let value = work(&mut writer)?;
            Ok((value, writer.finish()?))
        })?;
        match durability {
            Durability::Durable => self.committed(head),
            Durability::Lazy => self.head = head,
        }
        Ok(value)
    }

    /// Commits what `work` does, or nothing.
    pub(crate) fn transaction<T>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&Connection, &Keys) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.broken {
            return Err(StoreError::Broken);
        }
        self.synchronous(durability)?;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let made = work(&self.connection, &self.keys).and_then(|value| {
            self.connection.execute_batch("COMMIT")?;
            Ok(value)
        });
        if made.is_err() && !self.connection.is_autocommit() {
            self.broken = self.connection.execute_batch("ROLLBACK").is_err();
        }
        made
    }

    /// FULL makes SQLite sync the write-ahead log at each commit, NORMAL only before the log is carried over into the
    /// database: in both cases what is on the disk is some prefix of the commits.
    fn synchronous(&mut self, durability: Durability) -> Result<(), StoreError> {
        if self.synchronous != durability {
            let level = match durability {
                Durability::Durable => "FULL",
                Durability::Lazy => "NORMAL",
            };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.synchronous = durability;
        }
        Ok(())
    }

    /// Keeps in memory what was committed.
    fn remember(&mut self, change: Change) {
        match change {
            Change::AddCard(id, card) | Change::ReplaceCard(id, card) => {
                self.cards.insert(id, Arc::new(CardRecord { id, card: *card }));
            }
            Change::RemoveCard(id) => {
                self.cards.remove(&id);
            }
            Change::PutSettings(settings) => self.settings = settings,
            _ => {}
        }
    }

    /// Carries the write-ahead log over and cuts it off, so that removed records are not left in it. Where that can't be
    /// done now, for lack of room say, it is tried again after the next commit: what was committed stays so, and must not
    /// be told to have failed.
    pub(crate) fn scrub(&mut self) {
        if self.scrub_due {
            let done = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            self.scrub_due = done.is_err();
        }
    }

    fn open_row(&self, table: Table, row: i64) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        open_row(&self.connection, &self.keys, SCHEMA_VERSION, table, row)
    }
}

/// Makes one change in the database.
fn make(change: &Change, writer: &mut Writer<'_>, committed: &mut Committed) -> Result<(), StoreError> {
    match change {
        Change::AddCard(id, card) => writer.put_new(Table::Card, id.0, &Zeroizing::new(card.encode())),
        Change::ReplaceCard(id, card) => {
            writer.must_remove(Table::Card, id.0)?;
            writer.put(Table::Card, id.0, &Zeroizing::new(card.encode()))
        }
        Change::RemoveCard(id) => writer.must_remove(Table::Card, id.0),
        Change::PutLedger(record) => {
            let row = writer.ledger_row(&record.payee_host, &record.request_id);
            writer.put(Table::Ledger, row, &record.encode())
        }
        Change::RemoveLedger(payee_host, request_id) => {
            let row = writer.ledger_row(payee_host, request_id);
            writer.remove(Table::Ledger, row).map(|_| ())
        }
        Change::AddHistory(record) => {
            committed.history.push(HistoryId(writer.append(Table::History, &record.encode())?));
            Ok(())
        }
        Change::ReplaceHistory(id, record) => {
            writer.must_remove(Table::History, id.0)?;
            writer.put(Table::History, id.0, &record.encode())
        }
        Change::KeepHistory(entries) => writer.keep_newest(Table::History, *entries),
        Change::Audit(event) => writer.append_audit(event),
        Change::KeepAudit(entries) => writer.keep_newest(Table::Audit, *entries),
        Change::PutAuthenticatorState(which, state) => writer.put(Table::Authenticator, which.row(), state),
        Change::RemoveAuthenticatorState(which) => {
            writer.remove(Table::Authenticator, which.row()).map(|_| ())
        }
        Change::PutSettings(settings) => writer.put(Table::Setting, ONLY_ROW, &settings.encode()),
    }
}

fn bad(table: Table, row: i64) -> impl Fn(RecordError) -> StoreError {
    move |source| StoreError::Record { table, row, source }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("wallet", &self.wallet)
            .field("generation", &self.head.generation)
            .field("cards", &self.cards.len())
            .finish_non_exhaustive()
    }
}
