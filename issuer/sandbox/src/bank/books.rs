//! The bank's books in SQLite: accounts, cards, replay entries, bookings. One connection, one transaction per decision,
//! durable when it returns.

use crate::bank::funds::{Cents, cents_of};
use crate::bank::issued::Voucher;
use crate::error::SandboxError;
use fwp::{AccountId, Amount, Currency, Prcd};
use fwp_verifier::Verified;
use fwp_verifier::booking::{
    Answer, BookedRequest, Books, CardRecord, ReplayEntry, Risk, Store, UniquenessKey,
};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Version of the schema, in `PRAGMA user_version`.
const SCHEMA_VERSION: i64 = 3;

const SCHEMA: &str = "
CREATE TABLE accounts (id TEXT PRIMARY KEY, holder TEXT NOT NULL, currency TEXT NOT NULL, cents INTEGER NOT NULL) STRICT;
CREATE TABLE cards (
    serial_number TEXT PRIMARY KEY, account_id TEXT NOT NULL REFERENCES accounts, payment_network_id TEXT NOT NULL,
    credential_id BLOB NOT NULL, public_key_sha256 BLOB NOT NULL) STRICT;
CREATE TABLE sign_counts (public_key_sha256 BLOB PRIMARY KEY, count INTEGER NOT NULL) STRICT;
CREATE TABLE offers (challenge BLOB PRIMARY KEY, offer TEXT NOT NULL, until_ms INTEGER NOT NULL) STRICT;
CREATE TABLE replays (
    replay_key BLOB PRIMARY KEY, delivery BLOB NOT NULL, reference TEXT, declined TEXT, keep_until_ms INTEGER NOT NULL) STRICT;
CREATE INDEX replays_by_time ON replays (keep_until_ms);
CREATE TABLE bookings (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, merchant TEXT NOT NULL, payee_host TEXT NOT NULL,
    request_id TEXT NOT NULL, account_id TEXT NOT NULL REFERENCES accounts, payee_name TEXT NOT NULL, amount TEXT NOT NULL,
    currency TEXT NOT NULL, receive_account TEXT NOT NULL, cents INTEGER NOT NULL, counter_stepped_back INTEGER NOT NULL) STRICT;
CREATE INDEX bookings_by_request ON bookings (request_id, payee_host, account_id, merchant, at_ms);
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, merchant TEXT NOT NULL, transaction_id TEXT NOT NULL,
    status TEXT NOT NULL, view TEXT NOT NULL) STRICT;
";

/// What version 2 has on top.
const SCHEMA_2: &str = "
CREATE TABLE attested_keys (public_key_sha256 BLOB PRIMARY KEY, aaguid BLOB NOT NULL, voucher TEXT NOT NULL) STRICT;
";

/// What version 3 has on top.
const SCHEMA_3: &str = "
CREATE TABLE refunds (booking INTEGER PRIMARY KEY REFERENCES bookings (number), at_ms INTEGER NOT NULL) STRICT;
";

/// The books. Several may be open on one file, also in several processes.
#[derive(Debug)]
pub struct BankBooks {
    connection: Mutex<Connection>,
}

/// The books within one transaction.
#[derive(Debug)]
pub struct BooksTransaction<'t>(Transaction<'t>);

/// How the bank names a booking to the merchant.
fn reference(number: i64) -> String {
    format!("B-{number:06}")
}

impl BankBooks {
    /// Opens the books at `path`, or starts new ones.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::NewerBooks`].
    pub fn open(path: &Path) -> Result<Self, SandboxError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match transaction.pragma_query_value(None, "user_version", |row| row.get(0))? {
            0 => {
                transaction.execute_batch(SCHEMA)?;
                transaction.execute_batch(SCHEMA_2)?;
                transaction.execute_batch(SCHEMA_3)?;
            }
            1 => {
                transaction.execute_batch(SCHEMA_2)?;
                transaction.execute_batch(SCHEMA_3)?;
            }
            2 => transaction.execute_batch(SCHEMA_3)?,
            SCHEMA_VERSION => {}
            found => return Err(SandboxError::NewerBooks { found, known: SCHEMA_VERSION }),
        }
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic in a transaction has rolled it back when the lock was given up, so the connection is sound.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens an account, if there is none of that identifier.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn open_account(
        &self,
        id: &AccountId,
        holder: &str,
        currency: Currency,
        balance: Cents,
    ) -> Result<(), SandboxError> {
        let sql = "INSERT INTO accounts (id, holder, currency, cents) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
        self.connection().execute(sql, params![id.as_str(), holder, currency.as_str(), balance.0])?;
        Ok(())
    }

