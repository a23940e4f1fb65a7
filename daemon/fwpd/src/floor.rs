//! The user's attention: one thing at a time is put before the user. The rules are [`fwp_wallet::Desk`]'s.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fwp_dbus::{Error, ErrorName};
use fwp_wallet::{Desk, DeskRefusal};
use tokio::sync::Notify;

use crate::clock;

/// How often it is looked whether a pause is over.
const PAUSE: Duration = Duration::from_millis(100);

/// Who may put something before the user.
#[derive(Debug, Clone)]
pub(crate) struct Floor(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    desk: RefCell<Desk<u64>>,
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
    /// A free floor, with this pause after a no.
    pub(crate) fn new(cool_down: Duration) -> Self {
        let cool_down_ms = clock::millis(cool_down);
        Self(Rc::new(Inner {
            desk: RefCell::default(),
            next: Cell::new(0),
            left: Notify::new(),
            cool_down_ms,
        }))
    }

    /// Takes the floor.
    ///
    /// # Errors
    /// `Busy`, `CoolDown`.
    pub(crate) fn take(&self) -> Result<Turn, Error> {
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

    /// Takes the floor as soon as it is free; a pause after a no is waited for.
    pub(crate) async fn take_when_free(&self) -> Turn {
        loop {
            let left = self.0.left.notified();
            match self.take() {
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
        let floor = Floor::new(Duration::ZERO);
        let turn = floor.take().unwrap();
        assert_eq!(name(floor.take()), Some(ErrorName::Busy));
        assert!(floor.is_taken());
        drop(turn);
        assert!(!floor.is_taken());
        floor.take().unwrap();
    }

    #[tokio::test]
    async fn who_waits_for_the_floor_has_it_after_the_turn_before() {
        let floor = Floor::new(Duration::from_millis(50));
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
        let floor = Floor::new(Duration::from_secs(60));
        floor.take().unwrap().end(&Err::<(), _>(Error::new(ErrorName::Declined, "")));
        assert_eq!(name(floor.take()), Some(ErrorName::CoolDown));
        let floor = Floor::new(Duration::from_secs(60));
        floor.take().unwrap().end(&Err::<(), _>(Error::new(ErrorName::Timeout, "")));
        floor.take().unwrap();
    }
}
