//! The payment service provider: knows the merchants, checks their requests (FIDO Web Pay section 6 step 8) and passes them
//! on to the bank over HTTP, with its answer going back the same way. It is the provider of `navigator.mozPay` as well.
//!
//! | module | what |
//! |---|---|
//! | [`provider`] | mozPay: deliveries of wallets, signing for shops, refunds |
//! | [`requests`] | mozPay's requests verified |
//! | [`notices`] | what shops are told, until they have confirmed it |
//! | [`books`] | payments and notices in SQLite |
//! | [`routes`](mod@routes) | the HTTP interface |

pub mod books;
pub mod notices;
pub mod provider;
pub mod requests;
pub mod routes;

use crate::bank::cards::Product;
use crate::bank::{PRODUCTS, refused_json};
use crate::error::SandboxError;
use crate::http::{self, MERCHANT, TRANSACTION, is_authorized, now_ms};
use crate::merchants::Profile;
use crate::moz_pay::keys::MozPayKeys;
use axum::http::HeaderMap;
use books::PspBooks;
use fwp::{PayeeHost, TimeStamp};
use fwp_verifier::psp::{Merchant, ServedNetwork, forward};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Notify;

/// The PSP.
#[derive(Debug)]
pub struct Psp {
    /// Where the bank takes IssuerRequests.
    pub bank_url: String,
    /// What the PSP shows to the bank.
    pub psp_token: String,
    /// Where the bank takes refunds.
    pub refund_url: String,
    /// Where the shops are registered to be: all on this machine.
    pub shops_url: String,
    /// What it remembers.
    pub books: PspBooks,
    /// Its key pair, and the secrets that it shares with shops.
    pub keys: Arc<MozPayKeys>,
    /// Milliseconds from the first try of a notice to the second; doubled for each after.
    pub notice_retry_ms: i64,
    /// The merchants.
    pub merchants: Vec<Registered>,
    /// The payment networks that it serves.
    pub networks: Vec<ServedNetwork>,
    /// There may be a notice to be sent.
    pub wake: Notify,
}

/// The networks that the PSP serves: those of the bank's cards.
pub fn served_networks() -> Vec<ServedNetwork> {
    let served = |product: &Product| ServedNetwork {
        id: product.network.to_owned(),
        issuer_id: product.issuer_id_form,
    };
    PRODUCTS.iter().map(served).collect()
}

/// A merchant as the PSP knows it.
#[derive(Debug)]
pub struct Registered {
    /// Who it is.
    pub profile: &'static Profile,
    /// What the merchant shows to the PSP.
    token: String,
    merchant: Merchant,
    /// Origins of its site, such as `https://spaceshop.com:8443`: where notices go, and nowhere else.
    origins: BTreeSet<String>,
}

impl Registered {
    /// Registers a merchant that shows `token`. The site is on these ports: HTTP for names that are always this machine, HTTPS for all.
    ///
    /// # Errors
    /// [`SandboxError::DamagedBooks`] if one of its hosts is none.
    pub fn new(
        profile: &'static Profile,
        token: String,
        http_port: u16,
        https_port: Option<u16>,
    ) -> Result<Self, SandboxError> {
        let hosts = profile.hosts.iter().map(|host| PayeeHost::parse(host)).collect::<Result<_, _>>();
        let merchant = Merchant {
            payee_name: profile.name.to_owned(),
            payee_hosts: hosts.map_err(|_| SandboxError::DamagedBooks("no host"))?,
            receive_accounts: vec![profile.receive_account.to_owned()],
        };
        let mut origins = BTreeSet::new();
        for host in profile.hosts {
            if *host == "localhost" || host.ends_with(".localhost") {
                origins.insert(origin("http", host, http_port));
            }
            if let Some(port) = https_port {
                origins.insert(origin("https", host, port));
            }
        }
        Ok(Self { profile, token, merchant, origins })
    }
}

impl Psp {
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

/// An origin as the URL standard writes it: without the scheme's own port.
fn origin(scheme: &str, host: &str, port: u16) -> String {
    if (scheme, port) == ("http", 80) || (scheme, port) == ("https", 443) {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}:{port}")
    }
}
