//! A sandbox that runs in this process, over real HTTP.

use super::{Card, FidoKey, cards};
use fwp::PaymentRequest;
use fwp::enrollment::{IssuedCard, Offer};
use fwp_sandbox::client;
use fwp_sandbox::http;
use fwp_sandbox::serve::{Server, Settings};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// A running sandbox.
pub struct Sandbox {
    pub url: String,
    pub https_url: Option<String>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    pub fn start(dir: &Path) -> Self {
        Self::start_with_roots(dir, None)
    }

    pub fn start_with_roots(dir: &Path, attestation_roots: Option<PathBuf>) -> Self {
        Self::start_with(dir, attestation_roots, None)
    }

    pub fn start_with(dir: &Path, attestation_roots: Option<PathBuf>, tpm_roots: Option<PathBuf>) -> Self {
        let settings = Settings { attestation_roots, tpm_roots, ..Self::settings(dir) };
        Self::run(settings)
    }

    /// The settings of [`Sandbox::start`].
    pub fn settings(dir: &Path) -> Settings {
        Settings {
            record: Some(dir.join("record.jsonl")),
            ..Settings::new("127.0.0.1:0".parse().unwrap(), dir.join("sandbox"))
        }
    }

    pub fn run(settings: Settings) -> Self {
        let (ready, url) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::start(&settings).await.unwrap();
                let urls = (server.base_url().to_owned(), server.https_url().map(str::to_owned));
                ready.send(urls).unwrap();
                server
                    .run(async {
                        let _ = stopped.await;
                    })
                    .await
                    .unwrap();
            });
        });
        let (url, https_url) = url.recv().unwrap();
        Self { url, https_url, stop: Some(stop), thread: Some(thread) }
    }

    pub fn enroll(&self, key: fn(u8) -> FidoKey, seed: u8) -> Vec<Card> {
        let offer = http::get(&format!("{}/bank/offer", self.url)).unwrap();
        let offer = Offer::parse(&offer.body.to_string()).unwrap();
        let attestation = key(seed).attest(&offer, &[seed; 20]).to_json().to_string();
        let answer = http::post(offer.attestation_url.as_deref().unwrap(), &[], &attestation).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        cards(key, seed, IssuedCard::parse_all(&answer.body.to_string()).unwrap())
    }

    pub fn order(&self) -> (String, PaymentRequest) {
        let ordered = client::order(&self.url, None).unwrap();
        let request = &ordered.request;
        let parsed = PaymentRequest::from_json(
            request["payeeHost"].as_str().unwrap(),
            &request["methodData"].to_string(),
            &request["details"].to_string(),
        );
        (ordered.order, parsed.unwrap())
    }

    pub fn page(&self, path: &str) -> String {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        agent.get(format!("{}{path}", self.url)).call().unwrap().body_mut().read_to_string().unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}
