//! `fwpctl agent`

use super::{Context, answers, lines, until_interrupted};
use crate::agent::TerminalAgent;
use crate::args::AgentArgs;
use crate::bus::{self, AGENT_PATH};
use crate::error::Error;
use crate::events;
use crate::pin::Secret;
use std::time::Duration;

/// How long the daemon may take to note that this agent goes.
const GOODBYE: Duration = Duration::from_secs(2);

pub(super) async fn run(context: &Context, args: AgentArgs) -> Result<(), Error> {
    let mut answers = answers(&args.ask)?;
    answers.card = args.card;
    answers.passphrases = lines(args.passphrase_fd, Secret::Passphrase)?;
    answers.reports = true;
    let agent = TerminalAgent::new(answers, context.out, context.interrupt.clone());
    if !agent.can_answer() {
        return Err(Error::NobodyToAsk);
    }
    let found = until_interrupted(context, bus::find(&context.bus)).await?;
    let client = &found.client;
    until_interrupted(context, bus::register(client, &agent, context.out)).await?;
    context.out.note(&format!("The wallet's questions are asked here ({}). Ctrl-C ends this.", found.bus));
    if args.ask.yes {
        context.out.note("Everything is approved without a question (--yes).");
    }

    // The daemon says nothing on the agent's own path, but its end is noticed there.
    let mut end = client.events(&AGENT_PATH);
    match until_interrupted(context, events::finished(&mut end)).await {
        // This is how it is meant to end.
        Err(Error::Interrupted) => {
            let goodbye = async { client.wallet().await?.unregister_agent(&AGENT_PATH).await };
            let _ = tokio::time::timeout(GOODBYE, goodbye).await; // it is forgotten with the connection anyway
            Ok(())
        }
        other => other,
    }
}
