//! What can happen to a TPM, each with its own error, a way out, and nothing left in the TPM.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Computer, Memory, PIN, RP, Store, Swtpm, hash, open};
use ctap_authenticator::{HardwareError, KeyStore, KeyStoreError, Unlock};
use ctap_core::Error;
use ctap_core::ceremony::get_info;
use ctap_core::messages::CredentialId;
use ctap_core::transport::{CancelToken, Device, TransportError};
use ctap_tpm::{Tpm, TpmAddress};
use std::path::PathBuf;
use std::sync::Arc;
use virtual_tpm::proxy::power_cut_at_every_command;

fn hardware<T: std::fmt::Debug>(result: Result<T, KeyStoreError>) -> HardwareError {
    match result {
        Err(KeyStoreError::Hardware(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn enrolled(computer: &Computer) -> (Store, CredentialId) {
    let mut store = open(&computer.tpm, &computer.memory);
    store.set_pin(&hash(PIN)).unwrap();
    store.unlock(&hash(PIN)).unwrap();
    let key = store.create_key(&RP).unwrap();
    store.next_counter().unwrap();
    store.lock();
    (store, key.credential_id)
}

/// What the authenticator does for one; gives the counter.
fn pay(store: &mut Store, key: &CredentialId) -> Result<u32, KeyStoreError> {
    assert_eq!(store.unlock(&hash(PIN))?, Unlock::Unlocked);
    assert!(store.owns(&RP, key)?);
    let counter = store.next_counter()?;
    store.sign(&RP, key, &[3; 32])?;
    store.lock();
    Ok(counter)
}

#[test]
fn a_missing_tpm_is_said_and_asked_for_only_when_it_is_needed() {
    let nowhere =
        [TpmAddress::Device(PathBuf::from("/dev/no-such-tpm")), common::address(common::free_ports())];
    for address in nowhere {
        let tpm = Arc::new(Tpm::new(address.clone()));
        let mut store = open(&tpm, &Memory::default());
        assert!(!store.pin_state().unwrap().set);
        let error = hardware(store.set_pin(&hash(PIN)));
        assert!(
            matches!(&error, HardwareError::Missing { address: at, .. } if *at == address.to_string()),
            "{error}"
        );
        assert!(matches!(tpm.health(), Err(HardwareError::Missing { .. })));
    }
}

#[test]
fn what_is_there_but_is_no_tpm_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let tpm = Arc::new(Tpm::new(TpmAddress::Device(file.path().to_path_buf())));
    let error = hardware(open(&tpm, &Memory::default()).set_pin(&hash(PIN)));
    assert!(!error.to_string().is_empty(), "{error:?}");
}

#[test]
fn a_failure_of_the_tpm_reaches_the_client_in_its_own_words() {
    let mut computer = Computer::new();
    drop(enrolled(&computer));
    computer.swtpm.kill();
    let mut device = computer.device();
    // What needs no TPM works.
    assert_eq!(get_info(&mut device, &CancelToken::new()).unwrap().option("clientPin"), Some(true));
    let request = virtual_keys::Typist::new(&[PIN, PIN]);
    let error = change_pin(&mut device, request).unwrap_err();
    let Error::Transport(TransportError::Unavailable(text)) = &error else { panic!("{error:?}") };
    assert!(text.contains("no TPM answers at swtpm:host=127.0.0.1"), "{text}");
    computer.swtpm.restart();
    change_pin(&mut device, virtual_keys::Typist::new(&[PIN, "0815-pin"])).unwrap();
}

fn change_pin(device: &mut dyn Device, mut user: virtual_keys::Typist) -> Result<(), Error> {
    let mut ceremony = ctap_core::ceremony::ChangePin::new();
    ctap_core::ceremony::run(
        &mut ceremony,
        device,
        &mut user,
        &mut virtual_keys::OsRandom,
        &CancelToken::new(),
    )
}

#[test]
fn three_slots_taken_by_others_are_said_to_be_so() {
    let computer = Computer::new();
    let (mut store, key) = enrolled(&computer);
    // tpm2-tools leave their objects in a TPM without a resource manager.
    for _ in 0..3 {
        computer.swtpm.tool("tpm2_createprimary", &["-C", "n", "-G", "ecc", "-c", "context"]);
    }
    let before = computer.swtpm.left();
    assert_eq!(before.len(), 3);
    let error = hardware(pay(&mut store, &key));
    assert_eq!(error, HardwareError::Busy { cause: "no slot for another key is free".to_owned() });
    assert_eq!(computer.swtpm.left(), before, "what is others' stays");
    computer.swtpm.tool("tpm2_flushcontext", &["-t"]);
    pay(&mut store, &key).unwrap();
    // Two of three: the primary fits in, the key does not.
    for _ in 0..2 {
        computer.swtpm.tool("tpm2_createprimary", &["-C", "n", "-G", "ecc", "-c", "context"]);
    }
    assert!(matches!(hardware(pay(&mut store, &key)), HardwareError::Busy { .. }));
    assert_eq!(computer.swtpm.left().len(), 2);
    computer.swtpm.tool("tpm2_flushcontext", &["-t"]);
    pay(&mut store, &key).unwrap();
}

#[test]
fn sessions_taken_by_others_are_said_to_be_so() {
    let computer = Computer::new();
    let (mut store, key) = enrolled(&computer);
    while computer.swtpm.try_tool("tpm2_startauthsession", &["-S", "session"]).0 {}
    let before = computer.swtpm.left();
    let error = hardware(pay(&mut store, &key));
    assert_eq!(error, HardwareError::Busy { cause: "no slot for another session is free".to_owned() });
    assert_eq!(computer.swtpm.left(), before, "what is others' stays");
    computer.swtpm.tool("tpm2_flushcontext", &["-l"]);
    computer.swtpm.try_tool("tpm2_flushcontext", &["-s"]);
    pay(&mut store, &key).unwrap();
}

#[test]
fn a_cleared_tpm_is_said_to_be_so_and_a_reset_makes_it_good() {
    let computer = Computer::new();
    let (mut store, key) = enrolled(&computer);
    let counter = pay(&mut store, &key).unwrap();
    assert_eq!(store.check(), Ok(()));
    computer.swtpm.tool("tpm2_clear", &[]);
    assert_eq!(hardware(store.check()), HardwareError::Cleared);
    assert_eq!(hardware(pay(&mut store, &key)), HardwareError::Cleared);
    assert_eq!(hardware(open(&computer.tpm, &computer.memory).unlock(&hash(PIN))), HardwareError::Cleared);
    // Another process, without a saved context.
    let fresh = computer.swtpm.tpm();
    assert_eq!(hardware(open(&fresh, &computer.memory).owns(&RP, &key)), HardwareError::Cleared);
    store.reset().unwrap();
    store.set_pin(&hash(PIN)).unwrap();
    store.unlock(&hash(PIN)).unwrap();
    assert_eq!(store.owns(&RP, &key), Ok(false), "the keys of before are gone");
    let new = store.create_key(&RP).unwrap().credential_id;
    store.lock();
    assert!(pay(&mut store, &new).unwrap() > counter, "the counter does not go back");
}

#[test]
fn another_tpm_is_said_to_be_so() {
    let computer = Computer::new();
    let (store, key) = enrolled(&computer);
    drop(store);
    let other = Swtpm::new();
    for tpm in [other.tpm(), other.tpm()] {
        let mut store = open(&tpm, &computer.memory);
        assert_eq!(hardware(pay(&mut store, &key)), HardwareError::Replaced);
        assert_eq!(hardware(store.owns(&RP, &key)), HardwareError::Replaced);
        assert_eq!(hardware(store.check()), HardwareError::Replaced);
        assert_eq!(other.left(), Vec::<String>::new());
    }
    // Back in its own computer all is well.
    pay(&mut open(&computer.tpm, &computer.memory), &key).unwrap();
    // Where nobody may ask for the endorsement hierarchy, it can't be told from a cleared one.
    other.tool("tpm2_changeauth", &["-c", "e", "secret"]);
    assert_eq!(
        hardware(pay(&mut open(&other.tpm(), &computer.memory), &key)),
        HardwareError::ClearedOrReplaced
    );
    assert_eq!(other.left(), Vec::<String>::new());
}

/// The thief of a disk has a TPM too, but not this one.
#[test]
fn the_stores_files_alone_beside_another_tpm_sign_nothing() {
    let computer = Computer::new();
    let (store, key) = enrolled(&computer);
    drop(store);
    let other = Swtpm::new();
    let thief_tpm = other.tpm();
    let thief_memory = Memory::default();
    let mut thief = open(&thief_tpm, &thief_memory);
    thief.set_pin(&hash(PIN)).unwrap();
    thief.unlock(&hash(PIN)).unwrap();
    assert_eq!(thief.owns(&RP, &key), Ok(false));
    assert_eq!(thief.sign(&RP, &key, &[0; 32]), Err(KeyStoreError::NotOurs));
    drop(thief);
    // With the wallet's own number and index forged into it, so that the public parts fit.
    {
        let victim = computer.memory.0.lock().unwrap().state.clone().unwrap();
        let mut memory = thief_memory.0.lock().unwrap();
        let state = memory.state.as_mut().unwrap();
        state[3..19].copy_from_slice(&victim[3..19]);
    }
    let mut thief = open(&thief_tpm, &thief_memory);
    thief.unlock(&hash(PIN)).unwrap();
    assert_eq!(thief.owns(&RP, &key), Ok(false));
    drop(thief);
    assert_eq!(other.left(), Vec::<String>::new());
}

#[test]
fn a_deleted_pin_object_is_said_to_be_so_and_a_reset_makes_it_good() {
    let computer = Computer::new();
    let (mut store, key) = enrolled(&computer);
    computer.swtpm.tool("tpm2_nvundefine", &[&computer.swtpm.pin_object(), "-C", "o"]);
    assert_eq!(hardware(store.check()), HardwareError::PinDeleted);
    assert_eq!(hardware(pay(&mut store, &key)), HardwareError::PinDeleted);
    store.reset().unwrap();
    store.set_pin(&hash(PIN)).unwrap();
    store.unlock(&hash(PIN)).unwrap();
}

#[test]
fn an_owner_with_a_password_is_said_to_be_one() {
    let computer = Computer::new();
    computer.swtpm.tool("tpm2_changeauth", &["-c", "o", "secret"]);
    let mut store = open(&computer.tpm, &computer.memory);
    assert_eq!(hardware(store.set_pin(&hash(PIN))), HardwareError::OwnerPassword);
    assert!(computer.tpm.health().unwrap().owner_password);
    computer.swtpm.tool("tpm2_changeauth", &["-c", "o", "-p", "secret"]);
    store.set_pin(&hash(PIN)).unwrap();
    store.unlock(&hash(PIN)).unwrap();
}

#[test]
fn anothers_nv_index_in_the_counters_place_is_not_touched() {
    let computer = Computer::new();
    computer.swtpm.tool("tpm2_nvdefine", &["0x1bcf0d0", "-C", "o", "-s", "8"]);
    let mut store = open(&computer.tpm, &computer.memory);
    assert_eq!(hardware(store.set_pin(&hash(PIN))), HardwareError::IndexTaken { index: 0x01bc_f0d0 });
    computer.swtpm.tool("tpm2_nvundefine", &["0x1bcf0d0", "-C", "o"]);
    store.set_pin(&hash(PIN)).unwrap();
}

#[test]
fn a_full_tpm_is_said_to_be_so() {
    let computer = Computer::new();
    let mut index = 0x0180_0000;
    for size in ["1024", "64", "1"] {
        while computer.swtpm.try_tool("tpm2_nvdefine", &[&format!("{index:#x}"), "-C", "o", "-s", size]).0 {
            index += 1;
        }
        // The one that did not fit is not there; the next size begins after it.
        index += 1;
    }
    let mut store = open(&computer.tpm, &computer.memory);
    assert_eq!(hardware(store.set_pin(&hash(PIN))), HardwareError::NoRoom);
    assert!(!store.pin_state().unwrap().set);
}

#[test]
fn a_full_disk_leaves_no_pin_and_no_object_that_nobody_knows() {
    let computer = Computer::new();
    computer.memory.0.lock().unwrap().fail = true;
    let mut store = open(&computer.tpm, &computer.memory);
    assert!(matches!(store.set_pin(&hash(PIN)), Err(KeyStoreError::Storage(_))));
    assert_eq!(computer.swtpm.nv_indices(), Vec::<String>::new());
    computer.memory.0.lock().unwrap().fail = false;
    store.set_pin(&hash(PIN)).unwrap();
    // A wrong PIN that can't be counted here was counted in the TPM.
    computer.memory.0.lock().unwrap().fail = true;
    assert!(matches!(store.unlock(&hash("wrong")), Err(KeyStoreError::Storage(_))));
    assert_eq!(computer.swtpm.failures(), 1);
    // And until it is counted here too, nobody tries again, so that no attempt is free.
    assert!(matches!(store.unlock(&hash(PIN)), Err(KeyStoreError::Storage(_))));
    computer.memory.0.lock().unwrap().fail = false;
    assert_eq!(store.unlock(&hash(PIN)), Ok(Unlock::Unlocked));
    assert_eq!(computer.swtpm.failures(), 1);
}

/// Cuts the power at every command of `work`; each time it comes back, `afterwards` gets the store of a program started anew.
fn with_power_cut_at_every_command(
    swtpm: Swtpm,
    memory: &Memory,
    mut work: impl FnMut(&mut Store) -> Result<(), KeyStoreError>,
    mut afterwards: impl FnMut(&mut Store, &Swtpm),
) {
    power_cut_at_every_command(
        swtpm,
        |tpm| work(&mut open(tpm, memory)),
        |result, through, swtpm| {
            // What flushes comes last: what was asked for is done by then.
            if result.is_err() {
                let error = hardware(result);
                assert!(matches!(error, HardwareError::Gone | HardwareError::Missing { .. }), "{error:?}");
                assert!(!through);
            }
            afterwards(&mut open(&swtpm.tpm(), memory), swtpm);
        },
    );
}

#[test]
fn a_payment_survives_a_power_failure_at_every_command() {
    let (swtpm, memory) = (Swtpm::new(), Memory::default());
    let mut store = open(&swtpm.tpm(), &memory);
    store.set_pin(&hash(PIN)).unwrap();
    store.unlock(&hash(PIN)).unwrap();
    let key = store.create_key(&RP).unwrap().credential_id;
    drop(store);
    let mut last = 0;
    with_power_cut_at_every_command(
        swtpm,
        &memory,
        |store| pay(store, &key).map(drop),
        |store, _| {
            let counter = pay(store, &key).unwrap();
            assert!(counter > last, "{counter} after {last}");
            last = counter;
            store.lock();
        },
    );
    assert!(last > 15, "{last}");
}

#[test]
fn a_pin_change_survives_a_power_failure_at_every_command() {
    let (swtpm, memory) = (Swtpm::new(), Memory::default());
    let mut store = open(&swtpm.tpm(), &memory);
    store.set_pin(&hash(PIN)).unwrap();
    store.unlock(&hash(PIN)).unwrap();
    let key = store.create_key(&RP).unwrap().credential_id;
    drop(store);
    with_power_cut_at_every_command(
        swtpm,
        &memory,
        |store| {
            store.unlock(&hash(PIN))?;
            store.change_pin(&hash("0815-pin"))
        },
        |store, _| {
            // The old one or the new one, not both.
            if store.unlock(&hash("0815-pin")).unwrap() == Unlock::Unlocked {
                store.change_pin(&hash(PIN)).unwrap();
            }
            assert_eq!(store.unlock(&hash("0815-pin")), Ok(Unlock::Wrong));
            pay(store, &key).unwrap();
        },
    );
}

#[test]
fn the_first_pin_survives_a_power_failure_at_every_command() {
    with_power_cut_at_every_command(
        Swtpm::new(),
        &Memory::default(),
        |store| store.set_pin(&hash(PIN)),
        |store, swtpm| {
            if !store.pin_state().unwrap().set {
                store.set_pin(&hash(PIN)).unwrap();
            }
            store.unlock(&hash(PIN)).unwrap();
            let key = store.create_key(&RP).unwrap().credential_id;
            store.sign(&RP, &key, &[0; 32]).unwrap();
            store.lock();
            // There is no other one that nobody knows.
            swtpm.pin_object();
            store.reset().unwrap();
            assert_eq!(swtpm.nv_indices(), Vec::<String>::new());
        },
    );
}
