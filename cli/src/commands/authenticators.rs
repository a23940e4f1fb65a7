//! `fwpctl authenticators`: what is there, as it comes and goes; info and wink.

use super::{Context, certify, pin, reset, until_interrupted};
use crate::agent::attempts;
use crate::args::{AuthenticatorsArgs, AuthenticatorsCommand, WhichArgs};
use crate::bus;
use crate::cards::id_of;
use crate::error::Error;
use crate::table::Table;
use crate::text::safe;
use fwp_dbus::interfaces::WALLET_PATH;
use fwp_dbus::types::{AuthenticatorDetails, AuthenticatorInfo, PinStatus};
use fwp_dbus::{Client, ClientError, ErrorName, Event};
use std::collections::BTreeSet;
use zbus::{ObjectPath, OwnedObjectPath};

/// Names any security key, or the only one.
pub(super) const ANY_KEY: &str = "key";
/// Names this computer.
pub(super) const PLATFORM: &str = "platform";
/// A security key, as the wallet calls it.
const CROSS_PLATFORM: &str = "cross-platform";

/// An authenticator and how it stands with its PIN, as far as it answers.
pub(super) struct Found {
    pub(super) path: OwnedObjectPath,
    pub(super) info: AuthenticatorInfo,
    pub(super) pin: Result<PinStatus, ClientError>,
}

pub(super) async fn run(context: &Context, args: AuthenticatorsArgs) -> Result<(), Error> {
    match args.command {
        None if args.watch => watch(context).await,
        None => until_interrupted(context, show(context)).await,
        Some(AuthenticatorsCommand::Info(which)) => until_interrupted(context, info(context, which)).await,
        Some(AuthenticatorsCommand::Wink(which)) => until_interrupted(context, wink(context, which)).await,
        Some(AuthenticatorsCommand::Reset(args)) => reset::run(context, args).await,
        Some(AuthenticatorsCommand::Certify(args)) => certify::run(context, args).await,
        Some(AuthenticatorsCommand::Pin(command)) => pin::run(context, command).await,
    }
}

async fn show(context: &Context) -> Result<(), Error> {
    let found = bus::find(&context.bus).await?;
    let all = bus::answered(context.out, list(&found.client)).await?;
    let json: Vec<_> = all.iter().enumerate().map(|(i, one)| json(i + 1, one)).collect();
    context.out.result(&json, || table(&all, context.out.columns()))
}

fn table(all: &[Found], columns: Option<usize>) -> String {
    if all.is_empty() {
        return "No authenticator is there. Plug in a security key.\n".to_owned();
    }
    let mut table = Table::new(["#", "KIND", "NAME", "PIN", "MODEL (AAGUID)", "ID"]);
    for (i, Found { path, info, pin }) in all.iter().enumerate() {
        let pin = if info.usable { pin_text(pin) } else { "not usable".to_owned() };
        table.row([&(i + 1).to_string(), &info.kind, &info.name, &pin, &info.aaguid, id_of(path)]);
    }
    let mut text = table.render(columns);
    for one in all.iter().filter(|one| !one.info.usable) {
        text.push_str(&format!("{}: {}\n", safe(id_of(&one.path)), safe(&one.info.problem)));
    }
    text
}

/// What is there, and then a line for each that comes or goes, until Ctrl-C, which is how it is meant to end.
async fn watch(context: &Context) -> Result<(), Error> {
    let work = async {
        let found = bus::find(&context.bus).await?;
        let client = &found.client;
        let mut events = client.events(&ObjectPath::from_static_str_unchecked(WALLET_PATH));
        let begin = async {
            let wallet = client.wallet().await?;
            wallet.watch_authenticators().await?;
            Ok(wallet.list_authenticators().await?)
        };
        let mut known = BTreeSet::new();
        for (path, info) in bus::answered(context.out, begin).await? {
            came_or_went(context, true, &path, Some(&info))?;
            known.insert(path.to_string());
        }
        loop {
            match events.next().await? {
                // One that came while the list was made is in both.
                Event::AuthenticatorAdded(path, info) if known.insert(path.to_string()) => {
                    came_or_went(context, true, &path, Some(&info))?;
                }
                Event::AuthenticatorRemoved(path) if known.remove(path.as_str()) => {
                    came_or_went(context, false, &path, None)?;
                }
                _ => {}
            }
        }
    };
    match until_interrupted(context, work).await {
        Err(Error::Interrupted) => Ok(()),
        other => other,
    }
}

