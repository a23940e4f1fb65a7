//! Every ceremony, with keys in a TPM: its columns of the table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::Computer;
use virtual_keys::suite::{Plan, run};

#[test]
fn every_ceremony_works_with_keys_in_the_tpm_and_leaves_nothing_there() {
    run("platform-tpm", "in-process", &Plan::everything(), |_| Box::new(Computer::new()));
}
