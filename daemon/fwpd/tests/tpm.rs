//! The wallet with keys in the machine's TPM: fwpd as it is shipped, swtpm as the TPM, tpm2-tools to look at it from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/tpm.rs"]
mod tpm;

use std::time::Duration;

use common::{Stage, finished};
use fwp_dbus::ErrorName;
use fwp_dbus::types::EnrollmentOptions;
use fwp_tests::{Answer, Checkout, PrivateBus, Prompt, QUICK, refused, soon};
use tpm::{Computer, ON_TPM, on_tpm};
use virtual_tpm::Swtpm;

const ACCOUNT: &str = "FR7630002111110020050014382";

#[tokio::test]
async fn this_computer_enrolls_and_pays_with_a_pin_that_its_tpm_keeps() {
    let computer = Computer::new().await;
    let stage = &computer.stage;
    let all = stage.client.wallet().await.unwrap().list_authenticators().await.unwrap();
    let (path, info) = &all[0];
    assert_eq!(path.as_str(), ON_TPM);
    assert_eq!((info.kind.as_str(), info.attachment.as_str(), info.usable), ("tpm", "platform", true));
    assert_eq!(info.name, "this computer, keys in its TPM");
    assert_eq!(info.aaguid, "88d08c45-9cb0-4089-ab1a-ab39fd266a62");
    assert_ne!(info.aaguid, all[1].1.aaguid, "keys in software are another model's");

    // "platform" is the TPM where there is one; a first PIN is asked for on the way.
    let platform =
        EnrollmentOptions { attachment: Some("platform".to_owned()), ..EnrollmentOptions::default() };
    stage.enroll(ACCOUNT, platform).await.unwrap();
    assert_eq!(stage.attempts(), [None, Some(8)]);
    let consent = stage.agent.prompts().into_iter().find_map(|prompt| match prompt {
        Prompt::Consent(_, details) => details.authenticator_name,
        _ => None,
    });
    assert_eq!(consent.as_deref(), Some("this computer, keys in its TPM"));
    let cards = stage.client.wallet().await.unwrap().list_credentials().await.unwrap();
    assert_eq!(cards[0].1.authenticator, "tpm");

    for order in ["1", "2"] {
        let mut checkout = Checkout::new(&stage.client, order).await.unwrap();
        checkout.payment.show().await.unwrap();
        stage.bank.open(&checkout.response().await);
    }
    computer.has_nothing_left();
    // An explicit authenticator, the one in software too.
    let software = zbus::OwnedObjectPath::try_from("/io/github/fwpd/authenticator/software").unwrap();
    let software = EnrollmentOptions { authenticator: Some(software), ..EnrollmentOptions::default() };
    stage.enroll("2", software).await.unwrap();
    let cards = stage.client.wallet().await.unwrap().list_credentials().await.unwrap();
    assert_eq!(cards[1].1.authenticator, "software");
}

#[tokio::test]
async fn a_wrong_pin_counts_in_the_tpm_and_eight_block() {
    let computer = Computer::enrolled().await;
    let (stage, swtpm) = (&computer.stage, &computer.swtpm);
    assert_eq!(swtpm.failures(), 0);
    for round in 0..3 {
        // Three in a row end a ceremony.
        stage.agent.types([Some("wrong-1"), Some("wrong-2"), Some("wrong-3")]);
        let error = computer.pay(&format!("wrong {round}")).await.unwrap_err();
        let blocked = round == 2;
        assert_eq!(error.name, if blocked { ErrorName::PinBlocked } else { ErrorName::PinAuthBlocked });
        assert_eq!(swtpm.failures(), if blocked { 8 } else { 3 * (round + 1) });
        computer.has_nothing_left();
    }
    let status = computer.authenticator().await.pin_status().await.unwrap();
    assert!(status.blocked && status.retries == 0);
    assert_eq!(computer.pay("right").await.unwrap_err().name, ErrorName::PinBlocked);
}

