//! `kill -9` at random instants of enrollments and payments: no acknowledged card is lost, the store always opens, what was
//! authorized stands in the history, and the audit chain holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::future::Future;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fwp_dbus::types::HistoryOptions;
use fwp_dbus::{Client, ClientError, Event};
use fwp_store::slot::{KeyFile, KeySlot};
use fwp_store::{Found, Store};
use fwp_tests::daemon::MANY_PAYMENTS;
use fwp_tests::requests::BANKNET;
use fwp_tests::{Bank, Checkout, Fwpd, MY_BANK, PrivateBus, ScriptedAgent, enroll};
use zbus::OwnedObjectPath;

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");
const KILLS: usize = 200;
/// How often a payment is left alone, which also gives back the PIN attempts that kills may have cost.
const UNDISTURBED_EVERY: usize = 5;

#[derive(Default)]
struct Acknowledged {
    cards: Vec<OwnedObjectPath>,
    /// Request IDs whose authorization was handed over.
    payments: Vec<String>,
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kill_9_at_200_random_instants() {
    let mut random = Random::seeded();
    let bus = PrivateBus::session();
    let bank = Bank::new(MY_BANK);
    let mut fwpd = Fwpd::start(&bus, FWPD, MANY_PAYMENTS).await;
    let connection = bus.connect().await;
    let mut acknowledged = Acknowledged::default();
    let (mut during_enrollment, mut during_payment, mut too_late) = (0, 0, 0);
    let client = ready(&fwpd, &bus).await;
    acknowledged.cards = enroll(&client.0, &bank, &[(BANKNET, "account-0")]).await.unwrap();
    let enrollment_takes = timed(enroll(&client.0, &bank, &[(BANKNET, "account-1")])).await;
    let payment_takes = timed(pay(&client.0, "order-0")).await;
    drop(client);
    for kill in 1..=KILLS {
        let (page, _desktop) = ready(&fwpd, &bus).await;
        let enrolling = kill % 2 == 0;
        let takes = if enrolling { enrollment_takes } else { payment_takes };
        let delay = Duration::from_micros(random.below(takes.as_micros() as u64 * 3 / 2));
        // The kill comes from another thread, so that it can fall between any two instructions of either side.
        let pid = fwpd.pid();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(delay);
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        let finished = if enrolling {
            during_enrollment += 1;
            let account = format!("account-{kill}");
            match enroll(&page, &bank, &[(BANKNET, &account)]).await {
                Ok(cards) => {
                    acknowledged.cards.extend(cards);
                    true
                }
                Err(error) => interrupted(&error),
            }
        } else {
            during_payment += 1;
            let id = format!("order-{kill}");
            match pay(&page, &id).await {
                Ok(()) => {
                    acknowledged.payments.push(id);
                    true
                }
                Err(error) => interrupted(&error),
            }
        };
        too_late += usize::from(finished);
        killer.join().unwrap();
        fwpd.kill();
        fwpd.start_again(&connection).await;
        check(&fwpd, &bus, &acknowledged, kill).await;
        if kill % UNDISTURBED_EVERY == 0 {
            let (page, _desktop) = ready(&fwpd, &bus).await;
            let id = format!("undisturbed-{kill}");
            pay(&page, &id).await.unwrap();
            acknowledged.payments.push(id);
        }
    }
    fwpd.kill();
    let entries = audit_chain(&fwpd);
    say(&format!(
        "{KILLS} kills ({during_enrollment} in enrollments, {during_payment} in payments, {too_late} of them after the end): \
         {} cards and {} authorizations acknowledged, none lost; audit chain of {entries} entries holds",
        acknowledged.cards.len(),
        acknowledged.payments.len()
    ));
    assert!(too_late < KILLS / 2, "the kills came too late to show anything");
}

/// How long it takes undisturbed.
async fn timed<T>(work: impl Future<Output = Result<T, ClientError>>) -> Duration {
    let started = Instant::now();
    work.await.unwrap();
    started.elapsed()
}

/// A page's client, and an agent's.
async fn ready(fwpd: &Fwpd, bus: &PrivateBus) -> (Client, Client) {
    let (page, desktop) = (fwpd.client(bus).await, fwpd.client(bus).await);
    ScriptedAgent::new().register(&desktop).await.unwrap();
    (page, desktop)
}

/// Pays with the first card; good if the authorization came.
async fn pay(page: &Client, id: &str) -> Result<(), ClientError> {
    let mut checkout = Checkout::new(page, id).await?;
    checkout.payment.show().await?;
    match checkout.events.next().await? {
        Event::Response(_) => Ok(()),
        Event::Finished(end) => Err(end.expect_err("an end without a response").into()),
        event => panic!("{event:?}"),
    }
}

/// That the daemon went is the only way in which this may fail.
fn interrupted(error: &ClientError) -> bool {
    assert!(matches!(error, ClientError::NotRunning | ClientError::Bus(_)), "{error:?}");
    false
}

async fn check(fwpd: &Fwpd, bus: &PrivateBus, acknowledged: &Acknowledged, kill: usize) {
    let client = fwpd.client(bus).await;
    let wallet = client.wallet().await.unwrap();
    let status = wallet.status().await.unwrap();
    assert_eq!(status.store, "open", "after kill {kill}: {:?}", status.store_reason);
    let listed = wallet.list_credentials().await.unwrap();
    for card in &acknowledged.cards {
        assert!(listed.iter().any(|(path, _)| path == card), "card {card} was lost by kill {kill}");
    }
    let Some(last) = acknowledged.payments.last() else { return };
    let history = wallet.history(50, &HistoryOptions::default()).await.unwrap();
    let stands = history.iter().any(|entry| entry.request_id.as_deref() == Some(last));
    assert!(stands, "payment {last} was lost by kill {kill}");
}

/// Opens the store without the daemon, which verifies every record and the chain, and counts the chain's entries.
fn audit_chain(fwpd: &Fwpd) -> usize {
    let store = open(fwpd);
    let (mut count, mut after) = (0, 0);
    loop {
        let entries = store.audit(after, 100).unwrap();
        let Some(last) = entries.last() else { return count };
        after = last.sequence;
        count += entries.len();
    }
}

fn open(fwpd: &Fwpd) -> Store {
    let key_file = KeyFile::new(fwpd.state_dir().join("wallet.key"));
    let slots: [&dyn KeySlot; 1] = [&key_file];
    match fwp_store::open(&fwpd.state_dir().join("wallet")).unwrap() {
        Found::Wallet(locked) => locked.unlock(&slots, None).unwrap(),
        Found::Nothing(_) => panic!("the store is gone"),
    }
}

/// Says it past the test harness, which shows only what failing tests print.
fn say(text: &str) {
    std::io::stdout().lock().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// xorshift64, seeded by the clock; the seed is printed.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
        say(&format!("kill -9: seed {seed}"));
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
