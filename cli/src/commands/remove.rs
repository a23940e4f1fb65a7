//! `fwpctl remove`

use super::{Context, until_interrupted};
use crate::agent::{Answers, TerminalAgent};
use crate::args::RemoveArgs;
use crate::cards::{self, masked_account};
use crate::error::Error;
use crate::polkit::Polkit;
use crate::{bus, events};

pub(super) async fn run(context: &Context, args: RemoveArgs) -> Result<(), Error> {
    let answers = Answers { yes: args.yes, ..Answers::default() };
    let agent = TerminalAgent::new(answers, context.out, context.interrupt.clone());
    let found = until_interrupted(context, bus::find(&context.bus)).await?;
    let client = &found.client;
    let mut polkit = Polkit::ready(&found).await;
    let removal = async {
        let cards = bus::answered(context.out, cards::list(client)).await?;
        let card = cards::find(&cards, &args.card)?;
        bus::ensure_agent(client, &agent, context.out).await?;
        let mut events = client.events(&card.path);
        let start = async { client.credential(&card.path).await?.delete().await.map_err(Error::Wallet) };
        polkit.answered(context.out, start).await?;
        events::finished(&mut events).await?;
        Ok(card.clone())
    };
    let card =
        until_interrupted(context, removal).await.map_err(|error| agent.take_trouble().unwrap_or(error))?;
    let json = serde_json::json!({"removed": card.id()});
    context.out.result(&json, || format!("Removed the card {}.\n", masked_account(&card.info.account_id)))
}
