//! `Authenticator1`.

use std::rc::Rc;

use ctap_core::transport::{CancelToken, Device};
use fwp_dbus::Error;
use fwp_dbus::interfaces::{AUTHENTICATOR, Interface};
use zbus::Message;

use super::details::{ask, details, pin_status};
use super::pin::PinChange;
use super::{Which, certification, object_path, reset};
use crate::call::{Call, Failure};
use crate::ceremonies::refusal;
use crate::objects::{Object, Properties, variant};
use crate::polkit::{self, Action};
use crate::seats;
use crate::wallets::Wallet;

/// The object of one authenticator for one user.
#[derive(Debug)]
pub(crate) struct AuthenticatorObject {
    wallet: Rc<Wallet>,
    which: Which,
}

impl AuthenticatorObject {
    /// The object.
    pub(crate) fn new(wallet: Rc<Wallet>, which: Which) -> Self {
        Self { wallet, which }
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Device, &CancelToken) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        ask(&self.which, &self.wallet, question).await
    }

    /// Before anybody is asked for a PIN or consent: who sits here, and what polkit says.
    async fn may_manage(&self, call: &Call) -> Result<(), Error> {
        seats::sits_here(&self.wallet.context, self.wallet.uid).await?;
        polkit::check(&self.wallet, call, Action::Manage).await
    }

    /// Begins to set or change the PIN; the outcome goes to the caller by signal.
    async fn begin_pin(&self, change: PinChange, call: &Call) -> Result<Message, Failure> {
        self.may_manage(call).await?;
        let agent = self.wallet.agents.serving(&call.caller.name)?;
        let turn = self.wallet.floor.take()?;
        change.check(&self.which, &self.wallet).await?;
        let path = object_path(&self.which.path())?;
        let (wallet, which, caller) = (Rc::clone(&self.wallet), self.which.clone(), call.caller.name.clone());
        self.wallet.context.work.spawn(call.caller.uid, async move {
            let end = change.carry_out(&which, &wallet, &agent, &caller).await;
            turn.end(&end);
            wallet.context.tell_end(&caller, &path, AUTHENTICATOR, "PinFinished", &end).await;
        });
        call.reply(&())
    }

    /// Begins to reset; the outcome goes to the caller by signal.
    async fn begin_reset(&self, call: &Call) -> Result<Message, Failure> {
        self.may_manage(call).await?;
        let agent = self.wallet.agents.serving(&call.caller.name)?;
        let turn = self.wallet.floor.take()?;
        let path = object_path(&self.which.path())?;
        let (wallet, which, caller) = (Rc::clone(&self.wallet), self.which.clone(), call.caller.name.clone());
        self.wallet.context.work.spawn(call.caller.uid, async move {
            let end = reset::reset(&which, &wallet, &agent, &caller).await;
            turn.end(&end);
            if end.is_ok() {
                agent.status("reset", &fwp_dbus::types::StatusDetails::default()).await;
            }
            wallet.context.tell_end(&caller, &path, AUTHENTICATOR, "ResetFinished", &end).await;
        });
        call.reply(&())
    }
}

impl Object for AuthenticatorObject {
    const INTERFACE: Interface = AUTHENTICATOR;

    async fn call(&self, member: &str, call: &Call) -> Result<Message, Failure> {
        match member {
            "PinStatus" => {
                call.args::<()>()?;
                call.reply(&self.ask(pin_status).await?)
            }
            "Info" => {
                call.args::<()>()?;
                call.reply(&self.ask(details).await?)
            }
            "Wink" => {
                call.args::<()>()?;
                self.ask(|device, _| device.wink().map_err(|error| refusal(&error.into()))).await?;
                call.reply(&())
            }
            "SetPin" => {
                call.args::<()>()?;
                self.begin_pin(PinChange::Set, call).await
            }
            "ChangePin" => {
                call.args::<()>()?;
                self.begin_pin(PinChange::Change, call).await
            }
            "Reset" => {
                call.args::<()>()?;
                self.begin_reset(call).await
            }
            "BeginCertification" => {
                let host = call.args::<String>()?;
                self.may_manage(call).await?;
                call.reply(&certification::begin(&self.which, &self.wallet, &call.caller, &host).await?)
            }
            "ActivateCredential" => {
                let (blob, secret) = call.args::<(Vec<u8>, Vec<u8>)>()?;
                let opened = certification::activate(&self.which, &self.wallet, &call.caller, blob, secret);
                call.reply(&opened.await?)
            }
            "FinishCertification" => {
                let certificates = call.args::<Vec<Vec<u8>>>()?;
                certification::finish(&self.which, &self.wallet, &call.caller, certificates).await?;
                call.reply(&())
            }
            _ => Err(Failure::UnknownMethod),
        }
    }

    fn properties(&self) -> Result<Properties, Failure> {
        let info = self.which.info();
        Ok(vec![
            ("Kind", variant(info.kind)?),
            ("Attachment", variant(info.attachment)?),
            ("Name", variant(info.name)?),
            ("Aaguid", variant(info.aaguid)?),
            ("Versions", variant(info.versions)?),
            ("Usable", variant(info.usable)?),
            ("Problem", variant(info.problem)?),
        ])
    }
}