fn came_or_went(
    context: &Context,
    came: bool,
    path: &OwnedObjectPath,
    info: Option<&AuthenticatorInfo>,
) -> Result<(), Error> {
    let id = id_of(path);
    if context.out.is_json() {
        let mut line = serde_json::json!({"event": if came { "added" } else { "removed" }, "id": id});
        if let (Some(info), Some(line)) = (info, line.as_object_mut()) {
            line.extend(info_json(info));
        }
        return context.out.json_line(&line);
    }
    let what = match info {
        Some(info) if info.usable => format!("  {}  {}", safe(&info.kind), safe(&info.name)),
        Some(info) => {
            format!("  {}  {}  not usable: {}", safe(&info.kind), safe(&info.name), safe(&info.problem))
        }
        None => String::new(),
    };
    context.out.text(&format!("{} {}{what}\n", if came { '+' } else { '-' }, safe(id)))
}

async fn info(context: &Context, args: WhichArgs) -> Result<(), Error> {
    let found = bus::find(&context.bus).await?;
    let work = async {
        let path = pick(&found.client, args.which.as_deref()).await?;
        let all = found.client.wallet().await?.list_authenticators().await?;
        let known = all.into_iter().find(|(other, _)| *other == path);
        let (_, info) = known.ok_or_else(|| Error::NoSuchAuthenticator(id_of(&path).to_owned()))?;
        if !info.usable {
            return Ok((path, info, None));
        }
        let details = found.client.authenticator(&path).await?.info().await?;
        Ok((path, info, Some(details)))
    };
    let (path, info, details) = bus::answered(context.out, work).await?;
    let mut json = serde_json::json!({"id": id_of(&path)});
    if let Some(json) = json.as_object_mut() {
        json.extend(info_json(&info));
        if let Some(details) = &details {
            json.extend(details_json(details));
        }
    }
    context.out.result(&json, || details_text(&path, &info, details.as_ref()))
}

async fn wink(context: &Context, args: WhichArgs) -> Result<(), Error> {
    let found = bus::find(&context.bus).await?;
    let work = async {
        let path = pick(&found.client, args.which.as_deref()).await?;
        found.client.authenticator(&path).await?.wink().await?;
        Ok(path)
    };
    let path = bus::answered(context.out, work).await?;
    let json = serde_json::json!({"id": id_of(&path), "winked": true});
    context.out.result(&json, || format!("{} was told to blink.\n", safe(id_of(&path))))
}

/// All of them, asked for their PINs one after the other.
pub(super) async fn list(client: &Client) -> Result<Vec<Found>, Error> {
    let mut all = Vec::new();
    for (path, info) in client.wallet().await?.list_authenticators().await? {
        let pin = if info.usable {
            client.authenticator(&path).await?.pin_status().await
        } else {
            Err(fwp_dbus::Error::new(ErrorName::NoAuthenticator, info.problem.clone()).into())
        };
        all.push(Found { path, info, pin });
    }
    Ok(all)
}

/// The one that `name` is the number, ID or kind of, or "key" or "platform"; without a name, the only one. This computer is one:
/// where it has a TPM that can be used, that stands for it, and its keys in software have to be named.
pub(super) async fn pick(client: &Client, name: Option<&str>) -> Result<OwnedObjectPath, Error> {
    let all = client.wallet().await?.list_authenticators().await?;
    let has_tpm = all.iter().any(|(_, info)| info.kind == "tpm" && info.usable);
    let stands_back = |info: &AuthenticatorInfo| {
        info.attachment == PLATFORM
            && (info.kind == "tpm") != has_tpm
            && name.is_none_or(|name| name == PLATFORM)
    };
    let is_called = |number: usize, path: &OwnedObjectPath, info: &AuthenticatorInfo, name: &str| {
        let attachment = match name {
            ANY_KEY => Some(CROSS_PLATFORM),
            PLATFORM => Some(PLATFORM),
            _ => None,
        };
        number.to_string() == name
            || id_of(path) == name
            || info.kind == name
            || attachment.is_some_and(|attachment| info.attachment == attachment)
    };
    let mut named = all
        .iter()
        .enumerate()
        .filter(|(_, (_, info))| !stands_back(info))
        .filter(|(i, (path, info))| name.is_none_or(|name| is_called(i + 1, path, info, name)));
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
        Err(ClientError::Refused(error)) if error.name == ErrorName::Busy => "in use".to_owned(),
        Err(_) => "does not answer".to_owned(),
    }
}

