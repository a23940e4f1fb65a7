//! The TPM's counter against roll-back, with real stores.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, THEN, counter, entries, nothing_left, slot, write};
use ctap_tpm::{Tpm, TpmAddress};
use fwp_store::record::AuditKind;
use fwp_store::slot::KeyFile;
use fwp_store::{CounterError, CounterKind, Durability, RollBack, Store, StoreError};
use fwp_store_tpm::TpmCounter;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use virtual_tpm::Swtpm;

/// A wallet that counts with the TPM, and its slot, a key file: the counter alone is what matters here.
fn counted_wallet(swtpm: &Swtpm) -> (Home, KeyFile) {
    let home = Home::new();
    let file = KeyFile::new(home.temporary.path().join("key"));
    drop(home.create(&[&file]));
    let store = home.open_counted(&[&file], swtpm).unwrap();
    assert_eq!((store.roll_back(), store.counter_problem()), (RollBack::Excluded, None));
    drop(store);
    (home, file)
}

/// The counters of wallets, as tpm2-tools see them.
fn indices(swtpm: &Swtpm) -> Vec<String> {
    swtpm.nv_indices().into_iter().filter(|index| index.to_lowercase().starts_with("0x1be")).collect()
}

fn number(swtpm: &Swtpm, index: &str) -> u64 {
    swtpm.tool("tpm2_nvread", &[index, "-C", index, "-o", "number"]);
    u64::from_be_bytes(std::fs::read(swtpm.state.path().join("number")).unwrap().try_into().unwrap())
}

fn open(home: &Home, file: &KeyFile, swtpm: &Swtpm) -> Store {
    home.open_counted(&[file], swtpm).unwrap()
}

#[test]
fn an_old_copy_of_the_store_put_back_is_refused_with_its_keys_and_all() {
    let (swtpm, home) = (Swtpm::new(), Home::new());
    let program = slot(&swtpm);
    drop(home.create(&[&program]));
    let mut store = home.open_counted(&[&program], &swtpm).unwrap();
    write(&mut store, Durability::Durable);
    drop(store);
    let old = std::fs::read(home.database()).unwrap();
    let mut store = home.open_counted(&[&program], &swtpm).unwrap();
    write(&mut store, Durability::Durable);
    drop(store);
    let newest = std::fs::read(home.database()).unwrap();
    std::fs::write(home.database(), &old).unwrap();
    let error = home.open_counted(&[&program], &swtpm).unwrap_err();
    assert!(matches!(error, StoreError::RolledBack { found, counter } if counter == found + 1), "{error}");
    assert_eq!(std::fs::read(home.database()).unwrap(), old, "what is refused is left as it is");
    std::fs::write(home.database(), newest).unwrap();
    assert_eq!(home.open_counted(&[&program], &swtpm).unwrap().roll_back(), RollBack::Excluded);
    nothing_left(&swtpm);
}

#[test]
fn each_durable_commit_is_one_step_that_others_see() {
    let swtpm = Swtpm::new();
    let (home, file) = counted_wallet(&swtpm);
    let [index] = &indices(&swtpm)[..] else { panic!("one counter") };
    let before = number(&swtpm, index);
    let mut store = open(&home, &file, &swtpm);
    write(&mut store, Durability::Lazy);
    assert_eq!(number(&swtpm, index), before);
    for step in 1..=3 {
        write(&mut store, Durability::Durable);
        assert_eq!(number(&swtpm, index), before + step);
    }
    let text = swtpm.tool("tpm2_nvreadpublic", &[index]);
    assert!(text.contains("friendly: authwrite|nt=0x1|authread|no_da|written"), "{text}");
    nothing_left(&swtpm);
}

#[test]
fn wallets_have_counters_of_their_own() {
    let swtpm = Swtpm::new();
    let (first, first_key) = counted_wallet(&swtpm);
    let (second, second_key) = counted_wallet(&swtpm);
    assert_eq!(indices(&swtpm).len(), 2);
    for _ in 0..3 {
        write(&mut open(&first, &first_key, &swtpm), Durability::Durable);
    }
    let mut store = open(&second, &second_key, &swtpm);
    write(&mut store, Durability::Durable);
    assert_eq!((store.roll_back(), store.counter_problem()), (RollBack::Excluded, None));
    drop(store);
    assert_eq!(open(&first, &first_key, &swtpm).roll_back(), RollBack::Excluded);
    // Nor do the two know each other's numbers.
    let values = [&first, &second].map(|home| counter(&swtpm).value(&home.wallet_id()).unwrap());
    assert!(values[0].is_some() && values[0] != values[1], "{values:?}");
    nothing_left(&swtpm);
}

