//! What can happen to a TPM, through the whole daemon: each fault ends by name, the store opens, nothing was signed that is not
//! tied to its card, and payments work again where they can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Stage, finished};
use fwp_dbus::interfaces::AUTHENTICATOR_PREFIX;
use fwp_dbus::types::EnrollmentOptions;
use fwp_dbus::{Error, ErrorName, Event};
use fwp_tests::agent::PIN;
use fwp_tests::daemon::MANY_PAYMENTS;
use fwp_tests::owner::enroll_with;
use fwp_tests::requests::BANKNET;
use fwp_tests::{Answer, Checkout, PrivateBus, Prompt, ScriptedAgent};
use std::path::Path;
use std::sync::{Arc, Mutex};
use virtual_tpm::Swtpm;
use virtual_tpm::proxy::Proxy;
use zbus::OwnedObjectPath;

const NEW_PIN: &str = "27182818";
const TPM2_SIGN: u32 = 0x15d;
/// What guards the store where the test is about the authenticator.
const FILE: &str = "key-slot = \"file\"\nroll-back = \"none\"\n";

fn config(store: &str, address: impl std::fmt::Display) -> String {
    format!("{store}{MANY_PAYMENTS}[tpm]\naddress = \"{address}\"\n")
}

fn the_tpm() -> OwnedObjectPath {
    format!("{AUTHENTICATOR_PREFIX}/tpm").try_into().unwrap()
}

fn in_the_tpm() -> EnrollmentOptions {
    EnrollmentOptions { authenticator: Some(the_tpm()), ..EnrollmentOptions::default() }
}

/// A daemon with this TPM, and a card with its key there.
async fn enrolled(store: &str, address: impl std::fmt::Display) -> Stage {
    let stage = Stage::on(PrivateBus::session(), &config(store, address)).await;
    stage.enroll("account", in_the_tpm()).await.unwrap();
    stage
}

/// Pays, or gives the error that it ends with.
async fn pay(stage: &Stage, id: &str) -> Result<(), Error> {
    let mut checkout = Checkout::new(&stage.client, id).await.unwrap();
    checkout.payment.show().await.unwrap();
    match checkout.next().await {
        Event::Response(assertion) => {
            stage.bank.open(&assertion);
            checkout.payment.complete("success").await.unwrap();
            checkout.next().await;
            stage.is_free().await;
            Ok(())
        }
        Event::Finished(end) => {
            stage.is_free().await;
            end
        }
        event => panic!("{event:?}"),
    }
}

async fn refused_payment(stage: &Stage, id: &str) -> ErrorName {
    pay(stage, id).await.unwrap_err().name
}

/// Starts the daemon again on the same files, with another configuration.
async fn start_again(stage: &mut Stage, config: &str) {
    stage.fwpd.kill();
    std::fs::write(stage.fwpd.state_dir().with_file_name("fwpd.toml"), config).unwrap();
    stage.fwpd.start_again(&stage.bus.connect().await).await;
    (stage.desktop, stage.client) =
        (stage.fwpd.client(&stage.bus).await, stage.fwpd.client(&stage.bus).await);
    stage.agent = ScriptedAgent::new();
    stage.agent.register(&stage.desktop).await.unwrap();
}

async fn store_is_open(stage: &Stage) {
    let wallet = stage.client.wallet().await.unwrap();
    wallet.list_credentials().await.unwrap();
    let status = wallet.status().await.unwrap();
    assert_eq!(status.store, "open", "{:?}", status.store_reason);
}

/// The wires to a TPM, whose power can be cut when a certain command comes.
struct Wires {
    swtpm: Arc<Mutex<Swtpm>>,
    proxy: Proxy,
    /// How many commands still pass.
    left: Arc<Mutex<Option<usize>>>,
}

