//! The ways to a store's key, its lock, and old copies of it, through the bus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::time::Duration;

use fwp_dbus::types::{SlotInfo, SlotOptions};
use fwp_dbus::{Client, ErrorName};
use fwp_tests::requests::BANKNET;
use fwp_tests::{
    Answer, Bank, Checkout, Fwpd, MY_BANK, PrivateBus, Prompt, QUICK, ScriptedAgent, enroll, refused, soon,
};
use virtual_tpm::Swtpm;

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");

/// A wallet on a bus without a keyring.
struct House {
    bus: PrivateBus,
    fwpd: Fwpd,
    agent: ScriptedAgent,
    desktop: Client,
    client: Client,
}

impl House {
    async fn new(config: &str) -> Self {
        Self::with(FWPD, config).await
    }

    async fn with(program: impl AsRef<Path>, config: &str) -> Self {
        let bus = PrivateBus::session();
        let fwpd = Fwpd::start(&bus, program, config).await;
        let (desktop, client) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
        let agent = ScriptedAgent::new();
        agent.register(&desktop).await.unwrap();
        Self { bus, fwpd, agent, desktop, client }
    }

    async fn enroll(&self, account: &str) {
        enroll(&self.client, &Bank::new(MY_BANK), &[(BANKNET, account)]).await.unwrap();
    }

    async fn restart(&mut self, meanwhile: impl FnOnce(&Path)) {
        self.fwpd.kill();
        meanwhile(&self.fwpd.state_dir());
        self.start().await;
    }

    async fn start(&mut self) {
        self.fwpd.start_again(&self.bus.connect().await).await;
        (self.desktop, self.client) = (self.fwpd.client(&self.bus).await, self.fwpd.client(&self.bus).await);
        self.agent.register(&self.desktop).await.unwrap();
    }

    async fn slots(&self) -> Vec<SlotInfo> {
        self.client.store().await.unwrap().slots().await.unwrap()
    }

    async fn cards(&self) -> Result<usize, fwp_dbus::ClientError> {
        Ok(self.client.wallet().await?.list_credentials().await?.len())
    }

    async fn add(&self, kind: &str) -> Result<i64, fwp_dbus::ClientError> {
        self.client.store().await?.add_slot(kind, &SlotOptions::default()).await
    }

