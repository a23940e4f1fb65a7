//! What stands in the journal, by a systemd-journald of the test's own: message IDs, whose wallet, and nothing of what was paid.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fwp_dbus::ErrorName;
use fwp_tests::requests::BANKNET;
use fwp_tests::{Answer, Bank, Checkout, Fwpd, MY_BANK, PrivateBus, QUICK, ScriptedAgent, enroll, soon};
use serde_json::Value;

const STARTED: &str = "1986fc98c15a4865b96f4c4310904975";
const ENDED: &str = "9b03dbcd13074395a71256ba4aaf2461";
const AUTHORIZED: &str = "dabcc8869cec4d57982001b5367c3cc2";
const REFUSED: &str = "fa0f476030fa4a49b5f8c8fbe433cd43";
const FAILED: &str = "ac2f6e83def94beba21b8d716c055732";
const CLOSED: &str = "b5f630ae6b7d4b649d186c980db735b9";
const ENROLLED: &str = "24d4f5326f9d4800b7bbfcd0a68191d7";
const DELETED: &str = "d77c5c4c12744bc7a26d1c1917e04429";
const UNUSABLE: &str = "8920599577fb4c359337130f35d00fea";
const PIN_BLOCKED: &str = "b0b24c0d37844f36a6627d654b6fbe10";
const LIMIT: &str = "b292c04d8f844d649333414840896fdd";

/// systemd-journald with a /run of its own.
struct Journal(Child);

