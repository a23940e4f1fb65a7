//! The wallet's dialog on a terminal: what the daemon asks the user, and what the user answers.
//!
//! The same agent serves a person (questions on the terminal), a script (`--yes`, `--card`, `--pin-fd`), and mixtures.
//! What is approved is always shown first, also when nobody is asked.

use crate::cards::{describe, id_of};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::out::Out;
use crate::pin::PinLines;
use crate::questions::{consent_text, payment_text};
use crate::terminal::{Echo, NoLine, Terminal, Withdrawal};
use crate::text::{fold, safe};
use crate::users;
use fwp_dbus::pin_box::MAX_PIN_LENGTH;
use fwp_dbus::types::{
    AuthorizeCard, AuthorizeRequest, ConsentDetails, PassphraseRequest, PinRequest, StatusDetails,
};
use fwp_dbus::{ErrorName, Passphrase, Pin};
use std::sync::{Arc, Mutex, PoisonError};
use zbus::OwnedObjectPath;
use zeroize::Zeroizing;

/// Attempts left from which on a person is warned.
const FEW_ATTEMPTS: u32 = 3;

/// Characters of the shortest PIN that any authenticator has (CTAP 2.1, section 6.5.1). One may want more of a new PIN than
/// the present one has.
const SHORTEST_PIN: usize = 4;
/// Columns of a terminal that doesn't say how many it has.
const USUAL_COLUMNS: usize = 80;

/// How the questions are answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// `--yes`: everything that is asked is approved.
    pub yes: bool,
    /// `--card`: the ID or serial number of the card to pay with.
    pub card: Option<String>,
    /// `--pin-fd`: where PINs come from.
    pub pins: Option<PinLines>,
    /// `--passphrase-fd`: where passphrases come from.
    pub passphrases: Option<PinLines>,
    /// Whether the agent itself says why something wasn't done. A command that asked for it says so itself.
    pub reports: bool,
}

/// The agent. Clones are the same agent.
#[derive(Clone)]
pub struct TerminalAgent(Arc<Inner>);

struct Inner {
    terminal: Option<Mutex<Terminal>>,
    yes: bool,
    card: Option<String>,
    pins: Option<Mutex<PinLines>>,
    passphrases: Option<Mutex<PinLines>>,
    reports: bool,
    out: Out,
    interrupt: Interrupt,
    trouble: Mutex<Option<Error>>,
}

/// Withdraws a question when the daemon, or this program, doesn't wait for its answer any more.
struct WithdrawOnDrop(Withdrawal);

impl Drop for WithdrawOnDrop {
    fn drop(&mut self) {
        self.0.withdraw();
    }
}

impl TerminalAgent {
    /// An agent that asks on this process's terminal, if it has one, what `answers` leaves open.
    pub fn new(answers: Answers, out: Out, interrupt: Interrupt) -> Self {
        Self(Arc::new(Inner {
            terminal: Terminal::open().map(Mutex::new),
            yes: answers.yes,
            card: answers.card,
            pins: answers.pins.map(Mutex::new),
            passphrases: answers.passphrases.map(Mutex::new),
            reports: answers.reports,
            out,
            interrupt,
            trouble: Mutex::new(None),
        }))
    }

    /// Whether there is anyone, or anything, to answer a question.
    pub fn can_answer(&self) -> bool {
        self.0.terminal.is_some() || self.0.yes
    }

    /// Whether there is anyone, or anything, to give a passphrase.
    pub fn can_give_passphrases(&self) -> bool {
        self.0.terminal.is_some() || self.0.passphrases.is_some()
    }

