//! `fwpctl authenticators reset`

use super::{Context, answers, authenticators, until_interrupted};
use crate::agent::TerminalAgent;
use crate::args::{AskArgs, ResetArgs};
use crate::error::Error;
use crate::polkit::Polkit;
use crate::{bus, events};

pub(super) async fn run(context: &Context, args: ResetArgs) -> Result<(), Error> {
    let ask = AskArgs { yes: args.yes, pin_fd: None };
    let agent = TerminalAgent::new(answers(&ask)?, context.out, context.interrupt.clone());
    let found = until_interrupted(context, bus::find(&context.bus)).await?;
    let client = &found.client;
    let mut polkit = Polkit::ready(&found).await;
    let work = async {
        let pick = authenticators::pick(client, args.which.as_deref());
        let path = bus::answered(context.out, pick).await?;
        bus::ensure_agent(client, &agent, context.out).await?;
        let mut events = client.events(&path);
        let start = async { client.authenticator(&path).await?.reset().await.map_err(Error::Wallet) };
        polkit.answered(context.out, start).await?;
        events::finished(&mut events).await
    };
    until_interrupted(context, work).await.map_err(|error| agent.take_trouble().unwrap_or(error))?;
    let people = || "It is reset: its keys and its PIN are gone. Enroll its cards again.\n".to_owned();
    context.out.result(&serde_json::json!({"reset": true}), people)
}