impl Wires {
    fn to(swtpm: Swtpm) -> Self {
        let left = Arc::new(Mutex::new(None::<usize>));
        let port = swtpm.port;
        let swtpm = Arc::new(Mutex::new(swtpm));
        let (counted, killed) = (Arc::clone(&left), Arc::downgrade(&swtpm));
        let proxy = Proxy::new(
            port,
            Box::new(move |_, _| {
                let mut left = counted.lock().unwrap();
                match *left {
                    Some(0) => {
                        if let Some(swtpm) = killed.upgrade() {
                            swtpm.lock().unwrap().kill();
                        }
                        false
                    }
                    Some(more) => {
                        *left = Some(more - 1);
                        true
                    }
                    None => true,
                }
            }),
        );
        Self { swtpm, proxy, left }
    }

    /// The power is cut at command `n` from now.
    fn cut_at(&self, n: usize) {
        self.proxy.forget();
        *self.left.lock().unwrap() = Some(n);
    }

    /// The power is back; gives the commands since, the one that it was cut at among them.
    fn mend(&self) -> Vec<u32> {
        *self.left.lock().unwrap() = None;
        let mut swtpm = self.swtpm.lock().unwrap();
        swtpm.restart();
        // Failures that it counts after power failures would add up.
        swtpm.tool("tpm2_dictionarylockout", &["-c"]);
        self.proxy.commands()
    }