    /// What kept the agent from answering, if anything did. The daemon only knows that there was no answer.
    pub fn take_trouble(&self) -> Option<Error> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn trouble(&self, error: Error) {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Shows what a question is about: on the terminal if it will be asked there.
    fn show(&self, text: &str) {
        match &self.0.terminal {
            Some(terminal) if !self.0.yes => {
                let terminal = terminal.lock().unwrap_or_else(PoisonError::into_inner);
                terminal.say(&fold(text, terminal.columns().unwrap_or(USUAL_COLUMNS)));
            }
            _ => self.0.out.note(text.trim_end_matches('\n')),
        }
    }

    /// A line from the terminal. `None` for no answer; Ctrl-C is told to the rest of the program, which ends what is
    /// under way, so that it isn't mistaken for a "no" before.
    async fn line(&self, prompt: String, echo: Echo) -> Option<Zeroizing<String>> {
        let withdrawal = Withdrawal::default();
        let _guard = WithdrawOnDrop(withdrawal.clone());
        let inner = Arc::clone(&self.0);
        let line = tokio::task::spawn_blocking(move || match &inner.terminal {
            Some(terminal) => {
                terminal.lock().unwrap_or_else(PoisonError::into_inner).ask(&prompt, echo, &withdrawal)
            }
            None => Err(NoLine::Closed),
        });
        match line.await {
            Ok(Ok(line)) => Some(line),
            Ok(Err(NoLine::Interrupted)) => {
                self.0.interrupt.raise();
                std::future::pending().await
            }
            Ok(Err(NoLine::NotUtf8)) => {
                self.0.out.note(&NoLine::NotUtf8.to_string());
                None
            }
            Ok(Err(NoLine::Withdrawn | NoLine::Closed)) | Err(_) => None,
        }
    }

    /// Yes or no. Anything else is asked again; no answer is a no.
    async fn yes(&self, question: &str) -> bool {
        if self.0.yes {
            return true;
        }
        if self.0.terminal.is_none() {
            self.trouble(Error::NobodyToAsk);
            return false;
        }
        loop {
            let Some(line) = self.line(format!("{question} [yes/no] "), Echo::On).await else { return false };
            match line.trim().to_lowercase().as_str() {
                "y" | "yes" => return true,
                "n" | "no" => return false,
                _ => {}
            }
        }
    }

    /// Whether `word` is typed. Anything else is a no.
    async fn word(&self, question: &str, word: &str) -> bool {
        if self.0.yes {
            return true;
        }
        if self.0.terminal.is_none() {
            self.trouble(Error::NobodyToAsk);
            return false;
        }
        let line = self.line(format!("{question} Type \"{word}\" if so: "), Echo::On).await;
        line.is_some_and(|line| line.trim() == word)
    }

    /// The card to pay with, before the user said yes to it.
    async fn pick<'c>(&self, cards: &'c [AuthorizeCard]) -> Option<&'c AuthorizeCard> {
        let fitting = || cards.iter().map(describe).collect::<Vec<_>>().join("; ");
        if let Some(name) = &self.0.card {
            let named = cards.iter().find(|card| id_of(&card.path) == name || card.serial_number == *name);
            if named.is_none() {
                self.trouble(Error::CardDoesNotFit { card: name.clone(), fitting: fitting() });
            }
            return named;
        }
        if let [only] = cards {
            return Some(only);
        }
        if self.0.yes {
            self.trouble(Error::CardNotPicked { fitting: fitting() });
            return None;
        }
        loop {
            let line = self.line(format!("Which card? [1-{}, or no] ", cards.len()), Echo::On).await?;
            match line.trim().to_lowercase().as_str() {
                "n" | "no" => return None,
                number => {
                    let index = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                    if let Some(card) = index.and_then(|index| cards.get(index)) {
                        return Some(card);
                    }
                }
            }
        }
    }

    async fn pin_from_terminal(&self, request: &PinRequest) -> Option<Zeroizing<String>> {
        let of = safe(&request.authenticator_name).to_string();
        if request.purpose != "new" {
            let left = request.retries.map_or(String::new(), |left| format!(" ({})", attempts(left)));
            let which = if request.purpose == "current" { "Present PIN" } else { "PIN" };
            loop {
                let pin = self.line(format!("{which} for {of}{left}: "), Echo::Off).await?;
                // One that can't be right isn't worth an attempt.
                if pin.chars().count() >= SHORTEST_PIN {
                    return Some(pin);
                }
                self.show(&format!("A PIN has at least {SHORTEST_PIN} characters. Ctrl-C gives up.\n"));
            }
        }
        let prompt = format!("New PIN for {of} (at least {} characters): ", request.min_length);
        self.twice(&prompt, |pin| new_pin_fault(pin, request.min_length)).await
    }

    /// A new secret, typed twice: asked for until it has no fault and both are the same.
    async fn twice(&self, prompt: &str, fault: impl Fn(&str) -> Option<String>) -> Option<Zeroizing<String>> {
        loop {
            let first = self.line(prompt.to_owned(), Echo::Off).await?;
            if let Some(fault) = fault(&first) {
                self.show(&format!("{fault}\n"));
                continue;
            }
            let second = self.line("The same again: ".to_owned(), Echo::Off).await?;
            if *first == *second {
                return Some(first);
            }
            self.show("These were not the same.\n");
        }
    }

    async fn pin_from_file(&self, request: &PinRequest) -> Option<Zeroizing<String>> {
        if request.retries == Some(1) {
            self.trouble(Error::LastAttempt);
            return None;
        }
        self.line_of(|inner| inner.pins.as_ref()).await
    }

    /// The next line of a descriptor.
    async fn line_of(&self, lines: fn(&Inner) -> Option<&Mutex<PinLines>>) -> Option<Zeroizing<String>> {
        let inner = Arc::clone(&self.0);
        let line = tokio::task::spawn_blocking(move || {
            lines(&inner).map(|lines| lines.lock().unwrap_or_else(PoisonError::into_inner).next_pin())
        });
        match line.await {
            Ok(Some(Ok(pin))) => Some(pin),
            Ok(Some(Err(error))) => {
                self.trouble(error.into());
                None
            }
            Ok(None) | Err(_) => None,
        }
    }
}

