//! A wallet whose key the TPM seals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, THEN, entries, nothing_left, problem, slot, tried, write};
use ctap_tpm::{Tpm, TpmAddress};
use fwp_store::slot::{Cost, KeyFile, KeySlot, Passphrase, SlotError, SlotKind, TpmProblem};
use fwp_store::{Durability, Rotation, StoreError};
use fwp_store_tpm::{Pcrs, SealedKey, TpmSlot};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use virtual_tpm::Swtpm;
use virtual_tpm::proxy::{Proxy, power_cut_at_every_command};
use zeroize::Zeroizing;

fn passphrase() -> Passphrase {
    let text = Zeroizing::new("a passphrase".to_owned());
    Passphrase::with_cost(&text, Cost::new(8, 1, 1).unwrap()).unwrap()
}

#[test]
fn the_tpm_opens_the_wallet_that_it_sealed_after_a_restart_too() {
    let (home, mut swtpm) = (Home::new(), Swtpm::new());
    let mut store = home.create(&[&slot(&swtpm)]);
    write(&mut store, Durability::Durable);
    drop(store);
    let program = slot(&swtpm);
    assert_eq!(entries(&home.open(&[&program]).unwrap()), 2);
    nothing_left(&swtpm);
    // The saved context of the primary is stale now; and another program has none.
    swtpm.restart();
    assert_eq!(entries(&home.open(&[&program]).unwrap()), 2);
    let store = home.open(&[&slot(&swtpm)]).unwrap();
    assert_eq!(store.opened_by().map(|(_, kind)| kind), Some(SlotKind::Tpm));
    assert_eq!(swtpm.failures(), 0);
    nothing_left(&swtpm);
}

#[test]
fn the_store_alone_beside_another_tpm_opens_nothing() {
    let (home, swtpm) = (Home::new(), Swtpm::new());
    drop(home.create(&[&slot(&swtpm)]));
    let thief = home.copy();
    let fresh = Swtpm::new();
    assert_eq!(problem(thief.open(&[&slot(&fresh)])), TpmProblem::Replaced);
    // Where the endorsement hierarchy has a password, the two can't be told apart.
    fresh.tool("tpm2_changeauth", &["-c", "endorsement", "password"]);
    assert_eq!(problem(thief.open(&[&slot(&fresh)])), TpmProblem::ClearedOrReplaced);
    // Not with the names of the fresh one put into the file either: its primary does not open the key.
    let other = Home::new();
    drop(other.create(&[&slot(&fresh)]));
    let mut forged = home.wrapped().remove(0);
    let names = 1 + 68 + 1..1 + 68 + 1 + 68;
    forged[names.clone()].copy_from_slice(&other.wrapped()[0][names]);
    let wallet = thief.wallet_id();
    assert!(matches!(slot(&fresh).unwrap(&wallet, &forged), Err(SlotError::Altered)));
    for tpm in [&swtpm, &fresh] {
        nothing_left(tpm);
    }
    drop(home.open(&[&slot(&swtpm)]).unwrap());
}

#[test]
fn a_cleared_tpm_opens_nothing_and_another_slot_does_and_fills_it_anew() {
    let (home, swtpm) = (Home::new(), Swtpm::new());
    drop(home.create(&[&slot(&swtpm), &passphrase()]));
    let program = slot(&swtpm);
    drop(home.open(&[&program]).unwrap());
    swtpm.tool("tpm2_clear", &[]);
    for program in [&program, &slot(&swtpm)] {
        assert_eq!(problem(home.open(&[program])), TpmProblem::Cleared);
    }
    let mut store = home.open(&[&program, &passphrase()]).unwrap();
    assert_eq!(store.opened_by().map(|(_, kind)| kind), Some(SlotKind::Passphrase));
    let lost = store.slots().unwrap()[0].0;
    store.remove_slot(lost, &[&passphrase()], THEN).unwrap();
    store.add_slot(&program, THEN).unwrap();
    drop(store);
    assert_eq!(home.open(&[&program]).unwrap().opened_by().map(|(_, kind)| kind), Some(SlotKind::Tpm));
    nothing_left(&swtpm);
}

