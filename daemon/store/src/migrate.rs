//! From one schema version to the next.

use crate::error::StoreError;
use crate::head::{Head, SetState};
use crate::schema::Migration;
use crate::seal::Keys;
use crate::table::{Place, Table};
use crate::verify::{ONLY_ROW, Verified, for_each_row, verify};
use rusqlite::{Connection, params};

/// Carries a verified store of version `schema` over, through all `steps` that it has not seen, and checks the result.
/// Each step is one transaction: what is interrupted goes on at the next opening.
pub(crate) fn migrate(
    connection: &Connection,
    keys: &Keys,
    schema: &mut u32,
    verified: Verified,
    steps: &[Migration],
) -> Result<Verified, StoreError> {
    let seen = usize::try_from(schema.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut verified = verified;
    for step in steps.iter().skip(seen) {
        let transaction = connection.unchecked_transaction()?;
        carry_over(&transaction, keys, *schema, &verified.head, step)?;
        transaction.pragma_update(None, "user_version", *schema + 1)?;
        // What is not right is not committed: dropping the transaction rolls it back.
        verified = verify(&transaction, keys, *schema + 1)?;
        transaction.commit()?;
        *schema += 1;
    }
    Ok(verified)
}

fn carry_over(
    connection: &Connection,
    keys: &Keys,
    from: u32,
    old: &Head,
    step: &Migration,
) -> Result<(), StoreError> {
    connection.execute_batch(step.sql)?;
    let mut head = Head { generation: old.generation + 1, ..old.clone() };
    let generation = i64::try_from(head.generation).unwrap_or(i64::MAX);
    for table in Table::LISTED {
        let mut set = SetState { rows: 0, sum: [0; 32], ..old.set(table) };
        let mut rows = Vec::new();
        for_each_row(connection, table, |row| {
            rows.push(row);
            Ok(())
        })?;
        for row in rows {
            let place = Place { schema: from + 1, table, row: row.row, generation: head.generation };
            let stored = match table {
                Table::Slot => row.stored,
                _ => {
                    let plain = keys.open(row.place(from, table), &row.stored)?;
                    keys.seal(place, &(step.record)(table, row.row, &plain)?)?
                }
            };
            connection.execute(
                &format!("UPDATE {table} SET generation = ?2, sealed = ?3 WHERE id = ?1"),
                params![row.row, generation, stored],
            )?;
            set.enter(&keys.element(place, &stored));
        }
        if let Some(entry) = head.set_mut(table) {
            *entry = set;
        }
    }
    let place = Place { schema: from + 1, table: Table::Head, row: ONLY_ROW, generation: head.generation };
    connection.execute(
        "UPDATE head SET generation = ?1, sealed = ?2 WHERE id = 1",
        params![generation, keys.seal(place, &head.encode())?],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{AuditEvent, AuditKind, Settings};
    use crate::schema::{self, MIGRATIONS};
    use crate::seal::{DataKey, WalletId};
    use crate::slot::{KeyFile, KeySlot, SlotKind};
    use crate::table::SCHEMA_VERSION;
    use crate::verify::open_row;
    use crate::writer::Writer;
    use std::path::Path;

    const NEW_COLUMN: Migration =
        Migration { sql: "ALTER TABLE history ADD COLUMN note TEXT", record: |_, _, old| Ok(old.to_vec()) };
    const LONGER_STATE: Migration = Migration {
        sql: "",
        record: |table, _, old| match table {
            Table::Authenticator => Ok([old, b" and more"].concat()),
            _ => Ok(old.to_vec()),
        },
    };
    const FAILING: Migration = Migration {
        sql: "DROP TABLE ledger",
        record: |table, row, _| Err(StoreError::NoSuchRow { table, row }),
    };

    fn keys() -> Keys {
        Keys::derive(&WalletId::from_bytes([1; 16]), &DataKey::from_bytes(&[2; 32]))
    }

    fn store_of_this_version(path: &Path) -> Connection {
        let connection = schema::create(path).unwrap();
        connection.execute_batch(&schema::ddl()).unwrap();
        let keys = keys();
        let mut writer = Writer::after(&connection, &keys, &Head::default());
        writer.put_stored(Table::Slot, 1, b"slot").unwrap();
        writer.put(Table::Authenticator, 1, b"state").unwrap();
        writer.put(Table::Setting, ONLY_ROW, &Settings::default().encode()).unwrap();
        for at in 0..3 {
            writer.append_audit(&AuditEvent::new(at, AuditKind::CardStored)).unwrap();
        }
        writer.finish().unwrap();
        connection
    }

    fn version(connection: &Connection) -> u32 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    /// All steps so far, seen by a store of this version, and then these.
    fn and_then(later: &[Migration]) -> Vec<Migration> {
        let copy = |step: &Migration| Migration { sql: step.sql, record: step.record };
        MIGRATIONS.iter().chain(later).map(copy).collect()
    }

    #[test]
    fn a_store_goes_through_every_step_that_it_has_not_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wallet.db");
        let (connection, keys) = (store_of_this_version(&path), keys());
        let (now, next, last) = (SCHEMA_VERSION, SCHEMA_VERSION + 1, SCHEMA_VERSION + 2);
        let mut schema = now;
        let verified = verify(&connection, &keys, now).unwrap();
        migrate(&connection, &keys, &mut schema, verified, &and_then(&[NEW_COLUMN])).unwrap();
        assert_eq!((schema, version(&connection)), (next, next));

        let verified = verify(&connection, &keys, next).unwrap();
        let steps = and_then(&[NEW_COLUMN, LONGER_STATE]);
        let verified = migrate(&connection, &keys, &mut schema, verified, &steps).unwrap();
        assert_eq!((schema, version(&connection)), (last, last));
        assert_eq!(verified.head.audit.last, 3);
        let state = open_row(&connection, &keys, last, Table::Authenticator, 1).unwrap().unwrap();
        assert_eq!(state.as_slice(), b"state and more");

        // All steps seen: nothing happens.
        let generation = verified.head.generation;
        let verified = migrate(&connection, &keys, &mut schema, verified, &steps).unwrap();
        assert_eq!((schema, verified.head.generation), (last, generation));

        // The old form is no form any more, and today's program leaves the store alone.
        assert!(verify(&connection, &keys, now).is_err());
        drop(connection);
        let newer = schema::open(&path).map(|_| ()).unwrap_err();
        assert!(
            matches!(newer, StoreError::Newer { found, known: SCHEMA_VERSION } if found == last),
            "{newer}"
        );
    }

    /// Every record in the clear, by table and row.
    fn records(connection: &Connection, keys: &Keys, schema: u32) -> Vec<(Table, i64, Vec<u8>)> {
        let mut all = Vec::new();
        for table in Table::LISTED.into_iter().filter(|table| *table != Table::Slot) {
            let mut rows = Vec::new();
            for_each_row(connection, table, |row| {
                rows.push(row.row);
                Ok(())
            })
            .unwrap();
            for row in rows {
                let plain = open_row(connection, keys, schema, table, row).unwrap().unwrap();
                all.push((table, row, plain.to_vec()));
            }
        }
        all
    }

    /// As the release before left it, after enrollments and payments; the key beside it is for tests.
    #[test]
    fn a_store_in_use_is_kept_whole_through_all_steps_and_those_to_come() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v2-in-use");
        let directory = tempfile::tempdir().unwrap();
        let (path, key) = (directory.path().join("wallet.db"), directory.path().join("wallet.key"));
        for (name, to) in [("wallet.db", &path), ("wallet.key", &key)] {
            std::fs::copy(kept.join(name), to).unwrap();
            std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let (connection, mut schema) = schema::open(&path).unwrap();
        let wallet: Vec<u8> =
            connection.query_row("SELECT wallet_id FROM wallet WHERE id = 1", [], |row| row.get(0)).unwrap();
        let wallet = WalletId::from_bytes(wallet.try_into().unwrap());
        let mut slots = Vec::new();
        for_each_row(&connection, Table::Slot, |row| {
            slots.push(crate::slots::split(row.row, &row.stored)?);
            Ok(())
        })
        .unwrap();
        let slot = slots.iter().find(|slot| slot.kind == SlotKind::KeyFile).unwrap();
        let data_key = KeyFile::new(key).unwrap(&wallet, &slot.wrapped).unwrap();
        let keys = Keys::derive(&wallet, &data_key);

        let before = records(&connection, &keys, schema);
        let count = |table| before.iter().filter(|(of, ..)| *of == table).count();
        assert_eq!((count(Table::Card), count(Table::History), count(Table::Ledger)), (2, 2, 1));
        assert!(count(Table::Audit) > 5 && count(Table::Authenticator) > 0);
        let verified = verify(&connection, &keys, schema).unwrap();
        let steps = and_then(&[NEW_COLUMN, LONGER_STATE]);
        let verified = migrate(&connection, &keys, &mut schema, verified, &steps).unwrap();
        assert_eq!(schema, SCHEMA_VERSION + 2);
        assert_eq!(usize::try_from(verified.head.audit.last).unwrap(), count(Table::Audit));
        let after = records(&connection, &keys, schema);
        assert_eq!(after.len(), before.len());
        for ((table, row, old), new) in before.into_iter().zip(after) {
            let expected = match table {
                Table::Authenticator => [old.as_slice(), b" and more"].concat(),
                _ => old,
            };
            assert_eq!(new, (table, row, expected));
        }
        // Its slot still gives its key: it opens as it did.
        let mut stored = Vec::new();
        for_each_row(&connection, Table::Slot, |row| {
            stored.push(crate::slots::split(row.row, &row.stored)?.wrapped);
            Ok(())
        })
        .unwrap();
        assert_eq!(stored, slots.iter().map(|slot| slot.wrapped.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn a_step_that_fails_leaves_the_store_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let (connection, keys) = (store_of_this_version(&directory.path().join("wallet.db")), keys());
        let mut schema = SCHEMA_VERSION;
        let verified = verify(&connection, &keys, schema).unwrap();
        migrate(&connection, &keys, &mut schema, verified, &and_then(&[FAILING])).map(|_| ()).unwrap_err();
        assert_eq!((schema, version(&connection)), (SCHEMA_VERSION, SCHEMA_VERSION));
        verify(&connection, &keys, schema).unwrap();
    }

    #[test]
    fn a_version_number_put_forward_or_back_opens_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (connection, keys) = (store_of_this_version(&directory.path().join("wallet.db")), keys());
        for schema in [0, SCHEMA_VERSION - 1, SCHEMA_VERSION + 1] {
            let error = verify(&connection, &keys, schema).map(|_| ()).unwrap_err();
            assert!(matches!(error, StoreError::Altered { table: Table::Head, .. }), "{error}");
        }
    }
}
