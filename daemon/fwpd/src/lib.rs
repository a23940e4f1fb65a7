//! The payment wallet daemon: the wallet's objects on a session's or the system's bus.
//!
//! One thread serves the bus; what waits for a disk, a keyring or an authenticator waits on another one.
//!
//! | module | what |
//! |---|---|
//! | `bus` | the name, the loop over messages, ends of connections, signals of the system |
//! | `callers` | which user a connection belongs to |
//! | `turns` | calls of each user wait in a queue of their own, and users take turns |
//! | `router`, `objects`, `call` | from a call to the object, as far as its caller may know of it; standard interfaces |
//! | `wallets`, `vault`, `holdings` | the users' wallets; a user's store, opened when it is needed; cards and ledger in memory |
//! | `wallet_object` | `Wallet1` |
//! | `store_object`, [`backup`] | `Store1`: key slots, locking; copies of all cards |
//! | `payments` | `Payment1`: the life of a payment |
//! | `enrollments` | `Enrollment1`: consent, key, attestation, cards |
//! | `credentials` | `Credential1`: cards |
//! | `authenticators`, `ceremonies` | `Authenticator1`: this computer and security keys; ceremonies on a thread of their own, PINs through the agent |
//! | `polkit`, `claim_origin` | what polkit lets a program do; who may name a host |
//! | `seats` | whose authenticators these are |
//! | `shares` | what one user's calls may have of what all share |
//! | `agents`, `floor`, `interrupts` | who asks the user, one thing at a time, and how that is withdrawn |
//! | `service`, `work` | the daemon's life: idle exit, its end, what the service manager is told; what is being done |
//! | [`journal`] | the log, and message IDs |
//! | `hardening` | no core dumps |
//! | `config`, `context`, `clock`, `platform`, `tokens` | settings and surroundings |
#![forbid(unsafe_code)]

mod agents;
mod authenticators;
pub mod backup;
mod bus;
mod call;
mod callers;
mod ceremonies;
mod claim_origin;
mod clock;
pub mod config;
mod context;
mod credentials;
mod enrollments;
mod floor;
mod hardening;
mod holdings;
mod interrupts;
pub mod journal;
mod objects;
mod payments;
mod platform;
mod polkit;
mod router;
mod seats;
mod service;
mod shares;
mod store_object;
mod tokens;
mod turns;
mod vault;
mod wallet_object;
mod wallets;
mod work;

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub use context::Bus;

/// The daemon's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which bus.
    pub bus: Bus,
    /// Where stores are kept.
    pub state_dir: PathBuf,
    /// The configuration file, if there is one.
    pub config: Option<PathBuf>,
}

/// Why the daemon doesn't run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration has a mistake in it.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// The state directory can't be used.
    #[error("state directory {}: {source}", path.display())]
    StateDir {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Core dumps can't be switched off.
    #[error("core dumps can't be switched off: {0}")]
    Hardening(std::io::Error),
    /// The event loop can't be set up.
    #[error("event loop: {0}")]
    Runtime(std::io::Error),
    /// Signals of the system can't be caught.
    #[error("signals: {0}")]
    Signals(std::io::Error),
    /// The bus can't be reached, or refuses the name.
    #[error("D-Bus: {0}")]
    Bus(#[from] zbus::Error),
    /// The bus closed the connection.
    #[error("the bus closed the connection")]
    BusEnded,
}

/// Runs the daemon until it is told to end.
///
/// # Errors
/// [`RunError`].
pub fn run(options: Options) -> Result<(), RunError> {
    // Before there is anything to keep secret.
    hardening::harden().map_err(RunError::Hardening)?;
    let config = match &options.config {
        Some(path) => config::Config::read(path)?,
        None => config::Config::default(),
    };
    config.check(options.bus)?;
    make_private_dirs(&options)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
    let result = tokio::task::LocalSet::new().block_on(&runtime, bus::serve(options, config));
    // Whoever waits for a user or a device on another thread has been told to end, and isn't waited for long.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}

/// The directories that key files and stores go into, readable by nobody else.
fn make_private_dirs(options: &Options) -> Result<(), RunError> {
    let make = |path: &Path| {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| RunError::StateDir { path: path.to_owned(), source })
    };
    make(&options.state_dir)?;
    if options.bus == Bus::System {
        make(&options.state_dir.join("users"))?;
        make(&options.state_dir.join("keys"))?;
    }
    Ok(())
}
