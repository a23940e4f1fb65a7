//! Every ceremony, with keys in a TPM.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::Computer;
use virtual_keys::suite::{Plan, perform};
use virtual_keys::table::Outcome;

#[test]
fn every_ceremony_works_with_keys_in_the_tpm_and_leaves_nothing_there() {
    let rows = perform("platform-tpm", "in-process", &Plan::everything(), |_| Box::new(Computer::new()));
    let failed: Vec<_> = rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed(_))).collect();
    let text = failed.iter().map(|row| row.to_string()).collect::<Vec<_>>().join("\n");
    assert!(failed.is_empty(), "{} of {} failed:\n{text}", failed.len(), rows.len());
    let passed = rows.iter().filter(|row| row.outcome == Outcome::Passed).count();
    assert!(passed >= 28, "{passed} ceremonies passed");
}
