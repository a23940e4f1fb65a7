//! The person's side: the agent that says yes, and what the program does, on the system's bus.
//!
//! Each line in is `{"do": WHAT, ...}`, each line out `{"ok": RESULT}`, `{"refused": NAME, "message": TEXT}` by the wallet's contract, or
//! `{"failed": TEXT}` by anything else.

use std::io::Write;
use std::process::ExitCode;

use fwp_dbus::types::{EnrollmentOptions, HistoryOptions};
use fwp_dbus::{Client, ClientError, Error, ErrorName, Event};
use fwp_tests::requests::{BANKNET, SPACE_SHOP};
use fwp_tests::{Answer, Bank, Checkout, MY_BANK, PATIENCE, Prompt, ScriptedAgent, enroll_with, soon};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use zbus::names::BusName;
use zbus::{Connection, OwnedObjectPath};

pub(crate) fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut me = Me::default();
        let mut lines = BufReader::new(stdin()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            let what: Value = serde_json::from_str(&line).unwrap();
            let end = match me.act(&what).await {
                Ok(result) => json!({"ok": result}),
                Err(ClientError::Refused(Error { name, message })) => {
                    json!({"refused": name.short(), "message": message})
                }
                Err(error) => json!({"failed": error.to_string()}),
            };
            let mut out = std::io::stdout().lock();
            writeln!(out, "{end}").and_then(|()| out.flush()).unwrap();
        }
    });
    ExitCode::SUCCESS
}

#[derive(Default)]
struct Me {
    agent: ScriptedAgent,
    /// The desktop's connection, with the agent, and the program's.
    clients: Option<(Client, Client)>,
    /// The payment that is open.
    checkout: Option<Checkout>,
}

impl Me {
    /// Connected, to a wallet that runs.
    async fn client(&mut self) -> Result<&Client, ClientError> {
        if self.clients.is_none() {
            let desktop = client().await?;
            self.agent.register(&desktop).await?;
            self.clients = Some((desktop, client().await?));
        }
        Ok(&self.clients.as_ref().expect("just made").1)
    }

