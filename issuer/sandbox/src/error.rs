//! What can go wrong in the sandbox itself; what a PSP or bank refuses is [`fwp_verifier::Refusal`].

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the sandbox can't do its work.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A file can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The key file is not one of ours.
    #[error("{path} is not a key file of the sandbox ({why}); move it away and new test keys are made")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The makers' roots are none.
    #[error(
        "{path}: {why}; give makers' root certificates in PEM (security keys': the FIDO Metadata Service has them)"
    )]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: fwp_verifier::maker::RootsError,
    },
    /// The file of the authority for TPMs' keys is not one of ours.
    #[error(
        "{0} is not the private key and the root certificate of the sandbox's CA in PEM; move it away and new ones are made"
    )]
    CaFile(PathBuf),
    /// A certificate can't be made.
    #[error("a certificate can't be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The books can't be read or written.
    #[error("the books: {0}")]
    Books(#[from] rusqlite::Error),
    /// The books hold something that was never written there.
    #[error("the books are damaged: {0}")]
    DamagedBooks(&'static str),
    /// The books were written by a newer version.
    #[error(
        "the books have version {found}, this program knows {known}; use the newer program or another --dir"
    )]
    NewerBooks {
        /// What the file says.
        found: i64,
        /// What this program writes.
        known: i64,
    },
    /// The system gives no randomness.
    #[error("no randomness from the system: {0}")]
    Randomness(#[from] getrandom::Error),
    /// Only loopback will do: the keys are test keys and the parties don't know their callers.
    #[error(
        "the address {0} is not on loopback; the sandbox serves this machine only, for example --listen 127.0.0.1:8080"
    )]
    NotLoopback(SocketAddr),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {source}; is another sandbox running there?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// Certificate or private key for HTTPS can't be used.
    #[error(
        "{path}: {why}; --tls-cert takes a certificate with those below its root, --tls-key its private key, both PEM"
    )]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A JWT can't be signed.
    #[error("a JWT can't be signed: {0}")]
    Jwt(#[from] jsonwebtoken::errors::Error),
    /// The provider's key pair can't be made or used.
    #[error("the provider's key pair can't be made or used")]
    ProviderKey,
    /// Another party does not answer.
    #[error("{url} can't be reached: {why}; is `fwp-sandbox serve` running there?")]
    Unreachable {
        /// Whom we asked.
        url: String,
        /// The client's reason.
        why: String,
    },
    /// Another party answers what makes no sense.
    #[error("{url} answered {status}: {body}")]
    Answer {
        /// Whom we asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it said, shortened.
        body: String,
    },
    /// No keys where a sandbox's should be.
    #[error("there are no keys in {0}; give the --dir of a `fwp-sandbox serve` that ran before")]
    NoKeys(PathBuf),
    /// Nothing to pay with.
    #[error(
        "there is no assertion on standard input; give what `fwpctl pay` printed: < assertion.json (is it empty? then nothing was authorized)"
    )]
    NoAssertion,
    /// Standard input or output.
    #[error(transparent)]
    Stream(#[from] io::Error),
    /// A time stamp can't be written: the clock is off by thousands of years.
    #[error("the system's clock is not usable; set it")]
    Clock,
    /// A worker of the server went away.
    #[error("a worker of the server ended unexpectedly")]
    Worker,
}

impl SandboxError {
    /// A [`SandboxError::File`] about `path`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
