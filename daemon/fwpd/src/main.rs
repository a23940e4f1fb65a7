//! `fwpd`: the payment wallet daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use fwpd::{Bus, Options};
use tracing_subscriber::EnvFilter;

/// The payment wallet daemon.
#[derive(Debug, Parser)]
#[command(name = "fwpd", version)]
struct Arguments {
    /// Serve the session's bus: one wallet, the user's own.
    #[arg(long, required_unless_present = "system")]
    session: bool,
    /// Serve the system's bus: a wallet for each user.
    #[arg(long, conflicts_with = "session")]
    system: bool,
    /// Where stores are kept [default: $STATE_DIRECTORY, or $XDG_STATE_HOME/fwpd, or ~/.local/state/fwpd].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The configuration file; without one, everything has its default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::try_from_env("FWPD_LOG").unwrap_or_else(|_| EnvFilter::new("info")))
        .without_time()
        .init();
    let bus = if arguments.system { Bus::System } else { Bus::Session };
    let Some(state_dir) = arguments.state_dir.or_else(|| default_state_dir(bus)) else {
        tracing::error!("there is no place to keep the store: give --state-dir, or set HOME");
        return ExitCode::FAILURE;
    };
    match fwpd::run(Options { bus, state_dir, config: arguments.config }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn default_state_dir(bus: Bus) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // systemd sets this for units with StateDirectory=.
    let given = variable("STATE_DIRECTORY");
    match bus {
        Bus::System => given.or_else(|| Some(PathBuf::from("/var/lib/fwpd"))),
        Bus::Session => given
            .or_else(|| variable("XDG_STATE_HOME").map(|state| state.join("fwpd")))
            .or_else(|| variable("HOME").map(|home| home.join(".local/state/fwpd"))),
    }
}
