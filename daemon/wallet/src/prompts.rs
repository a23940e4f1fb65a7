//! How often the user may be asked: whatever programs want, a person is not to be worn down.

use std::collections::VecDeque;

use crate::time::Moment;

/// What is counted together.
const MINUTE_MS: u64 = 60_000;

/// What was put before one user within the last minute, by whatever program.
#[derive(Clone, Debug, Default)]
pub struct Prompts {
    /// `None`: as many as come.
    most: Option<u32>,
    /// By the clock that never steps, oldest first; never more than `most`.
    times_ms: VecDeque<u64>,
}

/// There were so many prompts within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{most} prompts were put before the user within a minute, and no more are; try again in {} s", wait_ms.div_ceil(1000))]
pub struct TooManyPrompts {
    /// How many there may be.
    pub most: u32,
    /// How long to wait, in milliseconds.
    pub wait_ms: u64,
}

impl Prompts {
    /// None was there yet; there may be so many within a minute, or as many as come.
    pub fn at_most(most: Option<u32>) -> Self {
        Self { most, times_ms: VecDeque::new() }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// [`TooManyPrompts`]; it isn't counted then.
    pub fn count(&mut self, now: Moment) -> Result<(), TooManyPrompts> {
        let Some(most) = self.most else { return Ok(()) };
        self.forget_old(now);
        if self.times_ms.len() < usize::try_from(most).unwrap_or(usize::MAX) {
            self.times_ms.push_back(now.monotonic_ms);
            return Ok(());
        }
        // Where none may be at all, there is nothing to wait for but the next minute.
        let oldest = self.times_ms.front().map_or(0, |oldest| now.since_ms(*oldest));
        Err(TooManyPrompts { most, wait_ms: MINUTE_MS.saturating_sub(oldest) })
    }

    /// Whether nothing is remembered that would be missed.
    pub fn is_empty(&mut self, now: Moment) -> bool {
        self.forget_old(now);
        self.times_ms.is_empty()
    }

    fn forget_old(&mut self, now: Moment) {
        while self.times_ms.front().is_some_and(|time| now.since_ms(*time) >= MINUTE_MS) {
            self.times_ms.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(monotonic_ms: u64) -> Moment {
        Moment { monotonic_ms, unix_ms: 0 }
    }

    #[test]
    fn so_many_within_any_minute_and_no_more() {
        let mut prompts = Prompts::at_most(Some(2));
        prompts.count(at(0)).unwrap();
        prompts.count(at(30_000)).unwrap();
        let refused = prompts.count(at(30_001)).unwrap_err();
        assert_eq!(refused, TooManyPrompts { most: 2, wait_ms: 29_999 });
        assert_eq!(
            refused.to_string(),
            "2 prompts were put before the user within a minute, and no more are; try again in 30 s"
        );
        // What is refused is not counted, or who asks on and on would never be heard again.
        assert!(prompts.count(at(59_999)).is_err());
        prompts.count(at(60_000)).unwrap();
        assert_eq!(prompts.count(at(60_000)).unwrap_err().wait_ms, 30_000);
        prompts.count(at(90_000)).unwrap();
        assert!(!prompts.is_empty(at(149_999)) && prompts.is_empty(at(150_000)));
    }

    #[test]
    fn without_a_limit_nothing_is_kept() {
        let mut prompts = Prompts::at_most(None);
        for _ in 0..1000 {
            prompts.count(at(0)).unwrap();
        }
        assert!(prompts.is_empty(at(0)));
    }

    #[test]
    fn none_means_none() {
        assert_eq!(Prompts::at_most(Some(0)).count(at(5)).unwrap_err().wait_ms, 60_000);
    }
}
