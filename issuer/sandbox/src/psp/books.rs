//! The provider's books in SQLite: payments by mozPay, and notices that the shops have not confirmed. Durable when it returns.

use crate::error::SandboxError;
use crate::moz_pay::NoticeKind;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE payments (
    digest BLOB PRIMARY KEY, transaction_id TEXT NOT NULL UNIQUE, merchant TEXT NOT NULL, typ TEXT NOT NULL,
    request_id TEXT NOT NULL, request TEXT NOT NULL, jwt TEXT NOT NULL, issuer_request TEXT NOT NULL, at_ms INTEGER NOT NULL,
    state TEXT NOT NULL, reference TEXT, error TEXT, message TEXT) STRICT;
CREATE INDEX payments_by_request ON payments (merchant, request_id);
CREATE TABLE notices (
    number INTEGER PRIMARY KEY AUTOINCREMENT, transaction_id TEXT NOT NULL REFERENCES payments (transaction_id),
    kind TEXT NOT NULL, reason TEXT, attempts INTEGER NOT NULL, due_ms INTEGER NOT NULL, delivered_ms INTEGER) STRICT;
CREATE INDEX notices_open ON notices (due_ms) WHERE delivered_ms IS NULL;
";

/// The books.
#[derive(Debug)]
pub struct PspBooks {
    connection: Mutex<Connection>,
}

/// What became of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The bank has not answered yet.
    Pending,
    /// Booked, under this reference of the bank's.
    Booked(String),
    /// Booked, and given back.
    Refunded,
    /// Declined by the bank, for this reason.
    Declined(String),
    /// Refused by the bank: code and text.
    Refused(String, String),
}

/// A payment by mozPay.
#[derive(Clone, Debug)]
pub struct Payment {
    /// SHA-256 of what was delivered.
    pub digest: [u8; 32],
    /// The provider's name of it.
    pub transaction_id: String,
    /// The PSP's name of the merchant.
    pub merchant: String,
    /// `typ` of the request.
    pub typ: String,
    /// `request.id`.
    pub request_id: String,
    /// `request`, as JSON.
    pub request: String,
    /// The request's JWT.
    pub jwt: String,
    /// What the bank is asked.
    pub issuer_request: String,
    /// When it came, in milliseconds since 1970.
    pub at_ms: i64,
    /// What became of it.
    pub state: State,
}

/// What the books say to a new payment.
#[derive(Debug)]
pub enum Opened {
    /// It is pending now, or was delivered before: what is known of it.
    Known(Box<Payment>),
    /// The shop's request was paid by another delivery.
    AlreadyPaid,
    /// Another delivery for the shop's request is at the bank.
    InProgress,
}

/// A notice that a shop has to confirm.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its number.
    pub number: i64,
    /// About which payment.
    pub payment: Payment,
    /// Where it goes.
    pub kind: NoticeKind,
    /// Why money was not paid, or given back: `failed` or `refund`.
    pub reason: Option<String>,
    /// How often it was sent.
    pub attempts: u32,
    /// When the shop confirmed it, in milliseconds since 1970.
    pub delivered_ms: Option<i64>,
}

const PAYMENT: &str =
    "digest, transaction_id, merchant, typ, request_id, request, jwt, issuer_request, at_ms, state,
    reference, error, message";

