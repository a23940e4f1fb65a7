//! `fwpctl authenticators`

use super::Context;
use crate::agent::attempts;
use crate::bus;
use crate::cards::id_of;
use crate::error::Error;
use crate::table::Table;
use fwp_dbus::types::{AuthenticatorInfo, PinStatus};
use fwp_dbus::{Client, ClientError};
use zbus::OwnedObjectPath;

/// An authenticator and how it stands with its PIN, as far as it answers.
pub(super) struct Found {
    pub(super) path: OwnedObjectPath,
    pub(super) info: AuthenticatorInfo,
    pub(super) pin: Result<PinStatus, ClientError>,
}

pub(super) async fn run(context: &Context) -> Result<(), Error> {
    let found = bus::find(&context.bus).await?;
    let all = bus::answered(context.out, list(&found.client)).await?;
    let json: Vec<_> = all.iter().enumerate().map(|(i, one)| json(i + 1, one)).collect();
    context.out.result(&json, || {
        if all.is_empty() {
            return "No authenticator is there. Plug in a security key.\n".to_owned();
        }
        let mut table = Table::new(["#", "KIND", "NAME", "PIN", "MODEL (AAGUID)", "ID"]);
        for (i, one) in all.iter().enumerate() {
            let Found { info, .. } = one;
            table.row([
                &(i + 1).to_string(),
                &info.kind,
                &info.name,
                &pin_text(&one.pin),
                &info.aaguid,
                id_of(&one.path),
            ]);
        }
        table.render(context.out.columns())
    })
}

/// All of them, asked for their PINs one after the other.
pub(super) async fn list(client: &Client) -> Result<Vec<Found>, Error> {
    let mut all = Vec::new();
    for (path, info) in client.wallet().await?.list_authenticators().await? {
        let pin = client.authenticator(&path).await?.pin_status().await;
        all.push(Found { path, info, pin });
    }
    Ok(all)
}

/// The one that `name` is the number, ID or kind of; without a name, the only one.
pub(super) async fn pick(client: &Client, name: Option<&str>) -> Result<OwnedObjectPath, Error> {
    let all = client.wallet().await?.list_authenticators().await?;
    let mut named = all.iter().enumerate().filter(|(i, (path, info))| {
        name.is_none_or(|name| (i + 1).to_string() == name || id_of(path) == name || info.kind == name)
    });
    match (named.next(), named.next()) {
        (None, _) => Err(Error::NoSuchAuthenticator(name.unwrap_or("at all").to_owned())),
        (Some((_, (path, _))), None) => Ok(path.clone()),
        (Some(_), Some(_)) => Err(Error::AmbiguousAuthenticator),
    }
}

/// How it stands with a PIN, in a few words.
pub(super) fn pin_text(pin: &Result<PinStatus, ClientError>) -> String {
    match pin {
        Ok(pin) if pin.blocked => "blocked".to_owned(),
        Ok(pin) if pin.set => format!("set, {}", attempts(pin.retries)),
        Ok(_) => "not set".to_owned(),
        Err(_) => "does not answer".to_owned(),
    }
}

fn json(number: usize, one: &Found) -> serde_json::Value {
    let pin = one.pin.as_ref().ok().map(|pin| {
        serde_json::json!({"set": pin.set, "retries": pin.retries, "minLength": pin.min_length, "blocked": pin.blocked})
    });
    serde_json::json!({
        "number": number, "id": id_of(&one.path), "kind": one.info.kind, "name": one.info.name,
        "aaguid": one.info.aaguid, "pin": pin,
    })
}
