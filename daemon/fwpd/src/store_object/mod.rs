//! `Store1`: key slots, locking, and copies of all cards, on the wallet's object.
//!
//! * `asking`: the user, while something of it is before them.
//! * `slots`: the ways to the store's key. `locking`: open, closed, an old copy.
//! * `copies`: export and import. `file`: the caller's file or pipe. `needs`: what a card takes to be paid with again.

mod asking;
mod copies;
mod file;
mod locking;
mod needs;
mod slots;

use std::rc::Rc;

use fwp_dbus::interfaces::{Interface, STORE};
use fwp_dbus::types::SlotOptions;
use zbus::{Message, OwnedFd};

use crate::call::{Call, Failure};
use crate::objects::{Object, Properties};
use crate::polkit::{self, Action};
use crate::wallets::{Wallet, Wallets};

/// `Store1` for one user.
#[derive(Debug)]
pub(crate) struct StoreObject<'w> {
    wallet: Rc<Wallet>,
    /// Those of all users.
    wallets: &'w Wallets,
}

impl<'w> StoreObject<'w> {
    /// The object.
    pub(crate) fn new(wallet: Rc<Wallet>, wallets: &'w Wallets) -> Self {
        Self { wallet, wallets }
    }
}

impl Object for StoreObject<'_> {
    const INTERFACE: Interface = STORE;

    async fn call(&self, member: &str, call: &Call) -> Result<Message, Failure> {
        let wallet = &self.wallet;
        let allowed = async |action| polkit::check(wallet, call, action).await;
        match member {
            "Slots" => {
                call.args::<()>()?;
                call.reply(&slots::list(wallet).await?)
            }
            "AddSlot" => {
                let (kind, options) = call.args::<(String, SlotOptions)>()?;
                allowed(Action::Manage).await?;
                call.reply(&slots::add(wallet, call, &kind, &options).await?)
            }
            "RemoveSlot" => {
                let id = call.args::<i64>()?;
                allowed(Action::Manage).await?;
                call.reply(&slots::remove(wallet, call, id).await?)
            }
            "Rotate" => {
                let what = call.args::<String>()?;
                allowed(Action::Manage).await?;
                call.reply(&slots::rotate(wallet, call, &what).await?)
            }
            "AcceptCopy" => {
                call.args::<()>()?;
                allowed(Action::Manage).await?;
                call.reply(&locking::accept_copy(wallet, call).await?)
            }
            "Unlock" => {
                call.args::<()>()?;
                call.reply(&locking::unlock(wallet, call).await?)
            }
            "UnlockFor" => {
                let uid = call.args::<u32>()?;
                allowed(Action::UnlockOther).await?;
                let other = self.wallets.stored(uid).ok_or_else(locking::no_wallet)?;
                call.reply(&locking::unlock_for(wallet, &other, call).await?)
            }
            "Lock" => {
                call.args::<()>()?;
                call.reply(&locking::lock(wallet, call).await?)
            }
            "Export" => {
                let file = call.args::<OwnedFd>()?;
                allowed(Action::Export).await?;
                call.reply(&copies::export(wallet, call, file.into()).await?)
            }
            "Import" => {
                let file = call.args::<OwnedFd>()?;
                allowed(Action::Export).await?;
                call.reply(&copies::import(wallet, call, file.into()).await?)
            }
            _ => Err(Failure::UnknownMethod),
        }
    }

    fn properties(&self) -> Result<Properties, Failure> {
        Ok(Properties::new())
    }
}