fn json(number: usize, one: &Found) -> serde_json::Value {
    let pin = one.pin.as_ref().ok().map(|pin| {
        serde_json::json!({"set": pin.set, "retries": pin.retries, "minLength": pin.min_length, "blocked": pin.blocked})
    });
    let pin_problem = one.pin.as_ref().err().map(ToString::to_string);
    let mut json = serde_json::json!({
        "number": number, "id": id_of(&one.path), "pin": pin, "pinProblem": pin_problem,
    });
    if let Some(json) = json.as_object_mut() {
        json.extend(info_json(&one.info));
    }
    json
}

fn info_json(info: &AuthenticatorInfo) -> serde_json::Map<String, serde_json::Value> {
    let json = serde_json::json!({
        "kind": info.kind, "attachment": info.attachment, "name": info.name, "aaguid": info.aaguid,
        "versions": info.versions, "usable": info.usable, "problem": info.problem,
    });
    json.as_object().cloned().unwrap_or_default()
}

fn details_json(details: &AuthenticatorDetails) -> serde_json::Map<String, serde_json::Value> {
    let json = serde_json::json!({
        "extensions": details.extensions, "transports": details.transports, "options": details.options,
        "algorithms": details.algorithms, "pinProtocols": details.pin_protocols,
        "pin": {
            "set": details.pin_set, "retries": details.pin_retries, "minLength": details.pin_min_length,
            "blocked": details.pin_blocked, "changeRequired": details.pin_change_required,
        },
        "freeSlots": details.remaining_slots, "firmwareVersion": details.firmware_version,
        "maxMessageSize": details.max_message_size,
    });
    json.as_object().cloned().unwrap_or_default()
}

/// A line for each thing that is known.
fn details_text(
    path: &OwnedObjectPath,
    info: &AuthenticatorInfo,
    details: Option<&AuthenticatorDetails>,
) -> String {
    let mut lines = vec![
        ("ID", id_of(path).to_owned()),
        ("kind", info.kind.clone()),
        ("name", info.name.clone()),
        ("usable", if info.usable { "yes".to_owned() } else { format!("no: {}", info.problem) }),
        ("model (AAGUID)", info.aaguid.clone()),
        ("versions", info.versions.join(", ")),
    ];
    if let Some(details) = details {
        let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
        let pin = match details {
            details if details.pin_blocked => "blocked; only a reset helps".to_owned(),
            details if details.pin_set => format!("set, {}", attempts(details.pin_retries)),
            _ => "not set".to_owned(),
        };
        let options = details
            .options
            .iter()
            .map(|(name, value)| format!("{name} {}", if *value { "yes" } else { "no" }));
        let algorithms = details.algorithms.iter().map(|id| match id {
            -7 => "ES256".to_owned(),
            -8 => "EdDSA".to_owned(),
            -257 => "RS256".to_owned(),
            other => other.to_string(),
        });
        let protocols = details.pin_protocols.iter().map(ToString::to_string);
        lines.extend([
            ("PIN", pin),
            (
                "PIN change",
                if details.pin_change_required { "wanted before use".to_owned() } else { String::new() },
            ),
            ("PIN length", format!("at least {}", details.pin_min_length)),
            ("PIN protocols", protocols.collect::<Vec<_>>().join(", ")),
            ("free slots", number(details.remaining_slots)),
            ("firmware", number(details.firmware_version)),
            ("transports", details.transports.join(", ")),
            ("algorithms", algorithms.collect::<Vec<_>>().join(", ")),
            ("extensions", details.extensions.join(", ")),
            ("options", options.collect::<Vec<_>>().join(", ")),
            ("message size", number(details.max_message_size)),
        ]);
    }
    let known = lines.iter().filter(|(_, text)| !text.is_empty());
    known.map(|(name, text)| format!("{name:<15} {}\n", safe(text))).collect()
}