    /// What is in an account.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn balance(&self, id: &AccountId) -> Result<Option<Cents>, SandboxError> {
        let sql = "SELECT cents FROM accounts WHERE id = ?1";
        Ok(self.connection().query_row(sql, [id.as_str()], |row| row.get(0).map(Cents)).optional()?)
    }

    /// How many payments are booked.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn booking_count(&self) -> Result<i64, SandboxError> {
        Ok(self.connection().query_row("SELECT count(*) FROM bookings", [], |row| row.get(0))?)
    }

    /// Gives the money of a booking back to its account, once. Whether there is such a booking of `merchant`.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn refund(&self, booked_as: &str, merchant: &str, now_ms: i64) -> Result<bool, SandboxError> {
        let number = booked_as.strip_prefix("B-").and_then(|number| number.parse::<i64>().ok());
        let Some(number) = number.filter(|number| reference(*number) == booked_as) else { return Ok(false) };
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "SELECT account_id, cents FROM bookings WHERE number = ?1 AND merchant = ?2";
        let booking: Option<(String, i64)> = transaction
            .query_row(sql, params![number, merchant], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((account_id, cents)) = booking else { return Ok(false) };
        let sql = "INSERT INTO refunds VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        if transaction.execute(sql, params![number, now_ms])? == 1 {
            let sql = "UPDATE accounts SET cents = cents + ?2 WHERE id = ?1";
            transaction.execute(sql, params![account_id, cents])?;
        }
        transaction.commit()?;
        Ok(true)
    }

    /// Notes a delivery and what became of it, for the bank's own eyes. Returns its number.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn note_delivery(&self, noted: &NotedDelivery) -> Result<i64, SandboxError> {
        let connection = self.connection();
        connection.execute(
            "INSERT INTO deliveries (at_ms, merchant, transaction_id, status, view) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![noted.at_ms, noted.merchant, noted.transaction, noted.status, noted.view],
        )?;
        Ok(connection.last_insert_rowid())
    }

    /// The newest deliveries, at most `limit`.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn deliveries(&self, limit: u32) -> Result<Vec<(i64, NotedDelivery)>, SandboxError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT number, at_ms, merchant, transaction_id, status, view FROM deliveries ORDER BY number DESC LIMIT ?1",
        )?;
        let rows = statement.query_map([limit], NotedDelivery::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The delivery with this number.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn delivery(&self, number: i64) -> Result<Option<(i64, NotedDelivery)>, SandboxError> {
        let sql =
            "SELECT number, at_ms, merchant, transaction_id, status, view FROM deliveries WHERE number = ?1";
        Ok(self.connection().query_row(sql, [number], NotedDelivery::read).optional()?)
    }

    /// Keeps an offer open until `until_ms`, and forgets those whose time is over.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn open_offer(
        &self,
        challenge: &[u8],
        offer: &str,
        until_ms: i64,
        now_ms: i64,
    ) -> Result<(), SandboxError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute("DELETE FROM offers WHERE until_ms < ?1", [now_ms])?;
        transaction.execute("INSERT INTO offers VALUES (?1, ?2, ?3)", params![challenge, offer, until_ms])?;
        Ok(transaction.commit()?)
    }

    /// The open offer with this challenge.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn offer(&self, challenge: &[u8], now_ms: i64) -> Result<Option<String>, SandboxError> {
        let sql = "SELECT offer FROM offers WHERE challenge = ?1 AND until_ms >= ?2";
        Ok(self.connection().query_row(sql, params![challenge, now_ms], |row| row.get(0)).optional()?)
    }

    /// Issues cards for a key and closes the offer, in one transaction. `make` gets a fresh serial number for each of
    /// `accounts` and returns the card's network. `None` if the offer is not open any more.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn issue_cards(&self, issue: &CardIssue<'_>) -> Result<Option<Vec<String>>, SandboxError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if transaction.execute("DELETE FROM offers WHERE challenge = ?1", [issue.challenge])? == 0 {
            return Ok(None);
        }
        let issued: i64 = transaction.query_row("SELECT count(*) FROM cards", [], |row| row.get(0))?;
        let mut serial_numbers = Vec::new();
        for ((account_id, network), number) in issue.cards.iter().zip(issued..) {
            let serial_number = format!("{:010}", FIRST_SERIAL_NUMBER + number);
            transaction.execute(
                "INSERT INTO cards VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    serial_number,
                    account_id.as_str(),
                    network,
                    issue.credential_id,
                    issue.public_key_sha256
                ],
            )?;
            serial_numbers.push(serial_number);
        }
        transaction.execute(
            "INSERT INTO attested_keys VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET aaguid = ?2, voucher = ?3",
            params![issue.public_key_sha256, issue.aaguid, issue.voucher.word()],
        )?;
        BooksTransaction(transaction).note_and_commit(issue)?;
        Ok(Some(serial_numbers))
    }
}

