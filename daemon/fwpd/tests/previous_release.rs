//! A wallet as the release before left it: cards, a PIN, a payment, a tied request, what this computer's keys paid, a passphrase.
//! It opens, pays, and keeps all of it. How it is kept through schema versions to come: `daemon/store/src/migrate.rs`.
//!
//! The fixture is made by that release's own daemon; the next release's by
//! `FWPD_RELEASE=/path/to/fwpd cargo test -p fwpd --test previous_release -- --ignored`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fwp_dbus::types::{HistoryOptions, SlotOptions};
use fwp_dbus::{Client, ErrorName};
use fwp_tests::agent::PIN;
use fwp_tests::requests::BANKNET;
use fwp_tests::{Answer, Bank, Checkout, Fwpd, MY_BANK, PrivateBus, Prompt, QUICK, ScriptedAgent, enroll};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");
/// In the fixture: the request that was authorized with the first card.
const PAID: &str = "order-of-the-release-before";

/// What the history says of a payment that its payee completed.
const COMPLETED: &str = "authorized, merchant says success";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/tests/fixtures/v2-in-use")
}

/// Runs the daemon on a copy of the fixture.
struct House {
    fwpd: Fwpd,
    agent: ScriptedAgent,
    page: Client,
    _desktop: Client,
    bus: PrivateBus,
}

impl House {
    async fn new() -> Self {
        let bus = PrivateBus::session();
        let mut fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
        assert!(fwpd.terminate().success());
        let (database, key) =
            (fwpd.state_dir().join("wallet/wallet.db"), fwpd.state_dir().join("wallet.key"));
        std::fs::create_dir(database.parent().unwrap()).unwrap();
        std::fs::copy(fixture().join("wallet.db"), &database).unwrap();
        std::fs::copy(fixture().join("wallet.key"), &key).unwrap();
        for file in [database, key] {
            std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
        }
        fwpd.start_again(&bus.connect().await).await;
        let (page, desktop) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
        let agent = ScriptedAgent::new();
        agent.register(&desktop).await.unwrap();
        Self { fwpd, agent, page, _desktop: desktop, bus }
    }

    async fn accounts(&self) -> Vec<String> {
        let cards = self.page.wallet().await.unwrap().list_credentials().await.unwrap();
        cards.into_iter().map(|(_, card)| card.account_id).collect()
    }

    /// Requests and what came of them, newest first.
    async fn history(&self) -> Vec<(String, String)> {
        let history = self.page.wallet().await.unwrap().history(9, &HistoryOptions::default()).await.unwrap();
        history.into_iter().map(|entry| (entry.request_id.unwrap_or_default(), entry.event)).collect()
    }

    async fn slots(&self) -> Vec<String> {
        let slots = self.page.store().await.unwrap().slots().await.unwrap();
        slots.into_iter().map(|slot| slot.kind).collect()
    }
}

#[tokio::test]
async fn a_wallet_of_the_release_before_has_all_that_was_in_it() {
    let house = House::new().await;
    assert_eq!(house.accounts().await, ["FR-before-1", "FR-before-2"]);
    assert_eq!(house.slots().await, ["key-file", "passphrase"]);
    let expected = [("declined", "declined"), (PAID, COMPLETED)];
    assert_eq!(house.history().await, expected.map(|(id, event)| (id.to_owned(), event.to_owned())));
    // Also without its key: the passphrase of then.
    let House { mut fwpd, bus, agent, .. } = house;
    assert!(fwpd.terminate().success());
    std::fs::remove_file(fwpd.state_dir().join("wallet.key")).unwrap();
    fwpd.start_again(&bus.connect().await).await;
    let (page, desktop) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    agent.register(&desktop).await.unwrap();
    page.store().await.unwrap().unlock().await.unwrap();
    assert_eq!(page.wallet().await.unwrap().list_credentials().await.unwrap().len(), 2);
}

#[tokio::test]
async fn it_pays_with_the_pin_of_then_and_remembers_what_was_paid() {
    let house = House::new().await;
    let bank = Bank::new(MY_BANK);
    // The request of then stays with the card of then.
    house.agent.answers([Answer::Card(1)]);
    let mut again = Checkout::new(&house.page, PAID).await.unwrap();
    again.payment.show().await.unwrap();
    assert_eq!(again.failure().await.name, ErrorName::CardTied);

    let mut checkout = Checkout::new(&house.page, "new").await.unwrap();
    let signed = bank.open(&checkout.pay().await);
    assert_eq!(signed.authorization_data().account_id.as_str(), "FR-before-1");
    checkout.payment.complete("success").await.unwrap();
    checkout.next().await;
    let pins = house.agent.prompts().into_iter().filter(|prompt| matches!(prompt, Prompt::Pin(_))).count();
    assert_eq!(pins, 1, "the PIN {PIN} was right at once");
    assert_eq!(house.history().await[0], ("new".to_owned(), COMPLETED.to_owned()));
    // A new card beside the old ones, and it opens again with all three.
    enroll(&house.page, &bank, &[(BANKNET, "FR-after")]).await.unwrap();
    let House { mut fwpd, bus, .. } = house;
    assert!(fwpd.terminate().success());
    fwpd.start_again(&bus.connect().await).await;
    let page = fwpd.client(&bus).await;
    assert_eq!(page.wallet().await.unwrap().list_credentials().await.unwrap().len(), 3);
}

#[tokio::test]
#[ignore = "makes the fixture, with the daemon that FWPD_RELEASE names"]
async fn make_the_fixture() {
    let program = std::env::var_os("FWPD_RELEASE").expect("FWPD_RELEASE: the release's fwpd");
    let bus = PrivateBus::session();
    // Settings that the release knows; the harness adds prompts-per-minute where it is not named.
    let config = "[policy]\ncool-down = 0\n# prompts-per-minute: not before 0.1.0\n";
    let mut fwpd = Fwpd::start(&bus, program, config).await;
    let (page, desktop) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    let cards = [(BANKNET, "FR-before-1"), (BANKNET, "FR-before-2")];
    enroll(&page, &Bank::new(MY_BANK), &cards).await.unwrap();
    page.store().await.unwrap().add_slot("passphrase", &SlotOptions::default()).await.unwrap();
    let mut paid = Checkout::new(&page, PAID).await.unwrap();
    paid.pay().await;
    paid.payment.complete("success").await.unwrap();
    paid.next().await;
    agent.answers([Answer::No]);
    let mut declined = Checkout::new(&page, "declined").await.unwrap();
    declined.payment.show().await.unwrap();
    assert_eq!(declined.failure().await.name, ErrorName::Declined);
    drop((page, desktop));
    assert!(fwpd.terminate().success());
    let wallet = fwpd.state_dir().join("wallet");
    assert!(!wallet.join("wallet.db-wal").exists(), "its log was not carried over");
    std::fs::create_dir_all(fixture()).unwrap();
    std::fs::copy(wallet.join("wallet.db"), fixture().join("wallet.db")).unwrap();
    std::fs::copy(fwpd.state_dir().join("wallet.key"), fixture().join("wallet.key")).unwrap();
}