#[test]
fn what_others_have_in_its_place_is_neither_taken_for_it_nor_touched() {
    let swtpm = Swtpm::new();
    let home = Home::new();
    let file = KeyFile::new(home.temporary.path().join("key"));
    drop(home.create(&[&file]));
    // Where it would be is found by making and deleting it.
    let wallet = home.wallet_id();
    counter(&swtpm).increment(&wallet).unwrap();
    let place = indices(&swtpm).remove(0);
    counter(&swtpm).discard(&wallet).unwrap();
    // Another program's counter, alike but for the label.
    swtpm.tool("tpm2_nvdefine", &[&place, "-C", "o", "-s", "8", "-a", "authread|authwrite|no_da|nt=counter"]);
    swtpm.tool("tpm2_nvincrement", &[&place, "-C", &place]);
    let others = number(&swtpm, &place);
    assert_eq!(counter(&swtpm).value(&wallet), Ok(None));
    for _ in 0..3 {
        write(&mut open(&home, &file, &swtpm), Durability::Durable);
    }
    assert_eq!((number(&swtpm, &place), indices(&swtpm).len()), (others, 2));
    // When the other one goes, ours is found where it is.
    swtpm.tool("tpm2_nvundefine", &[&place, "-C", "o"]);
    assert_eq!(open(&home, &file, &swtpm).roll_back(), RollBack::Excluded);
    assert_eq!(indices(&swtpm).len(), 1);
}

#[test]
fn a_killed_and_restarted_tpm_holds_nothing_up_and_is_made_up_for() {
    let mut swtpm = Swtpm::new();
    let (home, file) = counted_wallet(&swtpm);
    let old = std::fs::read(home.database()).unwrap();
    let mut store = open(&home, &file, &swtpm);
    swtpm.kill();
    write(&mut store, Durability::Durable);
    assert!(matches!(store.counter_problem(), Some(CounterError::Unreachable(_))));
    assert_eq!(store.roll_back(), RollBack::NotDetectedHere);
    drop(store);
    // It opens without the TPM, and says that it could not ask.
    let store = open(&home, &file, &swtpm);
    assert_eq!((store.roll_back(), entries(&store)), (RollBack::NotDetectedHere, 2));
    drop(store);
    swtpm.restart();
    let mut store = open(&home, &file, &swtpm);
    assert_eq!((store.roll_back(), store.counter_problem()), (RollBack::Excluded, None));
    // In mid-air: the steps go on where they were.
    for _ in 0..3 {
        swtpm.restart();
        write(&mut store, Durability::Durable);
        assert_eq!(store.roll_back(), RollBack::Excluded);
    }
    drop(store);
    std::fs::write(home.database(), old).unwrap();
    assert!(matches!(home.open_counted(&[&file], &swtpm), Err(StoreError::RolledBack { .. })));
    nothing_left(&swtpm);
}

#[test]
fn a_cleared_or_other_tpm_is_a_lost_counter_until_the_user_says_that_this_copy_is_meant() {
    let swtpm = Swtpm::new();
    let (home, file) = counted_wallet(&swtpm);
    for _ in 0..5 {
        write(&mut open(&home, &file, &swtpm), Durability::Durable);
    }
    let old = std::fs::read(home.database()).unwrap();
    let lost = |error: StoreError| {
        matches!(error, StoreError::CounterLost { kind: CounterKind::Tpm, found: None, .. })
    };
    assert!(lost(home.open_counted(&[&file], &Swtpm::new()).unwrap_err()));
    swtpm.tool("tpm2_clear", &["-c", "p"]);
    assert!(lost(home.open_counted(&[&file], &swtpm).unwrap_err()));
    let store = home.locked().unlock_as_newest(&[&file], counter(&swtpm), THEN).unwrap();
    assert_eq!(store.roll_back(), RollBack::Excluded);
    assert_eq!(store.audit(0, 999).unwrap().last().unwrap().event.kind, AuditKind::OldCopyAccepted);
    drop(store);
    // The new one begins above the old: what was put back before is behind it.
    std::fs::write(home.database(), old).unwrap();
    assert!(matches!(home.open_counted(&[&file], &swtpm), Err(StoreError::RolledBack { .. })));
    nothing_left(&swtpm);
}

