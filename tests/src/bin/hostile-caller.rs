//! Floods the wallet with calls that no honest program makes ([`fwp_tests::hostile`]), over several connections of one user, and
//! says in JSON what came of it: how often which error answered, and whether anything was seen that belongs to somebody else.
//!
//! `hostile-caller [--system | --address ADDRESS] --count N [--seed N] [--connections N] [--paths FILE] [--secrets FILE]`
//!
//! `--paths`: object paths of other users, a line each, which are called. `--secrets`: texts of other users, a line each, which must
//! not be seen anywhere; paths must not be seen in what any message brings. Exit status 1 if any was.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fwp_dbus::interfaces::{ENROLLMENT_PREFIX, PAYMENT_PREFIX};
use fwp_tests::hostile::{Generator, Shot};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, OwnedObjectPath};

/// Calls of one connection that wait for an answer: eight have more than the wallet takes.
const OUTSTANDING: usize = 20;
/// How long an answer is waited for. Who floods has no right to one.
const PATIENCE: Duration = Duration::from_secs(1);
/// After so many calls a connection ends, with all that it has open, and another one comes.
const CALLS_OF_ONE: usize = 400;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What the command line says.
#[derive(Clone)]
struct Options {
    address: Option<String>,
    system: bool,
    count: usize,
    seed: u64,
    connections: usize,
    paths: Vec<String>,
    secrets: Vec<String>,
}

/// What came of it.
#[derive(Default)]
struct Summary {
    calls: usize,
    silent_calls: usize,
    signals: usize,
    not_encoded: usize,
    connections: usize,
    answers: BTreeMap<String, usize>,
    leaks: Vec<String>,
}

impl Summary {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.silent_calls += other.silent_calls;
        self.signals += other.signals;
        self.not_encoded += other.not_encoded;
        self.connections += other.connections;
        for (name, count) in other.answers {
            *self.answers.entry(name).or_default() += count;
        }
        self.leaks.extend(other.leaks);
    }

    fn answered(&mut self, name: &str) {
        *self.answers.entry(name.to_owned()).or_default() += 1;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{}", json!({"error": error.to_string()}));
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing of anybody else's was seen.
async fn run() -> Result<bool, AnyError> {
    let options = read_options()?;
    let begun = Instant::now();
    let left = Arc::new(AtomicUsize::new(options.count));
    let mut callers = JoinSet::new();
    for number in 0..options.connections {
        let seed = options.seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        callers.spawn(flood(options.clone(), seed, Arc::clone(&left)));
    }
    let mut summary = Summary::default();
    while let Some(of_one) = callers.join_next().await {
        summary.add(of_one??);
    }
    summary.leaks.sort();
    summary.leaks.dedup();
    let Summary { calls, silent_calls, signals, not_encoded, connections, answers, leaks } = summary;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({
            "calls": calls, "without_reply": silent_calls, "signals": signals, "not_encoded": not_encoded,
            "connections": connections, "answers": answers, "leaks": leaks, "seconds": seconds,
        })
    );
    Ok(leaks.is_empty())
}

fn read_options() -> Result<Options, AnyError> {
    let mut options = Options {
        address: None,
        system: false,
        count: 0,
        seed: 1,
        connections: 8,
        paths: Vec::new(),
        secrets: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    let lines = |file: String| -> Result<Vec<String>, AnyError> {
        let text = std::fs::read_to_string(file)?;
        Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--system" => options.system = true,
            "--address" => options.address = Some(value()?),
            "--count" => options.count = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--connections" => options.connections = value()?.parse()?,
            "--paths" => options.paths = lines(value()?)?,
            "--secrets" => options.secrets = lines(value()?)?,
            other => return Err(format!("{other} is no option").into()),
        }
    }
    Ok(options)
}

async fn connect(options: &Options) -> zbus::Result<Connection> {
    use zbus::connection::Builder;
    let builder = match (&options.address, options.system) {
        (Some(address), _) => Builder::address(address.as_str()),
        (None, true) => Builder::system(),
        (None, false) => Builder::session(),
    };
    builder.build().await
}

