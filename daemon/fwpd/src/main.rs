//! `fwpd`: the payment wallet daemon.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;
use fwpd::{Bus, Options, RunError};

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

/// What the C library and libtss2 read from the environment before any code of ours runs.
const ENVIRONMENT: [(&str, &str); 4] = [
    // What is freed is overwritten (mallopt(3), M_PERTURB): libtss2 frees the keys of sessions, which PINs are a part of, as they are.
    ("MALLOC_PERTURB_", "165"),
    // libtss2 prints each wrong PIN and missing index; what matters of that is in our own errors.
    ("TSS2_LOG", "all+none"),
    // What is large is given back to the system when it is freed, however large messages were before: glibc raises both by
    // itself otherwise, up to 32 and 64 MiB (mallopt(3), M_MMAP_THRESHOLD).
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
];
/// EX_CONFIG of sysexits.h: starting it again would change nothing.
const WRONG_CONFIGURATION: u8 = 78;
/// Says that the program started itself again, so that it never does so twice.
const STARTED_AGAIN: &str = "FWPD_STARTED_AGAIN";

/// Becomes the same program with [`ENVIRONMENT`], unless that is there already: a process can't safely change its own, and
/// both are read too early for that. A service's unit may set them, which saves a millisecond or two.
fn start_with_environment() {
    let is_set = |name: &&str| std::env::var_os(name).is_some();
    let names = ENVIRONMENT.iter().map(|(name, _)| name);
    if is_set(&STARTED_AGAIN) || names.clone().all(is_set) {
        return;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    let missing = ENVIRONMENT.iter().filter(|(name, _)| !is_set(name));
    let error = match std::env::current_exe() {
        // Gives back only what kept it from that.
        Ok(program) => Command::new(program)
            .arg0(name.as_deref().unwrap_or(OsStr::new("fwpd")))
            .args(arguments)
            .envs(missing.copied())
            .env(STARTED_AGAIN, "1")
            .exec(),
        Err(error) => error,
    };
    let names: Vec<_> = names.copied().collect();
    tracing::warn!(%error, ?names, "not started again with these: set them where fwpd is started");
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    fwpd::journal::begin();
    start_with_environment();
    let bus = if arguments.system { Bus::System } else { Bus::Session };
    let Some(state_dir) = arguments.state_dir.or_else(|| default_state_dir(bus)) else {
        tracing::error!("there is no place to keep the store: give --state-dir, or set HOME");
        return ExitCode::FAILURE;
    };
    match fwpd::run(Options { bus, state_dir, config: arguments.config }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            match error {
                RunError::Config(_) => ExitCode::from(WRONG_CONFIGURATION),
                _ => ExitCode::FAILURE,
            }
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
