//! `fwp-sandbox serve`: the three parties in one process, talking to each other over HTTP on loopback.

use crate::bank::issued::read_roots;
use crate::bank::routes::BankService;
use crate::bank::{self, Bank};
use crate::ca::issuer::CaIssuer;
use crate::ca::{self, CertificationAuthority};
use crate::error::SandboxError;
use crate::http::{loopback_names_only, now_ms, random_id};
use crate::psp::{self, Psp};
use crate::record::Record;
use crate::shop::orders::Orders;
use crate::shop::{self, Shop};
use axum::Router;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;

/// What `serve` is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where books and keys are; made if it is not there.
    pub dir: PathBuf,
    /// Where deliveries are recorded, if anywhere.
    pub record: Option<PathBuf>,
    /// Roots of the makers whose keys alone are taken (PEM), besides those in certified TPMs; none takes all keys.
    pub attestation_roots: Option<PathBuf>,
    /// Roots of the makers whose TPMs are certified (PEM); without them there is no certification authority.
    pub tpm_roots: Option<PathBuf>,
}

/// A server that is listening and ready to run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    app: Router,
    base_url: String,
}

impl Server {
    /// Opens the books and listens.
    ///
    /// # Errors
    /// [`SandboxError`].
    pub async fn start(settings: &Settings) -> Result<Self, SandboxError> {
        if !settings.listen.ip().is_loopback() {
            return Err(SandboxError::NotLoopback(settings.listen));
        }
        make_dir(&settings.dir)?;
        let record = settings.record.as_deref().map(Record::open).transpose()?;
        let roots = settings.attestation_roots.as_deref().map(read_roots).transpose()?;
        let makers = settings.tpm_roots.as_deref().map(read_roots).transpose()?;
        let ca = CaIssuer::read_or_make(&settings.dir, now_ms()?)?;
        // What was certified stays so, also while nothing new is certified.
        let bank = Bank::open(&settings.dir, record)?.with_tpm_roots(ca.roots().clone());
        let authority = makers.map(|makers| CertificationAuthority::new(ca, makers));
        let bank = match roots {
            Some(roots) => bank.with_roots(roots),
            None => bank,
        };
        let orders = Orders::open(&settings.dir.join("shop.sqlite"))?;
        let listening = |source| SandboxError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        // The bank's rpId is localhost, so that is how its URLs call this machine.
        let base_url = format!("http://localhost:{}", address.port());
        let app = app(bank, authority, orders, &base_url, address)?;
        Ok(Self { listener, app, base_url })
    }

    /// Where the sandbox is, such as `http://localhost:8080`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Serves until `stop` is done.
    ///
    /// # Errors
    /// [`SandboxError::Stream`].
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), SandboxError> {
        let service = self.app.into_make_service_with_connect_info::<SocketAddr>();
        Ok(axum::serve(self.listener, service).with_graceful_shutdown(stop).await?)
    }
}

/// The parties, and what they know of each other: URLs and tokens.
fn app(
    bank: Bank,
    authority: Option<CertificationAuthority>,
    orders: Orders,
    base_url: &str,
    address: SocketAddr,
) -> Result<Router, SandboxError> {
    let (psp_token, merchant_token) = (random_id()?, random_id()?);
    let between = format!("http://{address}");
    let psp = Psp::new(format!("{between}/bank/payments"), psp_token.clone(), merchant_token.clone())?;
    let shop = Shop { orders, psp_url: format!("{between}/psp/payments"), merchant_token };
    let bank = BankService { bank, psp_token, base_url: base_url.to_owned() };
    let home = crate::page::home(base_url).into_string();
    Ok(Router::new()
        .route("/", get(async move || Html(home).into_response()))
        .merge(shop::routes(Arc::new(shop)))
        .merge(psp::routes(Arc::new(psp)))
        .merge(bank::routes::routes(Arc::new(bank)))
        .merge(ca::routes::routes(authority.map(Arc::new)))
        .layer(axum::middleware::from_fn(loopback_names_only)))
}

/// Makes the directory, for its owner only.
fn make_dir(dir: &Path) -> Result<(), SandboxError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(SandboxError::file(dir))
}
