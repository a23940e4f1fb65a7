//! `fwpctl enroll`

use super::{Context, answers, authenticators, blocking, list, read_text, until_interrupted};
use crate::agent::TerminalAgent;
use crate::args::EnrollArgs;
use crate::bus::{self, Found};
use crate::cards::{self, Card};
use crate::error::{Error, file_error};
use crate::http;
use crate::origin::{OfferUrl, check_rp_id, parse_host};
use crate::out::Out;
use crate::polkit::Polkit;
use crate::text::safe;
use fwp::enrollment::{MAX_CARDS_BYTES, MAX_OFFER_BYTES, Offer};
use fwp_dbus::types::EnrollmentOptions;
use fwp_dbus::{ClientError, Event, Events};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zbus::OwnedObjectPath;

/// How often the bank's answer is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long the daemon may take to end what was cancelled.
const GOODBYE: Duration = Duration::from_secs(3);

/// An offer that may be taken up, and the way back to the bank.
struct Accepted {
    text: String,
    host: String,
    bank: Bank,
}

/// How the attestation gets to the bank, and the cards from it.
#[derive(Clone)]
enum Bank {
    Url(OfferUrl),
    Files { attestation: PathBuf, cards: PathBuf },
}

pub(super) async fn run(context: &Context, args: EnrollArgs) -> Result<(), Error> {
    let out = context.out;
    let answers = answers(&args.ask)?;
    let accepted = until_interrupted(context, offer(out, &args)).await?;
    let found = until_interrupted(context, bus::find(&context.bus)).await?;
    let client = &found.client;
    let agent = TerminalAgent::new(answers, out, context.interrupt.clone());
    let enrolled = enroll(context, &found, &agent, &args, &accepted).await;
    let paths = enrolled.map_err(|error| agent.take_trouble().unwrap_or(error))?;

    let cards = until_interrupted(context, bus::answered(out, cards::list(client))).await?;
    let cards: Vec<_> = cards.into_iter().filter(|card| paths.contains(&card.path)).collect();
    let json: Vec<_> = cards.iter().map(Card::json).collect();
    out.result(&json, || list::table(&cards, out.columns()))
}

/// The offer, checked as far as it can be without a wallet: its form, and whose rpId it names.
async fn offer(out: Out, args: &EnrollArgs) -> Result<Accepted, Error> {
    let limit = MAX_OFFER_BYTES as u64;
    if args.offer.contains("://") {
        let url = OfferUrl::parse(&args.offer)?;
        out.note(&format!("Fetching the offer from {} ...", url.origin()));
        let from = url.clone();
        let text = blocking(move || Ok(http::get(&from, limit)?)).await?;
        let offer = Offer::parse(&text).map_err(Error::Offer)?;
        url.check_rp_id(offer.rp_id.as_str())?;
        let attestation_url = offer.attestation_url.as_deref().ok_or(Error::NoAttestationUrl)?;
        let bank = Bank::Url(url.same_origin(attestation_url)?);
        return Ok(Accepted { text, host: url.host().to_owned(), bank });
    }
    let Some(host) = args.host.clone() else {
        return Err(Error::Usage(
            "an offer from a file needs --host: the host that you got it from, your bank's".to_owned(),
        ));
    };
    let host = parse_host(&host)?;
    let path = PathBuf::from(&args.offer);
    let text = blocking(move || read_text(&path, limit)).await?;
    let offer = Offer::parse(&text).map_err(Error::Offer)?;
    check_rp_id(&host, offer.rp_id.as_str())?;
    if args.cards != Path::new("-") && args.cards.exists() {
        let there = std::io::Error::new(
            std::io::ErrorKind::AlreadyExists,
            "it is there already; move it away, since the bank's answer can't be in it yet",
        );
        return Err(file_error(&args.cards)(there));
    }
    let bank = Bank::Files { attestation: args.attestation.clone(), cards: args.cards.clone() };
    Ok(Accepted { text, host, bank })
}

/// The new cards. Whatever goes wrong, the enrollment is cancelled in the wallet, too.
async fn enroll(
    context: &Context,
    found: &Found,
    agent: &TerminalAgent,
    args: &EnrollArgs,
    accepted: &Accepted,
) -> Result<Vec<OwnedObjectPath>, Error> {
    let (out, client) = (context.out, &found.client);
    let mut polkit = Polkit::ready(found).await;
    let begin = async {
        let (authenticator, attachment) = match args.authenticator.as_deref() {
            Some(authenticators::ANY_KEY) => (None, Some("cross-platform")),
            Some(authenticators::PLATFORM) => (None, Some("platform")),
            Some(name) => (Some(bus::answered(out, authenticators::pick(client, Some(name))).await?), None),
            None => (None, None),
        };
        let attachment = attachment.map(str::to_owned);
        bus::ensure_agent(client, agent, out).await?;
        let options = EnrollmentOptions { authenticator, attachment, replace: args.replace.then_some(true) };
        let begin = async {
            Ok(client.wallet().await?.begin_enrollment(&accepted.text, &accepted.host, &options).await?)
        };
        polkit.answered(out, begin).await
    };
    let path = until_interrupted(context, begin).await?;
    let mut events = client.events(&path);
    let enrollment = client.enrollment(&path).await?;
    let work = async {
        bus::answered(out, async { Ok(enrollment.start().await?) }).await?;
        let attestation = attestation(&mut events).await?;
        let cards = exchange(out, &accepted.bank, attestation).await?;
        bus::answered(out, async { Ok(enrollment.store_cards(&cards).await?) }).await
    };
    let result = until_interrupted(context, work).await;
    if result.is_err() {
        // It may have ended by itself; the connection's end would do it as well, but later.
        let _ = tokio::time::timeout(GOODBYE, enrollment.cancel()).await;
    }
    result
}

async fn attestation(events: &mut Events) -> Result<String, Error> {
    loop {
        match events.next().await? {
            Event::Attestation(attestation) => return Ok(attestation),
            Event::Finished(Err(error)) => return Err(ClientError::from(error).into()),
            Event::Finished(Ok(())) => {
                return Err(Error::Internal("the enrollment ended without a key".to_owned()));
            }
            _ => {}
        }
    }
}

/// The attestation goes to the bank, the cards come back.
async fn exchange(out: Out, bank: &Bank, attestation: String) -> Result<String, Error> {
    let limit = MAX_CARDS_BYTES as u64;
    let (written, cards) = match bank {
        Bank::Url(url) => {
            out.note(&format!("The key is made. Sending its attestation to {} ...", url.origin()));
            let url = url.clone();
            return blocking(move || Ok(http::post(&url, &attestation, limit)?)).await;
        }
        Bank::Files { attestation, cards } => (attestation.clone(), cards.clone()),
    };
    let stdin = Path::new("-");
    if written == stdin {
        out.text(&(attestation + "\n"))?;
        out.note("The key is made. Send its attestation (above) to your bank.");
    } else {
        write_new(&written, &attestation)?;
        out.note(&format!(
            "The key is made. Send its attestation in {} to your bank.",
            safe(&written.display().to_string())
        ));
    }
    if cards == stdin {
        out.note("Then give its answer on standard input.");
    } else {
        out.note(&format!(
            "Then put its answer into {}. Waiting for it; Ctrl-C gives up.",
            safe(&cards.display().to_string())
        ));
        // An answer that is still being written isn't JSON yet.
        while !std::fs::read(&cards)
            .is_ok_and(|text| serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok())
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    blocking(move || read_text(&cards, limit)).await
}

/// Writes a file that isn't there yet.
fn write_new(path: &Path, text: &str) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(file_error(path))
}