#[test]
fn a_counter_that_was_deleted_and_made_anew_does_not_let_an_old_copy_in() {
    let swtpm = Swtpm::new();
    let (home, file) = counted_wallet(&swtpm);
    let old = std::fs::read(home.database()).unwrap();
    for _ in 0..3 {
        write(&mut open(&home, &file, &swtpm), Durability::Durable);
    }
    std::fs::write(home.database(), old).unwrap();
    // Whoever has the owner's rights deletes it and counts another of the same label up.
    let wallet = home.wallet_id();
    counter(&swtpm).discard(&wallet).unwrap();
    assert!(matches!(home.open_counted(&[&file], &swtpm), Err(StoreError::CounterLost { found: None, .. })));
    counter(&swtpm).increment(&wallet).unwrap();
    assert!(matches!(home.open_counted(&[&file], &swtpm), Err(StoreError::RolledBack { .. })));
}

#[test]
fn a_copy_that_is_in_use_as_well_is_noticed() {
    let swtpm = Swtpm::new();
    let (home, file) = counted_wallet(&swtpm);
    let twin = home.copy();
    let (mut store, mut other) = (open(&home, &file, &swtpm), open(&twin, &file, &swtpm));
    write(&mut store, Durability::Durable);
    write(&mut other, Durability::Durable);
    assert!(matches!(other.counter_problem(), Some(CounterError::MovedByAnother { .. })));
}

#[test]
fn a_wallet_that_is_deleted_takes_its_counter_along() {
    let swtpm = Swtpm::new();
    let (home, _) = counted_wallet(&swtpm);
    let (kept, kept_key) = counted_wallet(&swtpm);
    let wallet = home.wallet_id();
    counter(&swtpm).discard(&wallet).unwrap();
    assert_eq!((counter(&swtpm).value(&wallet), indices(&swtpm).len()), (Ok(None), 1));
    // There is none any more, and that is no error.
    counter(&swtpm).discard(&wallet).unwrap();
    assert_eq!(open(&kept, &kept_key, &swtpm).roll_back(), RollBack::Excluded);
    nothing_left(&swtpm);
}

#[test]
fn a_counter_that_was_made_and_not_yet_counted_is_none() {
    let swtpm = Swtpm::new();
    let (home, _) = counted_wallet(&swtpm);
    let wallet = home.wallet_id();
    let index = indices(&swtpm).remove(0);
    let policy = swtpm.tool("tpm2_nvreadpublic", &[&index]);
    let policy = policy.lines().find_map(|line| line.trim().strip_prefix("authorization policy: ")).unwrap();
    let bytes = data_encoding::HEXUPPER_PERMISSIVE.decode(policy.as_bytes()).unwrap();
    std::fs::write(swtpm.state.path().join("label"), bytes).unwrap();
    // As a power failure between the two leaves it.
    swtpm.tool("tpm2_nvundefine", &[&index, "-C", "o"]);
    let attributes = "authread|authwrite|no_da|nt=counter";
    swtpm.tool("tpm2_nvdefine", &[&index, "-C", "o", "-s", "8", "-L", "label", "-a", attributes]);
    assert_eq!(counter(&swtpm).value(&wallet), Ok(None));
    let first = counter(&swtpm).increment(&wallet).unwrap();
    assert_eq!((counter(&swtpm).value(&wallet), indices(&swtpm).len()), (Ok(Some(first)), 1));
}

#[test]
fn where_the_tpm_has_no_room_or_is_not_there_that_is_said_and_the_wallet_opens() {
    let swtpm = Swtpm::new();
    let home = Home::new();
    let file = KeyFile::new(home.temporary.path().join("key"));
    drop(home.create(&[&file]));
    let mut next = 0x0180_0000_u32;
    // Some room is kept for counters: they come last.
    let kinds = [("2048", "ordinary"), ("512", "ordinary"), ("64", "ordinary"), ("8", "counter")];
    for (size, kind) in kinds {
        let mut define = |size| {
            next += 1;
            let attributes = format!("ownerread|ownerwrite|nt={kind}");
            swtpm
                .try_tool("tpm2_nvdefine", &[&format!("{next:#x}"), "-C", "o", "-s", size, "-a", &attributes])
                .0
        };
        assert!((0..300).any(|_| !define(size)), "the TPM's memory does not fill up");
    }
    let store = open(&home, &file, &swtpm);
    let Some(CounterError::Unreachable(text)) = store.counter_problem() else { panic!("{store:?}") };
    assert!(text.contains("memory is full"), "{text}");
    drop(store);
    let nowhere = TpmAddress::Device(PathBuf::from("/dev/no-such-tpm"));
    let nowhere = TpmCounter::new(Arc::new(Tpm::new(nowhere)));
    let store = home.locked().unlock(&[&file], Some(Box::new(nowhere))).unwrap();
    let Some(CounterError::Unreachable(text)) = store.counter_problem() else { panic!("{store:?}") };
    assert!(text.contains("no TPM answers at device:/dev/no-such-tpm"), "{text}");
    nothing_left(&swtpm);
}