#[tokio::test]
async fn a_locked_tpm_is_said_with_the_time_that_it_takes() {
    let computer = Computer::enrolled().await;
    computer.swtpm.tool("tpm2_dictionarylockout", &["-s", "-n", "2", "-t", "600", "-l", "600"]);
    // Another program's wrong passwords.
    let stage = &computer.stage;
    computer.swtpm.tool("tpm2_createprimary", &["-C", "o", "-p", "secret", "-c", "p.ctx"]);
    for _ in 0..2 {
        computer.swtpm.try_tool("tpm2_create", &["-C", "p.ctx", "-P", "wrong", "-u", "a", "-r", "b"]);
    }
    computer.swtpm.tool("tpm2_flushcontext", &["-t"]);
    let error = computer.pay("locked").await.unwrap_err();
    assert_eq!(error.name, ErrorName::AuthenticatorLocked);
    assert!(error.message.contains("600 seconds"), "{}", error.message);
    // It is told after the payment's owner.
    let failed = |prompt: &Prompt| match prompt {
        Prompt::Status(state, details) if state == "failed" => details.message.clone(),
        _ => None,
    };
    let told = stage.agent.wait_for("the failure", failed).await;
    assert_eq!(told, error.message, "the user's dialog gets the same");
    let info = computer.info().await.unwrap();
    assert!(!info.usable && info.problem.contains("600 seconds"), "{}", info.problem);
    assert_eq!(
        refused(computer.authenticator().await.pin_status().await),
        ErrorName::AuthenticatorLocked,
        "before a ceremony too"
    );
    // What passes is no reason to make a key in software.
    let platform =
        EnrollmentOptions { attachment: Some("platform".to_owned()), ..EnrollmentOptions::default() };
    assert_eq!(refused(stage.enroll("2", platform).await), ErrorName::AuthenticatorLocked);
    computer.swtpm.tool("tpm2_dictionarylockout", &["-c"]);
    computer.pay("unlocked").await.unwrap();
}

#[tokio::test]
async fn a_changed_pin_keeps_cards_and_the_old_one_is_refused() {
    let computer = Computer::enrolled().await;
    let stage = &computer.stage;
    let path = on_tpm();
    let mut events = stage.client.events(&path);
    stage.agent.types([Some(fwp_tests::agent::PIN), Some("27182818")]);
    computer.authenticator().await.change_pin().await.unwrap();
    finished(&mut events).await.unwrap();
    stage.agent.types([Some(fwp_tests::agent::PIN), Some("27182818")]);
    stage.agent.forget();
    computer.pay("1").await.unwrap();
    assert_eq!(stage.attempts(), [Some(8), Some(7)], "the old one is wrong");
    stage.agent.types([Some("27182818")]);
    stage.agent.forget();
    computer.pay("2").await.unwrap();
    assert_eq!(stage.attempts(), [Some(8)]);
}

#[tokio::test]
async fn what_happens_to_a_tpm_is_said_by_name_and_the_store_opens_all_the_same() {
    let mut computer = Computer::enrolled().await;
    // Off.
    computer.swtpm.kill();
    let error = computer.pay("off").await.unwrap_err();
    assert_eq!(error.name, ErrorName::NoAuthenticator);
    assert!(error.message.contains("no TPM answers"), "{}", error.message);
    assert!(computer.info().await.is_none(), "what is not there is not listed");
    assert_eq!(computer.status().await.tpm, "unavailable");
    computer.opens().await;
    computer.swtpm.restart();
    computer.pay("on again").await.unwrap();

    // Cleared.
    computer.swtpm.tool("tpm2_clear", &[]);
    let error = computer.pay("cleared").await.unwrap_err();
    assert_eq!(error.name, ErrorName::KeysLost);
    assert!(error.message.contains("cleared"), "{}", error.message);
    let info = computer.info().await.unwrap();
    assert!(!info.usable && info.problem.contains("reset the authenticator"), "{}", info.problem);
    assert_eq!(refused(computer.authenticator().await.info().await), ErrorName::KeysLost);
    computer.opens().await;
    // The way out.
    let mut events = computer.stage.client.events(&on_tpm());
    computer.authenticator().await.reset().await.unwrap();
    finished(&mut events).await.unwrap();
    assert!(computer.info().await.unwrap().usable);
    computer.enroll("3").await;
    computer.has_nothing_left();

    // Another one in its place.
    computer.swtpm.replace();
    let error = computer.pay("replaced").await.unwrap_err();
    assert_eq!(error.name, ErrorName::KeysLost);
    assert!(error.message.contains("not the TPM that made the keys"), "{}", error.message);
    computer.opens().await;
}

