//! The commands, one file each.

mod agent;
mod authenticators;
mod browser;
mod certify;
mod copies;
mod doctor;
mod enroll;
mod history;
mod keys;
mod list;
mod lock;
mod manual;
mod pay;
mod pin;
mod remove;
mod reset;
mod show;
mod status;

use crate::agent::Answers;
use crate::args::{AskArgs, Cli, Command, PassphraseArgs};
use crate::bus::BusChoice;
use crate::error::{Error, file_error};
use crate::interrupt::Interrupt;
use crate::out::Out;
use crate::pin::{PinLines, Secret};
use std::future::Future;
use std::io::Read;
use std::path::Path;

/// What every command has.
pub(crate) struct Context {
    pub(crate) bus: BusChoice,
    pub(crate) out: Out,
    pub(crate) interrupt: Interrupt,
}

/// Runs a command.
///
/// # Errors
/// [`Error`].
pub async fn run(cli: Cli, out: Out) -> Result<(), Error> {
    let context = Context { bus: cli.bus.unwrap_or_default(), out, interrupt: Interrupt::listen() };
    let context = &context;
    match cli.command {
        // These have something to take back when they are interrupted.
        Command::Enroll(args) => enroll::run(context, args).await,
        Command::Pay(args) => pay::run(context, *args).await,
        Command::Remove(args) => remove::run(context, args).await,
        Command::Pin(command) => pin::run(context, command).await,
        Command::Agent(args) => agent::run(context, args).await,
        Command::Keys(args) => keys::run(context, args).await,
        Command::Unlock(args) => lock::unlock(context, args).await,
        Command::Export(args) => copies::export(context, args).await,
        Command::Import(args) => copies::import(context, args).await,
        // These just end.
        Command::Lock => until_interrupted(context, lock::lock(context)).await,
        Command::List => until_interrupted(context, list::run(context)).await,
        Command::Show(args) => until_interrupted(context, show::run(context, args)).await,
        Command::History(args) => until_interrupted(context, history::run(context, args)).await,
        Command::Authenticators(args) => authenticators::run(context, args).await,
        Command::Browser(command) => browser::run(context, command).await,
        Command::Status => Box::pin(until_interrupted(context, status::run(context))).await,
        Command::Doctor => Box::pin(until_interrupted(context, doctor::run(context))).await,
        Command::Completions { shell } => manual::completions(out, shell),
        Command::Man { dir } => manual::pages(out, &dir),
    }
}

/// Runs `work` until it's done or the person has had enough.
pub(crate) async fn until_interrupted<T>(
    context: &Context,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        result = work => result,
        () = context.interrupt.raised() => Err(Error::Interrupted),
    }
}

/// The answers that the command line gives.
pub(crate) fn answers(ask: &AskArgs) -> Result<Answers, Error> {
    Ok(Answers { yes: ask.yes, pins: lines(ask.pin_fd, Secret::Pin)?, ..Answers::default() })
}

/// The answers that the command line gives about the store.
pub(crate) fn store_answers(ask: &PassphraseArgs) -> Result<Answers, Error> {
    let passphrases = lines(ask.passphrase_fd, Secret::Passphrase)?;
    Ok(Answers { yes: ask.yes, passphrases, ..Answers::default() })
}

/// The lines of a descriptor, if there is one.
pub(crate) fn lines(fd: Option<u32>, what: Secret) -> Result<Option<PinLines>, Error> {
    Ok(fd.map(|fd| PinLines::open(fd, what)).transpose()?)
}

/// Runs `work`, which blocks, elsewhere.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.to_string()))?
}

/// The text of a file, or of standard input for `-`, of at most `limit` bytes. Blocks.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
    };
    read.map_err(file_error(path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::FileTooLarge { path: path.display().to_string(), limit });
    }
    String::from_utf8(bytes).map_err(|_| {
        file_error(path)(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8 text"))
    })
}
