//! The user, while something about the store is before them: consent, and passphrases.

use std::rc::Rc;

use fwp_dbus::types::{ConsentDetails, PassphraseRequest};
use fwp_dbus::{Error, ErrorName, Passphrase};
use fwp_store::slot::LEAST_CHARACTERS;

use crate::agents::Agent;
use crate::call::{Call, Uid};
use crate::callers::Watch;
use crate::clock;
use crate::interrupts::{Interrupts, interrupts};
use crate::wallets::Wallet;

/// How many wrong passphrases there may be.
const TRIES: usize = 3;

/// The floor and the agent, for one call.
pub(super) struct Asking {
    agent: Rc<Agent>,
    interrupts: Interrupts,
    _watches: [Watch; 2],
}

/// Takes the floor for `work`, in which the user is asked. What the caller or the agent leaves behind when it goes is given up.
///
/// # Errors
/// `NoAgent`, `Busy`, `CoolDown`, and those of `work`.
pub(super) async fn asking<T>(
    wallet: &Wallet,
    call: &Call,
    work: impl AsyncFnOnce(&mut Asking) -> Result<T, Error>,
) -> Result<T, Error> {
    let agent = wallet.agents.serving(&call.caller.name)?;
    let turn = wallet.floor.take()?;
    let (interrupter, interrupts) = interrupts();
    let watches = wallet.watch(&call.caller.name, &agent, &interrupter);
    let mut asking = Asking { agent, interrupts, _watches: watches };
    let outcome = work(&mut asking).await;
    turn.end(&outcome);
    outcome
}

impl Asking {
    /// Waits for what the user is not asked about, as long as an answer would be waited for.
    ///
    /// # Errors
    /// `Timeout`, those of `work`, and what can interrupt it.
    pub(super) async fn meanwhile<T>(
        &mut self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            reason = self.interrupts.next() => Err(reason),
            done = work => done,
            () = clock::sleep(self.agent.prompt_deadline()) => {
                Err(Error::new(ErrorName::Timeout, "it took too long"))
            }
        }
    }

    /// Asks for consent.
    ///
    /// # Errors
    /// `Declined`, and what can come instead of an answer.
    pub(super) async fn consent(
        &mut self,
        kind: &'static str,
        details: &ConsentDetails,
    ) -> Result<(), Error> {
        self.agent.consent(kind, details, &mut self.interrupts).await
    }

    /// Asks for a new passphrase, which the agent has typed twice.
    ///
    /// # Errors
    /// `SlotUnusable` for one that is too short, `Declined`, and what can come instead of an answer.
    pub(super) async fn new_passphrase(&mut self, purpose: &'static str) -> Result<Passphrase, Error> {
        let least = u32::try_from(LEAST_CHARACTERS).ok();
        let request = PassphraseRequest {
            purpose: purpose.to_owned(),
            min_length: least,
            ..PassphraseRequest::default()
        };
        let passphrase = self.agent.passphrase(&request, &mut self.interrupts).await?;
        if passphrase.expose().chars().count() < LEAST_CHARACTERS {
            let text =
                format!("a passphrase needs at least {LEAST_CHARACTERS} characters; nothing was changed");
            return Err(Error::new(ErrorName::SlotUnusable, text));
        }
        Ok(passphrase)
    }

    /// Asks for a passphrase until `attempt` makes something of it, three times at most; it gives `None` for a wrong one.
    ///
    /// # Errors
    /// `SlotUnusable` after three wrong ones, those of `attempt`, `Declined`, and what can come instead of an answer.
    pub(super) async fn passphrase<T>(
        &mut self,
        purpose: &'static str,
        attempt: impl AsyncFnMut(Passphrase) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        self.passphrase_of(None, purpose, attempt).await
    }

    /// As [`Asking::passphrase`], for that of another user's store.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn passphrase_of<T>(
        &mut self,
        uid: Option<Uid>,
        purpose: &'static str,
        mut attempt: impl AsyncFnMut(Passphrase) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        for wrong in 0..TRIES {
            let request = PassphraseRequest {
                purpose: purpose.to_owned(),
                uid,
                wrong: wrong > 0,
                ..PassphraseRequest::default()
            };
            let passphrase = self.agent.passphrase(&request, &mut self.interrupts).await?;
            if let Some(done) = attempt(passphrase).await? {
                return Ok(done);
            }
        }
        let text = "the passphrase was wrong three times; nothing was changed";
        Err(Error::new(ErrorName::SlotUnusable, text))
    }
}
