//! `fwp-sandbox serve`: the parties in one process, talking to each other over HTTP on loopback.

use crate::bank::issued::read_roots;
use crate::bank::routes::BankService;
use crate::bank::{self, Bank};
use crate::ca::issuer::CaIssuer;
use crate::ca::{self, CertificationAuthority};
use crate::error::SandboxError;
use crate::guard::{OPEN_TO_ALL_ORIGINS, guard};
use crate::http::{Client, now_ms, random_id};
use crate::merchants::{MERCHANTS, MOON_SHOP};
use crate::moon;
use crate::moz_pay::keys::MozPayKeys;
use crate::moz_pay::{TYP_SHARED, TYP_SIGNED};
use crate::psp::books::PspBooks;
use crate::psp::{self, Psp, Registered, served_networks};
use crate::record::Record;
use crate::shop::orders::Orders;
use crate::shop::{self, Shop};
use crate::tls::{HttpsSettings, TlsListener};
use axum::Router;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use fwp::provider::{DeliveryUrl, Provider, ProviderKey, ProviderType};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

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
    /// Milliseconds from the first try of a notice to a shop to the second; doubled for each after.
    pub notice_retry_ms: u32,
    /// How many notices the Space Shop fails at first, for tests.
    pub shop_fails_notices: u32,
}

impl Settings {
    /// The settings of `fwp-sandbox serve` that is told no more than this.
    pub fn new(listen: SocketAddr, dir: PathBuf) -> Self {
        Self {
            listen,
            https: None,
            dir,
            record: None,
            attestation_roots: None,
            tpm_roots: None,
            notice_retry_ms: 1000,
            shop_fails_notices: 0,
        }
    }
}

/// A server that is listening and ready to run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsListener>,
    app: Router,
    psp: Arc<Psp>,
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
        let ports = (address.port(), tls.as_ref().map(|tls| tls.address().port()));
        let keys = Arc::new(MozPayKeys::read_or_make(&settings.dir)?);
        let bank = bank.with_providers(providers(&keys, &base_url)?);
        let (app, psp) =
            app(settings, bank, authority, keys, (&base_url, https_url.as_deref()), address, ports)?;
        Ok(Self { listener, tls, app, psp, base_url, https_url })
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
        let notices = tokio::spawn(psp::notices::run(self.psp));
        let service = self.app.into_make_service_with_connect_info::<Client>();
        let http = axum::serve(self.listener, service.clone()).with_graceful_shutdown(until(end.clone()));
        match self.tls {
            None => http.await?,
            Some(tls) => {
                let https = axum::serve(tls, service).with_graceful_shutdown(until(end));
                tokio::try_join!(http.into_future(), https.into_future())?;
            }
        }
        // What it has not done is done after the next start.
        notices.abort();
        Ok(())
    }
}

/// How the bank's cards name the PSP as the provider of mozPay's requests.
fn providers(keys: &MozPayKeys, base_url: &str) -> Result<Vec<Provider>, SandboxError> {
    let delivery_url = DeliveryUrl::parse(&format!("{base_url}{OPEN_TO_ALL_ORIGINS}"));
    let delivery_url = delivery_url.map_err(|_| SandboxError::DamagedBooks("no delivery URL"))?;
    let provider = |typ: &str, keys: Vec<ProviderKey>| -> Result<Provider, SandboxError> {
        let typ = ProviderType::parse(typ).map_err(|_| SandboxError::DamagedBooks("no provider type"))?;
        Ok(Provider { typ, delivery_url: delivery_url.clone(), keys })
    };
    Ok(vec![provider(TYP_SHARED, Vec::new())?, provider(TYP_SIGNED, vec![keys.provider_key()?])?])
}

/// The parties, and what they know of each other: URLs, tokens and keys.
fn app(
    settings: &Settings,
    bank: Bank,
    authority: Option<CertificationAuthority>,
    keys: Arc<MozPayKeys>,
    (base_url, https_url): (&str, Option<&str>),
    address: SocketAddr,
    (http_port, https_port): (u16, Option<u16>),
) -> Result<(Router, Arc<Psp>), SandboxError> {
    let psp_token = random_id()?;
    let between = format!("http://{address}");
    let (mut registered, mut shops) = (Vec::new(), Router::new());
    for profile in MERCHANTS {
        let merchant_token = random_id()?;
        registered.push(Registered::new(profile, merchant_token.clone(), http_port, https_port)?);
        let is_moon = profile.id == MOON_SHOP.id;
        let shop = Arc::new(Shop {
            profile,
            orders: Orders::open(&settings.dir.join(profile.books), profile.first_order)?,
            psp: format!("{between}/psp"),
            merchant_token,
            keys: keys.clone(),
            base_url: base_url.to_owned(),
            fails_notices: AtomicU32::new(if is_moon { 0 } else { settings.shop_fails_notices }),
        });
        let pages = if is_moon { moon::routes(shop.clone()) } else { shop::routes::pages_of(shop.clone()) };
        shops = shops.merge(shop::routes::routes(shop.clone())).merge(pages);
        if !is_moon {
            shops = shops.merge(shop::mozpay::routes(shop));
        }
    }
    let psp = Arc::new(Psp {
        bank_url: format!("{between}/bank/payments"),
        psp_token: psp_token.clone(),
        refund_url: format!("{between}/bank/refunds"),
        shops_url: between,
        books: PspBooks::open(&settings.dir.join("psp.sqlite"))?,
        keys,
        notice_retry_ms: settings.notice_retry_ms.into(),
        merchants: registered,
        networks: served_networks(),
        wake: Notify::new(),
    });
    let bank = BankService {
        bank,
        psp_token,
        base_url: base_url.to_owned(),
        https_url: https_url.map(str::to_owned),
    };
    let home = crate::page::home(base_url, https_url).into_string();
    let app = Router::new()
        .route("/", get(async move || Html(home).into_response()))
        .merge(shops)
        .merge(psp::routes::routes(psp.clone()))
        .merge(bank::routes::routes(Arc::new(bank)))
        .merge(ca::routes::routes(authority.map(Arc::new)))
        .layer(axum::middleware::from_fn(guard));
    Ok((app, psp))
}

/// Makes the directory, for its owner only.
fn make_dir(dir: &Path) -> Result<(), SandboxError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(SandboxError::file(dir))
}
