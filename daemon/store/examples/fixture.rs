//! Makes the wallet that `tests/fixtures` keeps of a schema version, so that later programs show that they still open it:
//! `cargo run -p fwp-store --example fixture -- daemon/store/tests/fixtures/v2`, once, when the version is released.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/common/mod.rs"]
mod common;

use fwp_store::record::{AuditKind, AuthenticatorState, Outcome, Settings};
use fwp_store::slot::{KeyFile, KeySlot, Passphrase, SystemdCredential};
use fwp_store::{Changes, Durability, Found, open};
use std::os::unix::fs::PermissionsExt;
use zeroize::Zeroizing;

fn main() {
    let directory = std::path::PathBuf::from(std::env::args().nth(1).expect("a directory"));
    let Found::Nothing(vacant) = open(&directory).unwrap() else { panic!("there is a wallet already") };
    let mut store = vacant.create(&[&KeyFile::new(directory.join("wallet.key"))], common::THEN).unwrap();
    let mut changes = Changes::new();
    let first = changes.add_card(common::card(1)).unwrap();
    changes.add_card(common::card(2)).unwrap();
    changes
        .put_ledger(common::ledger("order-1", 1))
        .add_history(common::history("order-1", Outcome::Authorized))
        .audit(common::event(AuditKind::PaymentAuthorized).card(first).reason("because"))
        .put_authenticator_state(AuthenticatorState::Software, Zeroizing::new(b"state".to_vec()))
        .put_settings(Settings([("cool-down".to_owned(), "2".to_owned())].into()));
    store.commit(changes, Durability::Durable).unwrap();
    std::fs::write(
        directory.join("credential"),
        common::card(1).label.repeat(9).as_bytes().first_chunk::<32>().unwrap(),
    )
    .unwrap();
    std::fs::set_permissions(directory.join("credential"), PermissionsExt::from_mode(0o600)).unwrap();
    let passphrase = Zeroizing::new("correct horse battery staple".to_owned());
    let slots: [&dyn KeySlot; 2] =
        [&Passphrase::new(&passphrase).unwrap(), &SystemdCredential::new(&directory, "credential")];
    for slot in slots {
        store.add_slot(slot, common::THEN).unwrap();
    }
}
