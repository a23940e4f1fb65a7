//! An agent that a test's program in another language drives: it registers as the desktop's dialog of the wallet on the session
//! bus, answers as its script says, and tells what a person would have seen. JSON, a line each.
//!
//! In: `{"answers": ["yes", "no", "never", "wait", {"card": 1}, {"after": 500, "answer": "no"}]}` is how the next questions are
//! answered (after them: yes, with the first card); `wait` leaves a question open until the next such line, which answers it.
//! Milliseconds. The end of the input ends it.
//!
//! Out: `{"event": "ready"}`, once more whenever the wallet came back; `{"event": "lost"}` where it went away;
//! `{"prompt": "authorize", "payment", "request", "cards"}`, `{"prompt": "consent", "kind", "details"}`,
//! `{"prompt": "pin", "request"}`, `{"prompt": "status", "state", "details"}`, `{"prompt": "withdrawn"}`, with the names that
//! Agent1 gives to what is in them.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use fwp_dbus::Client;
use fwp_tests::{Answer, Prompt, ScriptedAgent};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use zbus::Connection;

/// Between two looks for a wallet that is gone.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&json!({"event": "error", "message": error.to_string()}));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let agent = ScriptedAgent::new();
    let mut prompts = agent.watch();
    let mut lines = BufReader::new(stdin()).lines();
    let registered = tokio::spawn(stay_registered(agent.clone()));
    loop {
        tokio::select! {
            prompt = prompts.recv() => match prompt {
                Some(prompt) => say(&seen(&prompt)),
                None => return Ok(()),
            },
            line = lines.next_line() => match line? {
                Some(line) => agent.answers(answers(&line)?),
                None => {
                    registered.abort();
                    return Ok(());
                }
            },
        }
    }
}

/// Registers the agent, and does so again whenever the wallet comes back.
async fn stay_registered(agent: ScriptedAgent) {
    loop {
        match register(&agent).await {
            Ok(client) => {
                say(&json!({"event": "ready"}));
                client.ended().await;
                say(&json!({"event": "lost"}));
            }
            // Not there (yet).
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn register(agent: &ScriptedAgent) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let client = Client::connect(&Connection::session().await?).await?;
    agent.register(&client).await?;
    Ok(client)
}

/// The answers of one line.
fn answers(line: &str) -> Result<Vec<Answer>, String> {
    let line: Value = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
    let answers = line.get("answers").and_then(Value::as_array).ok_or("a line without answers")?;
    answers.iter().map(answer).collect()
}

fn answer(value: &Value) -> Result<Answer, String> {
    let unknown = || format!("no answer: {value}");
    match value {
        Value::String(word) => match word.as_str() {
            "yes" => Ok(Answer::Yes),
            "no" => Ok(Answer::No),
            "never" => Ok(Answer::Never),
            "wait" => Ok(Answer::Wait),
            _ => Err(unknown()),
        },
        Value::Object(_) => match (value.get("card"), value.get("after"), value.get("answer")) {
            (Some(card), None, None) => {
                let place = card.as_u64().and_then(|place| usize::try_from(place).ok());
                place.map(Answer::Card).ok_or_else(unknown)
            }
            (None, Some(after), Some(then)) => {
                let after = after.as_u64().map(Duration::from_millis).ok_or_else(unknown)?;
                Ok(Answer::After(after, Box::new(answer(then)?)))
            }
            _ => Err(unknown()),
        },
        _ => Err(unknown()),
    }
}

/// What a person saw, as JSON.
fn seen(prompt: &Prompt) -> Value {
    let plain = |value: serde_json::Result<Value>| value.map_or(Value::Null, without_signatures);
    match prompt {
        Prompt::Authorize(payment, request, cards) => {
            let (request, cards) = (serde_json::to_value(request), serde_json::to_value(cards));
            let payment = payment.as_str();
            json!({"prompt": "authorize", "payment": payment, "request": plain(request), "cards": plain(cards)})
        }
        Prompt::Consent(kind, details) => {
            json!({"prompt": "consent", "kind": kind, "details": plain(serde_json::to_value(details))})
        }
        Prompt::Pin(request) => json!({"prompt": "pin", "request": plain(serde_json::to_value(request))}),
        Prompt::Passphrase(request) => {
            json!({"prompt": "passphrase", "request": plain(serde_json::to_value(request))})
        }
        Prompt::Status(state, details) => {
            json!({"prompt": "status", "state": state, "details": plain(serde_json::to_value(details))})
        }
        Prompt::Withdrawn => json!({"prompt": "withdrawn"}),
    }
}

/// A variant of D-Bus is serialised with its signature beside it; here only the value counts.
fn without_signatures(value: Value) -> Value {
    match value {
        Value::Object(mut object) if object.len() == 2 && object.contains_key("signature") => {
            object.remove("value").map_or(Value::Null, without_signatures)
        }
        Value::Object(object) => {
            object.into_iter().map(|(name, value)| (name, without_signatures(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_signatures).collect(),
        value => value,
    }
}

/// A line at once, whole.
fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    // Whoever reads this may have gone; then the input ends, too.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
