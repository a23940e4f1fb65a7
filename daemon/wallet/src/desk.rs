//! One thing at a time before the user, so that no prompt appears under a finger that has just said yes, and a short
//! pause after a "no", so that nobody can ask until the user gives in.

use crate::time::Moment;

/// What is before the user. `W` names it: a payment, an enrollment, a question of the wallet's own.
#[derive(Clone, Debug)]
pub struct Desk<W> {
    occupant: Option<W>,
    closed_until_ms: u64,
}

/// Why nothing can be put before the user now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskRefusal {
    /// Something else is.
    #[error("the user is being asked something else; try again when that is over")]
    Busy,
    /// The user said no a moment ago.
    #[error("the user declined a moment ago; try again in {wait_ms} ms")]
    CoolDown {
        /// How long to wait, in milliseconds.
        wait_ms: u64,
    },
}

impl<W> Default for Desk<W> {
    fn default() -> Self {
        Self { occupant: None, closed_until_ms: 0 }
    }
}

impl<W: PartialEq> Desk<W> {
    /// Puts `who` before the user.
    ///
    /// # Errors
    /// [`DeskRefusal`].
    pub fn take(&mut self, who: W, now: Moment) -> Result<(), DeskRefusal> {
        if self.occupant.is_some() {
            return Err(DeskRefusal::Busy);
        }
        match self.closed_until_ms.saturating_sub(now.monotonic_ms) {
            0 => {
                self.occupant = Some(who);
                Ok(())
            }
            wait_ms => Err(DeskRefusal::CoolDown { wait_ms }),
        }
    }

    /// `who` is done, if it is the one before the user.
    pub fn leave(&mut self, who: &W) {
        if self.occupant.as_ref() == Some(who) {
            self.occupant = None;
        }
    }

    /// The user said no to `who`: done, and a pause of `cool_down_ms`.
    pub fn declined(&mut self, who: &W, now: Moment, cool_down_ms: u64) {
        if self.occupant.as_ref() == Some(who) {
            self.occupant = None;
            self.closed_until_ms = now.after_ms(cool_down_ms);
        }
    }

    /// Whether there is a pause after a no.
    pub fn is_closed(&self, now: Moment) -> bool {
        self.closed_until_ms > now.monotonic_ms
    }

    /// What is before the user.
    pub fn occupant(&self) -> Option<&W> {
        self.occupant.as_ref()
    }
}