#[test]
fn a_slot_with_pcrs_opens_until_one_of_them_is_extended() {
    let (home, mut swtpm) = (Home::new(), Swtpm::new());
    let bound = slot(&swtpm).with_pcrs(Pcrs::new([7, 16]).unwrap());
    drop(home.create(&[&bound, &passphrase()]));
    // Whoever opens it need not know of the PCRs.
    drop(home.open(&[&slot(&swtpm)]).unwrap());
    let extend = |swtpm: &Swtpm, pcr: u32| {
        swtpm.tool("tpm2_pcrextend", &[&format!("{pcr}:sha256={}", "5a".repeat(32))]);
    };
    extend(&swtpm, 8);
    drop(home.open(&[&slot(&swtpm)]).unwrap());
    extend(&swtpm, 16);
    let tried = tried(home.open(&[&slot(&swtpm)]));
    let changed = TpmProblem::PcrsChanged { pcrs: vec![7, 16] };
    assert!(matches!(&tried[0].1, SlotError::Tpm(problem) if *problem == changed), "{tried:?}");
    assert!(tried[0].1.to_string().contains("PCR 7, 16"), "{}", tried[0].1);
    nothing_left(&swtpm);
    // Started as it was, it opens again.
    swtpm.restart();
    drop(home.open(&[&slot(&swtpm)]).unwrap());
    // What changed stays so: filled anew, on the word of another slot, it opens as things are now.
    extend(&swtpm, 7);
    let mut store = home.open(&[&passphrase()]).unwrap();
    let old = store.slots().unwrap()[0].0;
    store.remove_slot(old, &[&passphrase()], THEN).unwrap();
    store.add_slot(&bound, THEN).unwrap();
    drop(store);
    drop(home.open(&[&slot(&swtpm)]).unwrap());
    assert_eq!(home.sealed_keys()[0].pcrs(), Pcrs::new([7, 16]).unwrap());
    assert_eq!(swtpm.failures(), 0);
    nothing_left(&swtpm);
}

#[test]
fn a_key_sealed_for_one_wallet_opens_no_other() {
    let (home, other, swtpm) = (Home::new(), Home::new(), Swtpm::new());
    drop((home.create(&[&slot(&swtpm)]), other.create(&[&slot(&swtpm)])));
    let (wallet, wrapped) = (home.wallet_id(), home.wrapped().remove(0));
    assert!(slot(&swtpm).unwrap(&wallet, &wrapped).is_ok());
    let foreign = other.wrapped().remove(0);
    assert!(matches!(slot(&swtpm).unwrap(&wallet, &foreign), Err(SlotError::Altered)));
    // The wrapped key of one with the sealed key of the other.
    let mixed = [&wrapped[..69], &foreign[69..]].concat();
    assert!(matches!(slot(&swtpm).unwrap(&wallet, &mixed), Err(SlotError::Altered)));
    nothing_left(&swtpm);
}

#[test]
fn no_changed_byte_opens_or_locks_anything() {
    let (home, swtpm) = (Home::new(), Swtpm::new());
    drop(home.create(&[&slot(&swtpm)]));
    let (wallet, wrapped, program) = (home.wallet_id(), home.wrapped().remove(0), slot(&swtpm));
    // But for the endorsement's name, by which a cleared TPM is told from another one.
    let endorsement = 1 + 68 + 1 + 34..1 + 68 + 1 + 68;
    for at in (0..wrapped.len()).filter(|at| !endorsement.contains(at)).step_by(3) {
        let mut changed = wrapped.clone();
        changed[at] ^= 1;
        let outcome = program.unwrap(&wallet, &changed);
        assert!(outcome.is_err(), "byte {at}");
    }
    assert!(program.unwrap(&wallet, &wrapped).is_ok());
    assert_eq!(swtpm.failures(), 0, "nothing here is guessed, and nothing counts as a wrong PIN");
    nothing_left(&swtpm);
}

