//! Several ways to one data key: added, checked, removed, filled anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, THEN, add_card, cheap, data_key, passphrase, wrapped};
use fwp_store::record::AuditKind;
use fwp_store::slot::{
    Cost, KeyFile, KeySlot, MAX_WRAPPED_BYTES, Passphrase, PassphraseRecord, SlotError, SlotKind,
    SystemdCredential,
};
use fwp_store::{DataKey, MAX_SLOTS, Rotation, SlotCheck, Store, StoreError, Table, WalletId};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use zeroize::Zeroizing;

fn second_file(home: &Home) -> KeyFile {
    KeyFile::new(home.temporary.path().join("second.key"))
}

fn credential(home: &Home, bytes: &[u8]) -> SystemdCredential {
    let directory = home.temporary.path().join("credentials");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("fwpd.wallet-key");
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    SystemdCredential::new(directory, "fwpd.wallet-key")
}

/// Why `slot` does not open the wallet.
fn problem(home: &Home, slot: &dyn KeySlot) -> SlotError {
    let StoreError::NoSlotOpens { tried } = home.locked().unlock(&[slot], None).unwrap_err().error else {
        panic!("another error")
    };
    tried.into_iter().find(|(kind, _)| *kind == slot.kind()).unwrap().1
}

#[test]
fn each_of_several_slots_opens_the_wallet_and_says_so() {
    let home = Home::new();
    let mut store = home.create();
    assert_eq!(store.opened_by(), None);
    let (phrase, credential) = (passphrase("correct horse"), credential(&home, &[7; 32]));
    let others: [&dyn KeySlot; 3] = [&second_file(&home), &phrase, &credential];
    let ids: Vec<_> = others.iter().map(|slot| store.add_slot(*slot, THEN).unwrap()).collect();
    add_card(&mut store, 1);
    assert_eq!(store.slots().unwrap()[1..].iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
    drop(store);
    for (slot, id) in others.iter().zip(ids) {
        let store = home.locked().unlock(&[*slot], None).unwrap();
        assert_eq!((store.cards().len(), store.opened_by()), (1, Some((id, slot.kind()))));
    }
    // The first that opens, in the caller's order.
    let store = home.locked().unlock(&[&credential, &home.key()], None).unwrap();
    assert_eq!(store.opened_by().unwrap().1, SlotKind::SystemdCredential);
}

#[test]
fn the_last_usable_slot_stays() {
    let home = Home::new();
    let mut store = home.create();
    let (key, other) = (home.key(), second_file(&home));
    let first = store.slots().unwrap()[0].0;
    assert!(matches!(store.remove_slot(first, &[&key], THEN), Err(StoreError::LastSlot)));
    let second = store.add_slot(&other, THEN).unwrap();
    let phrase = store.add_slot(&passphrase("correct horse"), THEN).unwrap();
    let before = store.slots().unwrap();

    // The others are there, but none opens the wallet with what is at hand: a lost file, a passphrase that nobody knows.
    std::fs::remove_file(other.path()).unwrap();
    let error = store.remove_slot(first, &[&key, &other, &passphrase("wrong horse")], THEN).unwrap_err();
    let StoreError::LastUsableSlot { unusable } = &error else { panic!("{error}") };
    assert!(
        matches!(
            unusable[..],
            [(SlotKind::KeyFile, SlotError::Missing(_)), (SlotKind::Passphrase, SlotError::WrongPassphrase)]
        ),
        "{unusable:?}"
    );
    let error = store.remove_slot(first, &[], THEN).unwrap_err();
    assert!(matches!(error, StoreError::LastUsableSlot { .. }), "{error}");
    assert_eq!(store.slots().unwrap(), before);

    store.remove_slot(first, &[&passphrase("correct horse")], THEN).unwrap();
    let gone = store.remove_slot(first, &[&passphrase("correct horse")], THEN).unwrap_err();
    assert!(matches!(gone, StoreError::NoSuchRow { table: Table::Slot, .. }), "{gone}");
    store.remove_slot(second, &[&passphrase("correct horse")], THEN).unwrap();
    let last = store.remove_slot(phrase, &[&passphrase("correct horse")], THEN).unwrap_err();
    assert!(matches!(last, StoreError::LastSlot), "{last}");
    drop(store);
    let error = home.try_open().unwrap_err();
    let StoreError::NoSlotOpens { tried } = &error else { panic!("{error}") };
    assert!(matches!(tried[..], [(SlotKind::Passphrase, SlotError::NotAtHand)]), "{tried:?}");
    let store = home.locked().unlock(&[&passphrase("correct horse")], None).unwrap();
    let kinds: Vec<_> = store.audit(1, 99).unwrap().iter().map(|entry| entry.event.kind).collect();
    let expected =
        [AuditKind::SlotAdded, AuditKind::SlotAdded, AuditKind::SlotRemoved, AuditKind::SlotRemoved];
    assert_eq!(kinds, expected);
}

#[test]
fn slots_are_checked_one_by_one() {
    let home = Home::new();
    let mut store = home.create();
    store.add_slot(&passphrase("correct horse"), THEN).unwrap();
    store.add_slot(&credential(&home, &[7; 32]), THEN).unwrap();
    let at_hand: [&dyn KeySlot; 2] = [&home.key(), &passphrase("wrong horse")];
    let checked = store.check_slots(&at_hand).unwrap();
    assert!(
        matches!(
            checked[..],
            [
                SlotCheck { kind: SlotKind::KeyFile, usable: Ok(()), .. },
                SlotCheck { kind: SlotKind::Passphrase, usable: Err(SlotError::WrongPassphrase), .. },
                SlotCheck { kind: SlotKind::SystemdCredential, usable: Err(SlotError::NotAtHand), .. },
            ]
        ),
        "{checked:?}"
    );
}

#[test]
fn a_passphrase_is_the_same_from_every_keyboard_and_never_too_short() {
    let home = Home::new();
    let mut store = home.create();
    // The letter as one character, and as base and accent.
    store.add_slot(&passphrase("schl\u{fc}ssel"), THEN).unwrap();
    drop(store);
    home.locked().unlock(&[&passphrase("schlu\u{308}ssel")], None).unwrap();
    assert!(matches!(problem(&home, &passphrase("schlussel")), SlotError::WrongPassphrase));
    // Seven characters, though fourteen bytes, and more before they are put together.
    for short in ["", "sevench", "\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}", "sevencu\u{308}"] {
        let error = Passphrase::new(&Zeroizing::new(short.to_owned())).unwrap_err();
        assert!(matches!(error, SlotError::PassphraseTooShort { least: 8 }), "{short}");
    }
}

#[test]
fn a_passphrase_costs_what_stands_with_the_slot() {
    let home = Home::new();
    let mut store = home.create();
    let phrase = Passphrase::new(&Zeroizing::new("correct horse".to_owned())).unwrap();
    store.add_slot(&phrase, THEN).unwrap();
    drop(store);
    let record = PassphraseRecord::decode(&wrapped(&home, SlotKind::Passphrase)).unwrap();
    assert_eq!(record.cost(), Cost::new(64 * 1024, 3, 4).unwrap());
    // Opened at the cost at which it was made, whatever a new one would cost.
    home.locked().unlock(&[&passphrase("correct horse")], None).unwrap();
}

#[test]
fn a_cost_beyond_the_limits_is_refused_before_anything_is_spent() {
    for (memory, passes, lanes) in
        [(1 << 21, 1, 1), (1 << 20, 5, 1), (64, 17, 1), (1024, 1, 17), (7, 1, 1), (64, 0, 1), (64, 1, 0)]
    {
        let error = Cost::new(memory, passes, lanes).unwrap_err();
        assert!(matches!(error, SlotError::Cost { .. }), "{memory} {passes} {lanes}");
    }
    let home = Home::new();
    let mut store = home.create();
    store.add_slot(&passphrase("correct horse"), THEN).unwrap();
    drop(store);
    // Memory 8 (one byte of CBOR) becomes 2^32 - 1 (five bytes).
    let kept = wrapped(&home, SlotKind::Passphrase);
    assert_eq!(kept[..3], [0xa5, 0x01, 0x08]);
    let greedy = [&[0xa5, 0x01, 0x1a, 0xff, 0xff, 0xff, 0xff], &kept[3..]].concat();
    let error = PassphraseRecord::decode(&greedy).unwrap_err();
    assert!(matches!(error, SlotError::Cost { memory_kib: 0xffff_ffff, .. }), "{error}");
}

#[test]
fn a_credential_that_is_missing_malformed_exposed_or_another_is_named() {
    let home = Home::new();
    let mut store = home.create();
    let slot = credential(&home, &[7; 32]);
    store.add_slot(&slot, THEN).unwrap();
    drop(store);
    let path = home.temporary.path().join("credentials/fwpd.wallet-key");
    let put = |bytes: &[u8]| {
        std::fs::remove_file(&path).unwrap();
        credential(&home, bytes);
    };
    put(&[8; 32]);
    assert!(matches!(problem(&home, &slot), SlotError::OtherKey));
    for malformed in [&[][..], &[7; 31], &[7; 33], &[0; 32]] {
        put(malformed);
        assert!(matches!(problem(&home, &slot), SlotError::Malformed(_)), "{malformed:?}");
    }
    put(&[7; 32]);
    // systemd's way to give the service's user access: an ACL, whose mask shows here.
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o440)).unwrap();
    home.locked().unlock(&[&slot], None).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
    assert!(matches!(problem(&home, &slot), SlotError::Exposed { mode: 0o444, .. }));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(problem(&home, &slot), SlotError::Missing(_)));
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    assert!(matches!(problem(&home, &slot), SlotError::Malformed(_)));
}