/// One connection after the other, until all calls were sent.
async fn flood(options: Options, seed: u64, left: Arc<AtomicUsize>) -> Result<Summary, AnyError> {
    let mut generator = Generator::new(seed, options.paths.clone());
    let mut summary = Summary::default();
    while left.load(Ordering::Relaxed) > 0 {
        let connection = connect(&options).await?;
        summary.connections += 1;
        let listener = tokio::spawn(listen(MessageStream::from(&connection), options.clone()));
        one_connection(&connection, &mut generator, &mut summary, &left).await;
        // Not graceful_shutdown, which waits for the listener to go.
        let _closed = connection.close().await;
        summary.leaks.extend(listener.await?);
        generator.own.clear();
    }
    Ok(summary)
}

/// Everything that comes to the connection, asked for or not.
async fn listen(mut messages: MessageStream, options: Options) -> Vec<String> {
    use futures_util::StreamExt;
    let mut leaks = Vec::new();
    while let Some(Ok(message)) = messages.next().await {
        leaks.extend(seen_in(&message, message.data(), &options.secrets));
        // Who registers an agent at such a path is called there: so not in the header.
        leaks.extend(seen_in(&message, message.body().data(), &options.paths));
    }
    leaks
}

fn seen_in(message: &Message, bytes: &[u8], secrets: &[String]) -> Vec<String> {
    let has = |secret: &&String| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    let header = message.header();
    let of = |secret: &String| format!("{secret} in {:?} {:?}", header.message_type(), header.member());
    secrets.iter().filter(has).map(of).collect()
}

async fn one_connection(
    connection: &Connection,
    generator: &mut Generator,
    summary: &mut Summary,
    left: &AtomicUsize,
) {
    let room = Arc::new(Semaphore::new(OUTSTANDING));
    let mut open = JoinSet::new();
    for _ in 0..CALLS_OF_ONE {
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if taken.is_err() {
            break;
        }
        let shot = match generator.next() {
            Ok(shot) => shot,
            Err(_) => {
                summary.not_encoded += 1;
                continue;
            }
        };
        let sent = match shot {
            Shot::Signal(message) => {
                summary.signals += 1;
                connection.send(&message).await
            }
            Shot::Call(message, false) => {
                summary.silent_calls += 1;
                connection.send(&message).await
            }
            Shot::Call(message, true) => {
                summary.calls += 1;
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
                let connection = connection.clone();
                open.spawn(async move {
                    let _permit = permit;
                    tokio::time::timeout(PATIENCE, ask(&connection, &message)).await.ok()
                });
                Ok(())
            }
        };
        if sent.is_err() {
            break;
        }
        while let Some(answer) = open.try_join_next() {
            take(answer.ok().flatten(), generator, summary);
        }
    }
    while let Some(answer) = open.join_next().await {
        take(answer.ok().flatten(), generator, summary);
    }
}

/// Sends a call that was made elsewhere, and waits for its answer.
async fn ask(connection: &Connection, call: &Message) -> zbus::Result<Message> {
    use futures_util::StreamExt;
    let mut messages = MessageStream::from(connection);
    let serial = call.primary_header().serial_num();
    connection.send(call).await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        if message.header().reply_serial() == Some(serial) {
            return Ok(message);
        }
    }
    Err(zbus::Error::InvalidReply)
}

fn take(answer: Option<zbus::Result<Message>>, generator: &mut Generator, summary: &mut Summary) {
    let Some(answer) = answer else { return summary.answered("no answer") };
    let Ok(message) = answer else { return summary.answered("no connection") };
    let header = message.header();
    if header.message_type() == Type::Error {
        let name = header.error_name().map_or_else(String::new, ToString::to_string);
        return summary.answered(&name);
    }
    summary.answered("answered");
    if let Ok(path) = message.body().deserialize::<OwnedObjectPath>() {
        let is_ours = |prefix: &str| path.as_str().starts_with(prefix);
        if is_ours(PAYMENT_PREFIX) || is_ours(ENROLLMENT_PREFIX) {
            generator.own.push(path.to_string());
        }
    }
}
