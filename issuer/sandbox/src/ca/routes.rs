//! The authority's HTTP interface: one address for both questions.

use super::{CaRefusal, CertificationAuthority};
use crate::http::{blocking, error, json, now_ms};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::post;
use fwp::certification::MAX_MESSAGE_BYTES;
use std::sync::Arc;

/// Where the authority is, below the sandbox's address.
pub const PATH: &str = "/bank/tpm-ca";

/// The authority's part of the server; without one, the address says so.
pub fn routes(authority: Option<Arc<CertificationAuthority>>) -> Router {
    Router::new()
        .route(PATH, post(answer))
        .layer(DefaultBodyLimit::max(MAX_MESSAGE_BYTES))
        .with_state(authority)
}

/// `POST /bank/tpm-ca`: a question by a wallet.
async fn answer(State(authority): State<Option<Arc<CertificationAuthority>>>, body: String) -> Response {
    let Some(authority) = authority else {
        return error(
            404,
            "no-tpm-ca",
            "there is no certification authority here; start the sandbox with --tpm-roots FILE.pem",
        );
    };
    blocking(move || {
        Ok(match authority.answer(&body, now_ms()?)? {
            Ok(answer) => json(200, &answer.to_json()),
            Err(refusal) => {
                tracing::info!(code = refusal.code(), "TPM CA: refused");
                let status = if refusal == CaRefusal::Busy { 503 } else { 422 };
                let body = serde_json::json!({
                    "status": "refused",
                    "by": "tpm-ca",
                    "error": refusal.code(),
                    "message": refusal.to_string(),
                });
                json(status, &body)
            }
        })
    })
    .await
}
