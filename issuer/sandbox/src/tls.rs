//! The listener for HTTPS: shakes hands beside the event loop, so that nobody who is slow at it holds up the others.

use crate::error::SandboxError;
use crate::http::Client;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// How long a client may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many may do so at a time.
const HANDSHAKES: usize = 64;

/// Where to listen with HTTPS, and as whom.
#[derive(Clone, Debug)]
pub struct HttpsSettings {
    /// The address, on loopback.
    pub listen: SocketAddr,
    /// The certificate, and those between it and its root (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

/// Connections that have shaken hands.
#[derive(Debug)]
pub struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// Listens.
    ///
    /// # Errors
    /// [`SandboxError::NotLoopback`], [`SandboxError::File`], [`SandboxError::Tls`], [`SandboxError::Listen`].
    pub async fn bind(settings: &HttpsSettings) -> Result<Self, SandboxError> {
        if !settings.listen.ip().is_loopback() {
            return Err(SandboxError::NotLoopback(settings.listen));
        }
        let acceptor = TlsAcceptor::from(Arc::new(read_config(settings)?));
        let listening = |source| SandboxError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let (hand_over, ready) = mpsc::channel(HANDSHAKES);
        tokio::spawn(accept(listener, acceptor, hand_over));
        Ok(Self { address, ready })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Accepts connections until nobody takes them any more.
async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    hand_over: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = hand_over.closed() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, perhaps; that passes.
                tracing::warn!(%error, "https: a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (acceptor, hand_over) = (acceptor.clone(), hand_over.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                // It is closed when the server ends.
                Ok(Ok(stream)) => drop(hand_over.send((stream, address)).await),
                Ok(Err(error)) => tracing::debug!(%error, "https: no handshake"),
                Err(_) => tracing::debug!("https: the handshake took too long"),
            }
            drop(place);
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // The accepting task ends after this listener only.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Client {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self { address: *stream.remote_addr(), https: true }
    }
}

fn read_config(settings: &HttpsSettings) -> Result<ServerConfig, SandboxError> {
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |why: String| SandboxError::Tls { path, why }
    };
    let read = |path: &Path| std::fs::read(path).map_err(SandboxError::file(path));
    let (certificate, key) = (&settings.certificate, &settings.key);
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(certificate)(error.to_string()))?;
    let private =
        PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| wrong(key)(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(certificate)(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| wrong(certificate)(error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
