//! What a store and its outside counter say of each other, with a counter that does what no real one does on demand. The
//! real ones: `secret_service.rs`, and the TPM's with its driver in `fwp-store-tpm`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, THEN, add_card, event};
use fwp_store::record::AuditKind;
use fwp_store::{
    Changes, CounterError, CounterKind, Durability, OutsideCounter, Pace, RollBack, Rotation, Store,
    StoreError, WalletId,
};
use std::sync::{Arc, Mutex};

/// A counter whose answers can be told.
#[derive(Clone, Default)]
struct Counter(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    value: Option<u64>,
    steps: u32,
    /// What goes wrong: nothing, the way there, the way back.
    fails: Fails,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Fails {
    #[default]
    No,
    Before,
    After,
}

impl OutsideCounter for Counter {
    fn kind(&self) -> CounterKind {
        CounterKind::Tpm
    }

    fn pace(&self) -> Pace {
        Pace::DurableCommit
    }

    fn value(&self, _: &WalletId) -> Result<Option<u64>, CounterError> {
        let state = self.0.lock().unwrap();
        match state.fails {
            Fails::No => Ok(state.value),
            _ => Err(CounterError::Unreachable("broken".to_owned())),
        }
    }

    fn increment(&mut self, _: &WalletId) -> Result<u64, CounterError> {
        let mut state = self.0.lock().unwrap();
        if state.fails == Fails::Before {
            return Err(CounterError::Unreachable("broken".to_owned()));
        }
        // A TPM's first value is whatever its counters were at.
        let value = state.value.map_or(41, |value| value + 1);
        state.value = Some(value);
        state.steps += 1;
        match state.fails {
            Fails::No => Ok(value),
            _ => Err(CounterError::Unreachable("broken".to_owned())),
        }
    }
}

impl Counter {
    fn at(&self) -> Option<u64> {
        self.0.lock().unwrap().value
    }

    fn fails(&self, fails: Fails) {
        self.0.lock().unwrap().fails = fails;
    }
}

fn open(home: &Home, counter: &Counter) -> Result<Store, StoreError> {
    home.locked().unlock(&[&home.key()], Some(Box::new(counter.clone()))).map_err(|refusal| refusal.error)
}

fn write(store: &mut Store, durability: Durability) {
    let mut changes = Changes::new();
    changes.audit(event(AuditKind::PinSet));
    store.commit(changes, durability).unwrap();
}

fn counted_wallet() -> (Home, Counter) {
    let home = Home::new();
    drop(home.create());
    let counter = Counter::default();
    let store = open(&home, &counter).unwrap();
    assert_eq!((store.roll_back(), counter.at()), (RollBack::Excluded, Some(41)));
    (home, counter)
}

#[test]
fn a_durable_commit_is_one_step_and_nothing_else_is() {
    let (home, counter) = counted_wallet();
    let mut store = open(&home, &counter).unwrap();
    write(&mut store, Durability::Lazy);
    assert_eq!(counter.at(), Some(41));
    write(&mut store, Durability::Durable);
    assert_eq!(counter.at(), Some(42));
    let slot =
        store.add_slot(&fwp_store::slot::KeyFile::new(home.temporary.path().join("b.key")), THEN).unwrap();
    store.remove_slot(slot, &[&home.key()], THEN).unwrap();
    store.rotate(&[&home.key()], Rotation::Slots, THEN).unwrap();
    store.rotate(&[&home.key()], Rotation::DataKey, THEN).unwrap();
    assert_eq!(counter.at(), Some(46));
    // What fails is none.
    let mut changes = Changes::new();
    changes.remove_card(fwp_store::record::CardId::from_i64(7));
    store.commit(changes, Durability::Durable).unwrap_err();
    assert_eq!(counter.at(), Some(46));
    write(&mut store, Durability::Durable);
    assert_eq!((counter.at(), store.counter_problem()), (Some(47), None));
    drop(store);
    assert_eq!(open(&home, &counter).unwrap().roll_back(), RollBack::Excluded);
    assert_eq!(counter.at(), Some(47));
}

#[test]
fn every_earlier_state_is_refused_and_the_newest_is_not() {
    let (home, counter) = counted_wallet();
    let mut copies = Vec::new();
    for _ in 0..5 {
        copies.push(std::fs::read(home.database()).unwrap());
        add_card(&mut open(&home, &counter).unwrap(), 1 + copies.len() as u64);
    }
    let newest = std::fs::read(home.database()).unwrap();
    for copy in &copies {
        std::fs::write(home.database(), copy).unwrap();
        let error = open(&home, &counter).unwrap_err();
        assert!(matches!(error, StoreError::RolledBack { counter: 46, .. }), "{error}");
        assert_eq!(&std::fs::read(home.database()).unwrap(), copy);
    }
    std::fs::write(home.database(), newest).unwrap();
    assert_eq!(open(&home, &counter).unwrap().cards().len(), 5);
}

#[test]
fn a_process_that_ends_between_commit_and_step_leaves_a_store_that_opens_and_counts() {
    let (home, counter) = counted_wallet();
    let mut store = open(&home, &counter).unwrap();
    counter.fails(Fails::Before);
    write(&mut store, Durability::Durable);
    // The step was not made, as if the process had ended here.
    drop(store);
    assert_eq!(counter.at(), Some(41));
    counter.fails(Fails::No);
    let store = open(&home, &counter).unwrap();
    assert_eq!((store.roll_back(), counter.at()), (RollBack::Excluded, Some(42)));
}

#[test]
fn a_step_of_which_the_answer_was_lost_is_not_made_twice() {
    let (home, counter) = counted_wallet();
    let old = std::fs::read(home.database()).unwrap();
    let mut store = open(&home, &counter).unwrap();
    counter.fails(Fails::After);
    for _ in 0..3 {
        write(&mut store, Durability::Durable);
        assert_eq!(store.roll_back(), RollBack::NotDetectedHere);
        assert!(store.counter_problem().is_some());
    }
    counter.fails(Fails::No);
    write(&mut store, Durability::Durable);
    assert_eq!(
        (store.roll_back(), store.counter_problem(), counter.at()),
        (RollBack::Excluded, None, Some(42))
    );
    write(&mut store, Durability::Durable);
    assert_eq!(counter.at(), Some(43));
    drop(store);
    open(&home, &counter).unwrap();
    std::fs::write(home.database(), old).unwrap();
    assert!(matches!(open(&home, &counter).unwrap_err(), StoreError::RolledBack { .. }));
}

#[test]
fn a_counter_that_was_not_reached_at_the_first_opening_is_made_at_the_next() {
    for fails in [Fails::Before, Fails::After] {
        let home = Home::new();
        drop(home.create());
        let counter = Counter::default();
        let mut store = home.open();
        // It answers that there is none, and then breaks.
        struct Breaking(Counter, Fails);
        impl OutsideCounter for Breaking {
            fn kind(&self) -> CounterKind {
                CounterKind::Tpm
            }
            fn pace(&self) -> Pace {
                Pace::DurableCommit
            }
            fn value(&self, wallet: &WalletId) -> Result<Option<u64>, CounterError> {
                self.0.value(wallet)
            }
            fn increment(&mut self, wallet: &WalletId) -> Result<u64, CounterError> {
                self.0.fails(self.1);
                self.0.increment(wallet)
            }
        }
        store.attach_counter(Box::new(Breaking(counter.clone(), fails))).unwrap();
        assert_eq!(store.roll_back(), RollBack::NotDetectedHere);
        write(&mut store, Durability::Durable);
        drop(store);
        counter.fails(Fails::No);
        let mut store = open(&home, &counter).unwrap();
        assert_eq!(store.roll_back(), RollBack::Excluded);
        write(&mut store, Durability::Durable);
        drop(store);
        assert_eq!(open(&home, &counter).unwrap().counter_problem(), None);
    }
}

#[test]
fn two_copies_of_a_wallet_that_are_both_used_notice_each_other() {
    let (home, counter) = counted_wallet();
    let twin = Home::new();
    std::fs::create_dir(twin.wallet()).unwrap();
    std::fs::copy(home.database(), twin.database()).unwrap();
    std::fs::copy(home.key().path(), twin.key().path()).unwrap();
    let (mut store, mut other) = (open(&home, &counter).unwrap(), open(&twin, &counter).unwrap());
    write(&mut store, Durability::Durable);
    write(&mut other, Durability::Durable);
    let problem = other.counter_problem().unwrap();
    assert_eq!(*problem, CounterError::MovedByAnother { expected: 42, found: 43 });
    assert_eq!(other.roll_back(), RollBack::NotDetectedHere);
    drop((store, other));
    for home in [&home, &twin] {
        assert!(matches!(
            open(home, &counter).unwrap_err(),
            StoreError::RolledBack { found: 42, counter: 43 }
        ));
    }
}

#[test]
fn another_counter_is_named_and_begins_again_when_this_copy_is_meant() {
    let (home, counter) = counted_wallet();
    let mut store = open(&home, &counter).unwrap();
    for _ in 0..300 {
        write(&mut store, Durability::Durable);
    }
    drop(store);
    // Behind by more than a power cut explains, and gone.
    for value in [Some(41), None] {
        counter.0.lock().unwrap().value = value;
        let error = open(&home, &counter).unwrap_err();
        assert!(
            matches!(error, StoreError::CounterLost { kind: CounterKind::Tpm, expected: 341, found } if found == value),
            "{error}"
        );
    }
    let locked = home.locked();
    let store = locked.unlock_as_newest(&[&home.key()], Box::new(counter.clone()), THEN).unwrap();
    assert_eq!((store.roll_back(), counter.at()), (RollBack::Excluded, Some(41)));
    assert_eq!(store.audit(0, 999).unwrap().last().unwrap().event.kind, AuditKind::OldCopyAccepted);
    drop(store);
    assert_eq!(open(&home, &counter).unwrap().counter_problem(), None);
}

#[test]
fn steps_that_a_power_cut_took_from_the_counter_are_made_again() {
    let (home, counter) = counted_wallet();
    let old = std::fs::read(home.database()).unwrap();
    for _ in 0..10 {
        write(&mut open(&home, &counter).unwrap(), Durability::Durable);
    }
    counter.0.lock().unwrap().value = Some(45);
    assert_eq!(open(&home, &counter).unwrap().roll_back(), RollBack::Excluded);
    assert_eq!(counter.at(), Some(51));
    std::fs::write(home.database(), old).unwrap();
    assert!(matches!(open(&home, &counter).unwrap_err(), StoreError::RolledBack { found: 41, counter: 51 }));
}

#[test]
fn what_is_accepted_although_nothing_is_against_it_is_not_noted() {
    let (home, counter) = counted_wallet();
    let store = home.locked().unlock_as_newest(&[&home.key()], Box::new(counter.clone()), THEN).unwrap();
    assert_eq!((store.audit(0, 99).unwrap().len(), counter.at()), (1, Some(41)));
    drop(store);
    // Nor that the first counter is made.
    let home = Home::new();
    drop(home.create());
    let counter = Counter::default();
    let store = home.locked().unlock_as_newest(&[&home.key()], Box::new(counter.clone()), THEN).unwrap();
    assert_eq!((store.audit(0, 99).unwrap().len(), counter.at()), (1, Some(41)));
}

#[test]
fn where_there_is_no_counter_that_is_said() {
    let home = Home::new();
    let store = home.create();
    assert_eq!((store.roll_back(), store.counter_problem()), (RollBack::NotDetectedHere, None));
}