/// The serial number in the FIDO Web Pay document's sample.
const FIRST_SERIAL_NUMBER: i64 = 57_162_932;

/// Cards to be issued for one FIDO key.
#[derive(Debug)]
pub struct CardIssue<'a> {
    /// Challenge of the offer that is used up.
    pub challenge: &'a [u8],
    /// The key.
    pub credential_id: &'a [u8],
    /// SHA-256 of the key's COSE form.
    pub public_key_sha256: [u8; 32],
    /// Model of the authenticator.
    pub aaguid: [u8; 16],
    /// Who vouches for the key.
    pub voucher: Voucher,
    /// The key's signature counter at the start.
    pub sign_count: u32,
    /// Account and payment network of each card.
    pub cards: &'a [(AccountId, &'a str)],
}

/// A delivery as the bank's staff sees it.
#[derive(Clone, Debug)]
pub struct NotedDelivery {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The merchant as the PSP names it.
    pub merchant: String,
    /// The PSP's transaction.
    pub transaction: String,
    /// `booked`, `duplicate`, `declined` or `refused`.
    pub status: String,
    /// What the page shows, as JSON.
    pub view: String,
}

impl NotedDelivery {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, Self)> {
        let noted = Self {
            at_ms: row.get(1)?,
            merchant: row.get(2)?,
            transaction: row.get(3)?,
            status: row.get(4)?,
            view: row.get(5)?,
        };
        Ok((row.get(0)?, noted))
    }
}

impl Store for BankBooks {
    type Error = SandboxError;
    type Books<'t> = BooksTransaction<'t>;

    fn transaction<T, E: From<SandboxError>>(
        &self,
        work: impl FnOnce(&mut BooksTransaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        // Dropped without a commit, a transaction is rolled back.
        let mut books = BooksTransaction(transaction.map_err(SandboxError::from)?);
        let result = work(&mut books)?;
        books.0.commit().map_err(SandboxError::from)?;
        Ok(result)
    }
}

impl BooksTransaction<'_> {
    fn note_and_commit(mut self, issue: &CardIssue<'_>) -> Result<(), SandboxError> {
        self.note_sign_count(&issue.public_key_sha256, issue.sign_count)?;
        Ok(self.0.commit()?)
    }
}