/// What the passphrase is for, as the prompt says it.
async fn passphrase_of(request: &PassphraseRequest) -> String {
    match request.purpose.as_str() {
        "slot-new" => "New recovery passphrase".to_owned(),
        "export" => "New passphrase for the file".to_owned(),
        "import" => "Passphrase of the file".to_owned(),
        "unlock-other" => {
            // The name is what this computer says, not the daemon.
            let uid = request.uid.unwrap_or(u32::MAX);
            let name = users::name(uid).await;
            format!(
                "Recovery passphrase of {}'s wallet (user {uid})",
                safe(name.as_deref().unwrap_or("a user"))
            )
        }
        _ => "Recovery passphrase".to_owned(),
    }
}

impl TerminalAgent {
    async fn passphrase_from_terminal(&self, request: &PassphraseRequest) -> Option<Zeroizing<String>> {
        let what = passphrase_of(request).await;
        let Some(least) = request.min_length else {
            return self.line(format!("{what}: "), Echo::Off).await;
        };
        if let (Ok(suggestion), Some(terminal)) = (Passphrase::suggest(), &self.0.terminal) {
            // On the terminal alone: what is shown without a question goes to standard error, which may be a log.
            terminal.lock().unwrap_or_else(PoisonError::into_inner).say(&format!(
                "  One that nobody guesses, if you write it down: {}\n",
                suggestion.expose().as_str()
            ));
        }
        let too_short = format!("A passphrase has at least {least} characters here. Ctrl-C gives up.");
        let fault = |typed: &str| (typed.chars().count() < least as usize).then(|| too_short.clone());
        self.twice(&format!("{what} (at least {least} characters): "), fault).await
    }
}

impl fwp_dbus::Agent for TerminalAgent {
    async fn authorize(
        &self,
        _payment: OwnedObjectPath,
        request: AuthorizeRequest,
        cards: Vec<AuthorizeCard>,
    ) -> Result<Option<OwnedObjectPath>, fwp_dbus::Error> {
        let asked = !self.0.yes && self.0.card.is_none();
        self.show(&payment_text(&request, if asked { &cards } else { &[] }));
        if cards.is_empty() {
            self.show("  No card in your wallet fits. Nothing is paid.\n\n");
            return Ok(None);
        }
        let Some(card) = self.pick(&cards).await else { return Ok(None) };
        let what = format!(
            "{} {} to {} with the card {}",
            safe(&request.amount),
            safe(&request.currency),
            safe(&request.payee_host),
            describe(card)
        );
        if self.0.yes {
            self.0.out.note(&format!("Approved by --yes: {what}"));
        }
        Ok(self.yes(&format!("Pay {what}?")).await.then(|| card.path.clone()))
    }

    async fn consent(&self, kind: String, details: ConsentDetails) -> Result<bool, fwp_dbus::Error> {
        let Some((text, question)) = consent_text(&kind, &details) else { return Ok(false) };
        self.show(&text);
        if self.0.yes {
            self.0.out.note(&format!("Approved by --yes: {question}"));
        }
        // What can't be undone wants more than a key that is pressed too often.
        Ok(if kind == "reset" { self.word(&question, "reset").await } else { self.yes(&question).await })
    }

