//! The payment service provider: knows the merchants, checks their requests (FIDO Web Pay section 6 step 8) and passes them
//! on to the bank over HTTP, with its answer going back the same way.

use crate::bank::cards::Product;
use crate::bank::{PRODUCTS, refused_json};
use crate::error::SandboxError;
use crate::http::{self, MERCHANT, TRANSACTION, blocking, error, header_text, is_authorized, json, now_ms};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use fwp::{PayeeHost, TimeStamp};
use fwp_verifier::psp::{Merchant, ServedNetwork, forward};
use std::sync::Arc;

/// How the PSP names the Space Shop to banks.
const MERCHANT_NAME: &str = "sandbox-psp/space-shop";

/// The PSP.
#[derive(Debug)]
pub struct Psp {
    /// Where the bank takes IssuerRequests.
    pub bank_url: String,
    /// What the PSP shows to the bank.
    pub psp_token: String,
    /// What the merchant shows to the PSP.
    pub merchant_token: String,
    merchant: Merchant,
    networks: Vec<ServedNetwork>,
}

impl Psp {
    /// The PSP with its one merchant, the Space Shop.
    ///
    /// # Errors
    /// [`SandboxError::DamagedBooks`] if the merchant's host is none.
    pub fn new(bank_url: String, psp_token: String, merchant_token: String) -> Result<Self, SandboxError> {
        let merchant = Merchant {
            payee_name: crate::shop::NAME.to_owned(),
            payee_host: PayeeHost::parse(crate::shop::HOST)
                .map_err(|_| SandboxError::DamagedBooks("no host"))?,
            receive_accounts: vec![crate::shop::RECEIVE_ACCOUNT.to_owned()],
        };
        let served = |product: &Product| ServedNetwork {
            id: product.network.to_owned(),
            issuer_id: product.issuer_id_form,
        };
        let networks = PRODUCTS.iter().map(served).collect();
        Ok(Self { bank_url, psp_token, merchant_token, merchant, networks })
    }

    /// Checks a PSPRequest and asks the bank. Returns the HTTP status and body of the answer. Blocks.
    fn pay(&self, psp_request: &str, transaction: &str) -> Result<http::Answered, SandboxError> {
        let now = TimeStamp::from_unix_ms(now_ms()?, None).map_err(|_| SandboxError::Clock)?;
        let issuer_request = match forward(psp_request, &self.merchant, &self.networks, now) {
            Ok(issuer_request) => issuer_request,
            Err(refusal) => {
                tracing::info!(code = refusal.code(), "psp: refused");
                return Ok(http::Answered { status: 422, body: refused_json("psp", &refusal) });
            }
        };
        let authorization = format!("Bearer {}", self.psp_token);
        let headers = [
            ("authorization", authorization.as_str()),
            (MERCHANT, MERCHANT_NAME),
            (TRANSACTION, transaction),
        ];
        http::post(&self.bank_url, &headers, &issuer_request.to_json().to_string())
    }
}

/// The PSP's part of the server.
pub fn routes(psp: Arc<Psp>) -> Router {
    Router::new()
        .route("/psp/payments", post(payment))
        .layer(DefaultBodyLimit::max(fwp::envelope::MAX_ENVELOPE_BYTES))
        .with_state(psp)
}

/// `POST /psp/payments`: a PSPRequest from the merchant.
async fn payment(State(psp): State<Arc<Psp>>, headers: HeaderMap, body: String) -> Response {
    if !is_authorized(&headers, &psp.merchant_token) {
        return error(401, "unauthorized", "only a registered merchant may ask for payments");
    }
    let Some(transaction) = header_text(&headers, TRANSACTION).map(str::to_owned) else {
        return error(400, "headers", "the header fwp-transaction must be there");
    };
    blocking(move || psp.pay(&body, &transaction).map(|answered| json(answered.status, &answered.body))).await
}
