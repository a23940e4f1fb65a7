//! The PIN is the TPM's: it checks, counts and locks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Computer, Memory, PIN, RP, Swtpm, hash, open};
use ctap_authenticator::{HardwareError, KeyStore, KeyStoreError, PinState, Unlock};
use ctap_core::PinHash;
use ctap_tpm::Tpm;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const LOCKED: Result<Unlock, KeyStoreError> =
    Err(KeyStoreError::Hardware(HardwareError::LockedOut { seconds: 600 }));

fn with_pin(computer: &Computer) -> common::Store {
    let mut store = open(&computer.tpm, &computer.memory);
    store.set_pin(&hash(PIN)).unwrap();
    store
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_wrong_pin_counts_in_the_tpm_and_a_right_one_does_not() {
    let computer = Computer::new();
    let mut store = with_pin(&computer);
    for wrong in 1..=2 {
        assert_eq!(store.unlock(&hash("wrong")), Ok(Unlock::Wrong));
        assert_eq!(computer.swtpm.left(), Vec::<String>::new());
        assert_eq!(computer.swtpm.failures(), wrong);
    }
    assert_eq!(store.pin_state(), Ok(PinState { set: true, retries: 6 }));
    store.unlock(&hash(PIN)).unwrap();
    assert_eq!(store.pin_state(), Ok(PinState { set: true, retries: 8 }));
    drop(store);
    assert_eq!(computer.swtpm.failures(), 2, "what others are locked by is not forgiven by one's own PIN");
}

#[test]
fn wrong_pins_count_for_good_over_restarts_of_the_program() {
    let computer = Computer::new();
    drop(with_pin(&computer));
    for left in (0..8).rev() {
        let mut store = open(&computer.tpm, &computer.memory);
        assert_eq!(store.unlock(&hash("wrong")), Ok(Unlock::Wrong));
        assert_eq!(store.pin_state().unwrap().retries, left);
    }
    let mut store = open(&computer.tpm, &computer.memory);
    assert_eq!(store.unlock(&hash(PIN)), Err(KeyStoreError::PinBlocked));
    assert_eq!(computer.swtpm.failures(), 8);
}

#[test]
fn an_old_copy_of_the_state_gives_attempts_back_here_but_not_in_the_tpm() {
    let computer = Computer::new();
    drop(with_pin(&computer));
    let old = computer.memory.copy();
    for wrong in 0..32 {
        let mut store = open(&computer.tpm, &old.copy());
        assert_eq!(store.unlock(&hash(&format!("guess {wrong}"))), Ok(Unlock::Wrong), "{wrong}");
    }
    assert_eq!(open(&computer.tpm, &old.copy()).unlock(&hash(PIN)), LOCKED);
}

#[test]
fn a_locked_tpm_refuses_the_right_pin_too_and_says_for_how_long() {
    let computer = Computer::new();
    let mut store = with_pin(&computer);
    // Somebody else's wrong PINs: the lockout is the whole TPM's.
    let other = Memory::default();
    open(&computer.tpm, &other).set_pin(&hash("other")).unwrap();
    for _ in 0..4 {
        for _ in 0..8 {
            let mut guesser = open(&computer.tpm, &other.copy());
            assert_eq!(guesser.unlock(&hash("wrong")), Ok(Unlock::Wrong));
        }
    }
    assert_eq!(store.unlock(&hash(PIN)), LOCKED);
    assert_eq!(store.pin_state().unwrap().retries, 8, "no attempt is lost by that");
    assert_eq!(computer.swtpm.left(), Vec::<String>::new());
    let health = computer.tpm.health().unwrap();
    assert!(health.lockout.is_locked() && !health.lockout_password && !health.owner_password);
    // The administrator forgives.
    computer.swtpm.tool("tpm2_dictionarylockout", &["-c"]);
    assert_eq!(store.unlock(&hash(PIN)), Ok(Unlock::Unlocked));
}

#[test]
fn a_lockout_ends_by_itself_after_the_time_that_was_said() {
    let computer = Computer::new();
    let mut store = with_pin(&computer);
    let mut other = open(&computer.tpm, &Memory::default());
    other.set_pin(&hash("other")).unwrap();
    assert_eq!(other.unlock(&hash("wrong")), Ok(Unlock::Wrong));
    computer.swtpm.tool("tpm2_dictionarylockout", &["-s", "-n", "1", "-t", "2", "-l", "600"]);
    assert_eq!(
        store.unlock(&hash(PIN)),
        Err(KeyStoreError::Hardware(HardwareError::LockedOut { seconds: 2 }))
    );
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while store.unlock(&hash(PIN)) != Ok(Unlock::Unlocked) {
        assert!(std::time::Instant::now() < end, "it is locked still");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn one_user_alone_does_not_lock_the_tpm_for_all() {
    // From the maker it locks after three.
    let swtpm = Swtpm::with_factory_lockout();
    let (tpm, memory) = (swtpm.tpm(), Memory::default());
    let mut store = open(&tpm, &memory);
    store.set_pin(&hash(PIN)).unwrap();
    assert_eq!(store.unlock(&hash("wrong")), Ok(Unlock::Wrong));
    assert_eq!(store.unlock(&hash("wrong")), Ok(Unlock::Wrong));
    for pin in ["wrong", PIN] {
        let near = store.unlock(&hash(pin));
        assert_eq!(near, Err(KeyStoreError::Hardware(HardwareError::NearLockout { seconds: 1000 })));
    }
    assert_eq!(store.pin_state().unwrap().retries, 6);
    assert_eq!(swtpm.failures(), 2);
    // Another user is not held up.
    let mut other = open(&tpm, &Memory::default());
    other.set_pin(&hash("other")).unwrap();
    assert_eq!(other.unlock(&hash("other")), Ok(Unlock::Unlocked));
}

/// Who tries PINs on a wallet of their own: as often as they are let, with resets in between, and with the right PIN, which
/// both give CTAP's attempts back.
fn guess_until_refused(tpm: &std::sync::Arc<ctap_tpm::Tpm>, swtpm: &Swtpm) -> u32 {
    let mut store = open(tpm, &Memory::default());
    store.set_pin(&hash(PIN)).unwrap();
    for round in 0.. {
        for pin in ["wrong", "wrong", "wrong", PIN] {
            if let Err(error) = store.unlock(&hash(pin)) {
                let near = matches!(error, KeyStoreError::Hardware(HardwareError::NearLockout { .. }));
                assert!(near, "{error}");
                // Not the next time either, nor after another reset.
                store.reset().unwrap();
                store.set_pin(&hash(PIN)).unwrap();
                assert_eq!(store.unlock(&hash(PIN)), Err(error));
                return swtpm.failures();
            }
        }
        assert!(round < 40, "nothing ends it");
        if round % 2 == 1 {
            store.reset().unwrap();
            store.set_pin(&hash(PIN)).unwrap();
        }
    }
    0
}

#[test]
fn one_user_who_resets_again_and_again_leaves_the_others_half_of_all_attempts() {
    for (swtpm, limit) in [(Swtpm::with_factory_lockout(), 3_u32), (Swtpm::new(), 32)] {
        let tpm = swtpm.tpm();
        let mut other = open(&tpm, &Memory::default());
        other.set_pin(&hash("other")).unwrap();
        assert_eq!(guess_until_refused(&tpm, &swtpm), limit.div_ceil(2));
        // Another user mistypes, and is right: neither is refused for what the first one did.
        if limit > 3 {
            for pin in ["mistyped", "mistyped again"] {
                assert_eq!(other.unlock(&hash(pin)), Ok(Unlock::Wrong));
            }
        }
        assert_eq!(other.unlock(&hash("other")), Ok(Unlock::Unlocked));
        other.lock();
        assert_eq!(swtpm.left(), Vec::<String>::new());
    }
}

#[test]
fn what_the_tpm_has_forgiven_is_held_against_nobody() {
    let computer = Computer::new();
    let mut store = with_pin(&computer);
    computer.swtpm.tool("tpm2_dictionarylockout", &["-s", "-n", "4", "-t", "600", "-l", "600"]);
    for _ in 0..2 {
        assert_eq!(store.unlock(&hash("wrong")), Ok(Unlock::Wrong));
    }
    let near = Err(KeyStoreError::Hardware(HardwareError::NearLockout { seconds: 600 }));
    assert_eq!(store.unlock(&hash(PIN)), near);
    // As time does.
    computer.swtpm.tool("tpm2_dictionarylockout", &["-c"]);
    for _ in 0..2 {
        assert_eq!(store.unlock(&hash("wrong")), Ok(Unlock::Wrong));
    }
    assert_eq!(open(&computer.tpm, &computer.memory).unlock(&hash(PIN)), near);
    computer.swtpm.tool("tpm2_dictionarylockout", &["-c"]);
    assert_eq!(store.unlock(&hash(PIN)), Ok(Unlock::Unlocked));
    // Now it costs nothing any more.
    let saved = computer.memory.saves();
    assert_eq!(store.unlock(&hash(PIN)), Ok(Unlock::Unlocked));
    assert_eq!(computer.memory.saves(), saved);
}

#[test]
fn a_pin_change_keeps_credential_ids_and_the_old_pin_opens_nothing_with_old_copies_too() {
    let computer = Computer::new();
    let mut store = with_pin(&computer);
    store.unlock(&hash(PIN)).unwrap();
    let key = store.create_key(&RP).unwrap();
    store.sign(&RP, &key.credential_id, &[0; 32]).unwrap();
    let old = computer.memory.copy();
    store.change_pin(&hash("0815-pin")).unwrap();
    assert_eq!(store.sign(&RP, &key.credential_id, &[0; 32]), Err(KeyStoreError::Locked));

    for memory in [&computer.memory, &old] {
        let mut store = open(&computer.tpm, memory);
        assert_eq!(store.unlock(&hash(PIN)), Ok(Unlock::Wrong));
        assert_eq!(store.sign(&RP, &key.credential_id, &[0; 32]), Err(KeyStoreError::Locked));
        assert_eq!(store.unlock(&hash("0815-pin")), Ok(Unlock::Unlocked));
        store.sign(&RP, &key.credential_id, &[0; 32]).unwrap();
    }
}

#[test]
fn a_pin_whose_hash_ends_with_zeros_is_one_like_any_other() {
    let computer = Computer::new();
    let mut ending = [7; 16];
    ending[14..].fill(0);
    let (zeros, other) = (PinHash::new(ending), PinHash::new([0; 16]));
    let mut store = open(&computer.tpm, &computer.memory);
    store.set_pin(&zeros).unwrap();
    assert_eq!(store.unlock(&hash(PIN)), Ok(Unlock::Wrong));
    assert_eq!(store.unlock(&other), Ok(Unlock::Wrong));
    assert_eq!(store.unlock(&zeros), Ok(Unlock::Unlocked));
    let key = store.create_key(&RP).unwrap();
    store.sign(&RP, &key.credential_id, &[0; 32]).unwrap();
    store.change_pin(&hash(PIN)).unwrap();
    store.unlock(&hash(PIN)).unwrap();
    store.change_pin(&zeros).unwrap();
    assert_eq!(store.unlock(&zeros), Ok(Unlock::Unlocked));
}

/// Whoever has the owner's rights (no password, mostly) can delete the PIN object and make another one that is the same but
/// for its PIN and content.
#[test]
fn a_pin_object_put_there_anew_by_the_owner_does_not_open_the_keys() {
    let computer = Computer::new();
    let mut store = with_pin(&computer);
    store.unlock(&hash(PIN)).unwrap();
    let key = store.create_key(&RP).unwrap();
    store.lock();
    let swtpm = &computer.swtpm;
    let index = swtpm.pin_object();
    let before = swtpm.tool("tpm2_nvreadpublic", &[&index]);
    std::fs::write(swtpm.state.path().join("content"), [0x55; 32]).unwrap();
    let pin = format!("hex:{}", hex(hash("0815-pin").as_bytes()));
    put_anew(swtpm, &index, &pin, || {
        let none = store.unlock(&hash(PIN));
        assert_eq!(none, Err(KeyStoreError::Hardware(HardwareError::PinDeleted)), "as long as there is none");
    });
    assert_eq!(swtpm.tool("tpm2_nvreadpublic", &[&index]), before, "the same name");
    assert_eq!(store.unlock(&hash("0815-pin")), Err(KeyStoreError::Hardware(HardwareError::PinDeleted)));
    // Neither does a state that believes it: the key does not have what is in the new object.
    let forged = computer.memory.copy();
    {
        use sha2::{Digest, Sha256};
        let mut memory = forged.0.lock().unwrap();
        let state = memory.state.as_mut().unwrap();
        let len = state.len();
        state[len - 32..].copy_from_slice(&Sha256::digest([0x55; 32]));
    }
    let mut forger = open(&computer.tpm, &forged);
    assert_eq!(forger.unlock(&hash("0815-pin")), Ok(Unlock::Unlocked));
    let signed = forger.sign(&RP, &key.credential_id, &[0; 32]);
    assert!(
        matches!(&signed, Err(KeyStoreError::Hardware(HardwareError::Failed { command: "TPM2_Sign", .. }))),
        "{signed:?}"
    );
    assert_eq!(swtpm.left(), Vec::<String>::new());
    drop(forger);
    // The way out.
    store.reset().unwrap();
    store.set_pin(&hash(PIN)).unwrap();
    assert_eq!(store.unlock(&hash(PIN)), Ok(Unlock::Unlocked));
    assert_eq!(store.owns(&RP, &key.credential_id), Ok(false));
}

#[test]
fn a_set_pin_is_not_set_again_without_the_old_one() {
    let computer = Computer::new();
    let mut store = with_pin(&computer);
    assert_eq!(store.set_pin(&hash("0815-pin")), Err(KeyStoreError::Locked));
    assert_eq!(store.change_pin(&hash("0815-pin")), Err(KeyStoreError::Locked));
    assert_eq!(store.unlock(&hash(PIN)), Ok(Unlock::Unlocked));
    assert_eq!(computer.swtpm.nv_indices().len(), 1);
}

/// What is refused to protect the others must still be so when the PIN is tried.
#[test]
fn users_who_try_at_the_same_time_do_so_one_after_the_other() {
    type Meanwhile = Box<dyn FnOnce() + Send>;
    let swtpm = Swtpm::new();
    swtpm.tool("tpm2_dictionarylockout", &["-s", "-n", "4", "-t", "600", "-l", "600"]);
    let meanwhile: Arc<Mutex<Option<Meanwhile>>> = Arc::default();
    let next = meanwhile.clone();
    let tpm = Arc::new(Tpm::new(swtpm.address()).on_command(Arc::new(move |command| {
        let next = (command == "TPM2_NV_Read").then(|| next.lock().unwrap().take()).flatten();
        next.into_iter().for_each(|next| next());
    })));
    let mut stores = [(); 2].map(|()| {
        let mut store = open(&tpm, &Memory::default());
        store.set_pin(&hash(PIN)).unwrap();
        assert_eq!(store.unlock(&hash("wrong")), Ok(Unlock::Wrong));
        Some(store)
    });
    // The other one tries between this one's look at what the TPM has counted and its PIN.
    let mut other = stores[1].take().unwrap();
    let (tell, told) = channel();
    *meanwhile.lock().unwrap() = Some(Box::new(move || {
        let (sender, done) = channel();
        thread::spawn(move || {
            tell.send(other.unlock(&hash("wrong"))).unwrap();
            let _late = sender.send(());
        });
        let _late = done.recv_timeout(Duration::from_secs(2));
    }));
    assert_eq!(stores[0].as_mut().unwrap().unlock(&hash("wrong")), Ok(Unlock::Wrong));
    let near = Err(KeyStoreError::Hardware(HardwareError::NearLockout { seconds: 600 }));
    assert_eq!(told.recv_timeout(Duration::from_secs(20)).unwrap(), near);
    assert_eq!(swtpm.failures(), 3);
    assert!(!tpm.health().unwrap().lockout.is_locked());
}

/// A full disk must not give attempts that nobody counts but the TPM, which locks for all.
#[test]
fn a_wrong_pin_that_can_not_be_saved_is_the_last_attempt_until_it_is() {
    let computer = Computer::new();
    drop(with_pin(&computer));
    let disk_is_full = |full| computer.memory.0.lock().unwrap().fail = full;
    disk_is_full(true);
    for pin in ["wrong", "wrong", PIN] {
        let tried = open(&computer.tpm, &computer.memory).unlock(&hash(pin));
        assert!(matches!(tried, Err(KeyStoreError::Storage(_))), "{tried:?}");
    }
    let reset = open(&computer.tpm, &computer.memory).reset();
    assert!(matches!(reset, Err(KeyStoreError::Storage(_))), "{reset:?}");
    assert_eq!(computer.swtpm.failures(), 1);
    disk_is_full(false);
    let mut store = open(&computer.tpm, &computer.memory);
    assert_eq!(store.unlock(&hash("wrong")), Ok(Unlock::Wrong));
    assert_eq!(store.pin_state().unwrap().retries, 6);
    assert_eq!(open(&computer.tpm, &computer.memory).unlock(&hash(PIN)), Ok(Unlock::Unlocked));
}

/// The bound of it: whoever may use the TPM as its owner, and has read the PIN object while they knew the PIN, makes the same
/// one anew. The documentation says so.
#[test]
fn who_read_the_pin_object_with_an_old_pin_and_has_the_owners_rights_signs_after_a_change_too() {
    let computer = Computer::new();
    let mut store = with_pin(&computer);
    store.unlock(&hash(PIN)).unwrap();
    let key = store.create_key(&RP).unwrap();
    store.lock();
    let swtpm = &computer.swtpm;
    let index = swtpm.pin_object();
    let auth = |pin: &str| format!("hex:{}", hex(hash(pin).as_bytes()));
    swtpm.tool("tpm2_nvread", &[&index, "-C", &index, "-P", &auth(PIN), "-o", "content"]);
    store.unlock(&hash(PIN)).unwrap();
    store.change_pin(&hash("0815-pin")).unwrap();
    put_anew(swtpm, &index, &auth("thief"), || ());
    assert_eq!(
        store.unlock(&hash("0815-pin")),
        Ok(Unlock::Wrong),
        "the user's own is not taken any more: that shows"
    );
    assert_eq!(store.unlock(&hash("thief")), Ok(Unlock::Unlocked));
    store.sign(&RP, &key.credential_id, &[0; 32]).unwrap();
    store.lock();
}

/// Deletes the PIN object, and makes one of the same name with this PIN and what is in the file `content`.
fn put_anew(swtpm: &Swtpm, index: &str, pin: &str, meanwhile: impl FnOnce()) {
    let public = swtpm.tool("tpm2_nvreadpublic", &[index]);
    let policy = public.lines().find_map(|line| line.trim().strip_prefix("authorization policy: ")).unwrap();
    let policy: Vec<u8> =
        (0..policy.len()).step_by(2).map(|at| u8::from_str_radix(&policy[at..at + 2], 16).unwrap()).collect();
    std::fs::write(swtpm.state.path().join("policy"), policy).unwrap();
    swtpm.tool("tpm2_nvundefine", &[index, "-C", "o"]);
    meanwhile();
    let define = ["-C", "o", "-s", "32", "-a", "authread|authwrite", "-p", pin, "-L", "policy"];
    swtpm.tool("tpm2_nvdefine", &[&[index], define.as_slice()].concat());
    swtpm.tool("tpm2_nvwrite", &[index, "-C", index, "-P", pin, "-i", "content"]);
}
