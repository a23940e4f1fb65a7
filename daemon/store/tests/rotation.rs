//! Slots that are filled anew, and another data key for everything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, THEN, add_card, card, contents, data_key, full_wallet, passphrase, wrapped};
use fwp_store::record::AuditKind;
use fwp_store::slot::{KeyFile, KeySlot, SlotError, SlotKind};
use fwp_store::{DataKey, Rotation, StoreError, Table, WalletId};

fn rotated(rotation: Rotation) -> (Home, DataKey, Vec<u8>) {
    let home = full_wallet();
    let (other, phrase) =
        (KeyFile::new(home.temporary.path().join("other.key")), passphrase("correct horse"));
    home.open().add_slot(&phrase, THEN).unwrap();
    let (old_key, old_file) = (data_key(&home), std::fs::read(home.database()).unwrap());
    let mut store = home.open();
    let before = contents(&store);
    store.rotate(&[&phrase, &other, &home.key()], rotation, THEN).unwrap();
    assert_eq!(contents(&store), before);
    // It goes on: what is written now is read by what is derived now.
    let id = add_card(&mut store, 9);
    let after = contents(&store);
    drop(store);
    for slot in [&home.key() as &dyn KeySlot, &other, &phrase] {
        let store = home.locked().unlock(&[slot], None).unwrap();
        assert_eq!((contents(&store), &store.card(id).unwrap().card), (after.clone(), &card(9)));
    }
    (home, old_key, old_file)
}

#[test]
fn slots_that_are_filled_anew_hold_the_same_key_in_another_wrapping() {
    let (home, old_key, old_file) = rotated(Rotation::Slots);
    assert_eq!(data_key(&home).expose(), old_key.expose());
    let slot = wrapped(&home, SlotKind::Passphrase);
    assert!(!old_file.windows(32).any(|part| part == &slot[slot.len() - 32..]));
}

#[test]
fn under_a_new_data_key_the_old_one_opens_nothing_and_no_old_cipher_text_is_left() {
    let (home, old_key, old_file) = rotated(Rotation::DataKey);
    assert_ne!(data_key(&home).expose(), old_key.expose());
    // A slot that was removed, put together from an old copy: it gives the old key, and that opens nothing.
    struct Old(DataKey);
    impl KeySlot for Old {
        fn kind(&self) -> SlotKind {
            SlotKind::KeyFile
        }
        fn wrap(&self, _: &WalletId, _: &DataKey) -> Result<Vec<u8>, SlotError> {
            Err(SlotError::NotAtHand)
        }
        fn unwrap(&self, _: &WalletId, _: &[u8]) -> Result<DataKey, SlotError> {
            Ok(DataKey::from_bytes(self.0.expose()))
        }
    }
    let error = home.locked().unlock(&[&Old(old_key)], None).unwrap_err().error;
    assert!(matches!(error, StoreError::Altered { table: Table::Head, .. }), "{error}");
    // Nothing of the old database is left in the files but SQLite's and our own structure.
    let old = home.temporary.path().join("old.db");
    std::fs::write(&old, old_file).unwrap();
    let connection = rusqlite::Connection::open(&old).unwrap();
    let mut seen = 0;
    for table in ["slot", "card", "ledger", "history", "audit", "authenticator", "setting", "head"] {
        let mut statement = connection.prepare(&format!("SELECT sealed FROM {table}")).unwrap();
        for sealed in statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap() {
            let sealed = sealed.unwrap();
            let part = &sealed[sealed.len() - 24..];
            for entry in home.wallet().read_dir().unwrap() {
                let bytes = std::fs::read(entry.unwrap().path()).unwrap();
                assert!(!bytes.windows(24).any(|window| window == part), "{table}");
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn a_log_that_lost_its_beginning_still_holds_under_a_new_key() {
    let home = Home::new();
    let mut store = home.create();
    for n in 0..9 {
        add_card(&mut store, n + 1);
        let mut changes = fwp_store::Changes::new();
        changes.audit(common::event(AuditKind::CardStored)).keep_audit(5);
        store.commit(changes, fwp_store::Durability::Lazy).unwrap();
    }
    let before: Vec<_> = store.audit(0, 99).unwrap().into_iter().map(|e| (e.sequence, e.event)).collect();
    store.rotate(&[&home.key()], Rotation::DataKey, THEN).unwrap();
    drop(store);
    let store = home.open();
    let mut after: Vec<_> = store.audit(0, 99).unwrap().into_iter().map(|e| (e.sequence, e.event)).collect();
    assert_eq!(after.pop().unwrap().1.kind, AuditKind::KeyRotated);
    assert_eq!(after, before);
}

#[test]
fn a_rotation_with_a_slot_that_is_not_at_hand_changes_nothing() {
    let home = full_wallet();
    let mut store = home.open();
    let generation = store.generation();
    for rotation in [Rotation::Slots, Rotation::DataKey] {
        let error = store.rotate(&[&home.key()], rotation, THEN).unwrap_err();
        let StoreError::SlotsNotAtHand { slots } = &error else { panic!("{error}") };
        assert!(matches!(slots[..], [(_, SlotKind::KeyFile, SlotError::OtherKey)]), "{slots:?}");
    }
    assert_eq!(store.generation(), generation);
}