#[test]
fn several_slots_stand_side_by_side_and_are_rotated_together() {
    let (home, swtpm) = (Home::new(), Swtpm::new());
    let file = KeyFile::new(home.temporary.path().join("key"));
    let program = slot(&swtpm);
    let mut store = home.create(&[&program, &file]);
    store.add_slot(&program.clone().with_pcrs(Pcrs::new([16]).unwrap()), THEN).unwrap();
    store.add_slot(&passphrase(), THEN).unwrap();
    drop(store);
    let before = home.wrapped();
    let at_hand: [&dyn KeySlot; 3] = [&program, &file, &passphrase()];
    let mut store = home.open(&[&file]).unwrap();
    for rotation in [Rotation::Slots, Rotation::DataKey] {
        store.rotate(&at_hand, rotation, THEN).unwrap();
    }
    assert!(store.check_slots(&at_hand).unwrap().iter().all(|check| check.usable.is_ok()));
    drop(store);
    // What a slot depends on stays, though the driver at hand knew nothing of it.
    let pcrs: Vec<_> = home.sealed_keys().iter().map(|key| key.pcrs().to_string()).collect();
    assert_eq!(pcrs, ["", "16"]);
    for slot in at_hand {
        drop(home.open(&[slot]).unwrap());
    }
    // An old copy's slot gives the old key, which opens nothing of the new.
    let wallet = home.wallet_id();
    let keys = [&before[0], &home.wrapped()[0]].map(|wrapped| program.unwrap(&wallet, wrapped).unwrap());
    assert_ne!(keys[0].expose(), keys[1].expose());
    nothing_left(&swtpm);
}

#[test]
fn a_rotation_whose_tpm_goes_away_changes_nothing() {
    let (home, mut swtpm) = (Home::new(), Swtpm::new());
    let file = KeyFile::new(home.temporary.path().join("key"));
    let program = slot(&swtpm);
    drop(home.create(&[&program, &file]));
    let before = home.wrapped();
    let mut store = home.open(&[&program]).unwrap();
    swtpm.kill();
    let error = store.rotate(&[&program, &file], Rotation::DataKey, THEN).unwrap_err();
    let StoreError::SlotsNotAtHand { slots } = &error else { panic!("{error}") };
    assert!(matches!(
        slots[..],
        [(_, SlotKind::Tpm, SlotError::Tpm(TpmProblem::Missing { .. } | TpmProblem::Gone))]
    ));
    drop(store);
    assert_eq!(home.wrapped(), before);
    swtpm.restart();
    drop(home.open(&[&program]).unwrap());
}

#[test]
fn a_power_failure_at_every_command_of_filling_and_opening_leaves_a_wallet_that_opens() {
    let home = Home::new();
    let swtpm = Swtpm::new();
    let file = KeyFile::new(home.temporary.path().join("key"));
    drop(home.create(&[&slot(&swtpm), &file]));
    let work = |tpm: &Arc<Tpm>| -> Result<(), StoreError> {
        let program = TpmSlot::new(tpm.clone()).with_pcrs(Pcrs::new([7]).unwrap());
        let mut store = home.open(&[&program])?;
        let added = store.add_slot(&program, THEN)?;
        store.remove_slot(added, &[&file], THEN)
    };
    power_cut_at_every_command(swtpm, work, |result, through, swtpm| {
        match result {
            Ok(()) => {}
            Err(StoreError::Slot { source: SlotError::Tpm(problem), .. }) => {
                assert!(matches!(problem, TpmProblem::Gone | TpmProblem::Missing { .. }), "{problem:?}");
            }
            Err(error) => {
                let problem = problem(Err(error));
                assert!(matches!(problem, TpmProblem::Gone | TpmProblem::Missing { .. }), "{problem:?}");
            }
        }
        let store = home.open(&[&slot(swtpm)]).unwrap();
        assert_eq!(store.slots().unwrap().len(), 2, "{through}");
    });
}

#[test]
fn unlocking_takes_just_the_commands_that_it_needs() {
    let (home, swtpm) = (Home::new(), Swtpm::new());
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let on_command = Arc::new(move |command| telling.lock().unwrap().push(command));
    let program = TpmSlot::new(Arc::new(Tpm::new(swtpm.address()).on_command(on_command)));
    drop(home.create(&[&slot(&swtpm)]));
    let steps =
        ["TPM2_Load", "TPM2_StartAuthSession", "TPM2_Unseal", "TPM2_FlushContext", "TPM2_FlushContext"];
    for primary in [["TPM2_CreatePrimary", "TPM2_ContextSave"].as_slice(), &["TPM2_ContextLoad"]] {
        drop(home.open(&[&program]).unwrap());
        assert_eq!(std::mem::take(&mut *told.lock().unwrap()), [primary, &steps].concat());
    }
    nothing_left(&swtpm);
}