    async fn act(&mut self, what: &Value) -> Result<Value, ClientError> {
        let text = |name: &str| what[name].as_str().unwrap_or_else(|| panic!("{what}: {name}")).to_owned();
        let order = || text("order");
        match text("do").as_str() {
            "hello" => Ok(json!(self.client().await?.daemon().as_str())),
            "leave" => {
                self.checkout = None;
                self.clients = None;
                Ok(Value::Null)
            }
            "enroll" => self.enroll(&text("account"), what["kind"].as_str()).await,
            "cards" => {
                let cards = self.client().await?.wallet().await?.list_credentials().await?;
                Ok(cards.iter().map(|(path, info)| json!([path.as_str(), info.authenticator])).collect())
            }
            "authenticators" => {
                let all = self.client().await?.wallet().await?.list_authenticators().await?;
                let of = |(path, info): &(OwnedObjectPath, fwp_dbus::types::AuthenticatorInfo)| json!({"path": path.as_str(), "kind": info.kind, "usable": info.usable, "problem": info.problem});
                Ok(all.iter().map(of).collect())
            }
            "store" => {
                let status = self.client().await?.wallet().await?.status().await?;
                Ok(json!({"store": status.store, "slot": status.key_slot, "reason": status.store_reason}))
            }
            "pay" => self.pay(&order()).await,
            // Up to the agent's question, which stays open.
            "ask" => {
                self.agent.forget();
                self.agent.answers([Answer::Never]);
                let mut checkout = Checkout::new(self.client().await?, &order()).await?;
                checkout.payment.show().await?;
                let path = checkout.path.to_string();
                tokio::select! {
                    () = asked(&self.agent) => {}
                    event = checkout.next() => return Err(ended(event)),
                }
                self.checkout = Some(checkout);
                Ok(json!(path))
            }
            // How that one ends.
            "await" => {
                let mut checkout = self.checkout.take().expect("a payment that is open");
                let event = soon("the payment's end", checkout.events.next()).await;
                self.clients = None;
                Err(ended(event?))
            }
            "abort" => {
                let checkout = self.checkout.take().expect("a payment that is open");
                checkout.payment.abort().await?;
                Ok(Value::Null)
            }
            "history" => {
                let wallet = self.client().await?.wallet().await?;
                let entries = wallet.history(100, &HistoryOptions::default()).await?;
                let of = |entry: &fwp_dbus::types::HistoryEntry| json!([entry.event, entry.request_id]);
                Ok(entries.iter().map(of).collect())
            }
            "delete" => {
                let client = self.client().await?;
                let (path, _) = client.wallet().await?.list_credentials().await?.remove(0);
                let mut events = client.events(&path);
                client.credential(&path).await?.delete().await?;
                match soon("the end", events.next()).await? {
                    Event::Finished(Err(error)) => Err(error.into()),
                    _ => Ok(Value::Null),
                }
            }
            "export" => {
                let store = self.client().await?.store().await?;
                let file = tempfile::tempfile().unwrap();
                Ok(json!(store.export(std::os::fd::AsFd::as_fd(&file).into()).await?))
            }
            "unlock-for" => {
                let uid = u32::try_from(what["uid"].as_u64().unwrap()).unwrap();
                self.client().await?.store().await?.unlock_for(uid).await?;
                Ok(Value::Null)
            }
            "prompts" => Ok(json!(self.agent.prompts().len())),
            "call" => {
                let connection = Connection::system().await?;
                let to = BusName::try_from(text("to")).unwrap();
                // A call may do without naming the interface.
                let (path, interface) = (text("path"), what["interface"].as_str());
                connection
                    .call_method(Some(to), path.as_str(), interface, text("method").as_str(), &())
                    .await?;
                Ok(Value::Null)
            }
            "own" => {
                let connection = Connection::system().await?;
                connection.request_name(text("name").as_str()).await?;
                Ok(Value::Null)
            }
            "name" => Ok(json!(self.clients.as_ref().and_then(|(desktop, _)| {
                desktop.connection().unique_name().map(|name| name.to_string())
            }))),
            other => panic!("nobody can {other}"),
        }
    }

    async fn enroll(&mut self, account: &str, kind: Option<&str>) -> Result<Value, ClientError> {
        let client = self.client().await?;
        let mut options = EnrollmentOptions::default();
        if let Some(kind) = kind {
            let all = client.wallet().await?.list_authenticators().await?;
            let found = all.into_iter().find(|(_, info)| info.kind == kind);
            options.authenticator = Some(found.unwrap_or_else(|| panic!("no {kind}")).0);
        }
        let cards = enroll_with(client, &Bank::new(MY_BANK), &[(BANKNET, account)], &options).await?;
        Ok(json!(cards.len()))
    }

    async fn pay(&mut self, order: &str) -> Result<Value, ClientError> {
        let mut checkout = Checkout::new(self.client().await?, order).await?;
        checkout.payment.show().await?;
        let assertion = match checkout.next().await {
            Event::Response(assertion) => assertion,
            event => return Err(ended(event)),
        };
        let signed = Bank::new(MY_BANK).open(&assertion);
        assert_eq!(signed.authorization_data().payee_host.as_str(), SPACE_SHOP);
        checkout.payment.complete("success").await?;
        checkout.next().await;
        Ok(Value::Null)
    }
}

/// A client of the wallet, which the bus starts.
async fn client() -> Result<Client, ClientError> {
    let connection = Connection::system().await?;
    match tokio::time::timeout(PATIENCE, Client::connect(&connection)).await {
        Ok(client) => client,
        Err(_) => Err(Error::new(ErrorName::Timeout, "the wallet does not start").into()),
    }
}

async fn asked(agent: &ScriptedAgent) {
    agent.wait_for("the question", |prompt| matches!(prompt, Prompt::Authorize(..)).then_some(())).await;
}

/// How a payment ended that did not go well.
fn ended(event: Event) -> ClientError {
    match event {
        Event::Finished(Err(error)) => error.into(),
        event => panic!("{event:?}"),
    }
}
