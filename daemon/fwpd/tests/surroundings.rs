//! The daemon and what is around it: files, sockets, settings, a second daemon, a damaged store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fwp_dbus::ErrorName;
use fwp_dbus::interfaces::BUS_NAME;
use fwp_tests::requests::BANKNET;
use fwp_tests::{Bank, Checkout, Fwpd, MY_BANK, PrivateBus, QUICK, ScriptedAgent, enroll, refused, soon};
use zbus::fdo::RequestNameFlags;

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");

/// Everything in a folder, with permission bits and content.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, u32, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        if path.is_dir() {
            found.extend(files(&path));
            found.push((path, mode, Vec::new()));
        } else {
            let content = std::fs::read(&path).unwrap();
            found.push((path, mode, content));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn the_daemon_has_no_network_socket_and_its_files_are_its_owners_alone() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    ScriptedAgent::new().register(&desktop).await.unwrap();
    enroll(&page, &Bank::new(MY_BANK), &[(BANKNET, "FR7630002111110020050014382")]).await.unwrap();
    Checkout::new(&page, "1").await.unwrap().pay().await;

    let process = format!("/proc/{}", fwpd.pid().as_raw_nonzero());
    let links = std::fs::read_dir(format!("{process}/fd")).unwrap();
    let links: Vec<_> = links.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok()).collect();
    let sockets: Vec<String> = links
        .iter()
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    assert!(!sockets.is_empty(), "it talks to the bus");
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"] {
        let Ok(table) = std::fs::read_to_string(format!("{process}/net/{table}")) else { continue };
        for line in table.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            assert!(!sockets.iter().any(|socket| words.contains(&socket.as_str())), "{line}");
        }
    }

    let state = files(&fwpd.state_dir());
    assert!(state.len() >= 3, "{state:?}");
    for (path, mode, content) in state {
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        let has = |text: &str| content.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!has("FR7630002111110020050014382") && !has(MY_BANK), "{} is not sealed", path.display());
    }
}

#[tokio::test]
async fn nobody_takes_the_daemons_name_and_a_second_daemon_ends_with_the_reason() {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    // Not even one that asks the bus for it.
    let thief = bus.connect().await;
    let taken = thief.request_name_with_flags(BUS_NAME, RequestNameFlags::default()).await;
    assert!(matches!(taken, Err(zbus::Error::NameTaken)), "{taken:?}");

    let other = tempfile::tempdir().unwrap();
    let (name, address) = bus.variable();
    let mut second = Command::new(FWPD)
        .args(["--session", "--state-dir"])
        .arg(other.path())
        .env(name, address)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = soon("its end", async {
        loop {
            if let Some(ended) = second.try_wait().unwrap() {
                return ended;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(!ended.await.success());
    let mut log = String::new();
    second.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("ERROR") && log.to_lowercase().contains("name"), "{log}");
    assert!(fwpd.client(&bus).await.wallet().await.unwrap().status().await.is_ok());
}

#[test]
fn settings_with_a_mistake_in_them_are_refused_naming_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("fwpd.toml");
    std::fs::write(&config, "[deadlines]\npromt = 3\n").unwrap();
    let output = Command::new(FWPD)
        .arg("--session")
        .arg("--config")
        .arg(&config)
        .arg("--state-dir")
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("promt") && log.contains("line 2"), "{log}");
}

#[tokio::test]
async fn a_damaged_store_is_told_not_opened_and_left_as_it_is() {
    let bus = PrivateBus::session();
    let mut fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    enroll(&page, &Bank::new(MY_BANK), &[(BANKNET, "1")]).await.unwrap();
    assert!(fwpd.terminate().success());

    // The store's key is another one now.
    let key = fwpd.state_dir().join("wallet.key");
    let text = std::fs::read_to_string(&key).unwrap();
    let (first, hex) = text.trim_end().split_once('\n').unwrap();
    let turned: String = hex.chars().rev().collect();
    std::fs::write(&key, format!("{first}\n{turned}\n")).unwrap();
    let database = fwpd.state_dir().join("wallet").join("wallet.db");
    let before = std::fs::read(&database).unwrap();

    fwpd.start_again(&bus.connect().await).await;
    let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    agent.register(&desktop).await.unwrap();
    let wallet = page.wallet().await.unwrap();
    let status = wallet.status().await.unwrap();
    assert_eq!(status.store, "unusable", "{status:?}");
    assert!(status.store_reason.is_some());
    assert_eq!(refused(wallet.can_make_payment().await), ErrorName::StoreUnusable);
    let checkout = Checkout::new(&page, "1").await.unwrap();
    assert_eq!(refused(checkout.payment.show().await), ErrorName::StoreUnusable);
    let enrolled = enroll(&page, &Bank::new(MY_BANK), &[(BANKNET, "2")]).await;
    assert_eq!(refused(enrolled), ErrorName::StoreUnusable);
    assert_eq!(std::fs::read(&database).unwrap(), before);
}
