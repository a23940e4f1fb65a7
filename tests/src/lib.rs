//! End-to-end tests with the real parts, and what they are made of. Nothing here stands in for a part that can run:
//!
//! * [`bus`]: a private `dbus-daemon`, as a session's or configured like the system's.
//! * [`polkit`]: a polkitd on it, with actions and rules of the test's own.
//! * [`daemon`]: `fwpd` on it, with a state directory of its own; killed, ended and started again at will.
//! * [`agent`]: an agent that answers by a script, and keeps what it was asked.
//! * [`bank`]: an issuer that checks attestations, issues cards and opens authorizations, with the bank's library.
//! * [`container`]: a container with systemd, for the installed package.
//! * [`machine`]: a virtual machine with Debian's kernel, for USB and a TPM; [`programs`]: the project's own programs.
//! * [`hostile`]: calls that no honest program makes.
//! * [`owner`]: what an owner of payments and enrollments does, in short; [`requests`]: sample payment requests.
//!
//! A test fails by panicking, and so do these.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub mod agent;
pub mod bank;
pub mod bus;
pub mod container;
pub mod daemon;
mod guest;
pub mod hostile;
pub mod machine;
pub mod owner;
pub mod polkit;
pub mod programs;
pub mod requests;

pub use agent::{Answer, Prompt, ScriptedAgent};
pub use bank::Bank;
pub use bus::PrivateBus;
pub use daemon::{Fwpd, QUICK};
pub use owner::{Checkout, MY_BANK, enroll, enroll_with, refused};

use std::future::Future;
use std::time::{Duration, Instant};

/// What a test waits for before it is considered hung.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something, and fails the test if it takes too long.
///
/// # Panics
/// After [`PATIENCE`], naming what was waited for.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Looks again and again until there is something, without a runtime.
///
/// # Panics
/// After [`PATIENCE`], naming what was waited for.
pub fn until<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
