//! `fwp-sandbox order`, `checkout`, `redeliver` and `refund`: what the shop's page would do, from a terminal.

use crate::error::SandboxError;
use crate::http::{self, Answered};
use serde_json::Value;

/// What came of a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Booked, now or before.
    Booked,
    /// Declined by the bank, for a reason of its own.
    Declined,
    /// Refused by the PSP or the bank.
    Refused,
    /// Refused as a replay.
    Replay,
}

/// A checkout's outcome and answer.
#[derive(Debug)]
pub struct Checkout {
    /// What came of it.
    pub outcome: Outcome,
    /// The answer as the shop passed it on.
    pub answer: Value,
}

/// An order and the request for the wallet.
#[derive(Debug)]
pub struct Ordered {
    /// Its number.
    pub order: String,
    /// The request file for `fwpctl pay`.
    pub request: Value,
}

/// Puts an order in at the shop of the sandbox at `url`, of the sample's amount if `amount` is none.
///
/// # Errors
/// [`SandboxError::Unreachable`], [`SandboxError::Answer`].
pub fn order(url: &str, amount: Option<&str>) -> Result<Ordered, SandboxError> {
    let url = format!("{}/shop/orders", url.trim_end_matches('/'));
    let body = amount.map_or_else(|| serde_json::json!({}), |amount| serde_json::json!({ "amount": amount }));
    let mut answered = http::post(&url, &[], &body.to_string())?;
    let request = answered.body.get_mut("request").map(Value::take);
    match (answered.body.get("order").and_then(Value::as_str), request) {
        (Some(order), Some(request)) if answered.status == 201 => {
            Ok(Ordered { order: order.to_owned(), request })
        }
        _ => Err(unexpected(url, &answered)),
    }
}

/// Checks the order out with the FWP assertion in `assertion`.
///
/// # Errors
/// [`SandboxError::Unreachable`], [`SandboxError::Answer`].
pub fn checkout(url: &str, order: &str, assertion: &str) -> Result<Checkout, SandboxError> {
    settle(&order_url(url, order, "payment"), assertion)
}

/// Has the shop deliver the order's authorization again, in another envelope.
///
/// # Errors
/// [`SandboxError::Unreachable`], [`SandboxError::Answer`].
pub fn redeliver(url: &str, order: &str) -> Result<Checkout, SandboxError> {
    settle(&order_url(url, order, "redelivery"), "")
}

/// Has the shop give the money of an order back. Returns what it answers.
///
/// # Errors
/// [`SandboxError::Unreachable`], [`SandboxError::Answer`].
pub fn refund_order(url: &str, order: &str) -> Result<Answered, SandboxError> {
    http::post(&order_url(url, order, "refund"), &[], "")
}

/// The same, by the provider's transaction ID.
///
/// # Errors
/// [`SandboxError::Unreachable`], [`SandboxError::Answer`].
pub fn refund_transaction(url: &str, transaction: &str) -> Result<Answered, SandboxError> {
    let body = serde_json::json!({ "transactionID": transaction }).to_string();
    http::post(&format!("{}/shop/refunds", url.trim_end_matches('/')), &[], &body)
}

/// What came of a refund, in a line for people.
pub fn refund_line(answered: &Answered) -> String {
    let text = |name: &str| answered.body.get(name).and_then(Value::as_str).unwrap_or_default();
    let line = match answered.status {
        200 => format!("psp: the money of {} is given back; the shop gets a notice", text("transactionID")),
        _ => format!("refused ({}): {}", text("error"), text("message")),
    };
    printable(&line)
}

fn order_url(url: &str, order: &str, action: &str) -> String {
    // An order is a number; anything else finds no order, and nothing else in the URL either.
    let order: String = order.chars().map(|c| if c.is_ascii_digit() { c } else { '_' }).collect();
    format!("{}/shop/orders/{order}/{action}", url.trim_end_matches('/'))
}

fn settle(url: &str, body: &str) -> Result<Checkout, SandboxError> {
    let answered = http::post(url, &[], body)?;
    let text = |name: &str| answered.body.get(name).and_then(Value::as_str);
    let outcome = match (text("status"), text("error")) {
        (Some("booked"), _) => Outcome::Booked,
        (Some("declined"), _) => Outcome::Declined,
        (Some("refused"), Some("replay")) => Outcome::Replay,
        (Some("refused"), _) => Outcome::Refused,
        _ => return Err(unexpected(url.to_owned(), &answered)),
    };
    Ok(Checkout { outcome, answer: answered.body })
}

fn unexpected(url: String, answered: &Answered) -> SandboxError {
    let message = answered.body.get("message").and_then(Value::as_str);
    let body = message.map_or_else(|| answered.body.to_string(), str::to_owned);
    SandboxError::Answer { url, status: answered.status, body: printable(&body) }
}

impl Checkout {
    /// What came of it, in a line for people.
    pub fn line(&self) -> String {
        let text = |name: &str| self.answer.get(name).and_then(Value::as_str).unwrap_or_default();
        let line = match self.outcome {
            Outcome::Booked => {
                let duplicate = self.answer.get("duplicate") == Some(&Value::Bool(true));
                let again = if duplicate { ", as it was before (nothing booked now)" } else { "" };
                format!(
                    "bank: booked {} {} for {}, order {}, reference {}{again}",
                    text("amount"),
                    text("currency"),
                    crate::shop::NAME,
                    text("order"),
                    text("reference")
                )
            }
            Outcome::Declined => format!("bank: declined, {}", text("message")),
            Outcome::Replay => format!("{}: refused as a replay: {}", text("by"), text("message")),
            Outcome::Refused => format!("{}: refused ({}): {}", text("by"), text("error"), text("message")),
        };
        printable(&line)
    }
}

/// Text that can't steer a terminal.
fn printable(text: &str) -> String {
    text.chars().take(2000).map(|c| if fwp::text::is_treacherous(c) { '\u{fffd}' } else { c }).collect()
}
