//! From a call to the object that it is for, as far as its caller may know of it.

use std::rc::Rc;

use fwp_dbus::interfaces::{AUTHENTICATOR_PREFIX, CREDENTIAL_PREFIX, WALLET_PATH};
use zbus::Message;

use crate::authenticators::{AuthenticatorObject, Which};
use crate::call::{Call, Failure};
use crate::credentials::{self, CredentialObject};
use crate::enrollments::EnrollmentObject;
use crate::objects::{dispatch, dispatch_both, dispatch_parent};
use crate::payments::PaymentObject;
use crate::store_object::StoreObject;
use crate::wallet_object::WalletObject;
use crate::wallets::Wallets;

/// Answers a call.
///
/// # Errors
/// [`Failure`]; [`Failure::UnknownObject`] for what isn't there as well as for what is another's.
pub(crate) async fn answer(wallets: &Wallets, call: &Call) -> Result<Message, Failure> {
    let header = call.message.header();
    let path = header.path().map(|path| path.as_str()).ok_or(Failure::UnknownObject)?;
    let wallet = wallets.of(call.caller.uid)?;
    if path == WALLET_PATH {
        return dispatch_both(&WalletObject(Rc::clone(&wallet)), &StoreObject::new(wallet, wallets), call)
            .await;
    }
    if let Some(payment) = wallet.payments.find(path, &call.caller) {
        return dispatch(&PaymentObject::new(Rc::clone(&wallet), payment), call).await;
    }
    if let Some(enrollment) = wallet.enrollments.find(path, &call.caller) {
        return dispatch(&EnrollmentObject::new(Rc::clone(&wallet), enrollment), call).await;
    }
    if path.starts_with(AUTHENTICATOR_PREFIX) {
        let which = Which::at(&wallet, path).await.ok_or(Failure::UnknownObject)?;
        return dispatch(&AuthenticatorObject::new(wallet, which), call).await;
    }
    if path.starts_with(CREDENTIAL_PREFIX) {
        let id = credentials::id_in(path).ok_or(Failure::UnknownObject)?;
        let record = credentials::find(&wallet, id).await?.ok_or(Failure::UnknownObject)?;
        return dispatch(&CredentialObject::new(wallet, record), call).await;
    }
    dispatch_parent(path, call)
}
