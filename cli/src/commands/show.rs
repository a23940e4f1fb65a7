//! `fwpctl show`

use super::Context;
use crate::args::ShowArgs;
use crate::bus;
use crate::card_image::{render, sanitize};
use crate::cards::{self, Card, algorithm_name};
use crate::error::{Error, file_error};
use crate::text::safe;
use data_encoding::BASE64URL_NOPAD;

pub(super) async fn run(context: &Context, args: ShowArgs) -> Result<(), Error> {
    let found = bus::find(&context.bus).await?;
    let cards = bus::answered(context.out, cards::list(&found.client)).await?;
    let card = cards::find(&cards, &args.card)?;
    if let Some(path) = &args.image {
        let svg =
            async { found.client.credential(&card.path).await?.card_image().await.map_err(Error::Wallet) };
        let svg = bus::answered(context.out, svg).await?;
        let image = sanitize(&svg)?;
        std::fs::write(path, render(&image, args.width)?).map_err(file_error(path))?;
        context.out.note(&format!("The picture is in {}.", safe(&path.display().to_string())));
        if image.left_out() > 0 {
            context.out.note(&format!(
                "Left out of it: {} (text, embedded pictures, effects).",
                parts(image.left_out())
            ));
        }
    }
    context.out.result(&card.json(), || text(card))
}

fn parts(count: usize) -> String {
    if count == 1 { "1 part".to_owned() } else { format!("{count} parts") }
}

fn text(card: &Card) -> String {
    let info = &card.info;
    let lines = [
        ("Card", card.number.to_string()),
        ("ID", card.id().to_owned()),
        ("Account", info.account_id.clone()),
        ("Issuer", info.issuer_id.clone()),
        ("Network", info.payment_network_id.clone()),
        ("Serial number", info.serial_number.clone()),
        ("rpId", info.rp_id.clone()),
        ("Key in", info.authenticator.clone()),
        ("Signs with", algorithm_name(info.signature_algorithm)),
        ("Credential ID", BASE64URL_NOPAD.encode(&info.credential_id)),
        ("Since", info.created.clone()),
    ];
    lines.iter().map(|(name, value)| format!("{name:<14} {}\n", safe(value))).collect()
}
