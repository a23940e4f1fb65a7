//! The user's attention: one thing at a time is put before the user, and so many within a minute. The rules are
//! [`fwp_wallet::Desk`]'s and [`Prompts`]'.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fwp_dbus::{Error, ErrorName};
use fwp_wallet::{Desk, DeskRefusal, Prompts};
use tokio::sync::Notify;

use crate::{clock, journal};

/// How often it is looked whether a pause is over.
const PAUSE: Duration = Duration::from_millis(100);

/// Who may put something before the user.
#[derive(Debug, Clone)]
pub(crate) struct Floor(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    desk: RefCell<Desk<u64>>,
    prompts: RefCell<Prompts>,
    next: Cell<u64>,
    /// Told when a turn ends.
    left: Notify,
    cool_down_ms: u64,
}

/// The floor is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    floor: Rc<Inner>,
    number: u64,
}

impl Floor {
    /// A free floor, with this pause after a no, and so many prompts within a minute.
    pub(crate) fn new(cool_down: Duration, prompts_per_minute: Option<u32>) -> Self {
        let cool_down_ms = clock::millis(cool_down);
        Self(Rc::new(Inner {
            desk: RefCell::default(),
            prompts: RefCell::new(Prompts::at_most(prompts_per_minute)),
            next: Cell::new(0),
            left: Notify::new(),
            cool_down_ms,
        }))
    }

    /// Takes the floor to put something before the user.
    ///
    /// # Errors
    /// `Busy`, `CoolDown`, `LimitsExceeded`.
    pub(crate) fn take(&self) -> Result<Turn, Error> {
        let turn = self.take_silently()?;
        self.prompt()?;
        Ok(turn)
    }

    /// Counts something that is put before the user without a turn of its own.
    ///
    /// # Errors
    /// `LimitsExceeded`.
    pub(crate) fn prompt(&self) -> Result<(), Error> {
        let counted = self.0.prompts.borrow_mut().count(clock::moment());
        counted.map_err(|refusal| {
            journal::own_limit_reached("prompts within a minute");
            Error::new(ErrorName::LimitsExceeded, refusal.to_string())
        })
    }

    /// Whether nothing is remembered of what was before the user that would be missed.
    pub(crate) fn is_forgotten(&self) -> bool {
        let now = clock::moment();
        !self.is_taken() && self.0.prompts.borrow_mut().is_empty(now) && !self.0.desk.borrow().is_closed(now)
    }

    fn take_silently(&self) -> Result<Turn, Error> {
        let number = self.0.next.get();
        self.0.next.set(number.wrapping_add(1));
        self.0.desk.borrow_mut().take(number, clock::moment()).map_err(|refusal| {
            let name = match refusal {
                DeskRefusal::Busy => ErrorName::Busy,
                DeskRefusal::CoolDown { .. } => ErrorName::CoolDown,
            };
            Error::new(name, refusal.to_string())
        })?;
        Ok(Turn { floor: Rc::clone(&self.0), number })
    }

    /// Takes the floor as soon as it is free, to put nothing before the user; a pause after a no is waited for.
    pub(crate) async fn take_when_free(&self) -> Turn {
        loop {
            let left = self.0.left.notified();
            match self.take_silently() {
                Ok(turn) => return turn,
                Err(error) if error.name == ErrorName::Busy => left.await,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Whether something is before the user.
    pub(crate) fn is_taken(&self) -> bool {
        self.0.desk.borrow().occupant().is_some()
    }
}

impl Turn {
    /// The user said no: the floor is free, after a pause.
    pub(crate) fn declined(self) {
        let mut desk = self.floor.desk.borrow_mut();
        desk.declined(&self.number, clock::moment(), self.floor.cool_down_ms);
    }

    /// Ends with what came of it: a pause follows if the user said no.
    pub(crate) fn end<T>(self, outcome: &Result<T, Error>) {
        if matches!(outcome, Err(error) if error.name == ErrorName::Declined) {
            self.declined();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.floor.desk.borrow_mut().leave(&self.number);
        self.floor.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name<T>(result: Result<T, Error>) -> Option<ErrorName> {
        result.err().map(|error| error.name)
    }

    #[test]
    fn there_is_one_turn_at_a_time_and_a_refused_one_frees_nothing() {
        let floor = Floor::new(Duration::ZERO, None);
        let turn = floor.take().unwrap();
        assert_eq!(name(floor.take()), Some(ErrorName::Busy));
        assert!(floor.is_taken());
        drop(turn);
        assert!(!floor.is_taken());
        floor.take().unwrap();
    }

    #[tokio::test]
    async fn who_waits_for_the_floor_has_it_after_the_turn_before() {
        let floor = Floor::new(Duration::from_millis(50), None);
        let turn = floor.take().unwrap();
        let waits = floor.take_when_free();
        tokio::pin!(waits);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut waits).await.is_err());
        turn.end(&Err::<(), _>(Error::new(ErrorName::Declined, "")));
        let _turn = waits.await;
        assert_eq!(name(floor.take()), Some(ErrorName::Busy));
    }

    #[test]
    fn after_no_there_is_a_pause() {
        let floor = Floor::new(Duration::from_secs(60), None);
        floor.take().unwrap().end(&Err::<(), _>(Error::new(ErrorName::Declined, "")));
        assert_eq!(name(floor.take()), Some(ErrorName::CoolDown));
        let floor = Floor::new(Duration::from_secs(60), None);
        floor.take().unwrap().end(&Err::<(), _>(Error::new(ErrorName::Timeout, "")));
        floor.take().unwrap();
    }

    #[test]
    fn so_many_turns_within_a_minute_and_what_waits_for_silence_does_not_count() {
        let floor = Floor::new(Duration::ZERO, Some(2));
        drop(floor.take().unwrap());
        drop(floor.take_silently().unwrap());
        floor.prompt().unwrap();
        assert_eq!(name(floor.take()), Some(ErrorName::LimitsExceeded));
        assert!(!floor.is_taken(), "who is refused does not keep it");
        assert_eq!(name(floor.prompt()), Some(ErrorName::LimitsExceeded));
        drop(floor.take_silently().unwrap());
    }
}