#[test]
fn who_listens_on_the_bus_learns_no_key() {
    let (home, swtpm) = (Home::new(), Swtpm::new());
    let proxy = Proxy::sniffer(swtpm.port);
    let program = TpmSlot::new(Arc::new(Tpm::new(proxy.address())));
    let bound = program.clone().with_pcrs(Pcrs::new([7]).unwrap());
    let mut store = home.create(&[&program]);
    store.add_slot(&bound, THEN).unwrap();
    drop(store);
    let (wallet, wrapped) = (home.wallet_id(), home.wrapped());
    drop(home.open(&[&program]).unwrap());
    let keys = home.sealed_keys();
    for (key, wrapped) in keys.iter().zip(&wrapped) {
        let data_key = program.unwrap(&wallet, wrapped).unwrap();
        assert!(!proxy.saw(data_key.expose()));
        // The sniffer works: it saw what is no secret.
        assert!(proxy.saw(&key.parts().unwrap().1));
    }
    // The slot's own key, read by other people's tools.
    let own = own_key(&swtpm, &keys[0]);
    assert!(!proxy.saw(&own) && !proxy.saw(&own[..8]) && !proxy.saw(&own[24..]));
}

/// The slot's own key, by tpm2-tools.
fn own_key(swtpm: &Swtpm, key: &SealedKey) -> Vec<u8> {
    load_by_tools(swtpm, key);
    swtpm.tool("tpm2_unseal", &["-c", "object", "-o", "own"]);
    swtpm.tool("tpm2_flushcontext", &["-t"]);
    std::fs::read(swtpm.state.path().join("own")).unwrap()
}

/// As `object`. tpm2-tools make the same primary: it is a template that anyone can follow.
fn load_by_tools(swtpm: &Swtpm, key: &SealedKey) {
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
    swtpm.tool(
        "tpm2_createprimary",
        &["-C", "o", "-G", "ecc256:aes128cfb", "-a", attributes, "-c", "primary"],
    );
    swtpm.tool("tpm2_flushcontext", &["-t"]);
    let (public, private) = key.parts().unwrap();
    for (name, bytes) in [("public", public), ("private", private)] {
        let sized = [&(bytes.len() as u16).to_be_bytes(), bytes.as_slice()].concat();
        std::fs::write(swtpm.state.path().join(name), sized).unwrap();
    }
    let load = ["-C", "primary", "-u", "public", "-r", "private", "-c", "object"];
    swtpm.tool("tpm2_load", &load);
    swtpm.tool("tpm2_flushcontext", &["-t"]);
}

#[test]
fn a_missing_a_forbidden_and_a_busy_tpm_are_told_apart() {
    let (home, mut swtpm) = (Home::new(), Swtpm::new());
    let program = slot(&swtpm);
    drop(home.create(&[&program]));
    // Others' objects in a TPM without a resource manager: no slot, then one of the two that are needed.
    for (others, _) in [(3, "none is free"), (2, "the primary fits in, the sealed key does not")] {
        for _ in 0..others {
            swtpm.tool("tpm2_createprimary", &["-C", "n", "-G", "ecc", "-c", "context"]);
        }
        let before = swtpm.left();
        assert!(matches!(problem(home.open(&[&program])), TpmProblem::Busy { .. }));
        assert_eq!(swtpm.left(), before, "what is others' stays");
        swtpm.tool("tpm2_flushcontext", &["-t"]);
    }
    drop(home.open(&[&program]).unwrap());
    swtpm.kill();
    assert!(matches!(problem(home.open(&[&program])), TpmProblem::Missing { .. }));
    let at = |path: &str| TpmSlot::new(Arc::new(Tpm::new(TpmAddress::Device(PathBuf::from(path)))));
    assert!(matches!(problem(home.open(&[&at("/dev/no-such-tpm")])), TpmProblem::Missing { .. }));
    swtpm.restart();
    drop(home.open(&[&program]).unwrap());
}

