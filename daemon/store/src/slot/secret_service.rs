//! The desktop's keyring: the slot's own key is an item of the Secret Service. What travels over the bus and stands in the
//! keyring is worth nothing without the store's file.

use super::wrap::WrappingKey;
use super::{KeySlot, SlotError, SlotKind};
use crate::keyring::{KeyringItem, outcome};
use crate::seal::{DataKey, WalletId};
use keyring_core::Entry;
use std::time::Duration;
use zeroize::Zeroizing;

/// A slot whose own key stands in the user's default keyring.
#[derive(Clone, Debug)]
pub struct SecretServiceSlot(KeyringItem);

impl SecretServiceSlot {
    /// The slot in the keyring of this session (`DBUS_SESSION_BUS_ADDRESS`); `deadline` is how long a call may wait for
    /// the user to unlock it.
    pub fn new(deadline: Duration) -> Self {
        Self(KeyringItem::new("wallet", "Key of the payment wallet (fwpd)", deadline))
    }
}

impl KeySlot for SecretServiceSlot {
    fn kind(&self) -> SlotKind {
        SlotKind::SecretService
    }

    fn wrap(&self, wallet: &WalletId, key: &DataKey) -> Result<Vec<u8>, SlotError> {
        let own = self.0.with(wallet, |entry| match read(&entry) {
            Err(SlotError::Missing(_)) => {
                let key = WrappingKey::generate()?;
                entry.set_secret(key.as_bytes()).map_err(outcome)?;
                Ok(key)
            }
            other => other,
        })?;
        own.wrap(self.kind(), wallet, key)
    }

    fn discard(&self, wallet: &WalletId) -> Result<(), SlotError> {
        self.0.with(wallet, |entry| match entry.delete_credential().map_err(outcome) {
            Err(SlotError::Missing(_)) => Ok(()),
            other => other,
        })
    }

    fn unwrap(&self, wallet: &WalletId, wrapped: &[u8]) -> Result<DataKey, SlotError> {
        self.0.with(wallet, |entry| read(&entry))?.unwrap(self.kind(), wallet, wrapped)
    }
}

fn read(entry: &Entry) -> Result<WrappingKey, SlotError> {
    let secret = Zeroizing::new(entry.get_secret().map_err(outcome)?);
    WrappingKey::from_slice(&secret)
}
