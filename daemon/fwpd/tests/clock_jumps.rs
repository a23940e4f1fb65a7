//! The calendar's clock jumps while the daemon runs (libfaketime, preloaded): deadlines, limits and the ledger go by another
//! clock, and time stamps by this one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::PathBuf;

use fwp_dbus::ErrorName;
use fwp_tests::requests::BANKNET;
use fwp_tests::{Answer, Bank, Checkout, Fwpd, MY_BANK, PrivateBus, Prompt, QUICK, ScriptedAgent, enroll};
use tempfile::TempDir;

/// A daemon whose clock a test sets.
struct House {
    fwpd: Fwpd,
    bus: PrivateBus,
    bank: Bank,
    agent: ScriptedAgent,
    clients: [fwp_dbus::Client; 2],
    folder: TempDir,
}

/// Where Debian's package libfaketime has it, whatever the machine.
fn libfaketime() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib").unwrap();
    let mut found = places.map(|place| place.unwrap().path().join("faketime/libfaketime.so.1"));
    found.find(|library| library.exists()).expect("libfaketime (Debian package libfaketime)")
}

impl House {
    async fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let offset = folder.path().join("offset");
        std::fs::write(&offset, "+0").unwrap();
        let environment = format!(
            "LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1",
            libfaketime().display(),
            offset.display()
        );
        let program = common::namespace::wrapped(folder.path(), &format!("exec env {environment} \"$fwpd\""));
        let bus = PrivateBus::session();
        let fwpd = Fwpd::start(&bus, program, &format!("{QUICK}\n{settings}")).await;
        let clients = [fwpd.client(&bus).await, fwpd.client(&bus).await];
        let (agent, bank) = (ScriptedAgent::new(), Bank::new(MY_BANK));
        agent.register(&clients[0]).await.unwrap();
        enroll(&clients[1], &bank, &[(BANKNET, "first"), (BANKNET, "second")]).await.unwrap();
        Self { fwpd, bus, bank, agent, clients, folder }
    }

    /// Sets the clock this far from the right time.
    async fn set_clock(&self, offset: &str) {
        std::fs::write(self.folder.path().join("offset"), offset).unwrap();
        let days: i64 = offset.trim_end_matches('d').parse().unwrap();
        assert_eq!(self.days_ahead().await, days, "the daemon sees another clock");
    }

    /// How far the daemon's clock is from the right time.
    async fn days_ahead(&self) -> i64 {
        days_from_now(&self.clients[1].wallet().await.unwrap().status().await.unwrap().time)
    }

    async fn restart(&mut self) {
        assert!(self.fwpd.terminate().success());
        self.fwpd.start_again(&self.bus.connect().await).await;
        self.clients = [self.fwpd.client(&self.bus).await, self.fwpd.client(&self.bus).await];
        self.agent.register(&self.clients[0]).await.unwrap();
    }

    async fn checkout(&self, id: &str) -> Checkout {
        Checkout::new(&self.clients[1], id).await.unwrap()
    }

    async fn refusal(&self, id: &str, answer: Answer) -> ErrorName {
        self.agent.answers([answer]);
        let mut checkout = self.checkout(id).await;
        checkout.payment.show().await.unwrap();
        checkout.failure().await.name
    }
}

/// Whole days from now to this time stamp (RFC 3339).
fn days_from_now(stamp: &str) -> i64 {
    let then: jiff::Timestamp = stamp.parse().unwrap();
    // A stamp has no parts of a second.
    (then.duration_since(jiff::Timestamp::now()).as_secs() + 3600).div_euclid(86_400)
}

#[tokio::test]
async fn an_open_payment_outlives_a_jump_of_the_clock_and_its_time_stamp_follows() {
    let house = House::new("").await;
    for (number, offset) in ["+3d", "-3d"].into_iter().enumerate() {
        house.set_clock("+0d").await;
        house.agent.forget();
        house.agent.answers([Answer::Wait]);
        let mut checkout = house.checkout(&format!("order-{number}")).await;
        checkout.payment.show().await.unwrap();
        let is_asked = |prompt: &Prompt| matches!(prompt, Prompt::Authorize(..)).then_some(());
        house.agent.wait_for("the question", is_asked).await;
        house.set_clock(offset).await;
        house.agent.answers([Answer::Yes]);
        let signed = house.bank.open(&checkout.response().await);
        let stamp = signed.authorization_data().time_stamp.as_str().to_owned();
        assert_eq!(format!("{:+}d", days_from_now(&stamp)), offset, "{stamp}");
        checkout.payment.complete("success").await.unwrap();
    }
}

#[tokio::test]
async fn a_jump_of_the_clock_frees_no_request_and_no_limit_not_even_with_a_restart() {
    let mut house = House::new("[platform-keys]\npayments-per-hour = 2\n").await;
    house.checkout("1").await.pay().await;
    for offset in ["+3d", "-3d"] {
        house.set_clock(offset).await;
        assert_eq!(house.refusal("1", Answer::Card(1)).await, ErrorName::CardTied, "{offset}");
    }
    house.set_clock("+0d").await;
    house.checkout("2").await.pay().await;
    for offset in ["+3d", "-3d"] {
        house.set_clock(offset).await;
        assert_eq!(house.refusal("3", Answer::No).await, ErrorName::LimitReached, "{offset}");
        house.restart().await;
        assert_eq!(house.refusal("3", Answer::No).await, ErrorName::LimitReached, "{offset}, restarted");
        house.set_clock("+0d").await;
        house.restart().await;
    }
}