#[test]
fn a_locked_out_tpm_still_opens_the_wallet() {
    let (home, swtpm) = (Home::new(), Swtpm::with_factory_lockout());
    drop(home.create(&[&slot(&swtpm)]));
    // Somebody else's wrong passwords.
    swtpm.tool(
        "tpm2_nvdefine",
        &["0x01800001", "-C", "o", "-s", "8", "-p", "right", "-a", "authread|authwrite"],
    );
    for _ in 0..4 {
        let _wrong = swtpm.try_tool(
            "tpm2_nvwrite",
            &["0x01800001", "-C", "0x01800001", "-P", "wrong", "-i", "/etc/hostname"],
        );
    }
    assert!(swtpm.failures() >= 3);
    drop(home.open(&[&slot(&swtpm)]).unwrap());
    nothing_left(&swtpm);
}

#[test]
fn from_outside_the_sealed_key_is_fixed_to_the_tpm_and_has_no_part_in_its_lockout() {
    let (home, swtpm) = (Home::new(), Swtpm::new());
    let plain = slot(&swtpm);
    let mut store = home.create(&[&plain]);
    store.add_slot(&plain.clone().with_pcrs(Pcrs::new([7]).unwrap()), THEN).unwrap();
    drop(store);
    let keys = home.sealed_keys();
    let expected = ["fixedtpm|fixedparent|userwithauth|noda", "fixedtpm|fixedparent|adminwithpolicy|noda"];
    for (key, expected) in keys.iter().zip(expected) {
        load_by_tools(&swtpm, key);
        let text = swtpm.tool("tpm2_readpublic", &["-c", "object"]);
        swtpm.tool("tpm2_flushcontext", &["-t"]);
        let attributes = text.lines().skip_while(|line| *line != "attributes:").nth(1).unwrap();
        assert_eq!(attributes.trim(), format!("value: {expected}"), "{text}");
        assert!(text.contains("value: keyedhash"), "{text}");
        // With registers, only who satisfies the policy gets anything.
        let (ok, out) = swtpm.try_tool("tpm2_unseal", &["-c", "object", "-o", "unsealed"]);
        assert_eq!(ok, key.pcrs().is_empty(), "{out}");
        swtpm.tool("tpm2_flushcontext", &["-t"]);
    }
    // What it gives is the slot's own key, not the data key; neither stands in the file.
    let own = own_key(&swtpm, &keys[0]);
    let data_key = plain.unwrap(&home.wallet_id(), &home.wrapped()[0]).unwrap();
    assert_eq!(own.len(), 32);
    assert_ne!(own, data_key.expose());
    let database = std::fs::read(home.database()).unwrap();
    for secret in [own.as_slice(), data_key.expose()] {
        assert!(!database.windows(32).any(|window| window == secret));
    }
    nothing_left(&swtpm);
}

#[test]
fn a_tpm_that_hangs_is_waited_for_once_and_opens_the_wallet_when_it_goes_on() {
    let (home, swtpm) = (Home::new(), Swtpm::new());
    drop(home.create(&[&slot(&swtpm)]));
    let program = slot(&swtpm).within(Duration::from_secs(1));
    drop(home.open(&[&program]).unwrap());
    swtpm.stop();
    let begun = Instant::now();
    for _ in 0..10 {
        let found = problem(home.open(&[&program]));
        assert!(matches!(&found, TpmProblem::Busy { .. }), "{found}");
    }
    let new = home.locked().unlock(&[&program], None).unwrap_err().error;
    assert!(new.to_string().contains("it still works on what was asked before"), "{new}");
    assert!(begun.elapsed() < Duration::from_secs(15), "only the first one waited");
    swtpm.go_on();
    let end = Instant::now() + Duration::from_secs(20);
    while let Err(error) = home.open(&[&program]) {
        assert!(Instant::now() < end, "{error}");
        thread::sleep(Duration::from_millis(20));
    }
    nothing_left(&swtpm);
}