impl Books for BooksTransaction<'_> {
    type Error = SandboxError;

    fn card(
        &mut self,
        account_id: &AccountId,
        serial_number: &str,
    ) -> Result<Option<CardRecord>, SandboxError> {
        let sql = "SELECT public_key_sha256, payment_network_id FROM cards WHERE serial_number = ?1 AND account_id = ?2";
        let found = self.0.query_row(sql, params![serial_number, account_id.as_str()], |row| {
            Ok(CardRecord { public_key_sha256: row.get(0)?, payment_network_id: row.get(1)? })
        });
        Ok(found.optional()?)
    }

    fn replay_entry(&mut self, replay_key: &[u8; 32]) -> Result<Option<ReplayEntry>, SandboxError> {
        let sql = "SELECT delivery, reference, declined FROM replays WHERE replay_key = ?1";
        let found: Option<([u8; 32], Option<String>, Option<String>)> = self
            .0
            .query_row(sql, [replay_key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        match found {
            None => Ok(None),
            Some((delivery, Some(reference), None)) => {
                Ok(Some(ReplayEntry { delivery, answer: Answer::Booked { reference } }))
            }
            Some((delivery, None, Some(reason))) => {
                Ok(Some(ReplayEntry { delivery, answer: Answer::Declined { reason } }))
            }
            Some(_) => Err(SandboxError::DamagedBooks("a replay entry has no answer, or two")),
        }
    }

    fn keep_replay_entry(
        &mut self,
        replay_key: &[u8; 32],
        entry: &ReplayEntry,
        keep_until_ms: i64,
    ) -> Result<(), SandboxError> {
        let (reference, declined) = match &entry.answer {
            Answer::Booked { reference } => (Some(reference), None),
            Answer::Declined { reason } => (None, Some(reason)),
        };
        let sql = "INSERT INTO replays VALUES (?1, ?2, ?3, ?4, ?5)";
        self.0.execute(sql, params![replay_key, entry.delivery, reference, declined, keep_until_ms])?;
        Ok(())
    }

    fn forget_replay_entries(&mut self, now_ms: i64) -> Result<(), SandboxError> {
        self.0.execute("DELETE FROM replays WHERE keep_until_ms < ?1", [now_ms])?;
        Ok(())
    }

    fn booked_request(
        &mut self,
        key: &UniquenessKey,
        since_ms: i64,
    ) -> Result<Option<BookedRequest>, SandboxError> {
        let sql = "SELECT number, payee_name, amount, currency FROM bookings WHERE request_id = ?1 AND payee_host = ?2
                   AND account_id = ?3 AND merchant = ?4 AND at_ms > ?5 ORDER BY number LIMIT 1";
        let arguments =
            params![key.request_id, key.payee_host, key.account_id.as_str(), key.merchant, since_ms];
        let found: Option<(i64, String, String, String)> = self
            .0
            .query_row(sql, arguments, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        let Some((number, payee_name, amount, currency)) = found else { return Ok(None) };
        let damaged = SandboxError::DamagedBooks("a booking has no valid amount");
        let (Ok(amount), Ok(currency)) = (Amount::parse(&amount), Currency::parse(&currency)) else {
            return Err(damaged);
        };
        let prcd = Prcd { payee_name, request_id: key.request_id.clone(), amount, currency };
        Ok(Some(BookedRequest { prcd, reference: reference(number) }))
    }

    fn note_sign_count(
        &mut self,
        public_key_sha256: &[u8; 32],
        count: u32,
    ) -> Result<Option<u32>, SandboxError> {
        let sql = "SELECT count FROM sign_counts WHERE public_key_sha256 = ?1";
        let before: Option<u32> = self.0.query_row(sql, [public_key_sha256], |row| row.get(0)).optional()?;
        self.0.execute(
            "INSERT INTO sign_counts VALUES (?1, ?2) ON CONFLICT DO UPDATE SET count = max(count, ?2)",
            params![public_key_sha256, count],
        )?;
        Ok(before)
    }

    fn book(
        &mut self,
        payment: &Verified,
        key: &UniquenessKey,
        risk: Risk,
        now_ms: i64,
    ) -> Result<Answer, SandboxError> {
        let prcd = &payment.authorization().payment_request;
        let sql = "SELECT currency, cents FROM accounts WHERE id = ?1";
        let (currency, balance): (String, i64) =
            self.0.query_row(sql, [key.account_id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let declined = |reason: &str| Ok(Answer::Declined { reason: reason.to_owned() });
        if currency != prcd.currency.as_str() {
            return declined("the account is not kept in that currency");
        }
        let Some(amount) = cents_of(&prcd.amount) else {
            return declined("the amount is not in whole cents");
        };
        if amount.0 == 0 || amount.0 > balance {
            return declined(if amount.0 == 0 { "there is nothing to pay" } else { "insufficient funds" });
        }
        self.0.execute(
            "UPDATE accounts SET cents = cents - ?2 WHERE id = ?1",
            params![key.account_id.as_str(), amount.0],
        )?;
        self.0.execute(
            "INSERT INTO bookings (at_ms, merchant, payee_host, request_id, account_id, payee_name, amount, currency,
             receive_account, cents, counter_stepped_back) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                now_ms,
                key.merchant,
                key.payee_host,
                key.request_id,
                key.account_id.as_str(),
                prcd.payee_name,
                prcd.amount.as_str(),
                prcd.currency.as_str(),
                payment.request().psp_request.receive_account,
                amount.0,
                risk.counter_stepped_back,
            ],
        )?;
        Ok(Answer::Booked { reference: reference(self.0.last_insert_rowid()) })
    }
}
