//! What becomes of polkit's question to the user: one at a time, withdrawn when its caller goes or the daemon ends, and counted. polkit
//! itself is stood in for, since the real one (`polkit_actions`) asks root nothing, and says yes to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fwp_dbus::types::SlotOptions;
use fwp_dbus::{Client, ClientError, ErrorName};
use fwp_tests::{Fwpd, PrivateBus, refused, soon};
use tokio::task::JoinHandle;
use zbus::{Connection, OwnedVariant};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");
const POLICY: &str = r#"
  <policy context="default">
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>"#;
/// CheckAuthorizationFlags: AllowUserInteraction.
const INTERACTION: u32 = 1;

/// A question that may be put before the user.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    /// The connection that it is about.
    about: String,
    action: String,
    cancellation: String,
}

#[derive(Debug, Clone, Default)]
struct Authority {
    asked: Arc<Mutex<Vec<Question>>>,
    withdrawn: Arc<Mutex<Vec<String>>>,
}

/// `(bba{ss})`: authorized, a password would help, details.
#[derive(serde::Serialize, zbus::Type)]
struct Answer(bool, bool, HashMap<String, String>);

#[zbus::interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Authority {
    /// A password would help; it is never typed.
    async fn check_authorization(
        &self,
        subject: (String, HashMap<String, OwnedVariant>),
        action: String,
        _details: HashMap<String, String>,
        flags: u32,
        cancellation: String,
    ) -> (Answer,) {
        assert_eq!(subject.0, "system-bus-name");
        if flags == INTERACTION {
            let about = String::try_from(subject.1["name"].try_clone().unwrap()).unwrap();
            self.asked.lock().unwrap().push(Question { about, action, cancellation });
            std::future::pending::<()>().await;
        }
        (Answer(false, true, HashMap::new()),)
    }

    async fn cancel_check_authorization(&self, cancellation: String) {
        self.withdrawn.lock().unwrap().push(cancellation);
    }
}

impl Authority {
    async fn start(bus: &PrivateBus) -> (Self, Connection) {
        let (authority, connection) = (Self::default(), bus.connect().await);
        let path = "/org/freedesktop/PolicyKit1/Authority";
        connection.object_server().at(path, authority.clone()).await.unwrap();
        connection.request_name("org.freedesktop.PolicyKit1").await.unwrap();
        (authority, connection)
    }

    /// The question with this number, as soon as it is asked.
    async fn question(&self, number: usize) -> Question {
        soon("polkit's question", async {
            loop {
                if let Some(question) = self.asked.lock().unwrap().get(number).cloned() {
                    return question;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    async fn withdraws(&self, question: &Question) {
        soon("its withdrawal", async {
            while !self.withdrawn.lock().unwrap().contains(&question.cancellation) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

/// A call that polkit is asked about, by a connection of its own.
fn asks(client: Client) -> JoinHandle<Result<i64, ClientError>> {
    tokio::spawn(async move { client.store().await?.add_slot("passphrase", &SlotOptions::default()).await })
}

#[tokio::test]
async fn one_question_at_a_time_and_it_goes_with_its_caller_and_with_the_daemon() {
    let bus = PrivateBus::system_with(POLICY);
    let (authority, _connection) = Authority::start(&bus).await;
    let mut fwpd = Fwpd::start(&bus, FWPD, "claim-origin = \"any\"\n").await;
    let (first, second, third) = (fwpd.client(&bus).await, fwpd.client(&bus).await, fwpd.client(&bus).await);
    let name = first.connection().unique_name().unwrap().to_string();
    let waits = asks(first);
    let question = authority.question(0).await;
    assert_eq!((question.about.as_str(), question.action.as_str()), (name.as_str(), "io.github.fwpd.manage"));
    assert_eq!(refused(asks(second).await.unwrap()), ErrorName::Busy);
    assert!(authority.withdrawn.lock().unwrap().is_empty());

    // Its connection ends with the task.
    waits.abort();
    authority.withdraws(&question).await;
    let waits = asks(third);
    let question = authority.question(1).await;
    assert!(fwpd.terminate().success());
    authority.withdraws(&question).await;
    assert_eq!(refused(waits.await.unwrap()), ErrorName::Aborted);
    assert_eq!(authority.asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn passwords_count_as_prompts() {
    let bus = PrivateBus::system_with(POLICY);
    let (authority, _connection) = Authority::start(&bus).await;
    let config = "claim-origin = \"any\"\n[limits]\nprompts-per-minute = 1\n";
    let fwpd = Fwpd::start(&bus, FWPD, config).await;
    let waits = asks(fwpd.client(&bus).await);
    let question = authority.question(0).await;
    waits.abort();
    authority.withdraws(&question).await;
    // The next one may still find the first.
    soon("the limit", async {
        while refused(asks(fwpd.client(&bus).await).await.unwrap()) != ErrorName::LimitsExceeded {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(authority.asked.lock().unwrap().len(), 1);
}