impl PspBooks {
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
            0 => transaction.execute_batch(SCHEMA)?,
            SCHEMA_VERSION => {}
            found => return Err(SandboxError::NewerBooks { found, known: SCHEMA_VERSION }),
        }
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The payment that was delivered with this digest.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn delivered(&self, digest: &[u8; 32]) -> Result<Option<Payment>, SandboxError> {
        find(&self.connection(), "digest = ?1", params![digest])
    }

    /// The payment with this transaction ID.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn payment(&self, transaction_id: &str) -> Result<Option<Payment>, SandboxError> {
        find(&self.connection(), "transaction_id = ?1", params![transaction_id])
    }

    /// Payments that have waited for the bank's answer since `since_ms` or longer.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn pending(&self, since_ms: i64) -> Result<Vec<Payment>, SandboxError> {
        let connection = self.connection();
        let sql = format!("SELECT {PAYMENT} FROM payments WHERE state = 'pending' AND at_ms <= ?1");
        let mut statement = connection.prepare(&sql)?;
        statement.query_map([since_ms], |row| Ok(read(row, 0)))?.collect::<Result<Result<_, _>, _>>()?
    }

    /// Opens a payment, of which nothing is known: each request of a shop is paid once, by whatever card.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn open_payment(&self, payment: &Payment) -> Result<Opened, SandboxError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(known) = find(&transaction, "digest = ?1", params![payment.digest])? {
            return Ok(Opened::Known(Box::new(known)));
        }
        let others = |state: &str| -> Result<bool, SandboxError> {
            let sql = "SELECT EXISTS (SELECT 1 FROM payments WHERE merchant = ?1 AND request_id = ?2 AND state = ?3)";
            let arguments = params![payment.merchant, payment.request_id, state];
            Ok(transaction.query_row(sql, arguments, |row| row.get(0))?)
        };
        if others("booked")? || others("refunded")? {
            return Ok(Opened::AlreadyPaid);
        }
        if others("pending")? {
            return Ok(Opened::InProgress);
        }
        transaction.execute(
            "INSERT INTO payments (digest, transaction_id, merchant, typ, request_id, request, jwt, issuer_request, at_ms, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'pending')",
            params![
                payment.digest,
                payment.transaction_id,
                payment.merchant,
                payment.typ,
                payment.request_id,
                payment.request,
                payment.jwt,
                payment.issuer_request,
                payment.at_ms
            ],
        )?;
        transaction.commit()?;
        Ok(Opened::Known(Box::new(payment.clone())))
    }

    /// Notes what the bank said to a pending payment, and the notice that the shop gets of it, in one transaction. What was noted
    /// before stays.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn settle(&self, transaction_id: &str, state: &State, now_ms: i64) -> Result<(), SandboxError> {
        let (word, reference, error, message, notice) = match state {
            State::Pending | State::Refunded => return Ok(()),
            State::Booked(reference) => {
                ("booked", Some(reference), None, None, Some((NoticeKind::Postback, None)))
            }
            State::Declined(message) => {
                ("declined", None, None, Some(message), Some((NoticeKind::Chargeback, Some("failed"))))
            }
            // Anybody who has seen a request can have it refused; the shop hears of what a user has authorized only.
            State::Refused(error, message) => ("refused", None, Some(error), Some(message), None),
        };
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = transaction.execute(
            "UPDATE payments SET state = ?2, reference = ?3, error = ?4, message = ?5
             WHERE transaction_id = ?1 AND state = 'pending'",
            params![transaction_id, word, reference, error, message],
        )?;
        if let (1, Some((kind, reason))) = (changed, notice) {
            queue(&transaction, transaction_id, kind, reason, now_ms)?;
        }
        Ok(transaction.commit()?)
    }

    /// Notes that a booked payment was given back, and the shop's notice of it.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn refund(&self, transaction_id: &str, now_ms: i64) -> Result<(), SandboxError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "UPDATE payments SET state = 'refunded' WHERE transaction_id = ?1 AND state = 'booked'";
        if transaction.execute(sql, [transaction_id])? == 1 {
            queue(&transaction, transaction_id, NoticeKind::Chargeback, Some("refund"), now_ms)?;
        }
        Ok(transaction.commit()?)
    }

    /// The notices that are due, one a payment: the next one waits until the shop has confirmed it.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn due(&self, now_ms: i64) -> Result<Vec<Notice>, SandboxError> {
        self.notices(
            "delivered_ms IS NULL AND due_ms <= ?1 AND number IN
             (SELECT min(number) FROM notices WHERE delivered_ms IS NULL GROUP BY transaction_id) ORDER BY due_ms",
            now_ms,
        )
    }

    /// The notices from number `from` on.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn all_notices(&self, from: i64) -> Result<Vec<Notice>, SandboxError> {
        self.notices("number >= ?1 ORDER BY number", from)
    }

    fn notices(&self, condition: &str, argument: i64) -> Result<Vec<Notice>, SandboxError> {
        let connection = self.connection();
        let sql = format!(
            "SELECT number, kind, reason, attempts, delivered_ms, {PAYMENT} FROM notices
             JOIN payments USING (transaction_id) WHERE {condition}"
        );
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_map([argument], |row| {
            let kind: String = row.get(1)?;
            let (number, reason, attempts, delivered_ms) =
                (row.get(0)?, row.get(2)?, row.get(3)?, row.get(4)?);
            Ok(read(row, 5).and_then(|payment| {
                let kinds = [NoticeKind::Postback, NoticeKind::Chargeback];
                let kind = kinds.into_iter().find(|known| known.word() == kind);
                let kind = kind.ok_or(SandboxError::DamagedBooks("a notice is of no kind"))?;
                Ok(Notice { number, payment, kind, reason, attempts, delivered_ms })
            }))
        })?;
        rows.collect::<Result<Result<_, _>, _>>()?
    }

    /// When the next notice is due, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn next_due(&self) -> Result<Option<i64>, SandboxError> {
        let sql = "SELECT min(due_ms) FROM notices WHERE delivered_ms IS NULL";
        Ok(self.connection().query_row(sql, [], |row| row.get(0))?)
    }

    /// Notes that a notice was sent: confirmed now, or due again.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn note_sent(&self, number: i64, sent: Result<i64, i64>) -> Result<(), SandboxError> {
        let (delivered_ms, due_ms) = (sent.ok(), sent.err());
        self.connection().execute(
            "UPDATE notices SET attempts = attempts + 1, delivered_ms = ?2, due_ms = coalesce(?3, due_ms) WHERE number = ?1",
            params![number, delivered_ms, due_ms],
        )?;
        Ok(())
    }
}

