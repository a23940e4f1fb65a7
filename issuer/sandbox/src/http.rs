//! HTTP between the parties: JSON in, JSON out, who is calling in headers.

use crate::error::SandboxError;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use std::net::SocketAddr;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;

/// Names the merchant to the bank, as the authenticated PSP knows it.
pub const MERCHANT: &str = "fwp-merchant";
/// The sender's ID of the transaction; a retry has the same.
pub const TRANSACTION: &str = "fwp-transaction";
/// Most bytes of an answer that is read.
const MAX_ANSWER_BYTES: u64 = 16 << 20;
/// Most characters of an answer that an error quotes.
const MAX_QUOTED: usize = 300;

/// The host, of the merchant's registered ones, that the page came from on which the user authorized.
pub const PAYEE_HOST: &str = "fwp-payee-host";

/// The merchant's signed request that the user must have authorized as networkOptions: the PSP was given it as a provider.
pub const PROVIDER_REQUEST: &str = "fwp-provider-request";

/// Who is connected, and how.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The other side's address.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub https: bool,
}

impl Connected<IncomingStream<'_, TcpListener>> for Client {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { address: *stream.remote_addr(), https: false }
    }
}

/// An answer of another party.
#[derive(Debug)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// The JSON.
    pub body: serde_json::Value,
}

/// Milliseconds since 1970, by this machine's clock.
///
/// # Errors
/// [`SandboxError::Clock`] for a clock before 1970.
pub fn now_ms() -> Result<i64, SandboxError> {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_err(|_| SandboxError::Clock)?;
    i64::try_from(since.as_millis()).map_err(|_| SandboxError::Clock)
}

/// A random identifier of 128 bits in hexadecimal.
///
/// # Errors
/// [`SandboxError::Randomness`].
pub fn random_id() -> Result<String, SandboxError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

/// Sends `body` to `url` with `headers` and reads the JSON answer, whatever its status is. Blocks.
///
/// # Errors
/// [`SandboxError::Unreachable`], [`SandboxError::Answer`] for an answer that is no JSON.
pub fn post(url: &str, headers: &[(&str, &str)], body: &str) -> Result<Answered, SandboxError> {
    let mut request = agent().post(url).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read_answer(url, request.send(body))
}

/// Sends the form `body` to `url`, calling it by the name `host`, and reads the status and the text of the answer, at most
/// 4 KiB. Blocks.
///
/// # Errors
/// [`SandboxError::Unreachable`].
pub fn post_form(url: &str, host: &str, body: &str) -> Result<(u16, String), SandboxError> {
    let unreachable =
        |error: ureq::Error| SandboxError::Unreachable { url: url.to_owned(), why: error.to_string() };
    let request =
        agent().post(url).header("content-type", "application/x-www-form-urlencoded").header("host", host);
    let mut answer = request.send(body).map_err(unreachable)?;
    let status = answer.status().as_u16();
    let text = answer.body_mut().with_config().limit(4096).read_to_string().map_err(unreachable)?;
    Ok((status, text))
}

/// Asks for `url` and reads the JSON answer, whatever its status is. Blocks.
///
/// # Errors
/// [`SandboxError::Unreachable`], [`SandboxError::Answer`] for an answer that is no JSON.
pub fn get(url: &str) -> Result<Answered, SandboxError> {
    read_answer(url, agent().get(url).call())
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(std::time::Duration::from_secs(60)))
        .build()
        .into()
}

fn read_answer(
    url: &str,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Answered, SandboxError> {
    let unreachable =
        |error: ureq::Error| SandboxError::Unreachable { url: url.to_owned(), why: error.to_string() };
    let mut answer = answer.map_err(unreachable)?;
    let status = answer.status().as_u16();
    let text =
        answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string().map_err(unreachable)?;
    match serde_json::from_str(&text) {
        Ok(body) => Ok(Answered { status, body }),
        Err(_) => {
            let body = text.chars().take(MAX_QUOTED).flat_map(char::escape_debug).collect();
            Err(SandboxError::Answer { url: url.to_owned(), status, body })
        }
    }
}

/// A JSON answer.
pub fn json(status: u16, body: &serde_json::Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, Body::from(format!("{body}\n"))).into_response()
}

/// The answer to who may not ask, or asks for what is not there.
pub fn error(status: u16, code: &str, message: &str) -> Response {
    json(status, &serde_json::json!({ "status": "error", "error": code, "message": message }))
}

/// Runs `work`, which may block, off the event loop, and answers with what it makes or with the error, of which the
/// caller is told no more than that.
pub async fn blocking(work: impl FnOnce() -> Result<Response, SandboxError> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await.unwrap_or(Err(SandboxError::Worker)) {
        Ok(response) => response,
        Err(problem) => {
            tracing::error!("{problem}");
            error(500, "internal", "the sandbox has a problem; its log says which")
        }
    }
}

/// Whether the caller has the bearer token `token`.
pub fn is_authorized(headers: &HeaderMap, token: &str) -> bool {
    let expected = format!("Bearer {token}");
    headers.get(header::AUTHORIZATION).is_some_and(|given| given.as_bytes().ct_eq(expected.as_bytes()).into())
}

/// The text of a header, if it is there and printable.
pub fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| (1..=200).contains(&text.len()))
}