#[tokio::test]
async fn a_tpm_that_is_not_to_be_used_or_not_there_leaves_the_software() {
    for (address, told) in [("none", "off"), ("device:/dev/no-such-tpm", "unavailable")] {
        let config = format!("{QUICK}[tpm]\naddress = \"{address}\"\n");
        let stage = Stage::on(PrivateBus::session(), &config).await;
        let wallet = stage.client.wallet().await.unwrap();
        let kinds: Vec<_> =
            wallet.list_authenticators().await.unwrap().into_iter().map(|(_, info)| info.kind).collect();
        assert_eq!(kinds, ["software"]);
        let status = wallet.status().await.unwrap();
        assert_eq!(status.tpm, told);
        assert!(status.tpm_problem.is_some());
        let explicit = EnrollmentOptions { authenticator: Some(on_tpm()), ..EnrollmentOptions::default() };
        assert_eq!(refused(stage.enroll("1", explicit).await), ErrorName::NotFound);
        let platform =
            EnrollmentOptions { attachment: Some("platform".to_owned()), ..EnrollmentOptions::default() };
        stage.enroll("1", platform).await.unwrap();
        assert_eq!(wallet.list_credentials().await.unwrap()[0].1.authenticator, "software");
    }
}

#[tokio::test]
async fn an_aborted_payment_leaves_nothing_in_the_tpm_even_if_that_does_not_answer() {
    let computer = Computer::enrolled().await;
    let stage = &computer.stage;
    // While the PIN is asked for.
    stage.agent.types([Some("")]);
    let mut checkout = Checkout::new(&stage.client, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    stage.agent.wait_for("the PIN", |prompt| matches!(prompt, Prompt::Pin(_)).then_some(())).await;
    checkout.payment.abort().await.unwrap();
    assert_eq!(finished(&mut checkout.events).await.unwrap_err().name, ErrorName::Aborted);
    computer.has_nothing_left();

    // While the TPM hangs: the store, which counts in it, waits for it once, and says so.
    computer.swtpm.stop();
    stage.agent.forget();
    let mut checkout = Checkout::new(&stage.client, "2").await.unwrap();
    checkout.payment.show().await.unwrap();
    stage.agent.wait_for("the PIN", |prompt| matches!(prompt, Prompt::Pin(_)).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    checkout.payment.abort().await.unwrap();
    assert_eq!(finished(&mut checkout.events).await.unwrap_err().name, ErrorName::Aborted);
    stage.is_free().await;
    let status = computer.status().await;
    assert_eq!(status.rollback_detection.as_deref(), Some("not-detected-here"));
    assert!(status.rollback_problem.unwrap().contains("busy"));
    assert_eq!(computer.pay("3").await.unwrap_err().name, ErrorName::Busy, "its thread still waits");
    computer.swtpm.go_on();
    soon("the TPM to be free", async {
        while computer.pay("4").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let status = computer.status().await;
    assert_eq!(
        (status.rollback_detection.as_deref(), status.rollback_problem),
        (Some("a counter in the TPM"), None)
    );
    computer.has_nothing_left();
}

#[tokio::test]
async fn two_wallets_of_one_tpm_do_not_see_each_others_keys() {
    // Both are of the same user here, so that no test needs to be root: what keeps them apart is in the wallets' own states.
    let swtpm = Swtpm::new();
    let one = Computer::with(swtpm).await;
    one.enroll(ACCOUNT).await;
    let Computer { stage: first, swtpm } = one;
    let other = Computer::with(swtpm).await;
    assert!(
        !other.authenticator().await.pin_status().await.unwrap().set,
        "the other's PIN is not this one's"
    );
    other.stage.agent.types([Some("16180339"), Some("16180339")]);
    other.enroll("2").await;
    assert_eq!(
        other.swtpm.nv_indices().iter().filter(|index| index.to_lowercase().starts_with("0x1bd")).count(),
        2
    );
    // The first one pays with its own PIN.
    let mut checkout = Checkout::new(&first.client, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    first.bank.open(&checkout.response().await);
    // A reset of one leaves the other's.
    let mut events = other.stage.client.events(&on_tpm());
    other.authenticator().await.reset().await.unwrap();
    finished(&mut events).await.unwrap();
    let mut checkout = Checkout::new(&first.client, "2").await.unwrap();
    checkout.payment.show().await.unwrap();
    first.bank.open(&checkout.response().await);
    other.has_nothing_left();
}

#[tokio::test]
async fn a_store_that_counts_in_the_same_tpm_gets_its_turn() {
    let computer = Computer::new().await;
    let software = zbus::OwnedObjectPath::try_from("/io/github/fwpd/authenticator/software").unwrap();
    let software = EnrollmentOptions { authenticator: Some(software), ..EnrollmentOptions::default() };
    computer.stage.enroll("1", software).await.unwrap();
    computer.enroll("2").await;
    let mut events = computer.stage.client.events(&on_tpm());
    computer.authenticator().await.reset().await.unwrap();
    finished(&mut events).await.unwrap();
    computer.enroll("3").await;
    computer.has_nothing_left();
}

#[tokio::test]
async fn a_running_daemon_wipes_freed_memory_and_silences_the_library() {
    let computer = Computer::new().await;
    let environment = std::fs::read(format!("/proc/{}/environ", computer.stage.fwpd.pid().as_raw_nonzero()));
    let environment = String::from_utf8(environment.unwrap()).unwrap();
    for expected in ["MALLOC_PERTURB_=165", "TSS2_LOG=all+none"] {
        assert!(environment.split('\0').any(|variable| variable == expected), "{expected}: {environment}");
    }
    computer.enroll(ACCOUNT).await;
    let log = computer.stage.fwpd.log();
    assert!(!log.contains("WARNING:esys") && !log.contains("ERROR:"), "{log}");
}

#[tokio::test]
async fn an_attestation_key_is_certified_with_the_users_consent_by_the_caller_alone() {
    let computer = Computer::with(Swtpm::from_the_maker()).await;
    let stage = &computer.stage;
    let tpm = computer.authenticator().await;
    let certificates = vec![vec![0x30, 0]];
    assert_eq!(refused(tpm.finish_certification(&certificates).await), ErrorName::InvalidState);
    assert_eq!(refused(tpm.activate_credential(&[1], &[1]).await), ErrorName::InvalidState);
    stage.agent.answers([Answer::No]);
    assert_eq!(refused(tpm.begin_certification("ca.example").await), ErrorName::Declined);
    assert_eq!(refused(tpm.begin_certification("ca\n.example").await), ErrorName::InvalidRequest);
    stage.agent.forget();
    let request = tpm.begin_certification("ca.example").await.unwrap();
    let Prompt::Consent(kind, details) = stage.agent.prompts().remove(0) else { panic!("no consent") };
    assert_eq!((kind.as_str(), details.host.as_deref()), ("certify", Some("ca.example")));
    assert_eq!(details.authenticator.as_deref(), Some("tpm"));
    assert_eq!(request.endorsement_certificate[0], 0x30, "DER");

    // Another connection has no part in it.
    let other = computer.stage.fwpd.client(&stage.bus).await;
    let others = other.authenticator(&on_tpm()).await.unwrap();
    assert_eq!(refused(others.finish_certification(&certificates).await), ErrorName::InvalidState);
    // What is not for this key is not opened, and only certificates of this key are taken.
    assert_eq!(refused(tpm.activate_credential(&[1; 64], &[2; 256]).await), ErrorName::AuthenticatorFailed);
    assert_eq!(refused(tpm.finish_certification(&certificates).await), ErrorName::InvalidRequest);
    assert_eq!(refused(tpm.finish_certification(&[]).await), ErrorName::InvalidRequest);
    let foreign = vec![request.endorsement_certificate.clone()];
    assert_eq!(refused(tpm.finish_certification(&foreign).await), ErrorName::InvalidRequest);

    // No TPM, or one without its maker's certificate.
    let software = zbus::OwnedObjectPath::try_from("/io/github/fwpd/authenticator/software").unwrap();
    let software = stage.client.authenticator(&software).await.unwrap();
    assert_eq!(refused(software.begin_certification("ca.example").await), ErrorName::InvalidState);
    let without = Computer::new().await;
    let begun = without.authenticator().await.begin_certification("ca.example").await;
    assert_eq!(refused(begun), ErrorName::InvalidState);
    computer.has_nothing_left();
}
