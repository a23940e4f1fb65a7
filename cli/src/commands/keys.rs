//! `fwpctl keys`: what opens the store.

use super::{Context, store_answers, until_interrupted};
use crate::agent::TerminalAgent;
use crate::args::{KeysAddArgs, KeysArgs, KeysCommand, PassphraseArgs};
use crate::bus;
use crate::error::Error;
use crate::polkit::Polkit;
use crate::table::Table;
use fwp_dbus::proxy::StoreProxy;
use fwp_dbus::types::{SlotInfo, SlotOptions};

pub(super) async fn run(context: &Context, args: KeysArgs) -> Result<(), Error> {
    match args.command.unwrap_or(KeysCommand::List) {
        KeysCommand::List => until_interrupted(context, list(context)).await,
        KeysCommand::Add(args) => add(context, args).await,
        KeysCommand::Remove(args) => {
            let slot = args.slot;
            asked(context, &args.ask, async |store| Ok(store.remove_slot(slot).await?)).await?;
            let json = serde_json::json!({"removed": slot});
            context.out.result(&json, || format!("Removed the key slot {slot}.\n"))
        }
        KeysCommand::Rotate(args) => {
            let what = if args.data_key { "data-key" } else { "slots" };
            asked(context, &args.ask, async |store| Ok(store.rotate(what).await?)).await?;
            context.out.result(&serde_json::json!({"rotated": what}), || match args.data_key {
                true => "Everything is encrypted anew under a new key.\n".to_owned(),
                false => "Every key slot is filled anew.\n".to_owned(),
            })
        }
        KeysCommand::AcceptCopy(ask) => {
            asked(context, &ask, async |store| Ok(store.accept_copy().await?)).await?;
            let json = serde_json::json!({"accepted": true});
            context.out.result(&json, || "This copy of the store is the one that counts now.\n".to_owned())
        }
    }
}

/// Does something that the wallet asks about, by the dialog that is there or on this terminal. It lasts as long as the person
/// takes.
pub(super) async fn asked<T>(
    context: &Context,
    ask: &PassphraseArgs,
    work: impl AsyncFnOnce(StoreProxy<'static>) -> Result<T, Error>,
) -> Result<T, Error> {
    let agent = TerminalAgent::new(store_answers(ask)?, context.out, context.interrupt.clone());
    let found = until_interrupted(context, bus::find(&context.bus)).await?;
    let client = &found.client;
    let mut polkit = Polkit::ready(&found).await;
    let done = async {
        bus::ensure_agent(client, &agent, context.out).await?;
        let done = work(client.store().await?).await;
        polkit.explained(context.out, done).await
    };
    until_interrupted(context, done).await.map_err(|error| agent.take_trouble().unwrap_or(error))
}

async fn list(context: &Context) -> Result<(), Error> {
    let found = bus::find(&context.bus).await?;
    let slots = async { Ok(found.client.store().await?.slots().await?) };
    let slots = bus::answered(context.out, slots).await?;
    let json: Vec<_> = slots.iter().map(json).collect();
    context.out.result(&json, || table(&slots, context.out.columns()))
}

fn json(slot: &SlotInfo) -> serde_json::Value {
    serde_json::json!({
        "id": slot.id, "kind": slot.kind, "opened": slot.opened, "state": slot.state, "problem": slot.problem,
    })
}

fn table(slots: &[SlotInfo], columns: Option<usize>) -> String {
    if slots.is_empty() {
        return "Nothing is stored yet, so there are no key slots.\n".to_owned();
    }
    let mut table = Table::new(["#", "KIND", "STATE", "OPENED IT", "PROBLEM"]);
    for slot in slots {
        let state = if slot.state == "ask" { "asked for by \"unlock\"" } else { slot.state.as_str() };
        let opened = if slot.opened { "yes" } else { "" };
        let problem = slot.problem.as_deref().unwrap_or_default();
        table.row([&slot.id.to_string(), &slot.kind, state, opened, problem]);
    }
    table.render(columns)
}

async fn add(context: &Context, args: KeysAddArgs) -> Result<(), Error> {
    let KeysAddArgs { kind, pcrs, ask } = args;
    if !pcrs.is_empty() {
        if kind != "tpm" {
            return Err(Error::Usage("--pcrs is for a slot of the kind \"tpm\" alone".to_owned()));
        }
        context.out.note(
            "Careful: an update of the firmware or of Secure Boot's lists shuts this slot for good. Have another one besides.",
        );
    }
    let options = SlotOptions { pcrs: (!pcrs.is_empty()).then_some(pcrs) };
    let id = asked(context, &ask, async |store| Ok(store.add_slot(&kind, &options).await?)).await?;
    let json = serde_json::json!({"added": id, "kind": kind});
    context.out.result(&json, || format!("Added the key slot {id} ({kind}).\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_opens_the_store_and_why_something_does_not() {
        let slot = |id, kind: &str, state: &str, problem: Option<&str>| SlotInfo {
            id,
            kind: kind.to_owned(),
            opened: id == 1,
            state: state.to_owned(),
            problem: problem.map(str::to_owned),
        };
        let slots = [
            slot(1, "key-file", "usable", None),
            slot(2, "tpm", "unusable", Some("the TPM was cleared")),
            slot(3, "passphrase", "ask", None),
        ];
        assert_eq!(
            table(&slots, None),
            "#  KIND        STATE                  OPENED IT  PROBLEM\n\
             1  key-file    usable                 yes\n\
             2  tpm         unusable                          the TPM was cleared\n\
             3  passphrase  asked for by \"unlock\"\n"
        );
    }
}
