//! An open store and its outside counter (see [`crate::counter`]).

use crate::changes::Durability;
use crate::counter::{CounterError, CounterKind, OutsideCounter, Pace, Recorded, RollBack, Verdict, judge};
use crate::error::StoreError;
use crate::head::Head;
use crate::record::{AuditEvent, AuditKind};
use crate::seal::WalletId;
use crate::store::Store;

/// The counter of an open store.
#[derive(Default)]
pub(crate) struct Counting {
    /// Only one that has said that this store is the newest.
    counter: Option<Box<dyn OutsideCounter>>,
    /// The steps between the counter and the head.
    steps: u64,
    /// A step failed, and may have been made all the same: the counter is to be read before the next one.
    uncertain: bool,
    /// One that could not be asked at the opening, and is asked again.
    unasked: Option<Box<dyn OutsideCounter>>,
    problem: Option<CounterError>,
}

/// What a counter says of a store before anything is written.
pub(crate) enum Advice {
    /// Nothing: there is none.
    NoCounter,
    /// Nothing: it can't be asked now.
    NotAsked(Box<dyn OutsideCounter>, CounterError),
    /// It is the newest.
    Newest(Box<dyn OutsideCounter>, u64),
    /// There is none yet: it is to be made.
    Begin(Box<dyn OutsideCounter>),
    /// It is against this copy, but the user has said that this one is meant: it is to begin again.
    BeginAgain(Box<dyn OutsideCounter>),
}

/// Asks `counter` about a store with `head`. `as_newest`: whatever it says against the store, the user has said more.
///
/// # Errors
/// [`StoreError::RolledBack`], [`StoreError::CounterLost`], [`StoreError::Counter`] if it is malformed.
pub(crate) fn ask(
    head: &Head,
    wallet: &WalletId,
    counter: Option<Box<dyn OutsideCounter>>,
    as_newest: bool,
) -> Result<Advice, StoreError> {
    let Some(counter) = counter else { return Ok(Advice::NoCounter) };
    let outside = match counter.value(wallet) {
        Ok(outside) => outside,
        Err(error @ CounterError::Unreachable(_)) => return Ok(Advice::NotAsked(counter, error)),
        Err(_) if as_newest => return Ok(Advice::BeginAgain(counter)),
        Err(error) => return Err(StoreError::Counter(error)),
    };
    match judge(head.counter, counter.kind(), outside) {
        Verdict::Newest { steps } => Ok(Advice::Newest(counter, steps)),
        Verdict::First => Ok(Advice::Begin(counter)),
        _ if as_newest => Ok(Advice::BeginAgain(counter)),
        Verdict::RolledBack { found, counter } => Err(StoreError::RolledBack { found, counter }),
        Verdict::Lost { expected, found } => {
            Err(StoreError::CounterLost { kind: counter.kind(), expected, found })
        }
    }
}

impl Store {
    /// Whether a roll-back of the whole store would be noticed.
    pub fn roll_back(&self) -> RollBack {
        if self.counting.counter.is_some() && self.counting.problem.is_none() {
            RollBack::Excluded
        } else {
            RollBack::NotDetectedHere
        }
    }

    /// What the counter stands in that this store counts with, or did last.
    pub fn counter_kind(&self) -> Option<CounterKind> {
        self.head.counter.map(|recorded| recorded.kind)
    }

    /// Why a roll-back is not noticed although there is or was a counter.
    pub fn counter_problem(&self) -> Option<&CounterError> {
        self.counting.problem.as_ref()
    }

    /// Asks a counter that was not there when the wallet was opened or made, and counts with it from now on.
    ///
    /// # Errors
    /// [`StoreError::RolledBack`], [`StoreError::CounterLost`]: close the store and say so. [`StoreError::Counter`], and
    /// those of [`Store::commit`].
    pub fn attach_counter(&mut self, counter: Box<dyn OutsideCounter>) -> Result<(), StoreError> {
        let advice = ask(&self.head, &self.wallet, Some(counter), false)?;
        self.follow(advice)
    }

    /// Follows the advice at an opening, where what can't be written (a full disk) leaves a store without a counter. That an
    /// old copy was `accepted`, and when, is noted before the counter begins again.
    pub(crate) fn take_up(&mut self, advice: Advice, accepted: Option<i64>) {
        let noted = match (&advice, accepted) {
            (Advice::BeginAgain(_), Some(at_unix_ms)) => {
                let event = AuditEvent::new(at_unix_ms, AuditKind::OldCopyAccepted);
                self.write(Durability::Durable, |writer| writer.append_audit(&event))
            }
            _ => Ok(()),
        };
        if let Err(error) = noted.and_then(|()| self.follow(advice)) {
            self.counting = Counting::default();
            self.counting.problem = Some(CounterError::Unreachable(error.to_string()));
        }
    }

