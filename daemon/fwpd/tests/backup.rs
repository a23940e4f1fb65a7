//! Copies of all cards, through the bus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use fwp_dbus::types::ImportedCard;
use fwp_dbus::{Client, ClientError, ErrorName};
use fwp_tests::requests::BANKNET;
use fwp_tests::{
    Answer, Bank, Checkout, Fwpd, MY_BANK, PrivateBus, Prompt, QUICK, ScriptedAgent, enroll, refused,
};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");

struct House {
    bus: PrivateBus,
    fwpd: Fwpd,
    agent: ScriptedAgent,
    _desktop: Client,
    client: Client,
}

async fn house() -> House {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (desktop, client) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    House { bus, fwpd, agent, _desktop: desktop, client }
}

impl House {
    async fn export(&self, file: impl Into<OwnedFd>) -> Result<u32, ClientError> {
        self.client.store().await?.export(file.into().into()).await
    }

    async fn import(&self, file: impl Into<OwnedFd>) -> Result<Vec<ImportedCard>, ClientError> {
        self.client.store().await?.import(file.into().into()).await
    }
}

fn told(cards: &[ImportedCard]) -> Vec<(&str, &str)> {
    cards.iter().map(|card| (card.state.as_str(), card.needs.as_str())).collect()
}

#[tokio::test]
async fn cards_come_back_and_each_says_what_it_takes_to_pay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cards.age");
    let first = house().await;
    let refusal = first.export(File::create(&path).unwrap()).await;
    assert_eq!(refused(refusal), ErrorName::InvalidState, "nothing to export");
    let bank = Bank::new(MY_BANK);
    let cards = enroll(&first.client, &bank, &[(BANKNET, "1"), (BANKNET, "2")]).await.unwrap();
    assert_eq!(first.export(File::create(&path).unwrap()).await.unwrap(), 2);
    let written = std::fs::read(&path).unwrap();
    assert!(written.starts_with(b"age-encryption.org/v1\n-> scrypt "));

    // Where they are, nothing changes.
    let imported = first.import(File::open(&path).unwrap()).await.unwrap();
    assert_eq!(told(&imported), [("present", "nothing"); 2]);
    // One was deleted, the other one replaced nothing: its key still answers.
    let credential = first.client.credential(&cards[0]).await.unwrap();
    let mut events = first.client.events(&cards[0]);
    credential.delete().await.unwrap();
    fwp_tests::soon("the end", events.next()).await.unwrap();
    let imported = first.import(File::open(&path).unwrap()).await.unwrap();
    assert_eq!(told(&imported), [("stored", "nothing"), ("present", "nothing")]);
    Checkout::new(&first.client, "1").await.unwrap().pay().await;

    // Elsewhere the keys are missing.
    let second = house().await;
    second.agent.says(["not it", "not it either"].map(Some));
    let imported = second.import(File::open(&path).unwrap()).await.unwrap();
    assert_eq!(told(&imported), [("stored", "enroll"); 2]);
    let asked: Vec<_> = second
        .agent
        .prompts()
        .into_iter()
        .filter_map(|prompt| match prompt {
            Prompt::Passphrase(request) => Some((request.purpose, request.wrong, None)),
            Prompt::Consent(kind, details) => Some((kind, false, details.cards)),
            _ => None,
        })
        .collect();
    let import = |wrong| ("import".to_owned(), wrong, None);
    assert_eq!(asked, [import(false), import(true), import(true), ("import".to_owned(), false, Some(2))]);
    let of_whom = second.agent.prompts().into_iter().find_map(|prompt| match prompt {
        Prompt::Consent(kind, details) if kind == "import" => details.rp_id,
        _ => None,
    });
    assert_eq!(of_whom.as_deref(), Some(MY_BANK), "the user reads whose cards they are");
    let listed = second.client.wallet().await.unwrap().list_credentials().await.unwrap();
    assert!(listed.iter().any(|(path, _)| *path == imported[0].path));
    assert!(second.fwpd.state_dir().join("wallet/wallet.db").exists());
}

#[tokio::test]
async fn what_is_no_backup_is_refused_before_anybody_is_asked() {
    let house = house().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "hello").unwrap();
    assert_eq!(refused(house.import(File::open(&path).unwrap()).await), ErrorName::InvalidRequest);
    let large = File::create(&path).unwrap();
    large.set_len(64 * 1024 * 1024 + 1).unwrap();
    assert_eq!(refused(house.import(File::open(&path).unwrap()).await), ErrorName::LimitsExceeded);
    assert!(house.agent.prompts().is_empty());
    assert!(!house.fwpd.state_dir().join("wallet/wallet.db").exists());
}

#[tokio::test]
async fn who_declines_exports_and_imports_nothing_and_pipes_will_do() {
    let house = house().await;
    enroll(&house.client, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    let (mut from, to) = std::io::pipe().unwrap();
    house.agent.answers([Answer::No]);
    assert_eq!(refused(house.export(to.try_clone().unwrap()).await), ErrorName::Declined);
    house.agent.says([None]);
    assert_eq!(refused(house.export(to.try_clone().unwrap()).await), ErrorName::Declined);
    house.agent.says([Some("short")]);
    assert_eq!(refused(house.export(to.try_clone().unwrap()).await), ErrorName::SlotUnusable);
    house.export(to).await.unwrap();
    let mut file = Vec::new();
    from.read_to_end(&mut file).unwrap();
    let (from, mut to) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut to, &file).unwrap();
    drop(to);
    house.agent.says(["no", "no", "no"].map(Some));
    assert_eq!(refused(house.import(from).await), ErrorName::SlotUnusable);
}

#[tokio::test]
async fn a_file_that_does_not_move_holds_nobody_up_once_its_caller_has_gone() {
    let house = house().await;
    enroll(&house.client, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    // Nobody ever writes into it.
    let (from, _to) = std::io::pipe().unwrap();
    let hostile = house.fwpd.client(&house.bus).await;
    let store = hostile.store().await.unwrap();
    let import = store.import(OwnedFd::from(from).into());
    assert!(tokio::time::timeout(std::time::Duration::from_millis(500), import).await.is_err());
    assert_eq!(refused(house.export(tempfile::tempfile().unwrap()).await), ErrorName::Busy);
    drop((store, hostile));
    fwp_tests::soon("the floor", async {
        while house.client.wallet().await.unwrap().status().await.unwrap().busy {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(house.export(tempfile::tempfile().unwrap()).await.unwrap(), 1);
}