impl Journal {
    async fn start() -> Self {
        let status = Command::new("mount").args(["-t", "tmpfs", "none", "/run"]).status().unwrap();
        assert!(status.success());
        std::fs::create_dir_all("/run/systemd/journal").unwrap();
        let process = Command::new("/lib/systemd/systemd-journald")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("systemd-journald (Debian package systemd)");
        soon("the journal", async {
            while !Path::new("/run/systemd/journal/stdout").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        Self(process)
    }

    /// All that fwpd wrote so far.
    fn entries(&self) -> Vec<Value> {
        let mut read = Command::new("journalctl");
        let output = read.args(["--no-pager", "-o", "json", "-D", "/run/log/journal"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let entries = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let entries = entries.map(|line| serde_json::from_slice::<Value>(line).unwrap());
        entries.filter(|entry| entry["SYSLOG_IDENTIFIER"] == "fwpd").collect()
    }

    /// The entries with this MESSAGE_ID, once there are as many.
    async fn told(&self, id: &str, count: usize) -> Vec<Value> {
        soon(&format!("{count} entries with MESSAGE_ID={id}"), async {
            loop {
                let mut entries = self.entries();
                entries.retain(|entry| entry["MESSAGE_ID"] == id);
                if entries.len() >= count {
                    assert_eq!(entries.len(), count, "{entries:#?}");
                    return entries;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_journal_tells_what_happened_to_whom_and_nothing_of_what_was_paid() {
    common::namespace::inside(
        "the_journal_tells_what_happened_to_whom_and_nothing_of_what_was_paid",
        async {
            let journal = Journal::start().await;
            let bus = PrivateBus::system();
            let folder = tempfile::tempdir().unwrap();
            // As systemd starts a service: JOURNAL_STREAM names what standard error is.
            let become_fwpd = "exec systemd-cat sh -c 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$0\" \"$@\"' \"$fwpd\"";
            let program = common::namespace::wrapped(folder.path(), become_fwpd);
            let config = format!("{QUICK}\n[platform-keys]\npayments-per-hour = 1\n");
            let mut fwpd = Fwpd::start(&bus, program, &config).await;
            let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
            let agent = ScriptedAgent::new();
            agent.register(&desktop).await.unwrap();
            let account = "FR7630002111110020050014382";
            let bank = Bank::new(MY_BANK);
            let cards = enroll(&page, &bank, &[(BANKNET, account)]).await.unwrap();

            let mut paid = Checkout::new(&page, "order-1").await.unwrap();
            paid.pay().await;
            paid.payment.complete("success").await.unwrap();
            let shown = async |id: &str| {
                let mut checkout = Checkout::new(&page, id).await.unwrap();
                checkout.payment.show().await.unwrap();
                checkout.failure().await.name
            };
            // Over the limit: the user is told, and nothing else can be chosen.
            agent.answers([Answer::No]);
            assert_eq!(shown("order-2").await, ErrorName::LimitReached);
            let mut withdrawn = Checkout::new(&page, "order-3").await.unwrap();
            agent.answers([Answer::Never]);
            withdrawn.payment.show().await.unwrap();
            withdrawn.payment.abort().await.unwrap();
            withdrawn.failure().await;
            let card = page.credential(&cards[0]).await.unwrap();
            let mut deletion = page.events(&cards[0]);
            card.delete().await.unwrap();
            common::finished(&mut deletion).await.unwrap();
            // A wrong PIN until it is blocked, in a payment of a new card.
            enroll(&page, &bank, &[(BANKNET, account)]).await.unwrap();
            assert!(fwpd.terminate().success());
            let config = std::fs::read_to_string(fwpd.config_path()).unwrap();
            std::fs::write(
                fwpd.config_path(),
                config.replace("payments-per-hour = 1", "payments-per-hour = 9"),
            )
            .unwrap();
            fwpd.start_again(&bus.connect().await).await;
            let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
            agent.register(&desktop).await.unwrap();
            let mut end = ErrorName::PinInvalid;
            for number in 0..9 {
                agent.types([Some("0000"); 8]);
                let mut checkout = Checkout::new(&page, &format!("order-pin-{number}")).await.unwrap();
                checkout.payment.show().await.unwrap();
                end = checkout.failure().await.name;
                if end == ErrorName::PinBlocked {
                    break;
                }
                // Three wrong ones in a row take a new start of the authenticator (CTAP 2.1 section 6.5.2.2).
            }
            assert_eq!(end, ErrorName::PinBlocked);
            // Its key is another one.
            assert!(fwpd.terminate().success());
            let keys = fwpd.state_dir().join("keys");
            let key = std::fs::read_dir(&keys).unwrap().next().unwrap().unwrap().path();
            let text = std::fs::read_to_string(&key).unwrap();
            let (first, hex) = text.trim_end().split_once('\n').unwrap();
            std::fs::write(&key, format!("{first}\n{}\n", hex.chars().rev().collect::<String>())).unwrap();
            fwpd.start_again(&bus.connect().await).await;
            let page = fwpd.client(&bus).await;
            for _ in 0..3 {
                page.wallet().await.unwrap().can_make_payment().await.unwrap_err();
            }
            assert!(fwpd.terminate().success());

            let uid = rustix::process::getuid().as_raw().to_string();
            journal.told(STARTED, 3).await;
            journal.told(ENDED, 3).await;
            for (id, count) in
                [(AUTHORIZED, 1), (REFUSED, 1), (CLOSED, 1), (ENROLLED, 2), (DELETED, 1), (LIMIT, 1)]
            {
                for entry in journal.told(id, count).await {
                    assert_eq!(entry["FWPD_UID"], uid.as_str(), "{entry:#}");
                }
            }
            assert!(!journal.told(PIN_BLOCKED, 1).await.is_empty());
            let mut entries = journal.entries();
            assert!(entries.iter().any(|entry| entry["MESSAGE_ID"] == FAILED));
            // Three calls, one entry: who calls often does not fill the journal.
            let unusable = journal.told(UNUSABLE, 1).await;
            assert_eq!(unusable[0]["FWPD_UID"], uid.as_str());
            assert_eq!(unusable[0]["PRIORITY"], "3");

            // Debugging was on, too.
            entries.retain(|entry| entry["CODE_FILE"].is_string());
            assert!(entries.len() > 15, "these are its own fields: {entries:#?}");
            for secret in [account, "spaceshop", "mybank", "435", "banknet", "order-", "Skywalker", "0000"] {
                let with_it: Vec<_> =
                    entries.iter().filter(|entry| texts(entry).any(|text| text.contains(secret))).collect();
                assert!(with_it.is_empty(), "{secret}: {with_it:#?}");
            }
        },
    );
}

/// What the daemon itself put into an entry: journald's own fields begin with an underscore.
fn texts(entry: &Value) -> impl Iterator<Item = String> {
    let fields = entry.as_object().unwrap().iter();
    fields
        .filter(|(name, _)| !name.starts_with('_') && *name != "CODE_LINE" && *name != "MESSAGE_ID")
        .map(|(_, value)| value.to_string())
}
