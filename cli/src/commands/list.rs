//! `fwpctl list`

use super::Context;
use crate::bus;
use crate::cards::{self, Card, masked_account};
use crate::error::Error;
use crate::table::Table;

pub(super) async fn run(context: &Context) -> Result<(), Error> {
    let found = bus::find(&context.bus).await?;
    let cards = bus::answered(context.out, cards::list(&found.client)).await?;
    let json: Vec<_> = cards.iter().map(Card::json).collect();
    context.out.result(&json, || table(&cards, context.out.columns()))
}

/// The cards as a table, or what to do when there's none.
pub(super) fn table(cards: &[Card], columns: Option<usize>) -> String {
    if cards.is_empty() {
        return "No cards yet. Get some with \"fwpctl enroll\" and the address of your bank's offer.\n"
            .to_owned();
    }
    // Without the serial number, which "show" has: this fits into the 80 columns of most terminals.
    let mut table = Table::new(["#", "ACCOUNT", "BANK", "NETWORK", "KEY IN", "ID"]);
    for card in cards {
        table.row([
            &card.number.to_string(),
            &masked_account(&card.info.account_id),
            &card.info.rp_id,
            &card.info.payment_network_id,
            &card.info.authenticator,
            card.id(),
        ]);
    }
    table.render(columns)
}
