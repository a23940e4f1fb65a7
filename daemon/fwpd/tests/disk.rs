//! A full disk, and one that can only be read: payments end with a named error and sign nothing, the daemon stays, and goes on
//! as soon as the disk does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::process::Command;

use fwp_dbus::ErrorName;
use fwp_tests::requests::BANKNET;
use fwp_tests::{Bank, Checkout, Fwpd, MY_BANK, PrivateBus, QUICK, ScriptedAgent, enroll, refused};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");
fn mount(arguments: &[&str], at: &Path) {
    let status = Command::new("mount").args(arguments).arg(at).status().unwrap();
    assert!(status.success(), "mount {arguments:?}");
}

/// A disk of 4 MiB in the place of the daemon's state.
fn put_a_disk(fwpd: &Fwpd) {
    mount(&["-t", "tmpfs", "-o", "size=4M,mode=700", "none"], &fwpd.state_dir());
}

/// Takes all room.
fn fill(ballast: &Path) {
    let mut file = std::fs::File::create(ballast).unwrap();
    for size in [4096, 512, 1] {
        while std::io::Write::write_all(&mut file, &vec![1; size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_refuses_by_name_and_pays_again_when_there_is_room() {
    common::namespace::inside("a_full_disk_refuses_by_name_and_pays_again_when_there_is_room", async {
        let bus = PrivateBus::session();
        let mut fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
        put_a_disk(&fwpd);
        let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
        let agent = ScriptedAgent::new();
        agent.register(&desktop).await.unwrap();
        let bank = Bank::new(MY_BANK);
        enroll(&page, &bank, &[(BANKNET, "1"), (BANKNET, "2")]).await.unwrap();
        Checkout::new(&page, "before").await.unwrap().pay().await;

        let ballast = fwpd.state_dir().join("ballast");
        fill(&ballast);
        // The write-ahead log has room of its own for a while; after that, each payment is refused.
        let (mut refusals, mut id) = (0, String::new());
        for number in 0..60 {
            fill(&ballast.with_extension(number.to_string()));
            id = format!("full-{number}");
            let mut checkout = Checkout::new(&page, &id).await.unwrap();
            checkout.payment.show().await.unwrap();
            match checkout.next().await {
                fwp_dbus::Event::Finished(Err(error)) => {
                    assert_eq!(error.name, ErrorName::StoreUnusable, "{error:?}");
                    refusals += 1;
                }
                fwp_dbus::Event::Response(_) => {
                    assert_eq!(refusals, 0, "authorized without a durable ledger")
                }
                event => panic!("{event:?}"),
            }
            if refusals == 3 {
                break;
            }
        }
        assert_eq!(refusals, 3, "the disk was never full");
        let enrolled = enroll(&page, &bank, &[(BANKNET, "3")]).await;
        assert_eq!(refused(enrolled), ErrorName::StoreUnusable);
        // What can be read still is.
        assert_eq!(page.wallet().await.unwrap().list_credentials().await.unwrap().len(), 2);

        for entry in std::fs::read_dir(fwpd.state_dir()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ballast")) {
                std::fs::remove_file(path).unwrap();
            }
        }
        // The same daemon, the same request, the other card: nothing was tied.
        agent.answers([fwp_tests::Answer::Card(1)]);
        Checkout::new(&page, &id).await.unwrap().pay().await;
        // And it opens with all of it.
        assert!(fwpd.terminate().success());
        fwpd.start_again(&bus.connect().await).await;
        let page = fwpd.client(&bus).await;
        assert_eq!(page.wallet().await.unwrap().status().await.unwrap().store, "open");
        assert_eq!(page.wallet().await.unwrap().list_credentials().await.unwrap().len(), 2);
    });
}

#[test]
fn a_disk_that_can_only_be_read_refuses_by_name_and_pays_again_when_it_can_be_written() {
    common::namespace::inside(
        "a_disk_that_can_only_be_read_refuses_by_name_and_pays_again_when_it_can_be_written",
        async {
            let bus = PrivateBus::session();
            let mut fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
            put_a_disk(&fwpd);
            let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
            let agent = ScriptedAgent::new();
            agent.register(&desktop).await.unwrap();
            let bank = Bank::new(MY_BANK);
            enroll(&page, &bank, &[(BANKNET, "1")]).await.unwrap();

            // The kernel makes no mount read-only that is written to: the store is closed for that moment.
            page.store().await.unwrap().lock().await.unwrap();
            mount(&["-o", "remount,ro"], &fwpd.state_dir());
            let checkout = Checkout::new(&page, "1").await.unwrap();
            assert_eq!(refused(checkout.payment.show().await), ErrorName::StoreUnusable);
            assert_eq!(refused(enroll(&page, &bank, &[(BANKNET, "2")]).await), ErrorName::StoreUnusable);
            let status = page.wallet().await.unwrap().status().await.unwrap();
            assert_eq!(status.store, "unusable");
            let reason = status.store_reason.unwrap();
            assert!(reason.to_lowercase().contains("read"), "{reason}");
            // Nor is it a reason not to start.
            assert!(fwpd.terminate().success());
            fwpd.start_again(&bus.connect().await).await;
            let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
            agent.register(&desktop).await.unwrap();
            assert_eq!(
                refused(page.wallet().await.unwrap().list_credentials().await),
                ErrorName::StoreUnusable
            );

            mount(&["-o", "remount,rw"], &fwpd.state_dir());
            Checkout::new(&page, "1").await.unwrap().pay().await;
        },
    );
}

#[test]
fn where_no_state_can_be_made_the_daemon_says_so_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let bus = PrivateBus::session();
    let (name, address) = bus.variable();
    let output = Command::new(FWPD)
        .args(["--session", "--state-dir"])
        .arg(file.join("state"))
        .env(name, address)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("state directory") && log.contains("ERROR"), "{log}");
}