    fn asked(&self) -> Vec<(String, bool)> {
        let asked = |prompt| match prompt {
            Prompt::Passphrase(request) => Some((request.purpose, request.wrong)),
            Prompt::Consent(kind, _) => Some((kind, false)),
            _ => None,
        };
        self.agent.prompts().into_iter().filter_map(asked).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn a_recovery_passphrase_opens_the_store_when_nothing_else_does() {
    let mut house = House::new(QUICK).await;
    house.enroll("1").await;
    house.agent.forget();
    let id = house.add("passphrase").await.unwrap();
    assert_eq!(house.asked(), [("slot-add".to_owned(), false), ("slot-new".to_owned(), false)]);
    let slots = house.slots().await;
    let told: Vec<_> = slots.iter().map(|slot| (slot.kind.as_str(), slot.state.as_str())).collect();
    assert_eq!(told, [("key-file", "usable"), ("passphrase", "ask")]);
    assert_eq!(slots[1].id, id);

    house.restart(|state| std::fs::remove_file(state.join("wallet.key")).unwrap()).await;
    assert_eq!(refused(house.cards().await), ErrorName::StoreLocked);
    let status = house.client.wallet().await.unwrap().status().await.unwrap();
    assert_eq!(status.store, "locked");
    assert!(status.store_reason.unwrap().contains("fwpctl unlock"));
    let store = house.client.store().await.unwrap();
    house.agent.forget();
    house.agent.says(["wrong one", "wrong two", "short"].map(Some));
    assert_eq!(refused(store.unlock().await), ErrorName::SlotUnusable);
    assert_eq!(house.asked(), [false, true, true].map(|wrong| ("unlock".to_owned(), wrong)));
    house.agent.says([None]);
    assert_eq!(refused(store.unlock().await), ErrorName::Declined);
    house.agent.says([Some("wrong one")]);
    store.unlock().await.unwrap();
    assert_eq!(house.cards().await.unwrap(), 1);
    assert!(house.slots().await.iter().any(|slot| slot.kind == "passphrase" && slot.opened));

    // Closed, it does not open by itself any more; open, there is nothing to ask.
    store.unlock().await.unwrap();
    store.lock().await.unwrap();
    assert_eq!(refused(house.cards().await), ErrorName::StoreLocked);
}

#[tokio::test]
async fn the_last_usable_slot_stays_and_a_removed_one_leaves_nothing_behind() {
    let house = House::new(QUICK).await;
    let store = house.client.store().await.unwrap();
    assert_eq!(house.slots().await, []);
    assert_eq!(refused(store.remove_slot(1).await), ErrorName::NotFound);
    house.enroll("1").await;
    assert_eq!(refused(store.remove_slot(1).await), ErrorName::SlotUnusable);
    assert_eq!(refused(store.remove_slot(9).await), ErrorName::NotFound);
    house.agent.says([Some("seven c")]);
    assert_eq!(refused(house.add("passphrase").await), ErrorName::SlotUnusable);
    house.add("passphrase").await.unwrap();
    // The passphrase is asked for, since the store must open without the file.
    house.agent.says(["no", "no", "no"].map(Some));
    assert_eq!(refused(store.remove_slot(1).await), ErrorName::SlotUnusable);
    house.agent.forget();
    house.agent.answers([Answer::No]);
    assert_eq!(refused(store.remove_slot(1).await), ErrorName::Declined);
    assert_eq!(house.asked(), [("slot-remove".to_owned(), false)]);
    let key_file = house.fwpd.state_dir().join("wallet.key");
    assert!(key_file.exists());
    store.remove_slot(1).await.unwrap();
    assert!(!key_file.exists(), "its key is gone with the slot");
    assert_eq!(house.slots().await.len(), 1);
    for (kind, options) in [
        ("usb", SlotOptions::default()),
        ("unknown", SlotOptions::default()),
        ("key-file", SlotOptions { pcrs: Some(vec![7]) }),
        ("tpm", SlotOptions { pcrs: Some(vec![24]) }),
    ] {
        assert_eq!(refused(store.add_slot(kind, &options).await), ErrorName::InvalidRequest, "{kind}");
    }
    assert_eq!(refused(house.add("systemd-credential").await), ErrorName::SlotUnusable);
    assert_eq!(refused(house.add("secret-service").await), ErrorName::SlotUnusable);
}

#[tokio::test]
async fn rotation_asks_for_each_passphrase_and_what_was_before_opens_nothing() {
    let mut house = House::new(QUICK).await;
    house.enroll("1").await;
    for text in ["the first passphrase", "the second passphrase"] {
        house.agent.says([Some(text)]);
        house.add("passphrase").await.unwrap();
    }
    let store = house.client.store().await.unwrap();
    assert_eq!(refused(store.rotate("everything").await), ErrorName::InvalidRequest);
    house.agent.forget();
    house.agent.says(["the second passphrase", "the second passphrase", "the first passphrase"].map(Some));
    store.rotate("data-key").await.unwrap();
    let asked = [("rotate", false), ("unlock", false), ("unlock", false), ("unlock", true)];
    assert_eq!(house.asked(), asked.map(|(what, wrong)| (what.to_owned(), wrong)));
    store.rotate("slots").await.unwrap_err();
    house.restart(|_| ()).await;
    assert_eq!(house.cards().await.unwrap(), 1);
}

#[tokio::test]
async fn a_kill_while_rotating_leaves_a_store_that_opens() {
    let mut house = House::new(QUICK).await;
    house.enroll("1").await;
    for round in 0..6 {
        let store = house.client.store().await.unwrap();
        let rotating = tokio::spawn(async move { store.rotate("data-key").await });
        tokio::time::sleep(Duration::from_millis(3 * round)).await;
        house.restart(|_| ()).await;
        // Told or not, it is as before or as after.
        let _told = soon("the end of the call", rotating).await.unwrap();
        assert_eq!(house.cards().await.unwrap(), 1);
    }
    Checkout::new(&house.client, "1").await.unwrap().pay().await;
}

#[tokio::test]
async fn lock_waits_for_what_is_before_the_user() {
    let house = House::new(QUICK).await;
    house.enroll("1").await;
    house.agent.answers([Answer::Never]);
    let checkout = Checkout::new(&house.client, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    let store = house.client.store().await.unwrap();
    let locking = tokio::spawn(async move { store.lock().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!locking.is_finished());
    checkout.payment.abort().await.unwrap();
    soon("the lock", locking).await.unwrap().unwrap();
    // The key file opens it again.
    Checkout::new(&house.client, "2").await.unwrap().pay().await;
}

#[tokio::test]
async fn an_old_copy_that_is_put_back_is_noticed_by_the_tpm_and_taken_only_if_the_user_says_so() {
    let swtpm = Swtpm::new();
    let config = format!("{QUICK}[tpm]\naddress = \"{}\"\n", swtpm.address());
    let mut house = House::new(&format!("key-slot = \"file\"\n{config}")).await;
    house.enroll("1").await;
    let status = house.client.wallet().await.unwrap().status().await.unwrap();
    assert_eq!(status.rollback_detection.as_deref(), Some("a counter in the TPM"));
    let aside = tempfile::tempdir().unwrap();
    let old = aside.path().join("old");
    house.restart(|state| copy(&state.join("wallet"), &old)).await;
    house.enroll("2").await;
    house.restart(|state| copy(&old, &state.join("wallet"))).await;
    assert_eq!(refused(house.cards().await), ErrorName::StoreRolledBack);
    let status = house.client.wallet().await.unwrap().status().await.unwrap();
    assert_eq!(status.store, "rolled-back");
    assert!(status.store_reason.unwrap().contains("fwpctl keys accept-copy"));
    let store = house.client.store().await.unwrap();
    assert_eq!(refused(store.unlock().await), ErrorName::StoreRolledBack);
    house.agent.answers([Answer::No]);
    assert_eq!(refused(store.accept_copy().await), ErrorName::Declined);
    assert_eq!(refused(house.cards().await), ErrorName::StoreRolledBack);
    store.accept_copy().await.unwrap();
    assert_eq!(house.cards().await.unwrap(), 1);
    assert_eq!(refused(store.accept_copy().await), ErrorName::InvalidState);
    house.restart(|_| ()).await;
    assert_eq!(house.cards().await.unwrap(), 1);
}

#[tokio::test]
async fn a_counter_that_is_away_is_said_and_locks_nobody_out() {
    let mut swtpm = Swtpm::new();
    let config = format!("{QUICK}[tpm]\naddress = \"{}\"\n", swtpm.address());
    let mut house = House::new(&format!("key-slot = \"file\"\n{config}")).await;
    house.enroll("1").await;
    swtpm.kill();
    house.restart(|_| ()).await;
    assert_eq!(house.cards().await.unwrap(), 1);
    let status = house.client.wallet().await.unwrap().status().await.unwrap();
    assert_eq!(status.rollback_detection.as_deref(), Some("not-detected-here"));
    assert!(status.rollback_problem.unwrap().contains("no TPM answers"));
    house.enroll("2").await;
    swtpm.restart();
    house.restart(|_| ()).await;
    assert_eq!(house.cards().await.unwrap(), 2);
    let status = house.client.wallet().await.unwrap().status().await.unwrap();
    assert_eq!(status.rollback_detection.as_deref(), Some("a counter in the TPM"));
}

#[tokio::test]
async fn a_store_that_the_tpm_guards_opens_with_it_and_beside_another_one_not_at_all() {
    let mut swtpm = Swtpm::new();
    let config = format!("key-slot = \"tpm\"\n{QUICK}[tpm]\naddress = \"{}\"\n", swtpm.address());
    let mut house = House::new(&config).await;
    house.enroll("1").await;
    assert_eq!(house.slots().await[0].kind, "tpm");
    assert!(!house.fwpd.state_dir().join("wallet.key").exists());
    house.restart(|_| ()).await;
    assert_eq!(house.cards().await.unwrap(), 1);

    let store = house.client.store().await.unwrap();
    let bound = SlotOptions { pcrs: Some(vec![0, 7]) };
    store.add_slot("tpm", &bound).await.unwrap();
    store.rotate("slots").await.unwrap();
    assert!(house.slots().await.iter().all(|slot| slot.state == "usable"));
    swtpm.tool(
        "tpm2_pcrextend",
        &["7:sha256=0000000000000000000000000000000000000000000000000000000000000001"],
    );
    let slots = house.slots().await;
    assert_eq!((slots[0].state.as_str(), slots[1].state.as_str()), ("usable", "unusable"), "{slots:?}");
    assert!(slots[1].problem.as_ref().unwrap().contains("PCR 0, 7"), "{slots:?}");

    // The store's files beside a fresh TPM.
    house.fwpd.kill();
    swtpm.kill();
    let fresh = tempfile::tempdir().unwrap();
    let old = std::mem::replace(&mut swtpm.state, fresh);
    swtpm.restart();
    house.start().await;
    let refusal = house.cards().await.unwrap_err().to_string();
    assert!(refusal.contains("not the TPM that sealed it"), "{refusal}");
    drop(old);
}

#[tokio::test]
async fn a_guard_that_was_chosen_and_is_not_there_makes_no_store_guarded_otherwise() {
    let tpm = "[tpm]\naddress = \"none\"\n";
    for chosen in ["keyring", "credential", "tpm"] {
        let house = House::new(&format!("key-slot = \"{chosen}\"\n{QUICK}{tpm}")).await;
        let refusal = enroll(&house.client, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await;
        let name = refused(refusal);
        let expected = if chosen == "keyring" { ErrorName::StoreLocked } else { ErrorName::SlotUnusable };
        assert_eq!(name, expected, "{chosen}");
        assert!(!house.fwpd.state_dir().join("wallet.key").exists());
        assert!(!house.fwpd.state_dir().join("wallet/wallet.db").exists());
    }
}

/// fwpd with this in its environment.
fn wrapped(directory: &Path, variables: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let program = directory.join("fwpd");
    std::fs::write(&program, format!("#!/bin/sh\nexport {variables}\nexec {FWPD} \"$@\"\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    program
}

#[tokio::test]
async fn a_credential_of_systemd_guards_the_store_where_there_is_no_keyring() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let credential = directory.path().join("fwpd.wallet-key");
    std::fs::write(&credential, [7; 32]).unwrap();
    std::fs::set_permissions(&credential, std::fs::Permissions::from_mode(0o400)).unwrap();
    let variables = format!("CREDENTIALS_DIRECTORY={}", directory.path().display());
    let mut house = House::with(wrapped(directory.path(), &variables), QUICK).await;
    house.enroll("1").await;
    assert_eq!(house.slots().await[0].kind, "systemd-credential");
    house.restart(|_| ()).await;
    assert_eq!(house.cards().await.unwrap(), 1);
    std::fs::remove_file(&credential).unwrap();
    house.restart(|_| ()).await;
    let refusal = house.cards().await.unwrap_err().to_string();
    assert!(refusal.contains("LoadCredentialEncrypted="), "{refusal}");
}
