//! The PSP's HTTP interface: for merchants, and for wallets.

use super::Psp;
use super::books::State as PaymentState;
use super::provider::DeliveryRefusal;
use crate::error::SandboxError;
use crate::guard::OPEN_TO_ALL_ORIGINS;
use crate::http::{Client, PAYEE_HOST, TRANSACTION, blocking, error, header_text, json};
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use fwp::PayeeHost;
use fwp::json::Attributes;
use serde_json::Value;
use std::sync::Arc;

/// Most bytes of what a shop wants signed, or given back.
const MAX_SHOP_MESSAGE: usize = 64 * 1024;
/// Any page may send deliveries, and read the answer: what counts is signed by shop and user. No credentials are wanted.
const OPEN: [(HeaderName, HeaderValue); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST")),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type")),
    (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600")),
];

/// The PSP's part of the server.
pub fn routes(psp: Arc<Psp>) -> Router {
    let small = DefaultBodyLimit::max(MAX_SHOP_MESSAGE);
    Router::new()
        .route("/psp/payments", post(payment))
        .route(OPEN_TO_ALL_ORIGINS, post(deliver).options(preflight))
        .route("/psp/mozpay/requests", post(sign).layer(small))
        .route("/psp/mozpay/refunds", post(refund).layer(small))
        .route("/psp/notices", get(notices))
        .layer(DefaultBodyLimit::max(fwp::envelope::MAX_ENVELOPE_BYTES))
        .with_state(psp)
}

fn unauthorized() -> Response {
    error(401, "unauthorized", "only a registered merchant may ask for this")
}

/// `POST /psp/payments`: a PSPRequest from a merchant.
async fn payment(State(psp): State<Arc<Psp>>, headers: HeaderMap, body: String) -> Response {
    if psp.caller(&headers).is_none() {
        return unauthorized();
    }
    let text = |name| header_text(&headers, name).map(str::to_owned);
    let (Some(transaction), Some(Ok(host))) =
        (text(TRANSACTION), text(PAYEE_HOST).map(|host| PayeeHost::parse(&host)))
    else {
        return error(400, "headers", "the headers fwp-transaction and fwp-payee-host must be there");
    };
    blocking(move || {
        let Some(merchant) = psp.caller(&headers) else { return Ok(unauthorized()) };
        let answered = psp.pay(merchant, &body, &host, &transaction)?;
        Ok(json(answered.status, &answered.body))
    })
    .await
}

/// `OPTIONS /psp/mozpay`: a browser asks whether it may send.
async fn preflight() -> Response {
    (StatusCode::NO_CONTENT, OPEN).into_response()
}

/// `POST /psp/mozpay`: a wallet delivers a request and its user's authorization.
async fn deliver(
    State(psp): State<Arc<Psp>>,
    ConnectInfo(client): ConnectInfo<Client>,
    body: String,
) -> Response {
    let answered = blocking(move || {
        let payment = match psp.take(&body, client.address.ip())? {
            Ok(payment) => payment,
            Err(refusal) => return Ok(refused(&refusal)),
        };
        let no = |status, code: &str, message: &str| error(status, code, message);
        Ok(match &payment.state {
            PaymentState::Booked(_) | PaymentState::Refunded => {
                json(200, &serde_json::json!({ "status": "booked", "transactionID": payment.transaction_id }))
            }
            PaymentState::Declined(message) => no(402, "declined", message),
            PaymentState::Refused(code, message) => no(422, code, message),
            PaymentState::Pending => return Err(SandboxError::Worker),
        })
    });
    (OPEN, answered.await).into_response()
}

fn refused(refusal: &DeliveryRefusal) -> Response {
    let (status, code) = refusal.status_and_code();
    tracing::info!(code, "psp: mozPay refused");
    error(status, code, &refusal.to_string())
}

/// `POST /psp/mozpay/requests`: a shop has the provider sign its `request`, the body; the answer is `{"jwt": ...}`.
async fn sign(State(psp): State<Arc<Psp>>, headers: HeaderMap, body: String) -> Response {
    blocking(move || {
        let Some(merchant) = psp.caller(&headers) else { return Ok(unauthorized()) };
        let Ok(request) = serde_json::from_str::<Value>(&body) else {
            return Ok(error(400, "body", "a request is a JSON object"));
        };
        Ok(match psp.sign(merchant, &request)? {
            Ok(jwt) => json(201, &serde_json::json!({ "jwt": jwt })),
            Err(refusal) => refused(&refusal.into()),
        })
    })
    .await
}

/// `POST /psp/mozpay/refunds`: a shop gives the money of `{"transactionID": ...}` back.
async fn refund(State(psp): State<Arc<Psp>>, headers: HeaderMap, body: String) -> Response {
    blocking(move || {
        let Some(merchant) = psp.caller(&headers) else { return Ok(unauthorized()) };
        let id = Attributes::parse("refund", &body).and_then(|mut refund| {
            let id = refund.text("transactionID")?;
            refund.finish().map(|()| id)
        });
        let refunded = match id {
            Ok(id) => psp.refund(merchant, &id)?.map(|()| id),
            Err(error) => Err(error.into()),
        };
        Ok(match refunded {
            Ok(id) => json(200, &serde_json::json!({ "status": "refunded", "transactionID": id })),
            Err(refusal) => refused(&refusal),
        })
    })
    .await
}

/// `GET /psp/notices`: what shops were told, for who tries the sandbox. No card data.
async fn notices(State(psp): State<Arc<Psp>>) -> Response {
    blocking(move || {
        let notices = psp.books.all_notices(0)?;
        let listed = notices.iter().map(|notice| {
            serde_json::json!({
                "number": notice.number,
                "merchant": notice.payment.merchant,
                "order": notice.payment.request_id,
                "transactionID": notice.payment.transaction_id,
                "kind": notice.kind.word(),
                "reason": notice.reason,
                "attempts": notice.attempts,
                "delivered": notice.delivered_ms.is_some(),
            })
        });
        Ok(json(200, &listed.collect()))
    })
    .await
}
