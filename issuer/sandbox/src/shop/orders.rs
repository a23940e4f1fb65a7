//! A shop's orders, in its own SQLite file: shop and bank share nothing but messages.

use super::mozpay::NoticeRefusal;
use crate::error::SandboxError;
use fwp::{Amount, Currency, FwpAssertion};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SCHEMA_VERSION: i64 = 2;

const SCHEMA: &str = "
CREATE TABLE orders (
    number INTEGER PRIMARY KEY, amount TEXT NOT NULL, currency TEXT NOT NULL, state TEXT NOT NULL, reference TEXT,
    network TEXT, issuer TEXT, user_authorization BLOB) STRICT;
";

/// What version 2 has on top: pages under several names, mozPay, and why an order is not paid.
const SCHEMA_2: &str = "
ALTER TABLE orders ADD COLUMN payee_host TEXT NOT NULL DEFAULT 'spaceshop.com';
ALTER TABLE orders ADD COLUMN message TEXT;
ALTER TABLE orders ADD COLUMN transaction_id TEXT;
CREATE TABLE notices (jti TEXT PRIMARY KEY, until_s INTEGER NOT NULL) STRICT;
";

/// A shop's orders.
#[derive(Debug)]
pub struct Orders {
    first: i64,
    connection: Mutex<Connection>,
}

/// One order.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its number, which is the requestId too.
    pub number: i64,
    /// What it costs.
    pub amount: Amount,
    /// In this currency.
    pub currency: Currency,
    /// The host of the page on which it was put in.
    pub payee_host: String,
    /// `open`, `booked`, `declined`, `refused` or `refunded`.
    pub state: String,
    /// The bank's reference, once booked. The provider of a mozPay payment does not tell it.
    pub reference: Option<String>,
    /// Why it was declined or refused.
    pub message: Option<String>,
    /// The provider's ID of the mozPay payment.
    pub transaction_id: Option<String>,
    /// The FWP assertion with which it was checked out last.
    pub assertion: Option<FwpAssertion>,
}

/// Columns of an order, as [`read_order`] takes them.
const COLUMNS: &str =
    "number, amount, currency, state, reference, network, issuer, user_authorization, payee_host,
    message, transaction_id";

impl Order {
    /// A word for the page: `paid` for a booked order, otherwise the state.
    pub fn word(&self) -> &str {
        if self.state == "booked" { "paid" } else { &self.state }
    }
}

impl Orders {
    /// Opens the orders at `path`, or starts new ones, the first with the number `first`.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::NewerBooks`].
    pub fn open(path: &Path, first: i64) -> Result<Self, SandboxError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match transaction.pragma_query_value(None, "user_version", |row| row.get(0))? {
            0 => {
                transaction.execute_batch(SCHEMA)?;
                transaction.execute_batch(SCHEMA_2)?;
            }
            1 => transaction.execute_batch(SCHEMA_2)?,
            SCHEMA_VERSION => {}
            found => return Err(SandboxError::NewerBooks { found, known: SCHEMA_VERSION }),
        }
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
        Ok(Self { first, connection: Mutex::new(connection) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new order, put in on a page of `payee_host`.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn take(&self, amount: &Amount, currency: Currency, payee_host: &str) -> Result<Order, SandboxError> {
        let sql = format!(
            "INSERT INTO orders (number, amount, currency, state, payee_host)
             SELECT coalesce(max(number) + 1, ?1), ?2, ?3, 'open', ?4 FROM orders RETURNING {COLUMNS}"
        );
        let arguments = params![self.first, amount.as_str(), currency.as_str(), payee_host];
        self.connection().query_row(&sql, arguments, |row| Ok(read_order(row)))?
    }

    /// The order with this number.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn order(&self, number: i64) -> Result<Option<Order>, SandboxError> {
        let sql = format!("SELECT {COLUMNS} FROM orders WHERE number = ?1");
        self.connection().query_row(&sql, [number], |row| Ok(read_order(row))).optional()?.transpose()
    }

    /// The order that was paid with this transaction of a provider's.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn order_of(&self, transaction_id: &str) -> Result<Option<Order>, SandboxError> {
        let sql = format!("SELECT {COLUMNS} FROM orders WHERE transaction_id = ?1");
        self.connection().query_row(&sql, [transaction_id], |row| Ok(read_order(row))).optional()?.transpose()
    }

