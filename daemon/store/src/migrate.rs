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
