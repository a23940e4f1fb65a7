//! `fwpctl pin set` and `fwpctl pin change`, which are `fwpctl authenticators pin ...` as well

use super::{Context, answers, authenticators, until_interrupted};
use crate::agent::TerminalAgent;
use crate::args::{AskArgs, PinArgs, PinCommand};
use crate::error::Error;
use crate::polkit::Polkit;
use crate::{bus, events};

pub(super) async fn run(context: &Context, command: PinCommand) -> Result<(), Error> {
    let (args, first) = match command {
        PinCommand::Set(args) => (args, true),
        PinCommand::Change(args) => (args, false),
    };
    let PinArgs { which, authenticator, pin_fd } = args;
    let authenticator = which.or(authenticator);
    // The one question is the PIN itself: a descriptor that has it is an answer.
    let ask = AskArgs { yes: pin_fd.is_some(), pin_fd };
    let agent = TerminalAgent::new(answers(&ask)?, context.out, context.interrupt.clone());
    let found = until_interrupted(context, bus::find(&context.bus)).await?;
    let client = &found.client;
    let mut polkit = Polkit::ready(&found).await;
    let work = async {
        let pick = authenticators::pick(client, authenticator.as_deref());
        let path = bus::answered(context.out, pick).await?;
        bus::ensure_agent(client, &agent, context.out).await?;
        let mut events = client.events(&path);
        let start = async {
            let proxy = client.authenticator(&path).await?;
            let started = if first { proxy.set_pin().await } else { proxy.change_pin().await };
            started.map_err(Error::Wallet)
        };
        polkit.answered(context.out, start).await?;
        events::finished(&mut events).await
    };
    until_interrupted(context, work).await.map_err(|error| agent.take_trouble().unwrap_or(error))?;
    let done = if first { "set" } else { "changed" };
    context.out.result(&serde_json::json!({"pin": done}), || format!("The PIN is {done}.\n"))
}
