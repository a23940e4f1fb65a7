//! What a card takes to be paid with: whether its key answers here is asked of this computer's own authenticators, silently.

use std::sync::Arc;

use ctap_authenticator::software::{ReadOnly, SoftwareKeyStore};
use ctap_authenticator::{KeyStore, KeyStoreError, Os};
use ctap_core::messages::CredentialId;
use ctap_tpm::{Tpm, TpmKeyStore};
use fwp::Credential;
use fwp_store::record::{AuthenticatorKind, AuthenticatorState, NewCard};
use fwp_store::{Store, StoreError};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What this computer's own authenticators have, as it is now; nothing of it is changed.
pub(super) struct Platforms {
    software: Option<Zeroizing<Vec<u8>>>,
    tpm: Option<(Arc<Tpm>, Zeroizing<Vec<u8>>)>,
}

impl Platforms {
    /// Those of a wallet; `None` for one with nothing in it.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn of(store: Option<&Store>, tpm: Option<Arc<Tpm>>) -> Result<Self, StoreError> {
        let Some(store) = store else { return Ok(Self { software: None, tpm: None }) };
        Ok(Self {
            software: store.authenticator_state(AuthenticatorState::Software)?,
            tpm: tpm.zip(store.authenticator_state(AuthenticatorState::Tpm)?),
        })
    }

    /// `nothing`, `key` or `enroll`, as `Store1.Import` has it. May wait for the TPM.
    pub(super) fn needs(&self, card: &NewCard) -> &'static str {
        let owned = match card.authenticator.kind {
            AuthenticatorKind::Usb | AuthenticatorKind::Nfc => return "key",
            AuthenticatorKind::Software => self.software.as_ref().is_some_and(|state| {
                owns(SoftwareKeyStore::open(ReadOnly(Some(state.clone())), Os::default()), &card.credential)
            }),
            AuthenticatorKind::Tpm => self.tpm.as_ref().is_some_and(|(tpm, state)| {
                let keys = TpmKeyStore::open(Arc::clone(tpm), ReadOnly(Some(state.clone())), Os::default());
                owns(keys, &card.credential)
            }),
        };
        if owned { "nothing" } else { "enroll" }
    }
}

/// One that can't be asked can't sign either.
fn owns<K: KeyStore>(keys: Result<K, KeyStoreError>, credential: &Credential) -> bool {
    let rp_id_hash = Sha256::digest(credential.rp_id.as_str()).into();
    let Ok(id) = CredentialId::new(credential.credential_id.as_bytes().to_vec()) else { return false };
    keys.and_then(|mut keys| keys.owns(&rp_id_hash, &id)).unwrap_or(false)
}
