//! The way to the wallet: found when it is first needed, and again after it went away.

use crate::failure::Failure;
use crate::message::{Browser, CardName};
use futures_util::FutureExt;
use fwp_dbus::find::{self, ANSWER_LIMIT, BusChoice};
use fwp_dbus::types::PaymentOptions;
use fwp_dbus::{Client, ClientError};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::Mutex;
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

/// The wallet, wherever it is now.
#[derive(Debug)]
pub struct Wallet {
    bus: BusChoice,
    current: Mutex<Option<Arc<Client>>>,
}

/// A card, for the popup.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Card {
    card: String,
    payment_network_id: String,
    issuer_id: String,
    account_id: String,
    serial_number: String,
    rp_id: String,
    authenticator: String,
    created: String,
}

impl Wallet {
    /// The wallet on this bus.
    pub fn new(bus: BusChoice) -> Self {
        Self { bus, current: Mutex::default() }
    }

    /// The connection to the daemon that runs now. Who asks meanwhile waits for the same one.
    ///
    /// # Errors
    /// `fwp-host.NotRunning`.
    pub async fn client(&self) -> Result<Arc<Client>, Failure> {
        let mut current = self.current.lock().await;
        if let Some(client) = current.as_ref().filter(|client| client.ended().now_or_never().is_none()) {
            return Ok(Arc::clone(client));
        }
        // What belongs to the one that ended keeps it until it has told so.
        *current = None;
        let found = find::find(&self.bus).await.map_err(Failure::not_running)?;
        Ok(Arc::clone(current.insert(Arc::new(found.client))))
    }

    /// The daemon's version.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn version(&self) -> Result<String, Failure> {
        let client = self.client().await?;
        within_limit(async { client.wallet().await?.version().await }).await
    }

    /// Whether there is any card.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn can_make_payment(&self) -> Result<bool, Failure> {
        let client = self.client().await?;
        within_limit(async { client.wallet().await?.can_make_payment().await }).await
    }

    /// `Wallet1.Status`, with its names; what is neither text, number nor bool is left out.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn status(&self) -> Result<Map<String, Value>, Failure> {
        let client = self.client().await?;
        let status = within_limit(async {
            let wallet = client.wallet().await?;
            let status: HashMap<String, OwnedVariant> = wallet.inner().call("Status", &()).await?;
            Ok(status)
        });
        Ok(status.await?.into_iter().filter_map(|(name, value)| Some((name, json(&value)?))).collect())
    }

    /// The cards, oldest first.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn cards(&self) -> Result<Vec<Card>, Failure> {
        let client = self.client().await?;
        let cards = within_limit(async { client.wallet().await?.list_credentials().await }).await?;
        let cards = cards.into_iter().map(|(path, info)| Card {
            card: last_part(&path).to_owned(),
            payment_network_id: info.payment_network_id,
            issuer_id: info.issuer_id,
            account_id: info.account_id,
            serial_number: info.serial_number,
            rp_id: info.rp_id,
            authenticator: info.authenticator,
            created: info.created,
        });
        Ok(cards.collect())
    }

    /// A card's picture: SVG as the bank made it, not made safe.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn card_image(&self, card: &CardName) -> Result<String, Failure> {
        let client = self.client().await?;
        let image = within_limit(async {
            let cards = client.wallet().await?.list_credentials().await?;
            let Some((path, _)) = cards.iter().find(|(path, _)| last_part(path) == card.as_str()) else {
                return Ok(None);
            };
            Ok(Some(client.credential(path).await?.card_image().await?))
        });
        let image = image.await?.ok_or_else(|| Failure::unknown("card"))?;
        String::from_utf8(image).map_err(|_| Failure::nonsense("a picture that is not UTF-8"))
    }
}

/// What the wallet answers to a call that nobody is asked about, within the time that it may take.
///
/// # Errors
/// [`Failure`].
pub async fn within_limit<T>(call: impl Future<Output = Result<T, ClientError>>) -> Result<T, Failure> {
    match tokio::time::timeout(ANSWER_LIMIT, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::gone(format_args!(
            "the wallet does not answer within {} s; restart fwpd",
            ANSWER_LIMIT.as_secs()
        ))),
    }
}

/// The browser, as the wallet is told of it.
pub fn user_agent(browser: &Browser) -> PaymentOptions {
    PaymentOptions {
        user_agent_name: Some(browser.name.clone()),
        user_agent_version: Some(browser.version.clone()),
    }
}

fn last_part(path: &OwnedObjectPath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}

fn json(value: &Variant<'_>) -> Option<Value> {
    Some(match value {
        Variant::Bool(value) => (*value).into(),
        Variant::I32(value) => (*value).into(),
        Variant::U32(value) => (*value).into(),
        Variant::I64(value) => (*value).into(),
        Variant::U64(value) => (*value).into(),
        Variant::Str(value) => value.as_str().into(),
        _ => return None,
    })
}
