//! What needs a kernel: security keys over its real USB stack (`vhci-hcd`, `usbhid`, hidraw, udev), and a TPM through its resource
//! manager (`/dev/tpmrm0`). One virtual machine is booted with Debian's kernel, and every case runs in it; each is a test of its
//! own here. The keys are OpenSK, the TPM is swtpm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, missing_docs)]

mod cases;
mod guest;
mod host;

fn main() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(guest::ARGUMENT) => guest::main(),
        _ => host::main(),
    }
}
