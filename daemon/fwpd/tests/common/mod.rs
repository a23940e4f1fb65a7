//! A wallet with security keys at hand: bus, daemon, agent and bank, and how a test's own process runs all of it.
#![allow(dead_code, reason = "no test program uses all of it")]

pub(crate) mod moz_pay;
pub(crate) mod namespace;

use std::future::Future;
use std::time::Duration;

use fwp_dbus::types::{AuthenticatorInfo, EnrollmentOptions};
use fwp_dbus::{Client, ClientError, Error, Event, Events};
use fwp_tests::requests::BANKNET;
use fwp_tests::{Bank, Fwpd, MY_BANK, PrivateBus, Prompt, QUICK, ScriptedAgent, soon};
use zbus::OwnedObjectPath;

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");

/// Bus, daemon, agent and bank.
pub(crate) struct Stage {
    pub(crate) bus: PrivateBus,
    pub(crate) fwpd: Fwpd,
    pub(crate) agent: ScriptedAgent,
    pub(crate) desktop: Client,
    pub(crate) client: Client,
    pub(crate) bank: Bank,
}

impl Stage {
    /// On a session's bus.
    pub(crate) async fn new() -> Self {
        Self::on(PrivateBus::session(), QUICK).await
    }

    /// On this bus, with these settings.
    pub(crate) async fn on(bus: PrivateBus, config: &str) -> Self {
        let fwpd = Fwpd::start(&bus, FWPD, config).await;
        let (desktop, client) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
        let agent = ScriptedAgent::new();
        agent.register(&desktop).await.unwrap();
        Self { bus, fwpd, agent, desktop, client, bank: Bank::new(MY_BANK) }
    }

    /// The security keys that are listed.
    pub(crate) async fn keys(&self) -> Vec<(OwnedObjectPath, AuthenticatorInfo)> {
        let all = self.client.wallet().await.unwrap().list_authenticators().await.unwrap();
        all.into_iter().filter(|(_, info)| info.attachment == "cross-platform").collect()
    }

    /// Waits until as many security keys are listed: a reader takes its time to notice.
    pub(crate) async fn wait_for_keys(&self, count: usize) -> Vec<(OwnedObjectPath, AuthenticatorInfo)> {
        soon("the security keys", async {
            loop {
                let keys = self.keys().await;
                if keys.len() == count {
                    return keys;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }

    /// Enrolls one card of the bank's with `account`, the key made where `options` say.
    pub(crate) async fn enroll(
        &self,
        account: &str,
        options: EnrollmentOptions,
    ) -> Result<Vec<OwnedObjectPath>, ClientError> {
        let (path, mut events) = self.start_enrollment(options).await?;
        let attestation = match soon("the attestation", events.next()).await? {
            Event::Attestation(attestation) => attestation,
            Event::Finished(end) => return Err(end.expect_err("an end without cards").into()),
            event => panic!("{event:?}"),
        };
        let enrollment = self.client.enrollment(&path).await?;
        let stored = enrollment.store_cards(&self.bank.issue(&attestation, &[(BANKNET, account)])).await?;
        assert_eq!(soon("the end", events.next()).await?, Event::Finished(Ok(())));
        Ok(stored)
    }

    /// Begins an enrollment and starts it.
    pub(crate) async fn start_enrollment(
        &self,
        options: EnrollmentOptions,
    ) -> Result<(OwnedObjectPath, Events), ClientError> {
        let offer = self.bank.offer().to_json().to_string();
        let path = self.client.wallet().await?.begin_enrollment(&offer, MY_BANK, &options).await?;
        let events = self.client.events(&path);
        self.client.enrollment(&path).await?.start().await?;
        Ok((path, events))
    }

    /// Waits until the agent is told this state, and answers with the authenticator's name.
    pub(crate) async fn told(&self, state: &str) -> Option<String> {
        self.agent
            .wait_for(state, |prompt| match prompt {
                Prompt::Status(told, details) if told == state => Some(details.authenticator_name.clone()),
                _ => None,
            })
            .await
    }

    /// Waits until nothing is before the user.
    pub(crate) async fn is_free(&self) {
        let wallet = self.client.wallet().await.unwrap();
        soon("the end of what is before the user", async {
            while wallet.status().await.unwrap().busy {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// Whether the agent has been told this state.
    pub(crate) fn was_told(&self, state: &str) -> bool {
        self.agent.prompts().iter().any(|prompt| matches!(prompt, Prompt::Status(told, _) if told == state))
    }

    /// The attempts that were left at each prompt for a PIN so far; `None` for a new one.
    pub(crate) fn attempts(&self) -> Vec<Option<u32>> {
        let of = |prompt| match prompt {
            Prompt::Pin(request) => Some(request.retries),
            _ => None,
        };
        self.agent.prompts().into_iter().filter_map(of).collect()
    }
}

/// Any security key.
pub(crate) fn any_key() -> EnrollmentOptions {
    EnrollmentOptions { attachment: Some("cross-platform".to_owned()), ..EnrollmentOptions::default() }
}

/// How something ended.
pub(crate) async fn finished(events: &mut Events) -> Result<(), Error> {
    match soon("the end", events.next()).await.unwrap() {
        Event::Finished(end) => end,
        event => panic!("{event:?}"),
    }
}

/// Runs a test that is given a process of its own.
pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}