#[test]
fn one_credential_guards_two_wallets_with_two_keys() {
    let (home, other) = (Home::new(), Home::new());
    let slot = credential(&home, &[7; 32]);
    let (mut first, mut second) = (home.create(), other.create());
    first.add_slot(&slot, THEN).unwrap();
    second.add_slot(&slot, THEN).unwrap();
    let wallets = [first.wallet_id(), second.wallet_id()];
    drop((first, second));
    let kept = wrapped(&home, SlotKind::SystemdCredential);
    slot.unwrap(&wallets[0], &kept).unwrap();
    assert!(matches!(slot.unwrap(&wallets[1], &kept), Err(SlotError::OtherKey)));
}

/// A driver from elsewhere, that keeps what it is told to.
struct Driver(SlotKind, Vec<u8>);

impl KeySlot for Driver {
    fn kind(&self) -> SlotKind {
        self.0
    }
    fn wrap(&self, _: &WalletId, _: &DataKey) -> Result<Vec<u8>, SlotError> {
        Ok(self.1.clone())
    }
    fn unwrap(&self, _: &WalletId, wrapped: &[u8]) -> Result<DataKey, SlotError> {
        DataKey::from_slice(wrapped).ok_or(SlotError::Altered)
    }
}

#[test]
fn a_slot_that_does_not_give_the_key_back_is_not_stored() {
    let home = Home::new();
    let mut store = home.create();
    let before = store.slots().unwrap();
    for (kept, expected) in [
        (vec![1; 32], "it does not give back the key that it was given"),
        (vec![1], "what the store has for it was altered"),
        (vec![1; MAX_WRAPPED_BYTES + 1], "it wants to keep 16385 bytes in the store, more than 16384"),
    ] {
        let error = store.add_slot(&Driver(SlotKind::Tpm, kept), THEN).unwrap_err();
        let StoreError::Slot { kind: SlotKind::Tpm, source } = error else { panic!("{error}") };
        assert_eq!(source.to_string(), expected);
    }
    assert_eq!(store.slots().unwrap(), before);
}

