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
use crate::wallets::Wallet;

/// `Store1` for one user.
#[derive(Debug)]
pub(crate) struct StoreObject(pub(crate) Rc<Wallet>);

impl Object for StoreObject {
    const INTERFACE: Interface = STORE;

    async fn call(&self, member: &str, call: &Call) -> Result<Message, Failure> {
        let wallet = &self.0;
        match member {
            "Slots" => {
                call.args::<()>()?;
                call.reply(&slots::list(wallet).await?)
            }
            "AddSlot" => {
                let (kind, options) = call.args::<(String, SlotOptions)>()?;
                call.reply(&slots::add(wallet, call, &kind, &options).await?)
            }
            "RemoveSlot" => {
                let id = call.args::<i64>()?;
                call.reply(&slots::remove(wallet, call, id).await?)
            }
            "Rotate" => {
                let what = call.args::<String>()?;
                call.reply(&slots::rotate(wallet, call, &what).await?)
            }
            "AcceptCopy" => {
                call.args::<()>()?;
                call.reply(&locking::accept_copy(wallet, call).await?)
            }
            "Unlock" => {
                call.args::<()>()?;
                call.reply(&locking::unlock(wallet, call).await?)
            }
            "Lock" => {
                call.args::<()>()?;
                locking::lock(wallet).await;
                call.reply(&())
            }
            "Export" => {
                let file = call.args::<OwnedFd>()?;
                call.reply(&copies::export(wallet, call, file.into()).await?)
            }
            "Import" => {
                let file = call.args::<OwnedFd>()?;
                call.reply(&copies::import(wallet, call, file.into()).await?)
            }
            _ => Err(Failure::UnknownMethod),
        }
    }

    fn properties(&self) -> Result<Properties, Failure> {
        Ok(Properties::new())
    }
}
