//! `Wallet1`: the door to everything else.

use std::rc::Rc;

use fwp_dbus::interfaces::{CREDENTIAL_PREFIX, Interface, WALLET};
use fwp_dbus::types::{
    AgentOptions, EnrollmentOptions, HistoryEntry, HistoryOptions, PaymentOptions, WalletStatus,
};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{HistoryId, HistoryRecord};
use fwp_store::{RollBack, Store};
use zbus::{Message, OwnedObjectPath};

use crate::call::{Call, Failure};
use crate::objects::{Object, Properties, variant};
use crate::wallets::Wallet;
use crate::{authenticators, clock, credentials, enrollments, payments};

/// Most entries that one call of History gives.
const MAX_HISTORY: u32 = 1000;

/// `Wallet1` for one user.
#[derive(Debug)]
pub(crate) struct WalletObject(pub(crate) Rc<Wallet>);

impl Object for WalletObject {
    const INTERFACE: Interface = WALLET;

    async fn call(&self, member: &str, call: &Call) -> Result<Message, Failure> {
        let wallet = &self.0;
        match member {
            "CanMakePayment" => {
                call.args::<()>()?;
                let any =
                    wallet.vault.read(|store| Ok(store.is_some_and(|store| store.cards().len() > 0))).await?;
                call.reply(&any)
            }
            "CreatePayment" => {
                let (payee_host, method_data, details, options) =
                    call.args::<(String, String, String, PaymentOptions)>()?;
                call.reply(
                    &payments::create(wallet, &call.caller, &payee_host, &method_data, &details, options)
                        .await?,
                )
            }
            "CreateMozPayment" => {
                let (payee_host, requests, options) = call.args::<(String, Vec<String>, PaymentOptions)>()?;
                let created =
                    payments::create_moz(wallet, &call.caller, &payee_host, &requests, options).await?;
                call.reply(&created)
            }
            "BeginEnrollment" => {
                let (offer, attested_host, options) = call.args::<(String, String, EnrollmentOptions)>()?;
                call.reply(&enrollments::begin(wallet, call, &offer, &attested_host, &options).await?)
            }
            "ListCredentials" => {
                call.args::<()>()?;
                call.reply(&credentials::list(wallet).await?)
            }
            "ListAuthenticators" => {
                call.args::<()>()?;
                call.reply(&authenticators::list(wallet).await?)
            }
            "WatchAuthenticators" => {
                call.args::<()>()?;
                wallet.context.watchers.watch(&wallet.context, &call.caller).await?;
                call.reply(&())
            }
            "UnwatchAuthenticators" => {
                call.args::<()>()?;
                wallet.context.watchers.forget(&call.caller.name);
                call.reply(&())
            }
            "Dismiss" => {
                call.args::<()>()?;
                wallet.agents.dismiss(&call.caller)?;
                call.reply(&())
            }
            "RegisterAgent" => {
                let (path, options) = call.args::<(OwnedObjectPath, AgentOptions)>()?;
                wallet.agents.register(wallet, &call.caller, path, options).await?;
                call.reply(&())
            }
            "UnregisterAgent" => {
                let path = call.args::<OwnedObjectPath>()?;
                wallet.agents.unregister(&call.caller, &path)?;
                call.reply(&())
            }
            "History" => {
                let (limit, options) = call.args::<(u32, HistoryOptions)>()?;
                call.reply(&self.history(limit, &options).await?)
            }
            "Status" => {
                call.args::<()>()?;
                call.reply(&self.status().await)
            }
            _ => Err(Failure::UnknownMethod),
        }
    }

    fn properties(&self) -> Result<Properties, Failure> {
        Ok(vec![("Version", variant(crate::VERSION)?)])
    }
}