#[test]
fn a_tpm_that_hangs_holds_a_wallet_up_once_and_a_step_that_is_made_late_is_no_second_one() {
    let swtpm = Swtpm::new();
    let (home, file) = counted_wallet(&swtpm);
    let old = std::fs::read(home.database()).unwrap();
    let [index] = &indices(&swtpm)[..] else { panic!("one counter") };
    let before = number(&swtpm, index);
    let deadline = Duration::from_secs(1);
    let counter = TpmCounter::new(swtpm.tpm()).within(deadline);
    let open = || home.locked().unlock(&[&file], Some(Box::new(counter.clone()))).unwrap();
    let mut store = open();
    swtpm.stop();
    let begun = Instant::now();
    for _ in 0..20 {
        write(&mut store, Durability::Durable);
        let Some(CounterError::Unreachable(text)) = store.counter_problem() else { panic!("{store:?}") };
        assert!(text.contains("the TPM is busy"), "{text}");
    }
    drop(store);
    // Nor is it asked beside what it has not ended yet.
    let store = open();
    assert_eq!((store.roll_back(), entries(&store)), (RollBack::NotDetectedHere, 21));
    assert!(!counter.is_possible());
    drop(store);
    assert!(begun.elapsed() < deadline * 15, "only the first one waited");
    swtpm.go_on();
    let end = Instant::now() + Duration::from_secs(20);
    while !counter.is_possible() {
        assert!(Instant::now() < end, "it does not go on");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(number(&swtpm, index), before + 1, "the late step, and no other");
    let mut store = open();
    assert_eq!((store.roll_back(), store.counter_problem()), (RollBack::Excluded, None));
    write(&mut store, Durability::Durable);
    assert_eq!(number(&swtpm, index), before + 2);
    drop(store);
    std::fs::write(home.database(), old).unwrap();
    assert!(matches!(home.open_counted(&[&file], &swtpm), Err(StoreError::RolledBack { .. })));
    nothing_left(&swtpm);
}

#[test]
fn a_counter_that_could_not_be_asked_at_the_opening_counts_when_it_can_be() {
    let mut swtpm = Swtpm::new();
    let (home, file) = counted_wallet(&swtpm);
    let index = indices(&swtpm).remove(0);
    let before = number(&swtpm, &index);
    let old = std::fs::read(home.database()).unwrap();
    swtpm.kill();
    let mut store = open(&home, &file, &swtpm);
    write(&mut store, Durability::Durable);
    assert_eq!(store.roll_back(), RollBack::NotDetectedHere);
    swtpm.restart();
    write(&mut store, Durability::Durable);
    assert_eq!((store.roll_back(), store.counter_problem()), (RollBack::Excluded, None));
    write(&mut store, Durability::Durable);
    assert_eq!(number(&swtpm, &index), before + 1);
    drop(store);
    // An old copy that was opened meanwhile goes on, says what it is, and is refused the next time.
    std::fs::write(home.database(), old).unwrap();
    swtpm.kill();
    let mut store = open(&home, &file, &swtpm);
    swtpm.restart();
    write(&mut store, Durability::Durable);
    assert!(matches!(store.counter_problem(), Some(CounterError::MovedByAnother { .. })));
    assert_eq!(store.roll_back(), RollBack::NotDetectedHere);
    write(&mut store, Durability::Durable);
    assert_eq!(number(&swtpm, &index), before + 1);
    drop(store);
    assert!(matches!(home.open_counted(&[&file], &swtpm), Err(StoreError::RolledBack { .. })));
    nothing_left(&swtpm);
}
