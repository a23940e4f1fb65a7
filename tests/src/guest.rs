//! What the container and the virtual machine have in common: how a guest's work went, and what its console said last.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// How it went.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// From the guest's start until its work began.
    pub boot: Duration,
    /// From then until its end.
    pub work: Duration,
    /// The exit status of the work.
    pub status: i32,
}

/// Lines of a console that tell why.
const LAST_LINES: usize = 60;

/// The last lines of a guest's console.
pub(crate) fn tail(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut last: Vec<&str> = text.lines().rev().take(LAST_LINES).collect();
    last.reverse();
    last.join("\n")
}