impl WalletObject {
    async fn history(&self, limit: u32, options: &HistoryOptions) -> Result<Vec<HistoryEntry>, Failure> {
        if !(1..=MAX_HISTORY).contains(&limit) {
            let text = format!("limit: 1 to {MAX_HISTORY} entries can be asked for");
            return Err(Failure::new(ErrorName::LimitsExceeded, text));
        }
        let before =
            options.before.map(|before| HistoryId::from_i64(i64::try_from(before).unwrap_or(i64::MAX)));
        let entries = self
            .0
            .vault
            .read(move |store| match store {
                Some(store) => store.history(before, usize::try_from(limit).unwrap_or(usize::MAX)),
                None => Ok(Vec::new()),
            })
            .await?;
        Ok(entries.into_iter().map(|(id, record)| history_entry(id, record)).collect())
    }

    async fn status(&self) -> WalletStatus {
        let wallet = &self.0;
        let agent = wallet.agents.present();
        let store = wallet
            .vault
            .read(|store| store.map(|store| Ok((store.slots()?, Detection::of(store)))).transpose())
            .await;
        let keys = authenticators::transports(wallet).await;
        let tpm = authenticators::tpm_status(wallet).await;
        let mut status = WalletStatus {
            time: clock::time_text(clock::now_ms()),
            bus: wallet.context.bus.as_str().to_owned(),
            agent: agent.is_some(),
            agent_name: agent.as_ref().map(|agent| agent.name.clone()),
            agent_kind: agent.as_ref().map(|agent| agent.kind_str().to_owned()),
            busy: wallet.floor.is_taken(),
            open_payments: u32::try_from(wallet.payments.len()).ok(),
            prompt_timeout: u32::try_from(wallet.context.config.deadlines.prompt.as_secs())
                .unwrap_or(u32::MAX),
            usb: readiness(keys.usb.is_none(), "ready", "unavailable"),
            usb_problem: keys.usb,
            nfc: readiness(keys.nfc.is_none(), "ready", "unavailable"),
            nfc_problem: keys.nfc,
            keys: readiness(keys.plugs.is_none(), "allowed", "not-allowed"),
            keys_problem: keys.plugs,
            tpm: tpm.state,
            tpm_problem: tpm.problem,
            tpm_advice: tpm.advice,
            ..WalletStatus::default()
        };
        match store {
            Ok(None) => status.store = "new".to_owned(),
            Ok(Some((slots, detection))) => {
                status.store = "open".to_owned();
                let kinds: Vec<_> = slots.iter().map(|(_, kind)| kind.to_string()).collect();
                status.key_slot = Some(kinds.join(", "));
                status.rollback_detection = Some(detection.by);
                status.rollback_problem = detection.problem;
            }
            Err(Error { name, message }) => {
                let store = match name {
                    ErrorName::StoreLocked => "locked",
                    ErrorName::StoreRolledBack => "rolled-back",
                    _ => "unusable",
                };
                status.store = store.to_owned();
                status.store_reason = Some(message);
            }
        }
        status
    }
}

/// What notices that an old copy of the store was put back.
struct Detection {
    by: String,
    problem: Option<String>,
}

impl Detection {
    fn of(store: &Store) -> Self {
        let by = match (store.roll_back(), store.counter_kind()) {
            (RollBack::Excluded, Some(kind)) => format!("a counter in the {kind}"),
            _ => "not-detected-here".to_owned(),
        };
        Self { by, problem: store.counter_problem().map(ToString::to_string) }
    }
}

fn readiness(yes: bool, ready: &str, not: &str) -> String {
    if yes { ready } else { not }.to_owned()
}

fn history_entry(id: HistoryId, record: HistoryRecord) -> HistoryEntry {
    HistoryEntry {
        sequence: u64::try_from(id.as_i64()).unwrap_or_default(),
        time: clock::time_text(record.at_unix_ms),
        event: record.outcome.as_str().to_owned(),
        payee_name: Some(record.payee_name),
        payee_host: Some(record.payee_host.as_str().to_owned()),
        amount: Some(record.amount.as_str().to_owned()),
        currency: Some(record.currency.as_str().to_owned()),
        request_id: Some(record.request_id),
        credential: record
            .card
            .and_then(|id| OwnedObjectPath::try_from(format!("{CREDENTIAL_PREFIX}/{id}")).ok()),
        reason: None,
    }
}
