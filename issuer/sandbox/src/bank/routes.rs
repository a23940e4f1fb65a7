//! The bank's HTTP interface: for PSPs, for wallets that enroll, and for its staff.

use crate::bank::issued::Issued;
use crate::bank::{Bank, Verdict, enroll_page, pages, refused_json};
use crate::error::SandboxError;
use crate::http::{
    Client, MERCHANT, PROVIDER_REQUEST, TRANSACTION, blocking, error, header_text, is_authorized, json,
    now_ms,
};
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use fwp::enrollment::IssuedCard;
use fwp::json::Attributes;
use fwp_verifier::{Delivery, Refusal};
use std::sync::Arc;

/// Most deliveries, and most cards, on the staff's lists.
const LISTED: u32 = 200;

/// The bank behind its HTTP interface.
#[derive(Debug)]
pub struct BankService {
    /// The bank.
    pub bank: Bank,
    /// What the PSP shows to be let in.
    pub psp_token: String,
    /// Where this server is, such as `http://localhost:8080`.
    pub base_url: String,
    /// Where it is with HTTPS, if it is.
    pub https_url: Option<String>,
}

/// The bank's part of the server.
pub fn routes(service: Arc<BankService>) -> Router {
    Router::new()
        .route("/bank", get(list))
        .route("/bank/deliveries/{number}", get(show))
        .route("/bank/cards", get(cards))
        .route("/bank/enroll", get(enroll_page::page))
        .route("/bank/enroll.js", get(enroll_page::script))
        .route("/bank/enroll.css", get(enroll_page::style))
        .route("/bank/offer", get(offer))
        .route("/bank/attestation", post(attestation))
        .route("/bank/payments", post(payment))
        .route("/bank/refunds", post(refund))
        .layer(DefaultBodyLimit::max(fwp::envelope::MAX_ENVELOPE_BYTES))
        .with_state(service)
}

/// `POST /bank/payments`: an IssuerRequest from the PSP.
async fn payment(State(service): State<Arc<BankService>>, headers: HeaderMap, body: String) -> Response {
    if !is_authorized(&headers, &service.psp_token) {
        return error(401, "unauthorized", "only the PSP may ask for payments");
    }
    let (Some(merchant), Some(transaction)) =
        (header_text(&headers, MERCHANT), header_text(&headers, TRANSACTION))
    else {
        return error(400, "headers", "the headers fwp-merchant and fwp-transaction must be there");
    };
    let (merchant, transaction) = (merchant.to_owned(), transaction.to_owned());
    let provider_request = match headers.get(PROVIDER_REQUEST).map(HeaderValue::to_str) {
        None => None,
        Some(Ok(request)) => Some(request.to_owned()),
        Some(Err(_)) => return error(400, "headers", "fwp-provider-request is not a signed request"),
    };
    blocking(move || {
        let delivery = Delivery { merchant: &merchant, transaction: &transaction, issuer_request: &body };
        let verdict = match &provider_request {
            None => service.bank.settle(&delivery, now_ms()?)?,
            Some(request) => service.bank.settle_for_provider(request, &delivery, now_ms()?)?,
        };
        let status = match &verdict {
            Verdict::Settled(_) => 200,
            Verdict::Refused(Refusal::Replay | Refusal::Conflict) => 409,
            Verdict::Refused(_) => 422,
        };
        Ok(json(status, &verdict.to_json()))
    })
    .await
}

/// `POST /bank/refunds`: the PSP gives the money of a booking, `{"reference": ...}`, back.
async fn refund(State(service): State<Arc<BankService>>, headers: HeaderMap, body: String) -> Response {
    if !is_authorized(&headers, &service.psp_token) {
        return error(401, "unauthorized", "only the PSP may give money back");
    }
    let Some(merchant) = header_text(&headers, MERCHANT).map(str::to_owned) else {
        return error(400, "headers", "the header fwp-merchant must be there");
    };
    let reference = Attributes::parse("refund", &body).and_then(|mut refund| {
        let reference = refund.text("reference")?;
        refund.finish().map(|()| reference)
    });
    let reference = match reference {
        Ok(reference) => reference,
        Err(why) => return error(400, "body", &why.to_string()),
    };
    blocking(move || {
        Ok(if service.bank.books.refund(&reference, &merchant, now_ms()?)? {
            tracing::info!(%reference, "bank: refunded");
            json(200, &serde_json::json!({ "status": "refunded", "reference": reference }))
        } else {
            error(404, "booking", "there is no such booking of the merchant's")
        })
    })
    .await
}

/// `GET /bank/offer`: an offer to enroll.
async fn offer(
    State(service): State<Arc<BankService>>,
    ConnectInfo(client): ConnectInfo<Client>,
) -> Response {
    blocking(move || {
        // The attestation goes back to where the offer came from.
        let base_url = service.https_url.as_ref().filter(|_| client.https).unwrap_or(&service.base_url);
        let offer = service.bank.offer(format!("{base_url}/bank/attestation"), now_ms()?)?;
        Ok(json(200, &offer.to_json()))
    })
    .await
}

/// `POST /bank/attestation`: a wallet's answer to an offer.
async fn attestation(State(service): State<Arc<BankService>>, body: String) -> Response {
    blocking(move || {
        Ok(match service.bank.enroll(&body, now_ms()?)? {
            Ok(cards) => json(200, &cards.iter().map(IssuedCard::to_json).collect()),
            Err(refusal) => {
                tracing::info!(code = refusal.code(), "bank: enrollment refused");
                json(422, &refused_json("bank", &refusal))
            }
        })
    })
    .await
}

/// `GET /bank/cards`: the cards and who vouched for their keys.
async fn cards(State(service): State<Arc<BankService>>) -> Response {
    blocking(move || {
        let cards = service.bank.books.issued(LISTED)?;
        Ok(json(200, &cards.iter().map(Issued::to_json).collect()))
    })
    .await
}

/// `GET /bank`: the staff's list.
async fn list(State(service): State<Arc<BankService>>) -> Response {
    blocking(move || {
        let deliveries = service.bank.books.deliveries(LISTED)?;
        let balances = crate::bank::PRODUCTS
            .iter()
            .map(|product| Ok((product, service.bank.books.balance(&product.account())?)))
            .collect::<Result<Vec<_>, SandboxError>>()?;
        let cards = service.bank.books.issued(LISTED)?;
        Ok(Html(pages::list(&deliveries, &balances, &cards).into_string()).into_response())
    })
    .await
}

/// `GET /bank/deliveries/N`: one delivery as the staff sees it.
async fn show(State(service): State<Arc<BankService>>, Path(number): Path<String>) -> Response {
    blocking(move || {
        let delivery = match number.parse() {
            Ok(number) => service.bank.books.delivery(number)?,
            Err(_) => None,
        };
        Ok(match delivery {
            Some((number, delivery)) => Html(pages::show(number, &delivery).into_string()).into_response(),
            None => error(404, "delivery", "there is no such delivery"),
        })
    })
    .await
}