    async fn request_pin(&self, request: PinRequest) -> Result<Option<Pin>, fwp_dbus::Error> {
        if request.wrong {
            let left = request.retries.map_or(String::new(), |left| format!(" {}.", attempts(left)));
            self.0.out.note(&format!("That PIN was wrong.{left}"));
        }
        if let Some(left) = request.retries.filter(|left| *left <= FEW_ATTEMPTS) {
            let more =
                if left == 1 { "one more wrong PIN".to_owned() } else { format!("{left} more wrong PINs") };
            self.0.out.note(&format!("Careful: after {more} this authenticator's PIN is blocked for good."));
        }
        let typed = match (&self.0.pins, &self.0.terminal) {
            (Some(_), _) => self.pin_from_file(&request).await,
            (None, Some(_)) => self.pin_from_terminal(&request).await,
            (None, None) => {
                self.trouble(Error::NobodyToAsk);
                None
            }
        };
        let Some(typed) = typed.filter(|typed| !typed.is_empty()) else { return Ok(None) };
        match Pin::new(typed) {
            Ok(pin) => Ok(Some(pin)),
            Err(error) => {
                self.trouble(Error::BadPin(error.to_string()));
                Ok(None)
            }
        }
    }

    async fn request_passphrase(
        &self,
        request: PassphraseRequest,
    ) -> Result<Option<Passphrase>, fwp_dbus::Error> {
        if request.wrong {
            self.0.out.note("That passphrase was wrong.");
        }
        let typed = match (&self.0.passphrases, &self.0.terminal) {
            (Some(_), _) => self.line_of(|inner| inner.passphrases.as_ref()).await,
            (None, Some(_)) => self.passphrase_from_terminal(&request).await,
            (None, None) => {
                self.trouble(Error::NobodyToAsk);
                None
            }
        };
        let Some(typed) = typed.filter(|typed| !typed.is_empty()) else { return Ok(None) };
        match Passphrase::new(&typed) {
            Ok(passphrase) => Ok(Some(passphrase)),
            Err(error) => {
                self.trouble(Error::BadPin(error.to_string()));
                Ok(None)
            }
        }
    }

    async fn status(&self, state: String, details: StatusDetails) {
        match state.as_str() {
            "insert" => self.0.out.note("Plug in your security key, or lay it on the reader ..."),
            "other" => {
                self.0.out.note("The card's key is not on this one. Plug in the security key that has it ...")
            }
            "too-old" => {
                self.0.out.note("This security key is too old (U2F only). Plug in one with FIDO2 ...");
            }
            "choose" => self.0.out.note("Several security keys are there. Touch the one to use ..."),
            "touch" => match details.authenticator_name.as_deref() {
                Some(name) => self.0.out.note(&format!("Touch your {} ...", safe(name))),
                None => self.0.out.note("Touch your key ..."),
            },
            "replug" => {
                self.0.out.note(
                    "Pull the security key out (off the reader) and plug it in again: it is reset then. Ctrl-C gives up.",
                );
            }
            "processing" => self.0.out.note("Working ..."),
            "authorized" => self.0.out.note("Authorized."),
            "replaced" if self.0.reports => {
                self.0.out.note("Another dialog took over; the wallet's questions are asked there now.");
                self.0.interrupt.raise();
            }
            "enrolled" if self.0.reports => self.0.out.note("The key is made."),
            "failed" if self.0.reports => {
                let reason = details.reason.as_deref().unwrap_or_default();
                let name = ErrorName::from_dbus(reason).unwrap_or(ErrorName::Internal);
                let error = fwp_dbus::Error::new(name, details.message.unwrap_or_default());
                let error = self.take_trouble().unwrap_or(Error::Wallet(error.into()));
                self.0.out.note(&format!("Not done: {error}"));
            }
            _ => {}
        }
    }
}

/// How many wrong PINs there may be still.
pub(crate) fn attempts(left: u32) -> String {
    match left {
        1 => "1 attempt left".to_owned(),
        left => format!("{left} attempts left"),
    }
}

fn new_pin_fault(pin: &str, min_length: u32) -> Option<String> {
    if pin.chars().count() < min_length as usize {
        Some(format!("A PIN has at least {min_length} characters here."))
    } else if pin.len() > MAX_PIN_LENGTH {
        Some(format!("A PIN has at most {MAX_PIN_LENGTH} bytes."))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_pin_is_measured_in_characters_and_bounded_in_bytes() {
        assert!(new_pin_fault("äöü", 4).is_some());
        assert!(new_pin_fault("äöü4", 4).is_none());
        assert!(new_pin_fault(&"ä".repeat(32), 4).is_some());
    }
}
