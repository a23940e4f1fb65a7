//! The payment service provider: knows the merchants, checks their requests (FIDO Web Pay section 6 step 8) and passes them
//! on to the bank over HTTP, with its answer going back the same way.

use crate::bank::cards::Product;
use crate::bank::{PRODUCTS, refused_json};
use crate::error::SandboxError;
use crate::http::{
    self, MERCHANT, PAYEE_HOST, TRANSACTION, blocking, error, header_text, is_authorized, json, now_ms,
};
use crate::merchants::Profile;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use fwp::{PayeeHost, TimeStamp};
use fwp_verifier::psp::{Merchant, ServedNetwork, forward};
use std::sync::Arc;

/// The PSP.
#[derive(Debug)]
pub struct Psp {
    /// Where the bank takes IssuerRequests.
    pub bank_url: String,
    /// What the PSP shows to the bank.
    pub psp_token: String,
    merchants: Vec<Registered>,
    networks: Vec<ServedNetwork>,
}

/// A merchant as the PSP knows it.
#[derive(Debug)]
pub struct Registered {
    /// Who it is.
    pub profile: &'static Profile,
    /// What the merchant shows to the PSP.
    token: String,
    merchant: Merchant,
}

impl Registered {
    /// Registers a merchant that shows `token`.
    ///
    /// # Errors
    /// [`SandboxError::DamagedBooks`] if one of its hosts is none.
    pub fn new(profile: &'static Profile, token: String) -> Result<Self, SandboxError> {
        let hosts = profile.hosts.iter().map(|host| PayeeHost::parse(host)).collect::<Result<_, _>>();
        let merchant = Merchant {
            payee_name: profile.name.to_owned(),
            payee_hosts: hosts.map_err(|_| SandboxError::DamagedBooks("no host"))?,
            receive_accounts: vec![profile.receive_account.to_owned()],
        };
        Ok(Self { profile, token, merchant })
    }
}

impl Psp {
    /// The PSP with its merchants.
    pub fn new(bank_url: String, psp_token: String, merchants: Vec<Registered>) -> Self {
        let served = |product: &Product| ServedNetwork {
            id: product.network.to_owned(),
            issuer_id: product.issuer_id_form,
        };
        let networks = PRODUCTS.iter().map(served).collect();
        Self { bank_url, psp_token, merchants, networks }
    }

    /// The merchant who shows a token that the PSP knows.
    fn caller(&self, headers: &HeaderMap) -> Option<&Registered> {
        // All are compared, so that the time tells nothing.
        let mut callers: Vec<_> =
            self.merchants.iter().filter(|merchant| is_authorized(headers, &merchant.token)).collect();
        callers.pop()
    }

    /// Checks a PSPRequest and asks the bank. Returns the HTTP status and body of the answer. Blocks.
    fn pay(
        &self,
        merchant: &Registered,
        psp_request: &str,
        payee_host: &PayeeHost,
        transaction: &str,
    ) -> Result<http::Answered, SandboxError> {
        let now = TimeStamp::from_unix_ms(now_ms()?, None).map_err(|_| SandboxError::Clock)?;
        let forwarded = forward(psp_request, &merchant.merchant, payee_host, &self.networks, now);
        let issuer_request = match forwarded {
            Ok(issuer_request) => issuer_request,
            Err(refusal) => {
                tracing::info!(code = refusal.code(), merchant = merchant.profile.id, "psp: refused");
                return Ok(http::Answered { status: 422, body: refused_json("psp", &refusal) });
            }
        };
        let authorization = format!("Bearer {}", self.psp_token);
        let name = merchant.profile.name_at_banks();
        let headers = [
            ("authorization", authorization.as_str()),
            (MERCHANT, name.as_str()),
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

/// `POST /psp/payments`: a PSPRequest from a merchant.
async fn payment(State(psp): State<Arc<Psp>>, headers: HeaderMap, body: String) -> Response {
    if psp.caller(&headers).is_none() {
        return error(401, "unauthorized", "only a registered merchant may ask for payments");
    }
    let text = |name| header_text(&headers, name).map(str::to_owned);
    let (Some(transaction), Some(Ok(host))) =
        (text(TRANSACTION), text(PAYEE_HOST).map(|host| PayeeHost::parse(&host)))
    else {
        return error(400, "headers", "the headers fwp-transaction and fwp-payee-host must be there");
    };
    blocking(move || {
        let Some(merchant) = psp.caller(&headers) else { return Err(SandboxError::Worker) };
        let answered = psp.pay(merchant, &body, &host, &transaction)?;
        Ok(json(answered.status, &answered.body))
    })
    .await
}
