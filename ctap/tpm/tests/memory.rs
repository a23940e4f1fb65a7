//! What a core dump would hold after the keys were locked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Computer, RP, open};
use ctap_authenticator::{KeyStore, Unlock};
use ctap_core::PinHash;
use std::io::{Read, Seek, SeekFrom};
use std::process::Command;

/// Keeps the bytes that are looked for out of the memory that is looked through.
const MASK: u8 = 0x5a;

/// The PIN's hash, masked: derived from the process, so that it is in no file that is mapped.
fn masked() -> [u8; 16] {
    let mut masked = [0x31; 16];
    masked[..4].copy_from_slice(&std::process::id().to_be_bytes());
    masked
}

fn pin() -> PinHash {
    PinHash::new(masked().map(|byte| byte ^ MASK))
}

/// How often the hash is in this process's writable memory.
fn found() -> usize {
    let masked = masked();
    let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut buffer = Vec::new();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")))
    {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        buffer.clear();
        buffer.resize(usize::try_from(to - from).unwrap(), 0);
        if memory.seek(SeekFrom::Start(from)).is_err() || memory.read_exact(&mut buffer).is_err() {
            continue;
        }
        // Masked in place, so that what is counted is not what was read.
        buffer.iter_mut().for_each(|byte| *byte ^= MASK);
        found += buffer.windows(16).filter(|window| *window == masked).count();
    }
    found
}

const CHILD: &str = "IN_A_PROCESS_OF_ITS_OWN";

/// In a process that was started with `MALLOC_PERTURB_`, which has the C library overwrite what is freed: libtss2 does not do
/// that with the PIN that its sessions' keys are made of.
#[test]
fn no_pin_is_in_memory_once_the_keys_are_locked() {
    if std::env::var_os(CHILD).is_some() {
        return look();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "no_pin_is_in_memory_once_the_keys_are_locked", "--nocapture"])
        .env(CHILD, "1")
        .env("MALLOC_PERTURB_", "165")
        .env("TSS2_LOG", "all+none")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn look() {
    let computer = Computer::new();
    let mut store = open(&computer.tpm, &computer.memory);
    store.set_pin(&pin()).unwrap();
    store.lock();
    assert_eq!(found(), 0, "after it was set");
    let mut key = None;
    for _ in 0..3 {
        assert_eq!(store.unlock(&pin()), Ok(Unlock::Unlocked));
        assert_ne!(found(), 0, "unlocked: what is looked for can be found");
        let id = key.get_or_insert_with(|| store.create_key(&RP).unwrap().credential_id);
        store.sign(&RP, id, &[1; 32]).unwrap();
        store.lock();
        assert_eq!(found(), 0, "after a payment");
    }
    assert_eq!(store.unlock(&PinHash::new([1; 16])), Ok(Unlock::Wrong));
    store.unlock(&pin()).unwrap();
    store.change_pin(&PinHash::new([1; 16])).unwrap();
    store.lock();
    assert_eq!(found(), 0, "after it was changed to another one");
    store.unlock(&PinHash::new([1; 16])).unwrap();
    store.change_pin(&pin()).unwrap();
    store.lock();
    assert_eq!(found(), 0, "after another one was changed to it");
}
