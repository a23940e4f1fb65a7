//! `fwpctl history`

use super::Context;
use crate::args::HistoryArgs;
use crate::bus;
use crate::cards::{self, Card, id_of, masked_account};
use crate::error::Error;
use crate::table::Table;
use fwp_dbus::types::{HistoryEntry, HistoryOptions};

pub(super) async fn run(context: &Context, args: HistoryArgs) -> Result<(), Error> {
    let found = bus::find(&context.bus).await?;
    let options = HistoryOptions { before: args.before };
    let entries = async {
        let wallet = found.client.wallet().await?;
        let entries = wallet.history(args.limit, &options).await?;
        // People are shown which card it was.
        let cards = if context.out.is_json() { Vec::new() } else { cards::list(&found.client).await? };
        Ok((entries, cards))
    };
    let (entries, cards) = bus::answered(context.out, entries).await?;
    let json: Vec<_> = entries.iter().map(json).collect();
    context.out.result(&json, || text(&entries, &cards, context.out.columns()))
}

/// Fields that don't apply are left out, as on the bus.
fn json(entry: &HistoryEntry) -> serde_json::Value {
    let mut json = serde_json::json!({"sequence": entry.sequence, "time": entry.time, "event": entry.event});
    let fields = [
        ("payeeName", entry.payee_name.as_deref()),
        ("payeeHost", entry.payee_host.as_deref()),
        ("amount", entry.amount.as_deref()),
        ("currency", entry.currency.as_deref()),
        ("requestId", entry.request_id.as_deref()),
        ("card", entry.credential.as_ref().map(id_of)),
        ("reason", entry.reason.as_deref()),
    ];
    if let Some(object) = json.as_object_mut() {
        object.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
    }
    json
}

fn text(entries: &[HistoryEntry], cards: &[Card], columns: Option<usize>) -> String {
    if entries.is_empty() {
        return "Nothing has happened yet.\n".to_owned();
    }
    let mut table = Table::new(["NO.", "TIME", "WHAT", "AMOUNT", "PAYEE", "HOST", "CARD"]);
    for entry in entries {
        let amount = match (&entry.amount, &entry.currency) {
            (Some(amount), Some(currency)) => format!("{amount} {currency}"),
            _ => String::new(),
        };
        // That nothing was heard of the payee goes without saying.
        let event = entry.event.strip_suffix(", merchant says unknown").unwrap_or(&entry.event);
        let what = match &entry.reason {
            Some(reason) => {
                format!("{event} ({})", reason.strip_prefix(fwp_dbus::error::PREFIX).unwrap_or(reason))
            }
            None => event.to_owned(),
        };
        let card = entry.credential.as_ref().map_or(String::new(), |path| {
            match cards.iter().find(|card| card.path == *path) {
                Some(card) => masked_account(&card.info.account_id),
                None => "(removed)".to_owned(),
            }
        });
        table.row([
            &entry.sequence.to_string(),
            &entry.time,
            &what,
            &amount,
            entry.payee_name.as_deref().unwrap_or_default(),
            entry.payee_host.as_deref().unwrap_or_default(),
            &card,
        ]);
    }
    table.render(columns)
        + "\n\"authorized\" says that you agreed; whether it was paid, the payee and your bank know.\n"
}
