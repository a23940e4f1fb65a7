//! `fwpctl export` and `fwpctl import`

use super::Context;
use super::keys::asked;
use crate::args::{ExportArgs, ImportArgs, PassphraseArgs};
use crate::error::{Error, file_error};
use crate::table::Table;
use fwp_dbus::types::ImportedCard;
use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const STANDARD: &str = "-";

pub(super) async fn export(context: &Context, args: ExportArgs) -> Result<(), Error> {
    let path = args.file.as_path();
    let is_standard = path == Path::new(STANDARD);
    let file = if is_standard {
        if std::io::stdout().is_terminal() {
            return Err(Error::Usage("standard output is a terminal; name a file, or a pipe".to_owned()));
        }
        std::io::stdout().as_fd().try_clone_to_owned().map_err(Error::Output)?
    } else {
        // Never over one that is there: it may be the only copy.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        OwnedFd::from(made.map_err(file_error(path))?)
    };
    let exported = asked(context, &args.ask, async |store| Ok(store.export(file.into()).await?)).await;
    if exported.is_err() && !is_standard {
        // What is in it is no copy.
        let _ = std::fs::remove_file(path);
    }
    let count = exported?;
    if is_standard {
        context.out.note(&format!("{} exported.", cards(count)));
        return Ok(());
    }
    let json = serde_json::json!({"exported": count, "file": path.display().to_string()});
    context.out.result(&json, || {
        format!(
            "{} exported. Keep the passphrase elsewhere than the file; without it nobody can read it.\n",
            cards(count)
        )
    })
}

fn cards(count: u32) -> String {
    if count == 1 { "1 card".to_owned() } else { format!("{count} cards") }
}

pub(super) async fn import(context: &Context, args: ImportArgs) -> Result<(), Error> {
    let path = args.file.as_path();
    let file = if path == Path::new(STANDARD) {
        if std::io::stdin().is_terminal() {
            return Err(Error::Usage("standard input is a terminal; name a file, or give a pipe".to_owned()));
        }
        std::io::stdin().as_fd().try_clone_to_owned().map_err(file_error(path))?
    } else {
        OwnedFd::from(std::fs::File::open(path).map_err(file_error(path))?)
    };
    let ask: PassphraseArgs = args.ask;
    let imported = asked(context, &ask, async |store| Ok(store.import(file.into()).await?)).await?;
    let json: Vec<_> = imported
        .iter()
        .map(|card| {
            serde_json::json!({
                "id": crate::cards::id_of(&card.path), "rpId": card.rp_id, "issuerId": card.issuer_id,
                "paymentNetworkId": card.payment_network_id, "state": card.state, "needs": card.needs,
            })
        })
        .collect();
    context.out.result(&json, || table(&imported, context.out.columns()))
}

fn table(cards: &[ImportedCard], columns: Option<usize>) -> String {
    let mut table = Table::new(["BANK", "NETWORK", "STATE", "NEEDS", "ID"]);
    for card in cards {
        let needs = match card.needs.as_str() {
            "nothing" => "nothing",
            "key" => "the security key it was enrolled with",
            _ => "to be enrolled again: its key is not in this computer",
        };
        table.row([
            &card.rp_id,
            &card.payment_network_id,
            &card.state,
            needs,
            crate::cards::id_of(&card.path),
        ]);
    }
    table.render(columns)
}
