//! The shop's orders, in its own SQLite file: the shop and the bank share nothing but messages.

use crate::error::SandboxError;
use fwp::{Amount, Currency, FwpAssertion, Prcd};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE orders (
    number INTEGER PRIMARY KEY, amount TEXT NOT NULL, currency TEXT NOT NULL, state TEXT NOT NULL, reference TEXT,
    network TEXT, issuer TEXT, user_authorization BLOB) STRICT;
";

/// The number of the first order: the one of the FIDO Web Pay document's sample.
pub const FIRST_ORDER: i64 = 7_040_566_321;

/// The shop's orders.
#[derive(Debug)]
pub struct Orders {
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
    /// `open`, `booked`, `declined` or `refused`.
    pub state: String,
    /// The bank's reference, once booked.
    pub reference: Option<String>,
    /// The FWP assertion with which it was checked out last.
    pub assertion: Option<FwpAssertion>,
}

impl Order {
    /// What the user is asked to authorize.
    pub fn prcd(&self) -> Prcd {
        Prcd {
            payee_name: super::NAME.to_owned(),
            request_id: self.number.to_string(),
            amount: self.amount.clone(),
            currency: self.currency,
        }
    }
}

impl Orders {
    /// Opens the orders at `path`, or starts new ones.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::NewerBooks`].
    pub fn open(path: &Path) -> Result<Self, SandboxError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
            0 => {
                connection.execute_batch(SCHEMA)?;
                connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            }
            SCHEMA_VERSION => {}
            found => return Err(SandboxError::NewerBooks { found, known: SCHEMA_VERSION }),
        }
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new order.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn take(&self, amount: &Amount, currency: Currency) -> Result<Order, SandboxError> {
        let sql = "INSERT INTO orders (number, amount, currency, state)
                   SELECT coalesce(max(number) + 1, ?1), ?2, ?3, 'open' FROM orders RETURNING number";
        let arguments = params![FIRST_ORDER, amount.as_str(), currency.as_str()];
        let number = self.connection().query_row(sql, arguments, |row| row.get(0))?;
        let state = "open".to_owned();
        Ok(Order { number, amount: amount.clone(), currency, state, reference: None, assertion: None })
    }

    /// The order with this number.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn order(&self, number: i64) -> Result<Option<Order>, SandboxError> {
        let sql = "SELECT amount, currency, state, reference, network, issuer, user_authorization
                   FROM orders WHERE number = ?1";
        type Row = (String, String, String, Option<String>, Option<String>, Option<String>, Option<Vec<u8>>);
        let found: Option<Row> = self
            .connection()
            .query_row(sql, [number], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                    row.get(6)?,
                ))
            })
            .optional()?;
        let Some((amount, currency, state, reference, network, issuer, user_authorization)) = found else {
            return Ok(None);
        };
        let (Ok(amount), Ok(currency)) = (Amount::parse(&amount), Currency::parse(&currency)) else {
            return Err(SandboxError::DamagedBooks("an order has no valid amount"));
        };
        let assertion = match (network, issuer, user_authorization) {
            (Some(payment_network_id), Some(issuer_id), Some(user_authorization)) => {
                Some(FwpAssertion { payment_network_id, issuer_id, user_authorization })
            }
            _ => None,
        };
        Ok(Some(Order { number, amount, currency, state, reference, assertion }))
    }

    /// The newest orders, at most `limit`, without their assertions.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn newest(&self, limit: u32) -> Result<Vec<Order>, SandboxError> {
        let numbers: Vec<i64> = {
            let connection = self.connection();
            let mut statement =
                connection.prepare("SELECT number FROM orders ORDER BY number DESC LIMIT ?1")?;
            statement.query_map([limit], |row| row.get(0))?.collect::<Result<_, _>>()?
        };
        numbers.into_iter().filter_map(|number| self.order(number).transpose()).collect()
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

    /// Notes what the bank said. What is booked stays booked.
    ///
    /// # Errors
    /// [`SandboxError::Books`].
    pub fn note_state(&self, number: i64, state: &str, reference: Option<&str>) -> Result<(), SandboxError> {
        self.connection().execute(
            "UPDATE orders SET state = ?2, reference = ?3 WHERE number = ?1 AND state <> 'booked'",
            params![number, state, reference],
        )?;
        Ok(())
    }
}