    fn follow(&mut self, advice: Advice) -> Result<(), StoreError> {
        match advice {
            Advice::NoCounter => {
                self.counting.problem = self.head.counter.map(|recorded| {
                    CounterError::Unreachable(format!("nothing was given that asks the {}", recorded.kind))
                });
                Ok(())
            }
            Advice::NotAsked(counter, problem) => {
                // One that is moved at openings has its next turn at the next one.
                let unasked = (counter.pace() == Pace::DurableCommit).then_some(counter);
                self.counting = Counting { problem: Some(problem), unasked, ..Counting::default() };
                Ok(())
            }
            Advice::Newest(counter, steps) => {
                let pace = counter.pace();
                self.counting = Counting { counter: Some(counter), steps, ..Counting::default() };
                self.count_outside();
                match pace {
                    Pace::Opening => self.count_opening(),
                    Pace::DurableCommit => Ok(()),
                }
            }
            Advice::Begin(counter) | Advice::BeginAgain(counter) => self.begin(counter),
        }
    }

    /// Makes a counter or takes over one that is there. What is recorded first tells a process that ended in between from
    /// a store of an earlier time.
    fn begin(&mut self, mut counter: Box<dyn OutsideCounter>) -> Result<(), StoreError> {
        self.counting = Counting::default();
        let kind = counter.kind();
        let record = |store: &mut Self, value| {
            store.write(Durability::Durable, |writer| {
                writer.record_counter(Recorded { kind, value });
                Ok(())
            })
        };
        record(self, None)?;
        match counter.increment(&self.wallet) {
            Ok(value) => {
                record(self, Some(value))?;
                self.counting.counter = Some(counter);
            }
            Err(problem) => self.counting.problem = Some(problem),
        }
        Ok(())
    }

    /// Takes the counter's next number, unless it still has steps to make.
    fn count_opening(&mut self) -> Result<(), StoreError> {
        match self.head.counter {
            Some(Recorded { kind, value: Some(value) }) if self.counting.steps == 0 => {
                self.write(Durability::Durable, |writer| {
                    writer.record_counter(Recorded { kind, value: Some(value.saturating_add(1)) });
                    Ok(())
                })
            }
            _ => Ok(()),
        }
    }

    /// The head that the next commit goes out from: at the pace of durable commits one takes the counter's next number,
    /// unless the counter still has steps to make.
    pub(crate) fn counted_head(&self, durability: Durability) -> Head {
        let mut head = self.head.clone();
        if durability == Durability::Durable
            && self.counting.counter.as_ref().is_some_and(|counter| counter.pace() == Pace::DurableCommit)
            && self.counting.steps == 0
            && let Some(Recorded { value: Some(value), .. }) = &mut head.counter
        {
            *value = value.saturating_add(1);
        }
        head
    }

    /// Takes the head that was committed, and moves the counter to where it says. What it can't do now, the next durable
    /// commit tries again: the store was written, and must not be told to have failed.
    pub(crate) fn committed(&mut self, head: Head) {
        if let (Some(before), Some(after)) = (number(&self.head), number(&head))
            && self.counting.counter.is_some()
        {
            self.counting.steps += after.saturating_sub(before);
        }
        self.head = head;
        self.count_outside();
        self.ask_again();
    }

    /// Asks a counter that could not be asked when the wallet was opened: a wallet may be open for weeks. If it is against this store
    /// that is said, and refused at the next opening: what was committed meanwhile must not be told to have failed.
    fn ask_again(&mut self) {
        let Some(counter) = self.counting.unasked.take() else { return };
        let moved = |expected, found| CounterError::MovedByAnother { expected, found };
        let followed = match ask(&self.head, &self.wallet, Some(counter), false) {
            Err(StoreError::RolledBack { found, counter }) => Err(moved(found, counter)),
            Err(StoreError::CounterLost { expected, found, .. }) => Err(moved(expected, found.unwrap_or(0))),
            Err(StoreError::Counter(problem)) => Err(problem),
            advice => advice
                .and_then(|advice| self.follow(advice))
                .map_err(|error| CounterError::Unreachable(error.to_string())),
        };
        if let Err(problem) = followed {
            self.counting.problem = Some(problem);
        }
    }

    fn count_outside(&mut self) {
        let Some(expected) = number(&self.head) else { return };
        if self.counting.steps == 0 {
            return;
        }
        match self.counting.move_to(expected, &self.wallet) {
            Ok(()) => self.counting.problem = None,
            Err(problem) => {
                if matches!(problem, CounterError::MovedByAnother { .. }) {
                    self.counting.counter = None;
                }
                self.counting.problem = Some(problem);
            }
        }
    }
}

impl Counting {
    fn move_to(&mut self, expected: u64, wallet: &WalletId) -> Result<(), CounterError> {
        let Some(counter) = &mut self.counter else { return Ok(()) };
        if self.uncertain {
            let found = counter.value(wallet)?.unwrap_or(0);
            self.steps =
                expected.checked_sub(found).ok_or(CounterError::MovedByAnother { expected, found })?;
            self.uncertain = false;
        }
        while self.steps > 0 {
            self.uncertain = true;
            let found = counter.increment(wallet)?;
            self.uncertain = false;
            self.steps -= 1;
            if found.checked_add(self.steps) != Some(expected) {
                return Err(CounterError::MovedByAnother { expected, found });
            }
        }
        Ok(())
    }
}

/// The number of the counter that a head says.
fn number(head: &Head) -> Option<u64> {
    head.counter.and_then(|recorded| recorded.value)
}