fn queue(
    connection: &Connection,
    transaction_id: &str,
    kind: NoticeKind,
    reason: Option<&str>,
    now_ms: i64,
) -> Result<(), SandboxError> {
    let sql =
        "INSERT INTO notices (transaction_id, kind, reason, attempts, due_ms) VALUES (?1, ?2, ?3, 0, ?4)";
    connection.execute(sql, params![transaction_id, kind.word(), reason, now_ms])?;
    Ok(())
}

fn find(
    connection: &Connection,
    condition: &str,
    arguments: &[&dyn rusqlite::ToSql],
) -> Result<Option<Payment>, SandboxError> {
    let sql = format!("SELECT {PAYMENT} FROM payments WHERE {condition}");
    connection.query_row(&sql, arguments, |row| Ok(read(row, 0))).optional()?.transpose()
}

/// A payment from a row that has the columns of [`PAYMENT`] from `at` on.
fn read(row: &rusqlite::Row<'_>, at: usize) -> Result<Payment, SandboxError> {
    let damaged = || SandboxError::DamagedBooks("a payment's state is none");
    let word: String = row.get(at + 9)?;
    let text = |index: usize| -> Result<String, SandboxError> {
        row.get::<_, Option<String>>(at + index)?.ok_or_else(damaged)
    };
    let state = match word.as_str() {
        "pending" => State::Pending,
        "booked" => State::Booked(text(10)?),
        "refunded" => State::Refunded,
        "declined" => State::Declined(text(12)?),
        "refused" => State::Refused(text(11)?, text(12)?),
        _ => return Err(damaged()),
    };
    Ok(Payment {
        digest: row.get(at)?,
        transaction_id: row.get(at + 1)?,
        merchant: row.get(at + 2)?,
        typ: row.get(at + 3)?,
        request_id: row.get(at + 4)?,
        request: row.get(at + 5)?,
        jwt: row.get(at + 6)?,
        issuer_request: row.get(at + 7)?,
        at_ms: row.get(at + 8)?,
        state,
    })
}
