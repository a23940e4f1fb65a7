//! Notices to shops: sent until the shop answers with the transaction's ID, however often the sandbox is started again in between.

use super::Psp;
use super::books::{Notice, State};
use crate::error::SandboxError;
use crate::http::{self, now_ms, random_id};
use crate::moz_pay::jwt::Signer;
use crate::moz_pay::{NOTICE_LIFE_S, PROVIDER, TYP_SIGNED};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The longest pause between two tries, in milliseconds.
const LONGEST_PAUSE_MS: i64 = 3_600_000;
/// Milliseconds after which a payment that the bank has not answered is asked for again.
const PENDING_MS: i64 = 5_000;
/// How long nothing is looked at when nothing is due.
const IDLE: Duration = Duration::from_secs(5);

/// Sends notices when they are due, and asks the bank again for what it has not answered, for ever.
pub async fn run(psp: Arc<Psp>) {
    loop {
        let worker = psp.clone();
        let worked = tokio::task::spawn_blocking(move || worker.work()).await;
        let pause = match worked.unwrap_or(Err(SandboxError::Worker)) {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "psp: notices");
                IDLE
            }
        };
        tokio::select! {
            () = psp.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Psp {
    /// Does what is due. Returns the time until more is.
    fn work(&self) -> Result<Duration, SandboxError> {
        for payment in self.books.pending(now_ms()?.saturating_sub(PENDING_MS))? {
            if let Err(error) = self.settle(payment) {
                tracing::warn!(%error, "psp: a payment stays pending");
            }
        }
        for notice in self.books.due(now_ms()?)? {
            let confirmed = self.send(&notice);
            let now_ms = now_ms()?;
            let again_ms = now_ms.saturating_add(pause_ms(self.notice_retry_ms, notice.attempts));
            let (number, attempt) = (notice.number, notice.attempts + 1);
            match &confirmed {
                Ok(()) => tracing::info!(number, attempt, kind = notice.kind.word(), "psp: notice confirmed"),
                Err(why) => {
                    tracing::info!(number, attempt, kind = notice.kind.word(), %why, "psp: notice not confirmed")
                }
            }
            self.books.note_sent(number, confirmed.map(|()| now_ms).map_err(|_| again_ms))?;
        }
        let due = self.books.next_due()?;
        let pause = due.map(|due| due.saturating_sub(now_ms().unwrap_or(due)));
        Ok(pause.and_then(|ms| u64::try_from(ms).ok()).map_or(IDLE, Duration::from_millis).min(IDLE))
    }

    /// Sends one notice. A shop has confirmed it when it answers 200 with the transaction's ID.
    fn send(&self, notice: &Notice) -> Result<(), String> {
        let payment = &notice.payment;
        let request: Value = serde_json::from_str(&payment.request).map_err(|error| error.to_string())?;
        let url = request.get(match notice.kind.word() {
            "postback" => "postbackURL",
            _ => "chargebackURL",
        });
        let url = url.and_then(Value::as_str).and_then(|url| Url::parse(url).ok()).ok_or("it has no URL")?;
        let jwt = self.notice_jwt(notice, &request).map_err(|error| error.to_string())?;
        let body: String =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("notice", &jwt).finish();
        // The URL was checked when it came: its host is the shop's. Names are not looked up: the shops of the sandbox are where the
        // PSP has them registered, on this machine.
        let mut address = format!("{}{}", self.shops_url, url.path());
        if let Some(query) = url.query() {
            address = format!("{address}?{query}");
        }
        let host = url.host_str().ok_or("its URL has no host")?;
        let (status, answer) = http::post_form(&address, host, &body).map_err(|error| error.to_string())?;
        if status == 200 && answer.trim() == payment.transaction_id {
            return Ok(());
        }
        Err(format!("the shop answered {status}"))
    }

    /// A notice as a JWT, signed as the request was.
    fn notice_jwt(&self, notice: &Notice, request: &Value) -> Result<String, SandboxError> {
        let payment = &notice.payment;
        let merchant = self.merchants.iter().find(|merchant| merchant.profile.id == payment.merchant);
        let merchant = merchant.ok_or(SandboxError::DamagedBooks("a payment is of no merchant"))?;
        let now_s = now_ms()? / 1000;
        let mut response = json!({ "transactionID": payment.transaction_id, "price": request.get("price") });
        if let (Some(reason), Some(response)) = (&notice.reason, response.as_object_mut()) {
            response.insert("reason".to_owned(), reason.as_str().into());
            if let State::Declined(message) = &payment.state {
                response.insert("message".to_owned(), message.as_str().into());
            }
        }
        let claims = json!({
            "iss": PROVIDER, "aud": merchant.profile.name, "typ": notice.kind.typ(&payment.typ),
            "iat": now_s, "exp": now_s + NOTICE_LIFE_S, "jti": random_id()?,
            "request": request, "response": response,
        });
        if payment.typ == TYP_SIGNED {
            self.keys.provider_signer().sign(&claims)
        } else {
            Signer::hs256(self.keys.secret(merchant.profile)?).sign(&claims)
        }
    }
}

/// The pause after a try that came after `attempts` others: doubled each time.
fn pause_ms(first_ms: i64, attempts: u32) -> i64 {
    first_ms.saturating_mul(1_i64 << attempts.min(32)).min(LONGEST_PAUSE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        assert_eq!(
            [0, 1, 2, 11, 12, u32::MAX].map(|n| pause_ms(1000, n)),
            [1000, 2000, 4000, 2_048_000, LONGEST_PAUSE_MS, LONGEST_PAUSE_MS]
        );
        assert_eq!(pause_ms(i64::MAX, 3), LONGEST_PAUSE_MS);
    }
}
