//! Somebody with write access to the files changes, moves, drops or puts back records. Each is noticed by name, and the
//! files are left as they are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, THEN, add_card, card, contents, full_wallet, history, ledger, write_single_rows};
use fwp_store::record::Outcome;
use fwp_store::slot::SlotError;
use fwp_store::{Changes, Durability, StoreError, Table};
use proptest::prelude::*;
use rusqlite::{Connection, params};

/// Tables with several rows in [`full_wallet`].
const MANY_ROWS: [Table; 4] = [Table::Card, Table::Ledger, Table::History, Table::Audit];
/// Tables with one row.
const ONE_ROW: [Table; 2] = [Table::Authenticator, Table::Setting];

/// Changes the closed database with SQL, then tries to open the wallet, which must not touch the file.
fn open_after(home: &Home, change: impl FnOnce(&Connection)) -> StoreError {
    let connection = Connection::open(home.database()).unwrap();
    change(&connection);
    connection.close().unwrap();
    let before = std::fs::read(home.database()).unwrap();
    let error = home.try_open().unwrap_err();
    assert_eq!(std::fs::read(home.database()).unwrap(), before, "the file was changed");
    error
}

fn first_row(connection: &Connection, table: Table) -> i64 {
    connection.query_row(&format!("SELECT min(id) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn an_untouched_wallet_opens() {
    let store = full_wallet().open();
    assert_eq!((store.cards().len(), store.slots().unwrap().len()), (3, 2));
}

#[test]
fn a_flipped_bit_in_any_kind_of_record_is_named() {
    for table in MANY_ROWS.into_iter().chain(ONE_ROW).chain([Table::Head]) {
        let home = full_wallet();
        let mut row = 0;
        let error = open_after(&home, |connection| {
            row = first_row(connection, table);
            let mut sealed: Vec<u8> = connection
                .query_row(&format!("SELECT sealed FROM {table} WHERE id = ?1"), [row], |row| row.get(0))
                .unwrap();
            let middle = sealed.len() / 2;
            sealed[middle] ^= 1;
            connection
                .execute(&format!("UPDATE {table} SET sealed = ?2 WHERE id = ?1"), params![row, sealed])
                .unwrap();
        });
        assert!(
            matches!(error, StoreError::Altered { table: named, row: at } if named == table && at == row),
            "{table}: {error}"
        );
    }
}

#[test]
fn a_changed_generation_is_named() {
    for table in MANY_ROWS.into_iter().chain(ONE_ROW).chain([Table::Head]) {
        let error = open_after(&full_wallet(), |connection| {
            let row = first_row(connection, table);
            connection
                .execute(&format!("UPDATE {table} SET generation = generation + 1 WHERE id = ?1"), [row])
                .unwrap();
        });
        assert!(
            matches!(error, StoreError::Altered { table: named, .. } if named == table),
            "{table}: {error}"
        );
    }
}

#[test]
fn two_swapped_records_are_named() {
    for table in MANY_ROWS {
        let error = open_after(&full_wallet(), |connection| {
            let rows: Vec<i64> = connection
                .prepare(&format!("SELECT id FROM {table} ORDER BY id LIMIT 2"))
                .unwrap()
                .query_map([], |row| row.get(0))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            for (from, to) in [(rows[0], -9), (rows[1], rows[0]), (-9, rows[1])] {
                connection.execute(&format!("UPDATE {table} SET id = ?2 WHERE id = ?1"), [from, to]).unwrap();
            }
        });
        assert!(
            matches!(error, StoreError::Altered { table: named, .. } if named == table),
            "{table}: {error}"
        );
    }
}

#[test]
fn a_record_moved_to_another_table_is_named() {
    let error = open_after(&full_wallet(), |connection| {
        connection
            .execute_batch(
                "DELETE FROM setting; INSERT INTO setting SELECT id, generation, sealed FROM authenticator;",
            )
            .unwrap();
    });
    assert!(matches!(error, StoreError::Altered { table: Table::Setting, row: 1 }), "{error}");
}

#[test]
fn a_dropped_record_is_named() {
    for table in [Table::Card, Table::Ledger, Table::History, Table::Slot].into_iter().chain(ONE_ROW) {
        let error = open_after(&full_wallet(), |connection| {
            // The last one: the wallet's own slot, which opens it, is the first.
            connection
                .execute(&format!("DELETE FROM {table} WHERE id = (SELECT max(id) FROM {table})"), [])
                .unwrap();
        });
        assert!(
            matches!(error, StoreError::Set { table: named, expected, found } if named == table && found + 1 == expected),
            "{table}: {error}"
        );
    }
    let error = open_after(&full_wallet(), |connection| {
        connection.execute("DELETE FROM head", []).unwrap();
    });
    assert!(matches!(error, StoreError::Altered { table: Table::Head, .. }), "{error}");
}

#[test]
fn audit_entries_cut_off_at_the_end_in_the_middle_or_at_the_start_are_named() {
    let cut = |condition: &str| {
        open_after(&full_wallet(), |connection| {
            connection.execute(&format!("DELETE FROM audit WHERE {condition}"), []).unwrap();
        })
    };
    let tail = cut("id = (SELECT max(id) FROM audit)");
    assert!(matches!(tail, StoreError::Set { table: Table::Audit, expected: 5, found: 4 }), "{tail}");
    let middle = cut("id = 3");
    assert!(matches!(middle, StoreError::AuditChain { sequence: 3 }), "{middle}");
    let start = cut("id < 3");
    assert!(matches!(start, StoreError::AuditChain { sequence: 1 }), "{start}");
}

#[test]
fn a_single_record_of_an_earlier_time_is_named() {
    // An earlier state of a card, a ledger entry, a history entry, the authenticator, the settings: each put back alone.
    for table in [Table::Card, Table::Ledger, Table::History].into_iter().chain(ONE_ROW) {
        let home = full_wallet();
        let connection = Connection::open(home.database()).unwrap();
        let row = first_row(&connection, table);
        let old: (i64, Vec<u8>) = connection
            .query_row(&format!("SELECT generation, sealed FROM {table} WHERE id = ?1"), [row], |columns| {
                Ok((columns.get(0)?, columns.get(1)?))
            })
            .unwrap();
        connection.close().unwrap();
        replace_everything(&home);
        let error = open_after(&home, |connection| {
            let changed = connection
                .execute(
                    &format!(
                        "UPDATE {table} SET generation = ?2, sealed = ?3 WHERE id = ?1 AND sealed != ?3"
                    ),
                    params![row, old.0, old.1],
                )
                .unwrap();
            assert_eq!(changed, 1);
        });
        assert!(
            matches!(error, StoreError::Set { table: named, expected, found } if named == table && found == expected),
            "{table}: {error}"
        );
    }
}

/// Another content for every record, in its row.
fn replace_everything(home: &Home) {
    let mut store = home.open();
    let ids: Vec<_> = store.cards().map(|record| record.id).collect();
    let mut changes = Changes::new();
    for (n, id) in (11..).zip(ids) {
        changes.replace_card(id, card(n));
    }
    for n in 1..=3 {
        changes.put_ledger(ledger(&format!("order-{n}"), 2));
    }
    for (id, record) in store.history(None, 9).unwrap() {
        changes.replace_history(id, history(&record.request_id, Outcome::CompletedFail));
    }
    store.commit(changes, Durability::Durable).unwrap();
    write_single_rows(&mut store, "2");
}

#[test]
fn the_head_of_an_earlier_time_is_refused() {
    let home = full_wallet();
    let read = |home: &Home| -> (i64, Vec<u8>) {
        let connection = Connection::open(home.database()).unwrap();
        connection
            .query_row("SELECT generation, sealed FROM head", [], |columns| {
                Ok((columns.get(0)?, columns.get(1)?))
            })
            .unwrap()
    };
    let old = read(&home);
    replace_everything(&home);
    let error = open_after(&home, |connection| {
        connection.execute("UPDATE head SET generation = ?1, sealed = ?2", params![old.0, old.1]).unwrap();
    });
    assert!(matches!(error, StoreError::Set { .. }), "{error}");
}

#[test]
fn a_removed_record_that_is_put_back_is_named() {
    for table in [Table::Card, Table::Ledger] {
        let home = full_wallet();
        let connection = Connection::open(home.database()).unwrap();
        connection
            .execute_batch(&format!(
                "ATTACH '{}' AS kept; CREATE TABLE kept.rows AS SELECT * FROM {table};",
                home.temporary.path().join("kept.db").display()
            ))
            .unwrap();
        connection.close().unwrap();
        let mut store = home.open();
        let id = store.cards().next().unwrap().id;
        let mut changes = Changes::new();
        changes.remove_card(id).remove_ledger(&common::host(), "order-1");
        store.commit(changes, Durability::Durable).unwrap();
        drop(store);
        let error = open_after(&home, |connection| {
            connection
                .execute_batch(&format!(
                    "ATTACH '{}' AS kept; INSERT OR IGNORE INTO {table} SELECT * FROM kept.rows;",
                    home.temporary.path().join("kept.db").display()
                ))
                .unwrap();
        });
        assert!(
            matches!(error, StoreError::Set { table: named, expected: 2, found: 3 } if named == table),
            "{table}: {error}"
        );
    }
}

#[test]
fn a_record_of_another_wallet_is_named() {
    let (home, other) = (full_wallet(), full_wallet());
    let error = open_after(&home, |connection| {
        connection
            .execute_batch(&format!(
                "ATTACH '{}' AS other; DELETE FROM setting; INSERT INTO setting SELECT * FROM other.setting;",
                other.database().display()
            ))
            .unwrap();
    });
    assert!(matches!(error, StoreError::Altered { table: Table::Setting, row: 1 }), "{error}");
}

#[test]
fn an_altered_slot_or_wallet_name_opens_nothing() {
    for sql in [
        "UPDATE slot SET sealed = CAST(sealed || x'00' AS BLOB)",
        "UPDATE wallet SET wallet_id = zeroblob(16)",
    ] {
        let error = open_after(&full_wallet(), |connection| {
            connection.execute(sql, []).unwrap();
        });
        let StoreError::NoSlotOpens { tried } = &error else { panic!("{error}") };
        assert!(matches!(tried[0].1, SlotError::Altered), "{tried:?}");
    }
}

#[test]
fn a_slot_that_was_removed_and_put_back_is_named() {
    let home = full_wallet();
    let connection = Connection::open(home.database()).unwrap();
    let old: (i64, Vec<u8>) = connection
        .query_row("SELECT generation, sealed FROM slot WHERE id = 2", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    connection.close().unwrap();
    let mut store = home.open();
    let second = store.slots().unwrap()[1].0;
    store.remove_slot(second, &[&home.key()], THEN).unwrap();
    drop(store);
    let error = open_after(&home, |connection| {
        connection.execute("INSERT INTO slot VALUES (2, ?1, ?2)", params![old.0, old.1]).unwrap();
    });
    assert!(matches!(error, StoreError::Set { table: Table::Slot, expected: 1, found: 2 }), "{error}");
}

#[test]
fn a_table_or_column_of_another_shape_is_refused() {
    for sql in [
        "DROP TABLE history",
        "DROP TABLE slot",
        "DROP TABLE wallet",
        "ALTER TABLE card RENAME COLUMN sealed TO opened",
        "UPDATE card SET generation = -1",
        "DELETE FROM wallet",
    ] {
        let home = full_wallet();
        let connection = Connection::open(home.database()).unwrap();
        connection.execute_batch(sql).unwrap();
        connection.close().unwrap();
        let error = match fwp_store::open(&home.wallet()) {
            Err(error) => error,
            Ok(fwp_store::Found::Wallet(locked)) => locked.unlock(&[&home.key()], None).unwrap_err().error,
            Ok(fwp_store::Found::Nothing(_)) => panic!("{sql}: taken for no wallet"),
        };
        assert!(matches!(error, StoreError::Corrupt(_)), "{sql}: {error}");
    }
}

#[test]
fn every_cut_off_file_is_refused() {
    let home = full_wallet();
    let whole = std::fs::read(home.database()).unwrap();
    for length in (0..whole.len()).step_by(1024) {
        std::fs::write(home.database(), &whole[..length]).unwrap();
        match fwp_store::open(&home.wallet()) {
            Err(_) => {}
            Ok(fwp_store::Found::Wallet(locked)) => {
                locked.unlock(&[&home.key()], None).unwrap_err();
            }
            Ok(fwp_store::Found::Nothing(_)) => panic!("{length}: taken for no wallet"),
        }
        assert_eq!(std::fs::read(home.database()).unwrap(), whole[..length], "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is written anywhere into the file: the wallet is refused, or nothing in it is other than it was (there are
    /// unused bytes in pages).
    #[test]
    fn bytes_changed_anywhere_are_refused_or_without_effect(
        places in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4)
    ) {
        thread_local! {
            static WALLET: (Home, Vec<u8>) = {
                let home = full_wallet();
                let bytes = std::fs::read(home.database()).unwrap();
                (home, bytes)
            };
        }
        WALLET.with(|(home, bytes)| {
            std::fs::write(home.database(), bytes).unwrap();
            let _ = std::fs::remove_file(home.wallet().join("wallet.db-wal"));
            let whole = contents(&home.open());
            let mut changed = bytes.clone();
            for (place, difference) in &places {
                changed[place.index(bytes.len())] ^= difference;
            }
            std::fs::write(home.database(), &changed).unwrap();
            match fwp_store::open(&home.wallet()) {
                Err(_) => {}
                Ok(fwp_store::Found::Nothing(_)) => panic!("taken for no wallet"),
                Ok(fwp_store::Found::Wallet(locked)) => match locked.unlock(&[&home.key()], None) {
                    Err(_) => {}
                    Ok(store) => assert_eq!(contents(&store), whole),
                },
            }
        });
    }
}

#[test]
fn the_wallet_goes_on_after_an_attack_was_undone() {
    let home = full_wallet();
    let good = std::fs::read(home.database()).unwrap();
    open_after(&home, |connection| {
        connection.execute("DELETE FROM card", []).unwrap();
    });
    std::fs::write(home.database(), good).unwrap();
    let mut store = home.open();
    add_card(&mut store, 9);
    assert_eq!(store.cards().len(), 4);
}
