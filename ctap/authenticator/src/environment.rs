//! Randomness and time, so that tests decide both.

use ctap_core::{Random, RandomError};
use std::time::{Duration, Instant};

/// Randomness and a clock.
pub trait Environment: Random + Send {
    /// The time since some moment that stays the same, never going back.
    fn now(&mut self) -> Duration;
}

/// The operating system's.
#[derive(Clone, Copy, Debug)]
pub struct Os {
    start: Instant,
}

impl Os {
    /// The operating system's randomness and monotonic clock.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for Os {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for Os {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(out).map_err(|_| RandomError)
    }
}

impl Environment for Os {
    fn now(&mut self) -> Duration {
        self.start.elapsed()
    }
}
