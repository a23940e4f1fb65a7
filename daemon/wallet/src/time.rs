//! The two clocks, and how long things may take.

/// A moment by two clocks, read at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds of a clock that never steps and goes on while the machine sleeps (Linux: CLOCK_BOOTTIME). Deadlines
    /// and the ledger go by it.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970. For what is signed or shown; anybody may have set it.
    pub unix_ms: i64,
}

impl Moment {
    /// Milliseconds from `earlier` to now by the clock that never steps.
    pub fn since_ms(self, earlier_monotonic_ms: u64) -> u64 {
        self.monotonic_ms.saturating_sub(earlier_monotonic_ms)
    }

    /// The moment `ms` milliseconds from now, by the clock that never steps.
    pub fn after_ms(self, ms: u64) -> u64 {
        self.monotonic_ms.saturating_add(ms)
    }
}

/// How long things may take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the creation of a payment to Show.
    pub show_ms: u64,
    /// From a question to its answer.
    pub answer_ms: u64,
    /// From the user's yes to the signature, PIN and touch within.
    pub sign_ms: u64,
    /// From a Response to Retry or Complete.
    pub complete_ms: u64,
    /// The pause after a "no".
    pub cool_down_ms: u64,
}

impl Default for Deadlines {
    /// 15 minutes to Show, 120 s to answer, 180 s to sign, 15 minutes to complete, 2 s pause.
    fn default() -> Self {
        Self {
            show_ms: 900_000,
            answer_ms: 120_000,
            sign_ms: 180_000,
            complete_ms: 900_000,
            cool_down_ms: 2_000,
        }
    }
}