#[test]
fn slots_of_kinds_without_a_driver_here_are_named_and_do_not_hinder_the_others() {
    let home = Home::new();
    drop(home.create());
    // As programs with drivers for a TPM, and of a later version, would leave them: only the rows' form is ours.
    let key = data_key(&home);
    for kind in [SlotKind::Tpm, SlotKind::Unknown(99)] {
        home.open().add_slot(&Driver(kind, key.expose().to_vec()), THEN).unwrap();
    }
    let locked = home.locked();
    let kinds = [SlotKind::KeyFile, SlotKind::Tpm, SlotKind::Unknown(99)];
    assert_eq!(locked.slot_kinds().collect::<Vec<_>>(), kinds);
    let mut store = locked.unlock(&[&home.key()], None).unwrap();
    let error = store.rotate(&[&home.key()], Rotation::Slots, THEN).unwrap_err();
    let StoreError::SlotsNotAtHand { slots } = &error else { panic!("{error}") };
    assert!(
        matches!(
            slots[..],
            [(_, SlotKind::Tpm, SlotError::NotAtHand), (_, SlotKind::Unknown(99), SlotError::NotAtHand)]
        ),
        "{slots:?}"
    );
    drop(store);
    let error = home.locked().unlock(&[&passphrase("correct horse")], None).unwrap_err().error;
    let StoreError::NoSlotOpens { tried } = &error else { panic!("{error}") };
    assert_eq!(tried.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), kinds);
    assert!(tried.iter().all(|(_, error)| matches!(error, SlotError::NotAtHand)), "{tried:?}");
}

