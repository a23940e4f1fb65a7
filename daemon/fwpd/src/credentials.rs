//! Cards as objects, and their removal.

use std::rc::Rc;
use std::sync::Arc;

use fwp_dbus::interfaces::{CREDENTIAL, CREDENTIAL_PREFIX, Interface};
use fwp_dbus::types::{ConsentDetails, CredentialInfo};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuditEvent, AuditKind, CardId, CardRecord};
use fwp_store::{Changes, Durability};
use zbus::names::OwnedUniqueName;
use zbus::{Message, OwnedObjectPath};

use crate::agents::Agent;
use crate::call::{Call, Failure};
use crate::interrupts::interrupts;
use crate::journal::{self, Notice};
use crate::objects::{Object, Properties, variant};
use crate::polkit::{self, Action};
use crate::wallets::Wallet;
use crate::{authenticators, clock};

/// A card's object path.
pub(crate) fn path(id: CardId) -> Result<OwnedObjectPath, Error> {
    OwnedObjectPath::try_from(format!("{CREDENTIAL_PREFIX}/{id}"))
        .map_err(|error| Error::new(ErrorName::Internal, error.to_string()))
}

/// The number in a card's object path, as [`path`] writes it and in no other form.
pub(crate) fn id_in(object_path: &str) -> Option<CardId> {
    let digits = object_path.strip_prefix(CREDENTIAL_PREFIX)?.strip_prefix('/')?;
    let id = CardId::from_i64(i64::from_str_radix(digits, 16).ok()?);
    (id.to_string() == digits).then_some(id)
}

/// The user's cards, oldest first.
///
/// # Errors
/// `StoreLocked`, `StoreUnusable`.
pub(crate) async fn list(wallet: &Wallet) -> Result<Vec<(OwnedObjectPath, CredentialInfo)>, Error> {
    let mut cards = all(wallet).await?;
    cards.sort_by_key(|card| (card.card.enrolled_unix_ms, card.id));
    cards.iter().map(|card| Ok((path(card.id)?, info(card)))).collect()
}

/// The user's cards, in no particular order.
///
/// # Errors
/// `StoreLocked`, `StoreUnusable`.
pub(crate) async fn all(wallet: &Wallet) -> Result<Vec<Arc<CardRecord>>, Error> {
    wallet
        .vault
        .read(|store| Ok(store.map(|store| store.cards().cloned().collect()).unwrap_or_default()))
        .await
}

/// One of the user's cards.
///
/// # Errors
/// `StoreLocked`, `StoreUnusable`.
pub(crate) async fn find(wallet: &Wallet, id: CardId) -> Result<Option<Arc<CardRecord>>, Error> {
    wallet.vault.read(move |store| Ok(store.and_then(|store| store.card(id).cloned()))).await
}

fn info(record: &CardRecord) -> CredentialInfo {
    let credential = &record.card.credential;
    CredentialInfo {
        payment_network_id: credential.card.payment_network_id.clone(),
        issuer_id: credential.card.issuer_id.clone(),
        account_id: credential.card.account_id.as_str().to_owned(),
        serial_number: credential.card.serial_number.clone(),
        rp_id: credential.rp_id.as_str().to_owned(),
        signature_algorithm: i32::try_from(credential.signature_algorithm.id()).unwrap_or_default(),
        credential_id: credential.credential_id.as_bytes().to_vec(),
        authenticator: authenticators::kind_of_card(record.card.authenticator.kind).to_owned(),
        created: clock::time_text(record.card.enrolled_unix_ms),
    }
}

/// The object of one card.
#[derive(Debug)]
pub(crate) struct CredentialObject {
    wallet: Rc<Wallet>,
    record: Arc<CardRecord>,
}

impl CredentialObject {
    /// The object.
    pub(crate) fn new(wallet: Rc<Wallet>, record: Arc<CardRecord>) -> Self {
        Self { wallet, record }
    }

    /// Begins to delete; the outcome goes to the caller by signal.
    fn delete(&self, call: &Call) -> Result<Message, Failure> {
        let agent = self.wallet.agents.serving(&call.caller.name)?;
        let turn = self.wallet.floor.take()?;
        let (wallet, record, caller) =
            (Rc::clone(&self.wallet), Arc::clone(&self.record), call.caller.name.clone());
        let path = path(record.id)?;
        self.wallet.context.work.spawn(call.caller.uid, async move {
            let end = delete(&wallet, &record, &agent, &caller).await;
            turn.end(&end);
            wallet.context.tell_end(&caller, &path, CREDENTIAL, "DeleteFinished", &end).await;
        });
        call.reply(&())
    }
}

/// Asks the user and deletes.
async fn delete(
    wallet: &Wallet,
    record: &CardRecord,
    agent: &Agent,
    caller: &OwnedUniqueName,
) -> Result<(), Error> {
    let (interrupter, mut interrupts) = interrupts();
    let _watches = wallet.watch(caller, agent, &interrupter);
    let credential = &record.card.credential;
    let details = ConsentDetails {
        path: Some(path(record.id)?),
        payment_network_id: Some(credential.card.payment_network_id.clone()),
        issuer_id: Some(credential.card.issuer_id.clone()),
        account_id: Some(credential.card.account_id.as_str().to_owned()),
        rp_id: Some(credential.rp_id.as_str().to_owned()),
        ..ConsentDetails::default()
    };
    agent.consent("delete", &details, &mut interrupts).await?;
    let id = record.id;
    let mut changes = Changes::new();
    changes.remove_card(id).audit(AuditEvent::new(clock::now_ms(), AuditKind::CardDeleted).card(id));
    let deleted = wallet.vault.write(|store| store.commit(changes, Durability::Durable)).await;
    wallet.holdings.cards_changed();
    deleted?;
    journal::tell(Notice::CardDeleted, "a card was deleted");
    Ok(())
}

impl Object for CredentialObject {
    const INTERFACE: Interface = CREDENTIAL;

    async fn call(&self, member: &str, call: &Call) -> Result<Message, Failure> {
        match member {
            "Delete" => {
                call.args::<()>()?;
                polkit::check(&self.wallet, call, Action::Manage).await?;
                self.delete(call)
            }
            _ => Err(Failure::UnknownMethod),
        }
    }

    fn properties(&self) -> Result<Properties, Failure> {
        let info = info(&self.record);
        Ok(vec![
            ("PaymentNetworkId", variant(info.payment_network_id)?),
            ("IssuerId", variant(info.issuer_id)?),
            ("AccountId", variant(info.account_id)?),
            ("SerialNumber", variant(info.serial_number)?),
            ("RpId", variant(info.rp_id)?),
            ("SignatureAlgorithm", variant(info.signature_algorithm)?),
            ("CredentialId", variant(info.credential_id)?),
            ("Authenticator", variant(info.authenticator)?),
            ("Created", variant(info.created)?),
            ("CardImage", variant(self.record.card.credential.card.card_image.as_bytes().to_vec())?),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_card_in_one_way() {
        let id = CardId::from_i64(0x0123_4567_89ab_cdef);
        assert_eq!(path(id).unwrap().as_str(), "/io/github/fwpd/credential/0123456789abcdef");
        assert_eq!(id_in("/io/github/fwpd/credential/0123456789abcdef"), Some(id));
        for other in ["0123456789ABCDEF", "123456789abcdef", "00123456789abcdef", "+123456789abcdef", "", "x"]
        {
            assert_eq!(id_in(&format!("/io/github/fwpd/credential/{other}")), None, "{other}");
        }
    }
}
