//! What belongs to an installed system: the package, the unit's sandbox, the policies of the bus, polkit and logind, udev's rules. The
//! package is installed in a container with systemd (`scripts/container.sh` makes its image), and in a virtual machine that boots the
//! same image with Debian's kernel. Each is started once for its cases; each case is a test of its own here. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, missing_docs)]

mod cases;
mod guest;
mod host;
mod person;
mod system;

fn main() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(guest::ARGUMENT) => guest::main(),
        Some(person::ARGUMENT) => person::program::main(),
        _ => host::main(),
    }
}