#[test]
fn there_is_an_end_to_slots() {
    let home = Home::new();
    let mut store = home.create();
    let slot = passphrase("correct horse");
    for _ in 1..MAX_SLOTS {
        store.add_slot(&slot, THEN).unwrap();
    }
    let error = store.add_slot(&slot, THEN).unwrap_err();
    assert!(matches!(error, StoreError::TooManySlots { most: MAX_SLOTS }), "{error}");
}

#[test]
fn a_key_file_that_is_discarded_opens_no_copy_any_more() {
    let home = Home::new();
    let mut store = home.create();
    let (first, phrase) = (store.slots().unwrap()[0].0, passphrase("correct horse"));
    store.add_slot(&phrase, THEN).unwrap();
    let wallet = store.wallet_id();
    store.remove_slot(first, &[&phrase], THEN).unwrap();
    for _ in 0..2 {
        home.key().discard(&wallet).unwrap();
        assert!(!home.key().path().exists());
    }
    drop(store);
    home.locked().unlock(&[&phrase], None).unwrap();
}

#[test]
fn debug_output_tells_no_passphrase() {
    let text = format!("{:?}", passphrase("correct horse"));
    assert!(!text.contains("horse"), "{text}");
}

fn slots(home: &Home) -> Vec<Box<dyn KeySlot>> {
    let credentials = home.temporary.path().join("credentials");
    vec![
        Box::new(home.key()),
        Box::new(passphrase("correct horse")),
        Box::new(SystemdCredential::new(credentials, "fwpd.wallet-key")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_of_a_passphrase_slot_are_refused_or_its_one_encoding(bytes: Vec<u8>) {
        if let Ok(record) = PassphraseRecord::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }

    /// Any bytes in the place of what a slot keeps, and any change of them: an error that names what it is about.
    #[test]
    fn any_bytes_of_any_slot_are_a_typed_error(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        place: prop::sample::Index,
        difference in 1u8..,
        cut: prop::sample::Index,
    ) {
        thread_local! {
            static MADE: (Home, WalletId, Vec<Vec<u8>>) = {
                let home = Home::new();
                let mut store = home.create();
                credential(&home, &[7; 32]);
                for slot in &slots(&home)[1..] {
                    store.add_slot(slot.as_ref(), THEN).unwrap();
                }
                let wallet = store.wallet_id();
                drop(store);
                let kept = slots(&home).iter().map(|slot| wrapped(&home, slot.kind())).collect();
                (home, wallet, kept)
            };
        }
        MADE.with(|(home, wallet, kept)| {
            for (slot, kept) in slots(home).iter().zip(kept) {
                slot.unwrap(wallet, &bytes).unwrap_err();
                let mut changed = kept.clone();
                changed[place.index(kept.len())] ^= difference;
                // Another cost is no other key at the first byte, but a dearer one: bounded, and so is this test.
                let affordable = slot.kind() != SlotKind::Passphrase
                    || PassphraseRecord::decode(&changed).is_ok_and(|record| record.cost() == cheap());
                if affordable {
                    slot.unwrap(wallet, &changed).unwrap_err();
                }
                slot.unwrap(wallet, &kept[..cut.index(kept.len())]).unwrap_err();
                slot.unwrap(wallet, kept).unwrap();
            }
        });
    }

    /// Whatever stands in the table of slots: named, and nothing is opened by it.
    #[test]
    fn any_row_of_the_table_of_slots_is_refused(stored in prop::collection::vec(any::<u8>(), 0..64)) {
        thread_local! {
            static WALLET: (Home, Vec<u8>) = {
                let home = Home::new();
                drop(home.create());
                let bytes = std::fs::read(home.database()).unwrap();
                (home, bytes)
            };
        }
        WALLET.with(|(home, bytes)| {
            std::fs::write(home.database(), bytes).unwrap();
            let connection = rusqlite::Connection::open(home.database()).unwrap();
            connection.execute("UPDATE slot SET sealed = ?1", [&stored]).unwrap();
            connection.close().unwrap();
            let opened: Result<Store, StoreError> = match fwp_store::open(&home.wallet()) {
                Ok(fwp_store::Found::Wallet(locked)) => {
                    locked.unlock(&[&home.key()], None).map_err(|refusal| refusal.error)
                }
                Ok(fwp_store::Found::Nothing(_)) => panic!("taken for no wallet"),
                Err(error) => Err(error),
            };
            match opened.unwrap_err() {
                StoreError::NoSlotOpens { .. } | StoreError::Altered { table: Table::Slot, .. } => {}
                error => panic!("{error}"),
            }
        });
    }
}
