//! `fwpctl lock` and `fwpctl unlock`

use super::keys::asked;
use super::{Context, store_answers, until_interrupted};
use crate::agent::TerminalAgent;
use crate::args::{PassphraseArgs, UnlockArgs};
use crate::bus;
use crate::error::Error;
use crate::users;
use fwp_dbus::{ClientError, ErrorName};

pub(super) async fn lock(context: &Context) -> Result<(), Error> {
    let found = bus::find(&context.bus).await?;
    // A payment that is before the user is waited for.
    found.client.store().await?.lock().await?;
    let json = serde_json::json!({"store": "locked"});
    context.out.result(&json, || "The store is closed, its key forgotten.\n".to_owned())
}

/// Where a slot opens the store by itself, nobody is needed to ask.
pub(super) async fn unlock(context: &Context, args: UnlockArgs) -> Result<(), Error> {
    let UnlockArgs { user, ask: args } = args;
    if let Some(user) = user {
        return unlock_for(context, &user, &args).await;
    }
    let found = until_interrupted(context, bus::find(&context.bus)).await?;
    let by_itself = async { Ok(found.client.wallet().await?.status().await?.store == "open") };
    let is_open = until_interrupted(context, bus::answered(context.out, by_itself)).await?;
    if !is_open {
        let agent = TerminalAgent::new(store_answers(&args)?, context.out, context.interrupt.clone());
        if agent.can_answer() || agent.can_give_passphrases() {
            drop(agent);
            asked(context, &args, async |store| Ok(store.unlock().await?)).await?;
        } else {
            let opened = async { Ok(found.client.store().await?.unlock().await?) };
            until_interrupted(context, opened).await.map_err(|error| match error {
                Error::Wallet(ClientError::Refused(refused)) if refused.name == ErrorName::NoAgent => {
                    Error::NobodyToAsk
                }
                error => error,
            })?;
        }
    }
    let json = serde_json::json!({"store": "open"});
    context.out.result(&json, || "The store is open.\n".to_owned())
}

/// An administrator opens another user's wallet.
async fn unlock_for(context: &Context, user: &str, ask: &PassphraseArgs) -> Result<(), Error> {
    let uid = users::number(user).await?;
    asked(context, ask, async |store| Ok(store.unlock_for(uid).await?)).await?;
    let json = serde_json::json!({"store": "open", "user": uid});
    context.out.result(&json, || format!("The wallet of user {uid} is open.\n"))
}
