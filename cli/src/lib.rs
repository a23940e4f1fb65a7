//! The payment wallet on the command line: `fwpctl`.
//!
//! It talks to the daemon over D-Bus (crate `fwp-dbus`) and, to enroll, to a bank over HTTPS; the daemon has no network.
//!
//! | module | what |
//! |---|---|
//! | [`args`] | the command line and its help |
//! | [`commands`] | one file for each command |
//! | [`agent`], `questions` | the wallet's questions, asked on a terminal or answered by `--yes`, `--card`, `--pin-fd`; what they say |
//! | [`terminal`], [`pin`], [`interrupt`] | lines and PINs from a terminal, PINs from a descriptor, Ctrl-C |
//! | [`bus`], [`events`], [`cards`] | finding the wallet; cards as people name them |
//! | [`buses`], [`systemd`] | which buses there are, and what systemd knows of the service, without starting anything |
//! | [`users`] | users of this computer by name |
//! | [`polkit`] | who asks for the password that polkit may want on the system's bus |
//! | [`origin`], [`http`] | where an offer comes from, which rpId it may name (public suffix list), and the way there |
//! | [`browsers`] | browsers on this computer, and the files that register the wallet with them |
//! | [`request`] | a payment request from a file or options |
//! | [`card_image`] | a bank's untrusted SVG, made safe and drawn |
//! | [`text`], [`table`], [`out`] | everything that reaches a terminal; text from outside is made safe in one place |
//! | [`error`], [`exit`] | what goes wrong, what to do about it, and the exit status for it |

pub mod agent;
pub mod args;
pub mod browsers;
pub mod bus;
pub mod buses;
pub mod card_image;
pub mod cards;
pub mod commands;
pub mod error;
pub mod events;
pub mod exit;
pub mod http;
pub mod interrupt;
pub mod origin;
pub mod out;
pub mod pin;
pub mod polkit;
mod questions;
pub mod request;
pub mod systemd;
pub mod table;
pub mod terminal;
pub mod text;
pub mod users;

use args::Cli;
use clap::FromArgMatches;
use error::Error;
use exit::Exit;
use out::Out;
use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

/// How long the end of the program waits for a question to leave the terminal.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs a command line, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let parsed =
        args::command().try_get_matches_from(arguments).and_then(|found| Cli::from_arg_matches(&found));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let out = Out::new(cli.json);
    match run_parsed(cli, out) {
        Ok(()) => Exit::Done,
        Err(error) => {
            out.error(&error);
            error.exit()
        }
    }
}

fn run_parsed(cli: Cli, out: Out) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Internal(error.to_string()))?;
    let result = runtime.block_on(commands::run(cli, out));
    // An open question puts the terminal back as it was within a tenth of a second.
    runtime.shutdown_timeout(LAST_WORDS);
    result
}

/// `--help` and `--version` are no errors; everything else is told, what was typed made safe.
fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        let _ = error.print(); // nobody may be listening
        return Exit::Done;
    }
    let told = error.render().to_string();
    let told: Vec<_> = told.lines().map(|line| text::safe(line).to_string()).collect();
    let _ = writeln!(std::io::stderr().lock(), "{}", told.join("\n"));
    Exit::Usage
}