    fn nothing_is_left(&self) {
        assert_eq!(self.swtpm.lock().unwrap().left(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_power_failure_at_every_command_of_a_payment_signs_nothing_untied_and_the_next_payment_works() {
    let wires = Wires::to(Swtpm::new());
    let stage = Stage::on(PrivateBus::session(), &config(FILE, wires.proxy.address())).await;
    let cards = [(BANKNET, "first"), (BANKNET, "second")];
    enroll_with(&stage.client, &stage.bank, &cards, &in_the_tpm()).await.unwrap();
    wires.nothing_is_left();
    let mut untied = 0;
    for n in 0.. {
        assert!(n < 60, "it never gets through");
        let id = format!("order-{n}");
        wires.cut_at(n);
        let paid = pay(&stage, &id).await;
        let commands = wires.mend();
        let through = commands.len() <= n;
        wires.nothing_is_left();
        // The command that it was cut at is the last that was noted, and did not get there.
        let signed = commands.iter().take(n).any(|code| *code == TPM2_SIGN);
        match &paid {
            Ok(()) => assert!(signed),
            Err(error) => assert!(
                [ErrorName::AuthenticatorFailed, ErrorName::NoAuthenticator].contains(&error.name),
                "{n}: {error}"
            ),
        }
        store_is_open(&stage).await;
        // With the other card: not, where the key may have signed with the first. Once it was asked for a signature, only its
        // answer says that there is none.
        stage.agent.answers([Answer::Card(1)]);
        match pay(&stage, &id).await {
            Ok(()) => {
                assert!(!signed, "command {n}: signed, but not tied");
                untied += 1;
            }
            Err(error) => assert_eq!(error.name, ErrorName::CardTied, "command {n}: {error}"),
        }
        pay(&stage, &format!("{id}, the next")).await.unwrap();
        wires.nothing_is_left();
        if through {
            paid.unwrap();
            assert!(n > 5 && untied > 0, "{commands:x?}");
            return;
        }
    }
}

#[tokio::test]
async fn slots_taken_by_others_are_said_to_be_so_and_stay_theirs() {
    let swtpm = Swtpm::new();
    let stage = enrolled(FILE, swtpm.address()).await;
    for taken in [3, 2] {
        for _ in 0..taken {
            swtpm.tool("tpm2_createprimary", &["-C", "n", "-G", "ecc", "-c", "context"]);
        }
        let before = swtpm.left();
        assert_eq!(before.len(), taken);
        let error = pay(&stage, &format!("{taken} taken")).await.unwrap_err();
        assert_eq!(error.name, ErrorName::Busy, "{error}");
        assert_eq!(swtpm.left(), before);
        store_is_open(&stage).await;
        swtpm.tool("tpm2_flushcontext", &["-t"]);
        pay(&stage, &format!("{taken} free again")).await.unwrap();
        assert_eq!(swtpm.left(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_lockout_that_others_made_is_said_to_be_one_and_ends() {
    let swtpm = Swtpm::new();
    let stage = enrolled(FILE, swtpm.address()).await;
    swtpm.tool(
        "tpm2_nvdefine",
        &["0x1800000", "-C", "o", "-s", "8", "-p", "secret", "-a", "authread|authwrite"],
    );
    swtpm.tool("tpm2_nvwrite", &["0x1800000", "-P", "secret", "-i", "/proc/sys/kernel/ostype"]);
    swtpm.tool("tpm2_dictionarylockout", &["-s", "-n", "2", "-t", "600", "-l", "600"]);
    for _ in 0..3 {
        let (ok, _) = swtpm.try_tool("tpm2_nvread", &["0x1800000", "-P", "wrong"]);
        assert!(!ok);
    }
    let error = pay(&stage, "locked").await.unwrap_err();
    assert_eq!(error.name, ErrorName::AuthenticatorLocked, "{error}");
    assert!(error.message.contains("600 seconds"), "{error}");
    store_is_open(&stage).await;
    assert_eq!(swtpm.left(), Vec::<String>::new());
    swtpm.tool("tpm2_dictionarylockout", &["-s", "-n", "32", "-t", "600", "-l", "600"]);
    swtpm.tool("tpm2_dictionarylockout", &["-c"]);
    pay(&stage, "unlocked").await.unwrap();
}

#[tokio::test]
async fn a_cleared_tpm_is_said_to_be_so_and_after_a_reset_new_cards_pay() {
    let swtpm = Swtpm::new();
    let stage = enrolled(FILE, swtpm.address()).await;
    pay(&stage, "before").await.unwrap();
    swtpm.tool("tpm2_clear", &[]);
    let error = pay(&stage, "cleared").await.unwrap_err();
    assert_eq!(error.name, ErrorName::KeysLost, "{error}");
    store_is_open(&stage).await;
    assert_eq!(swtpm.left(), Vec::<String>::new());

    let mut events = stage.client.events(&the_tpm());
    stage.client.authenticator(&the_tpm()).await.unwrap().reset().await.unwrap();
    finished(&mut events).await.unwrap();
    stage.enroll("again", in_the_tpm()).await.unwrap();
    let last = stage.client.wallet().await.unwrap().list_credentials().await.unwrap().pop().unwrap().0;
    stage.agent.answers([Answer::Path(last)]);
    pay(&stage, "after").await.unwrap();
    assert_eq!(swtpm.left(), Vec::<String>::new());
}

#[tokio::test]
async fn another_computers_tpm_is_said_to_be_one_and_back_in_its_own_all_is_well() {
    let (own, other) = (Swtpm::new(), Swtpm::new());
    let mut stage = enrolled(FILE, own.address()).await;
    start_again(&mut stage, &config(FILE, other.address())).await;
    let error = pay(&stage, "elsewhere").await.unwrap_err();
    assert_eq!(error.name, ErrorName::KeysLost, "{error}");
    store_is_open(&stage).await;
    assert_eq!((other.left(), other.nv_indices()), (vec![], vec![]));
    start_again(&mut stage, &config(FILE, own.address())).await;
    pay(&stage, "at home").await.unwrap();
}

#[tokio::test]
async fn without_a_tpm_at_the_start_its_cards_pay_once_it_is_there() {
    let mut swtpm = Swtpm::new();
    let mut stage = enrolled(FILE, swtpm.address()).await;
    swtpm.kill();
    start_again(&mut stage, &config(FILE, swtpm.address())).await;
    assert_eq!(refused_payment(&stage, "gone").await, ErrorName::NoAuthenticator);
    store_is_open(&stage).await;
    swtpm.restart();
    pay(&stage, "there").await.unwrap();
    assert_eq!(swtpm.left(), Vec::<String>::new());
}

/// Whether any file below has these bytes in it.
fn stands_in(directory: &Path, needle: &str) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => stands_in(&path, needle),
            false => {
                std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle.as_bytes())
            }
        }
    })
}

/// The thief of a disk has a TPM too, but not this one.
#[tokio::test]
async fn with_the_stores_files_alone_beside_a_fresh_tpm_nothing_can_be_decrypted_or_signed() {
    const TPM: &str = "key-slot = \"tpm\"\nroll-back = \"none\"\n";
    let (own, thiefs) = (Swtpm::new(), Swtpm::new());
    let mut stage = enrolled(TPM, own.address()).await;
    pay(&stage, "at home").await.unwrap();
    start_again(&mut stage, &config(TPM, thiefs.address())).await;
    assert!(
        !stands_in(&stage.fwpd.state_dir(), "account") && !stands_in(&stage.fwpd.state_dir(), "mybank.fr")
    );
    let wallet = stage.client.wallet().await.unwrap();
    let status = wallet.status().await.unwrap();
    assert!(["locked", "unusable"].contains(&status.store.as_str()), "{status:?}");
    let names = [ErrorName::StoreLocked, ErrorName::StoreUnusable, ErrorName::SlotUnusable];
    for refusal in [
        wallet.list_credentials().await.map(|_| ()),
        Checkout::new(&stage.client, "stolen").await.unwrap().payment.show().await,
    ] {
        assert!(names.contains(&fwp_tests::refused(refusal)));
    }
    assert_eq!((thiefs.left(), thiefs.nv_indices()), (vec![], vec![]));

    // And nothing was lost by trying.
    start_again(&mut stage, &config(TPM, own.address())).await;
    pay(&stage, "at home again").await.unwrap();

    // Who has the store's key as well reads the cards, and signs nothing.
    let mut stage = enrolled(FILE, own.address()).await;
    start_again(&mut stage, &config(FILE, thiefs.address())).await;
    assert_eq!(stage.client.wallet().await.unwrap().list_credentials().await.unwrap().len(), 1);
    assert_eq!(refused_payment(&stage, "stolen").await, ErrorName::KeysLost);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            false => drop(std::fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}

/// Pays with this PIN and no other: whether it was the right one.
async fn opens(stage: &Stage, id: &str, pin: &'static str) -> bool {
    stage.agent.forget();
    stage.agent.types([Some(pin), None]);
    match pay(stage, id).await {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.name, ErrorName::Declined, "{error}");
            let wrong = |prompt: &Prompt| matches!(prompt, Prompt::Pin(request) if request.wrong);
            assert!(stage.agent.prompts().iter().any(wrong), "it was not said to be wrong");
            false
        }
    }
}

#[tokio::test]
async fn after_a_pin_change_the_old_pin_opens_nothing_with_old_copies_too() {
    let swtpm = Swtpm::new();
    let mut stage = enrolled(FILE, swtpm.address()).await;
    assert!(opens(&stage, "old PIN", PIN).await);
    let (config, state) = (config(FILE, swtpm.address()), stage.fwpd.state_dir());
    assert!(stage.fwpd.terminate().success());
    let old = tempfile::tempdir().unwrap();
    copy(&state, &old.path().join("state"));
    stage.fwpd.start_again(&stage.bus.connect().await).await;
    start_again(&mut stage, &config).await;

    stage.agent.types([Some(PIN), Some(NEW_PIN)]);
    let mut events = stage.client.events(&the_tpm());
    stage.client.authenticator(&the_tpm()).await.unwrap().change_pin().await.unwrap();
    finished(&mut events).await.unwrap();
    assert!(!opens(&stage, "changed, old PIN", PIN).await);
    assert!(opens(&stage, "changed, new PIN", NEW_PIN).await);

    stage.fwpd.kill();
    std::fs::remove_dir_all(&state).unwrap();
    copy(&old.path().join("state"), &state);
    stage.fwpd.start_again(&stage.bus.connect().await).await;
    start_again(&mut stage, &config).await;
    assert!(!opens(&stage, "old copy, old PIN", PIN).await);
    assert!(opens(&stage, "old copy, new PIN", NEW_PIN).await);
    assert_eq!(swtpm.left(), Vec::<String>::new());
}
