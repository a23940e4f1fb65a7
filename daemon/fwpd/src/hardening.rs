//! What keeps the wallet's memory out of files and out of other programs' hands.
//!
//! RLIMIT_CORE 0 alone leaves a core dump to a program that the kernel pipes it into (core(5), systemd-coredump); a process that
//! can't be dumped (prctl(2), PR_SET_DUMPABLE) leaves none at all, and no other program of the same user may look into its
//! memory (ptrace(2)). root may.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core dumps, and nobody attaches.
///
/// # Errors
/// What the system says. Neither takes a right, so that this is a kernel without them.
pub(crate) fn harden() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
