//! Setting and changing PINs.

use std::rc::Rc;

use ctap_core::ceremony::{ChangePin, SetPin};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuditEvent, AuditKind};
use fwp_store::{Changes, Durability};
use zbus::names::OwnedUniqueName;

use super::details::{ask, pin_status};
use super::{Done, Piggyback, Source, Which};
use crate::agents::Agent;
use crate::ceremonies::{Subject, conduct, refusal};
use crate::clock;
use crate::interrupts::interrupts;
use crate::wallets::Wallet;

/// What is done with a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PinChange {
    Set,
    Change,
}

impl PinChange {
    /// Whether it is the one to do.
    ///
    /// # Errors
    /// `InvalidState`, `PinNotSet`, and what the device fails with.
    pub(super) async fn check(self, which: &Which, wallet: &Wallet) -> Result<(), Error> {
        match (self, ask(which, wallet, pin_status).await?.set) {
            (Self::Set, true) => {
                Err(Error::new(ErrorName::InvalidState, "a PIN is set already; change it instead"))
            }
            (Self::Change, false) => {
                Err(Error::new(ErrorName::PinNotSet, "no PIN is set yet; set one first"))
            }
            _ => Ok(()),
        }
    }

    /// Does it. It is given up when its caller goes away.
    ///
    /// # Errors
    /// The contract's error for what went wrong, or what interrupted.
    pub(super) async fn carry_out(
        self,
        which: &Which,
        wallet: &Rc<Wallet>,
        agent: &Agent,
        caller: &OwnedUniqueName,
    ) -> Result<(), Error> {
        let (interrupter, mut interrupts) = interrupts();
        let _watches = wallet.watch(caller, agent, &interrupter);
        let piggyback = Piggyback::default();
        let source = Source::of(which, wallet, &piggyback).await?;
        let done = Done::default();
        let noted = done.clone();
        let work = move |stage: &mut crate::ceremonies::Stage| {
            let mut device = source.open(stage)?.device;
            let end = match self {
                Self::Set => stage.run(SetPin::new(), &mut *device),
                Self::Change => stage.run_for("current", ChangePin::new(), &mut *device),
            };
            noted.note(&end);
            end.map_err(|error| refusal(&error))
        };
        let end = conduct(work, &Subject::default(), wallet, agent, &mut interrupts).await;
        let end = piggyback.explain(done.or(end));
        let mut changes = Changes::new();
        piggyback.add_lazy(&mut changes);
        if end.is_ok() {
            let audited = match self {
                Self::Set => AuditKind::PinSet,
                Self::Change => AuditKind::PinChanged,
            };
            changes.audit(AuditEvent::new(clock::now_ms(), audited).reason(&which.shown().kind));
        }
        if !changes.is_empty() {
            wallet.vault.write(|store| store.commit(changes, Durability::Durable)).await?;
        }
        end
    }
}
