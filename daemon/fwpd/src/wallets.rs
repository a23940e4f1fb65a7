//! The users' wallets. One is there as soon as its user calls; its store is opened when it is needed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use fwp_dbus::{Error, ErrorName};
use tokio::sync::Mutex;
use zbus::names::OwnedUniqueName;

use crate::agents::{Agent, Agents};
use crate::authenticators::TpmDesk;
use crate::call::{Failure, Uid};
use crate::callers::Watch;
use crate::context::{Bus, Context};
use crate::enrollments::Enrollments;
use crate::floor::Floor;
use crate::holdings::Holdings;
use crate::interrupts::Interrupter;
use crate::payments::Payments;
use crate::vault::{Guards, Vault};

/// One user's wallet.
#[derive(Debug)]
pub(crate) struct Wallet {
    pub(crate) context: Rc<Context>,
    pub(crate) uid: Uid,
    pub(crate) floor: Floor,
    pub(crate) vault: Vault,
    pub(crate) holdings: Holdings,
    pub(crate) agents: Agents,
    pub(crate) payments: Payments,
    pub(crate) enrollments: Enrollments,
    pub(crate) tpm: TpmDesk,
    /// Held while a caller's file is read or written, which may be stuck in the kernel.
    pub(crate) copying: Arc<Mutex<()>>,
}

/// The wallets of all users who have called.
#[derive(Debug)]
pub(crate) struct Wallets {
    context: Rc<Context>,
    own_uid: Uid,
    by_uid: RefCell<HashMap<Uid, Rc<Wallet>>>,
}

impl Wallets {
    /// No user has called yet.
    pub(crate) fn new(context: Rc<Context>) -> Self {
        Self { context, own_uid: rustix::process::getuid().as_raw(), by_uid: RefCell::default() }
    }

    /// The user's wallet.
    ///
    /// # Errors
    /// `AccessDenied` for other users than the daemon's own on a session's bus.
    pub(crate) fn of(&self, uid: Uid) -> Result<Rc<Wallet>, Failure> {
        if self.context.bus == Bus::Session && uid != self.own_uid {
            return Err(Failure::new(ErrorName::AccessDenied, "this wallet is another user's"));
        }
        Ok(Rc::clone(
            self.by_uid.borrow_mut().entry(uid).or_insert_with(|| Rc::new(Wallet::new(&self.context, uid))),
        ))
    }

    /// The wallet of a user who has one stored here, for somebody else.
    pub(crate) fn stored(&self, uid: Uid) -> Option<Rc<Wallet>> {
        if let Some(wallet) = self.by_uid.borrow().get(&uid) {
            return Some(Rc::clone(wallet));
        }
        let wallet = Rc::new(Wallet::new(&self.context, uid));
        wallet.vault.is_stored().then(|| {
            self.by_uid.borrow_mut().insert(uid, Rc::clone(&wallet));
            wallet
        })
    }

    /// A connection ended: what it owned ends with it.
    pub(crate) fn connection_ended(&self, uid: Uid, name: &OwnedUniqueName) {
        let wallet = self.by_uid.borrow().get(&uid).map(Rc::clone);
        if let Some(wallet) = wallet {
            wallet.agents.connection_ended(name);
            wallet.payments.connection_ended(name);
            wallet.enrollments.connection_ended(name);
            wallet.tpm.connection_ended(name);
        }
        // Who has nothing here leaves nothing: users may be many, and some can become as many as they like (subuids).
        self.by_uid.borrow_mut().retain(|uid, wallet| {
            self.context.callers.has(*uid) || Rc::strong_count(wallet) > 1 || !wallet.is_blank()
        });
    }

    /// The daemon ends: all that is open ends, and whoever is asked or waits is told.
    pub(crate) async fn shut_down(&self) {
        let reason = Error::new(ErrorName::Aborted, "the wallet is shutting down");
        let wallets: Vec<_> = self.by_uid.borrow().values().cloned().collect();
        for wallet in &wallets {
            wallet.payments.abort_all(&reason);
            wallet.enrollments.cancel_all(&reason);
        }
        // What is done to authenticators and cards, which have no life of their own here.
        self.context.callers.interrupt_all(&reason);
        // Each of them has told whoever waits for it and stored what is to be kept, when its task has ended.
        self.context.work.ends().await;
    }

    /// Whether nothing would be missed that is in this process alone: an agent, what waits for the user, how often the user was
    /// asked of late, a store that only its passphrase opens.
    pub(crate) fn are_quiet(&self) -> bool {
        self.by_uid.borrow().values().all(|wallet| {
            wallet.payments.is_empty()
                && wallet.enrollments.is_empty()
                && wallet.floor.is_forgotten()
                && wallet.agents.present().is_none()
                && wallet.tpm.is_quiet()
                && wallet.copying.try_lock().is_ok()
                && wallet.vault.opens_again()
        })
    }
}

impl Wallet {
    fn new(context: &Rc<Context>, uid: Uid) -> Self {
        let state_dir = &context.state_dir;
        let (directory, key_file) = match context.bus {
            Bus::Session => (state_dir.join("wallet"), state_dir.join("wallet.key")),
            Bus::System => {
                (state_dir.join("users").join(uid.to_string()), state_dir.join("keys").join(uid.to_string()))
            }
        };
        Self {
            context: Rc::clone(context),
            uid,
            floor: Floor::new(context.config.policy.cool_down, context.config.limits.prompts_per_minute),
            vault: Vault::of_user(uid, directory, Guards::of(context, key_file)),
            holdings: Holdings::new(context.config.platform_keys.limits()),
            agents: Agents::default(),
            payments: Payments::default(),
            enrollments: Enrollments::default(),
            tpm: TpmDesk::default(),
            copying: Arc::default(),
        }
    }

    /// Whether there is nothing in it, in memory or stored.
    fn is_blank(&self) -> bool {
        self.payments.is_empty()
            && self.enrollments.is_empty()
            && self.agents.present().is_none()
            && self.floor.is_forgotten()
            && !self.vault.is_stored()
    }

    /// Interrupts what one connection asked for and an agent serves, when either of them ends.
    pub(crate) fn watch(
        &self,
        owner: &OwnedUniqueName,
        agent: &Agent,
        interrupter: &Interrupter,
    ) -> [Watch; 2] {
        let callers = &self.context.callers;
        [
            callers.watch(owner, interrupter, Error::new(ErrorName::Aborted, "its owner went away")),
            callers.watch(&agent.owner, interrupter, Error::new(ErrorName::NoAgent, "the agent went away")),
        ]
    }
}
