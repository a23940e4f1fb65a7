//! The service from its start to its end, and what goes wrong meanwhile.

use std::fs;
use std::path::Path;

use fwp_tests::until;
use serde_json::{Value, json};

use crate::person::{self, Person};
use crate::system::{self, attempt, entries_since, journal_now, pid, property, run};

/// What no journal may have in it: the account, the payee, the amount, the order's number.
const SECRETS: [&str; 6] =
    ["FR7630002111110020050014382", "spaceshop", "Space Shop", "435.00", "order-77", "Skywalker"];

pub(super) fn it_ends_when_idle_and_starts_again_with_the_next_call() {
    // Prompts of the last minute would keep it, where they are bounded.
    system::settings("[limits]\nprompts-per-minute = \"unlimited\"\n[service]\nidle-exit = 1\n");
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls("1");
    anna.pays("1");
    let first = pid();
    // While her agent is there, it stays.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(pid(), first, "somebody's agent is registered");
    anna.does(json!({"do": "leave"}));
    until("the end of the idle service", || Some(()).filter(|()| property("ActiveState") == "inactive"));
    assert_eq!((property("Result").as_str(), property("ExecMainStatus").as_str()), ("success", "0"));
    let status = run(&["runuser", "--user", "anna", "--", "fwpctl", "--bus", "system", "--json", "status"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["running"], false, "{status}");
    assert_eq!(property("ActiveState"), "inactive", "asking for the status does not start it");
    // The next call finds everything as it was.
    anna.pays("2");
    assert_ne!(pid(), first);
    assert_eq!(anna.does(json!({"do": "history"})).as_array().unwrap().len(), 2);
}

pub(super) fn killed_in_mid_payment_it_starts_again_and_the_ledger_holds() {
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls("1");
    anna.pays("1");
    for round in 0..3 {
        anna.does(json!({"do": "ask", "order": format!("2-{round}")}));
        let killed = pid();
        run(&["kill", "-KILL", &killed]);
        let end = anna.tries(json!({"do": "await"}));
        // There was nobody left to name the reason: the bus tells.
        assert!(end["failed"].as_str().unwrap().contains("isn't running"), "{end}");
        until("the next process", || {
            Some(()).filter(|()| !["0", &killed].contains(&property("MainPID").as_str()))
        });
    }
    let history = anna.does(json!({"do": "history"}));
    assert!(person::authorized(&history, "1"), "{history}");
    anna.pays("2-0");
    assert!(property("NRestarts").parse::<u32>().unwrap() >= 3);
}

pub(super) fn stopped_in_mid_payment_it_names_the_reason() {
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls("1");
    anna.does(json!({"do": "ask", "order": "1"}));
    anna.begin(&json!({"do": "await"}));
    run(&["systemctl", "restart", system::UNIT]);
    let end = anna.end();
    assert_eq!(end["refused"], "Aborted", "{end}");
    assert_eq!((property("Result").as_str(), property("ExecMainStatus").as_str()), ("success", "0"));
    anna.pays("1");
}

pub(super) fn the_journal_tells_what_happened_and_no_card_data() {
    let since = journal_now();
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls(SECRETS[0]);
    anna.pays("order-77");
    anna.does(json!({"do": "ask", "order": "order-77"}));
    anna.does(json!({"do": "abort"}));
    anna.does(json!({"do": "delete"}));
    let mut bruno = Person::elsewhere("bruno");
    bruno.is_refused(json!({"do": "pay", "order": "order-77"}), "AccessDenied");
    drop((anna, bruno));
    system::stop();
    let entries = entries_since(&since);
    let all = entries.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    for secret in SECRETS {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
    // The service's own, by what administrators look for.
    let uid = run(&["id", "--user", "anna"]).trim().to_owned();
    for (what, id, has_user) in [
        ("started", ids::STARTED, false),
        ("enrolled", ids::ENROLLED, true),
        ("authorized", ids::AUTHORIZED, true),
        ("closed", ids::CLOSED, true),
        ("deleted", ids::DELETED, true),
        ("ended", ids::ENDED, false),
    ] {
        let found: Vec<_> = entries.iter().filter(|entry| entry["MESSAGE_ID"] == id).collect();
        assert_eq!(found.len(), 1, "{what}: {all}");
        let [entry] = found[..] else { unreachable!() };
        assert_eq!(entry["_SYSTEMD_UNIT"], system::UNIT, "{what}");
        assert!(!has_user || entry["FWPD_UID"] == uid, "{what}: {entry}");
    }
}

/// MESSAGE_IDs; docs/admin.md has them.
mod ids {
    pub(super) const STARTED: &str = "1986fc98c15a4865b96f4c4310904975";
    pub(super) const ENROLLED: &str = "24d4f5326f9d4800b7bbfcd0a68191d7";
    pub(super) const AUTHORIZED: &str = "dabcc8869cec4d57982001b5367c3cc2";
    pub(super) const CLOSED: &str = "b5f630ae6b7d4b649d186c980db735b9";
    pub(super) const DELETED: &str = "d77c5c4c12744bc7a26d1c1917e04429";
    pub(super) const ENDED: &str = "9b03dbcd13074395a71256ba4aaf2461";
}

/// The wallets on a disk of their own, of this many bytes.
struct Disk;

impl Disk {
    fn new(bytes: &str) -> Self {
        system::stop();
        run(&["cp", "--archive", system::STATE, "/root/wallets"]);
        run(&["mount", "-t", "tmpfs", "-o", &format!("size={bytes},mode=0700"), "tmpfs", system::STATE]);
        run(&["chown", "fwpd:fwpd", system::STATE]);
        run(&["sh", "-c", &format!("cp --archive /root/wallets/. {}", system::STATE)]);
        Self
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        system::stop();
        let (_, _) = attempt(&["umount", system::STATE]);
        let _gone = fs::remove_dir_all("/root/wallets");
    }
}

pub(super) fn a_full_disk_refuses_by_name_and_loses_nothing() {
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls("1");
    anna.pays("1");
    drop(anna);
    let disk = Disk::new("4m");
    let mut anna = Person::at_the_seat("anna");
    anna.pays("2");
    let full = Path::new(system::STATE).join("full");
    let (_, _) = attempt(&["dd", "if=/dev/zero", &format!("of={}", full.display()), "bs=4096"]);
    let process = pid();
    anna.is_refused(json!({"do": "pay", "order": "3"}), "StoreUnusable");
    // Who has nothing yet gets nothing, and is told.
    Person::at_the_seat("clara").is_refused(json!({"do": "enroll", "account": "1"}), "StoreUnusable");
    assert_eq!(pid(), process, "it is still the same process");
    fs::remove_file(full).unwrap();
    drop(anna);
    let mut anna = Person::at_the_seat("anna");
    anna.pays("3");
    let history = anna.does(json!({"do": "history"}));
    for order in ["1", "2", "3"] {
        assert!(person::authorized(&history, order), "{history}");
    }
    Person::at_the_seat("clara").enrolls("1");
    drop(anna);
    drop(disk);
}

pub(super) fn a_read_only_disk_refuses_by_name_and_loses_nothing() {
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls("1");
    drop(anna);
    let disk = Disk::new("16m");
    let since = journal_now();
    run(&["mount", "-o", "remount,ro", system::STATE]);
    let mut anna = Person::at_the_seat("anna");
    anna.is_refused(json!({"do": "pay", "order": "1"}), "StoreUnusable");
    let journal = system::journal_since(&since);
    assert!(journal.to_lowercase().contains("read-only") || journal.contains("readonly"), "{journal}");
    drop(anna);
    system::stop();
    let (_, _) = attempt(&["systemctl", "reset-failed", system::UNIT]);
    run(&["mount", "-o", "remount,rw", system::STATE]);
    let mut anna = Person::at_the_seat("anna");
    anna.pays("1");
    assert_eq!(anna.does(json!({"do": "cards"})).as_array().unwrap().len(), 1);
    drop(anna);
    drop(disk);
}
