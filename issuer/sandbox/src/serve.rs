//! `fwp-sandbox serve`: the parties in one process, talking to each other over HTTP on loopback.

use crate::bank::issued::read_roots;
use crate::bank::routes::BankService;
use crate::bank::{self, Bank};
use crate::ca::issuer::CaIssuer;
use crate::ca::{self, CertificationAuthority};
use crate::error::SandboxError;
use crate::guard::guard;
use crate::http::{Client, now_ms, random_id};
use crate::merchants::{MERCHANTS, MOON_SHOP};
use crate::moon;
use crate::psp::{self, Psp, Registered};
use crate::record::Record;
use crate::shop::orders::Orders;
use crate::shop::{self, Shop};
use crate::tls::{HttpsSettings, TlsListener};
use axum::Router;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What `serve` is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where to listen with HTTPS, if anywhere.
    pub https: Option<HttpsSettings>,
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
    tls: Option<TlsListener>,
    app: Router,
    base_url: String,
    https_url: Option<String>,
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
        let tls = match &settings.https {
            Some(https) => Some(TlsListener::bind(https).await?),
            None => None,
        };
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
        let listening = |source| SandboxError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        // The bank's rpId is localhost, so that is how its URLs call this machine.
        let base_url = format!("http://localhost:{}", address.port());
        let https_url = tls.as_ref().map(|tls| format!("https://localhost:{}", tls.address().port()));
        let app = app(&settings.dir, bank, authority, &base_url, https_url.as_deref(), address)?;
        Ok(Self { listener, tls, app, base_url, https_url })
    }

    /// Where the sandbox is, such as `http://localhost:8080`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where it is with HTTPS, such as `https://localhost:8443`, if it is.
    pub fn https_url(&self) -> Option<&str> {
        self.https_url.as_deref()
    }

    /// Serves until `stop` is done.
    ///
    /// # Errors
    /// [`SandboxError::Stream`].
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), SandboxError> {
        let (ended, end) = watch::channel(false);
        let until = |mut end: watch::Receiver<bool>| async move {
            // An error is that nobody can say it any more, which is the end, too.
            let _ = end.wait_for(|ended| *ended).await;
        };
        tokio::spawn(async move {
            stop.await;
            ended.send_replace(true);
        });
        let service = self.app.into_make_service_with_connect_info::<Client>();
        let http = axum::serve(self.listener, service.clone()).with_graceful_shutdown(until(end.clone()));
        match self.tls {
            None => http.await?,
            Some(tls) => {
                let https = axum::serve(tls, service).with_graceful_shutdown(until(end));
                tokio::try_join!(http.into_future(), https.into_future())?;
            }
        }
        Ok(())
    }
}

/// The parties, and what they know of each other: URLs and tokens.
fn app(
    dir: &Path,
    bank: Bank,
    authority: Option<CertificationAuthority>,
    base_url: &str,
    https_url: Option<&str>,
    address: SocketAddr,
) -> Result<Router, SandboxError> {
    let psp_token = random_id()?;
    let between = format!("http://{address}");
    let (mut registered, mut shops) = (Vec::new(), Router::new());
    for profile in MERCHANTS {
        let merchant_token = random_id()?;
        registered.push(Registered::new(profile, merchant_token.clone())?);
        let shop = Arc::new(Shop {
            profile,
            orders: Orders::open(&dir.join(profile.books), profile.first_order)?,
            psp_url: format!("{between}/psp/payments"),
            merchant_token,
        });
        let pages = if profile.id == MOON_SHOP.id { moon::routes } else { shop::routes::pages_of };
        shops = shops.merge(shop::routes::routes(shop.clone())).merge(pages(shop));
    }
    let psp = Psp::new(format!("{between}/bank/payments"), psp_token.clone(), registered);
    let bank = BankService {
        bank,
        psp_token,
        base_url: base_url.to_owned(),
        https_url: https_url.map(str::to_owned),
    };
    let home = crate::page::home(base_url, https_url).into_string();
    Ok(Router::new()
        .route("/", get(async move || Html(home).into_response()))
        .merge(shops)
        .merge(psp::routes(Arc::new(psp)))
        .merge(bank::routes::routes(Arc::new(bank)))
        .merge(ca::routes::routes(authority.map(Arc::new)))
        .layer(axum::middleware::from_fn(guard)))
}

/// Makes the directory, for its owner only.
fn make_dir(dir: &Path) -> Result<(), SandboxError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(SandboxError::file(dir))
}