    /// The newest orders, at most `limit`.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn newest(&self, limit: u32) -> Result<Vec<Order>, SandboxError> {
        let connection = self.connection();
        let sql = format!("SELECT {COLUMNS} FROM orders ORDER BY number DESC LIMIT ?1");
        let mut statement = connection.prepare(&sql)?;
        statement.query_map([limit], |row| Ok(read_order(row)))?.collect::<Result<Result<_, _>, _>>()?
    }

    /// Keeps the assertion with which an order is being checked out.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn keep_assertion(&self, number: i64, assertion: &FwpAssertion) -> Result<(), SandboxError> {
        self.connection().execute(
            "UPDATE orders SET network = ?2, issuer = ?3, user_authorization = ?4 WHERE number = ?1",
            params![number, assertion.payment_network_id, assertion.issuer_id, assertion.user_authorization],
        )?;
        Ok(())
    }

    /// Notes what the bank said. What is booked stays booked, and what was refunded stays so.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn note_state(
        &self,
        number: i64,
        state: &str,
        reference: Option<&str>,
        message: Option<&str>,
    ) -> Result<(), SandboxError> {
        self.connection().execute(
            "UPDATE orders SET state = ?2, reference = ?3, message = ?4, transaction_id = NULL
             WHERE number = ?1 AND state NOT IN ('booked', 'refunded')",
            params![number, state, reference, message],
        )?;
        Ok(())
    }

    /// Notes what a verified notice of a provider's says, once for each notice: the first counts, another that says the same of
    /// the same transaction is confirmed, too, and changes nothing.
    ///
    /// # Errors
    /// [`SandboxError::Books`]. The inner error is why it is not believed.
    pub fn note_notice(
        &self,
        jti: &str,
        until_s: i64,
        number: i64,
        transaction_id: &str,
        noticed: &NoticedState,
    ) -> Result<Result<(), NoticeRefusal>, SandboxError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "INSERT INTO notices VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        if transaction.execute(sql, params![jti, until_s])? == 0 {
            return Ok(Err(NoticeRefusal::Replay));
        }
        let (state, message, from) = match noticed {
            NoticedState::Paid => ("booked", None, "state NOT IN ('booked', 'refunded')"),
            NoticedState::Failed(message) => {
                ("declined", Some(message), "state NOT IN ('booked', 'refunded')")
            }
            NoticedState::Refunded => ("refunded", None, "state = 'booked' AND transaction_id = ?3"),
        };
        let changed = transaction.execute(
            &format!(
                "UPDATE orders SET state = ?2, transaction_id = ?3, message = ?4, reference = NULL WHERE number = ?1 AND {from}"
            ),
            params![number, state, transaction_id, message],
        )?;
        let same =
            "SELECT EXISTS (SELECT 1 FROM orders WHERE number = ?1 AND state = ?2 AND transaction_id = ?3)";
        let same: bool =
            transaction.query_row(same, params![number, state, transaction_id], |row| row.get(0))?;
        // A payment failed, and another one has paid the order since: that is true, and changes nothing.
        let other = "SELECT EXISTS (SELECT 1 FROM orders WHERE number = ?1 AND transaction_id IS NOT ?2)";
        let is_past = matches!(noticed, NoticedState::Failed(_))
            && transaction.query_row(other, params![number, transaction_id], |row| row.get(0))?;
        if changed == 0 && !same && !is_past {
            return Ok(Err(NoticeRefusal::State));
        }
        transaction.commit()?;
        Ok(Ok(()))
    }

    /// Forgets which notices came that would have expired by `now_s`.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn forget_notices(&self, now_s: i64) -> Result<(), SandboxError> {
        self.connection().execute("DELETE FROM notices WHERE until_s < ?1", [now_s])?;
        Ok(())
    }
}

/// What a provider says of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticedState {
    /// It is paid.
    Paid,
    /// It is not paid, for this reason.
    Failed(String),
    /// The money was given back.
    Refunded,
}

fn read_order(row: &rusqlite::Row<'_>) -> Result<Order, SandboxError> {
    let (amount, currency): (String, String) = (row.get(1)?, row.get(2)?);
    let (Ok(amount), Ok(currency)) = (Amount::parse(&amount), Currency::parse(&currency)) else {
        return Err(SandboxError::DamagedBooks("an order has no valid amount"));
    };
    let assertion = match (row.get(5)?, row.get(6)?, row.get(7)?) {
        (Some(payment_network_id), Some(issuer_id), Some(user_authorization)) => {
            Some(FwpAssertion { payment_network_id, issuer_id, user_authorization })
        }
        _ => None,
    };
    Ok(Order {
        number: row.get(0)?,
        amount,
        currency,
        state: row.get(3)?,
        reference: row.get(4)?,
        assertion,
        payee_host: row.get(8)?,
        message: row.get(9)?,
        transaction_id: row.get(10)?,
    })
}
