//! The bank's server: one small JSON document down, one up. HTTPS with the system's certificates, time-outs, bounded
//! sizes, and no step to another origin.

use crate::exit::Exit;
use crate::origin::{self, OfferUrl, Origin};
use crate::text::safe;
use std::time::Duration;
use ureq::http::{Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a whole exchange may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Redirections that are followed, each within the origin.
const MAX_REDIRECTIONS: usize = 3;
/// Bytes of an error answer that are read, to show what the server says.
const MAX_COMPLAINT_BYTES: u64 = 300;

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection, a broken one, a certificate that isn't good, or a time-out.
    #[error("{origin} can't be reached: {reason}")]
    Unreachable {
        /// Who.
        origin: Origin,
        /// Why, safe to print.
        reason: String,
    },
    /// Another status than 200 or 201.
    #[error("{origin} refused: status {status}{complaint}")]
    Status {
        /// Who.
        origin: Origin,
        /// The status code.
        status: u16,
        /// What it says, safe to print, with a separator before; may be empty.
        complaint: String,
    },
    /// A redirection to another origin, or to one that is not secure.
    #[error("{origin} redirects to somewhere that is not followed: {reason}")]
    Redirection {
        /// Who.
        origin: Origin,
        /// Why not.
        reason: origin::Error,
    },
    /// Redirections without end.
    #[error("{origin} redirects more than {MAX_REDIRECTIONS} times")]
    TooManyRedirections {
        /// Who.
        origin: Origin,
    },
    /// A larger answer than it may be.
    #[error("the answer of {origin} has more than {limit} bytes")]
    TooLarge {
        /// Who.
        origin: Origin,
        /// The limit.
        limit: u64,
    },
    /// An answer that isn't text.
    #[error("the answer of {origin} is not UTF-8 text")]
    NotText {
        /// Who.
        origin: Origin,
    },
}

impl Error {
    /// The exit status for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Status { .. } | Self::Redirection { .. } => Exit::Refused,
            Self::TooLarge { .. } | Self::NotText { .. } => Exit::InvalidInput,
            Self::Unreachable { .. } | Self::TooManyRedirections { .. } => Exit::Network,
        }
    }
}

/// Gets a text of at most `limit` bytes. Blocks for up to half a minute.
///
/// # Errors
/// [`Error`].
pub fn get(url: &OfferUrl, limit: u64) -> Result<String, Error> {
    let agent = agent(url);
    let mut here = url.clone();
    for _ in 0..=MAX_REDIRECTIONS {
        let response = agent.get(here.as_str()).header("accept", "application/json").call();
        let response = response.map_err(|error| unreachable(url, &error))?;
        if !response.status().is_redirection() {
            return text(url, response, limit);
        }
        let location =
            response.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
        here = here
            .same_origin(location)
            .map_err(|reason| Error::Redirection { origin: url.origin().clone(), reason })?;
    }
    Err(Error::TooManyRedirections { origin: url.origin().clone() })
}

/// Posts a JSON text and gets one of at most `limit` bytes. Redirections are not followed. Blocks for up to half a
/// minute.
///
/// # Errors
/// [`Error`].
pub fn post(url: &OfferUrl, json: &str, limit: u64) -> Result<String, Error> {
    let request = agent(url).post(url.as_str()).header("accept", "application/json");
    let response = request.header("content-type", "application/json").send(json);
    text(url, response.map_err(|error| unreachable(url, &error))?, limit)
}

fn agent(url: &OfferUrl) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .user_agent(concat!("fwpctl/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(EXCHANGE_TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false);
    // A proxy that the environment names is for the world outside.
    let config = if url.is_loopback() { config.proxy(None) } else { config };
    config.build().new_agent()
}

fn text(url: &OfferUrl, mut response: Response<Body>, limit: u64) -> Result<String, Error> {
    let origin = url.origin().clone();
    let status = response.status();
    if !matches!(status, StatusCode::OK | StatusCode::CREATED) {
        let said =
            response.body_mut().with_config().limit(MAX_COMPLAINT_BYTES).lossy_utf8(true).read_to_string();
        let complaint = match said.unwrap_or_default().trim() {
            "" => String::new(),
            said => format!(": {}", safe(said)),
        };
        return Err(Error::Status { origin, status: status.as_u16(), complaint });
    }
    // The client refuses an answer that reaches its limit; ours may be reached.
    match response.body_mut().with_config().limit(limit + 1).read_to_vec() {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| Error::NotText { origin }),
        Err(ureq::Error::BodyExceedsLimit(_)) => Err(Error::TooLarge { origin, limit }),
        Err(error) => Err(unreachable(url, &error)),
    }
}

fn unreachable(url: &OfferUrl, error: &ureq::Error) -> Error {
    Error::Unreachable { origin: url.origin().clone(), reason: safe(&error.to_string()).to_string() }
}
