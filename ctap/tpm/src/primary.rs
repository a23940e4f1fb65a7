//! The primary key, the parent of all others: ECC P-256, made from the owner hierarchy's seed, so always the same until the
//! TPM is cleared (TPM 2.0 Library, Part 1, section 26.2.5). Another one under the endorsement hierarchy, which outlives
//! clearing, tells a cleared TPM from another one.

use crate::connection::{Connection, Tried};
use crate::failure::{Code, Failure};
use crate::policy::NAME;
use std::sync::{Mutex, PoisonError};
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    EccPoint, Public, PublicBuilder, PublicEccParametersBuilder, SymmetricDefinitionObject,
};
use tss_esapi::utils::TpmsContext;

/// Which TPM it is, as its primaries tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Of the owner hierarchy: another one after a clear.
    pub(crate) primary: [u8; NAME],
    /// Of the endorsement hierarchy; zeros where that has a password.
    pub(crate) endorsement: [u8; NAME],
}

impl Identity {
    pub(crate) fn read(connection: &mut Connection, primary: KeyHandle) -> Tried<Self> {
        let endorsement = endorsement_name(connection)?.unwrap_or([0; NAME]);
        Ok(Self { primary: name(connection, primary)?, endorsement })
    }
}

/// A saved context of the primary, which the same TPM loads faster than it makes the key again. It is worth nothing after
/// a restart of the TPM, and outside it.
#[derive(Default)]
pub(crate) struct SavedPrimary(Mutex<Option<TpmsContext>>);

impl SavedPrimary {
    pub(crate) fn context(&self) -> Option<TpmsContext> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, context: Option<TpmsContext>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = context;
    }

    /// The primary, loaded.
    pub(crate) fn load(&self, connection: &mut Connection) -> Tried<KeyHandle> {
        if let Some(context) = self.context() {
            match connection.run("TPM2_ContextLoad", |esys| esys.context_load(context)) {
                Ok(handle) => return Ok(connection.hold(KeyHandle::from(handle))),
                Err(failure) if is_stale(&failure) => self.set(None),
                Err(failure) => return Err(failure),
            }
        }
        let primary = create(connection, Hierarchy::Owner)?;
        let context = connection.run("TPM2_ContextSave", |esys| esys.context_save(primary.into()))?;
        self.set(Some(context));
        Ok(primary)
    }
}

/// Whether a context is one of before a restart, of before a clear, or of another TPM.
fn is_stale(failure: &Failure) -> bool {
    failure.is(&[Code::INTEGRITY, Code::HANDLE, Code::HIERARCHY, Code::SIZE, Code::VALUE, Code::BAD_CONTEXT])
}

fn create(connection: &mut Connection, hierarchy: Hierarchy) -> Tried<KeyHandle> {
    create_from(connection, hierarchy, template()?)
}

/// A primary from a template.
pub(crate) fn create_from(
    connection: &mut Connection,
    hierarchy: Hierarchy,
    template: Public,
) -> Tried<KeyHandle> {
    let made = connection.run_with("TPM2_CreatePrimary", AuthSession::Password, |context| {
        context.create_primary(hierarchy, template, None, None, None, None)
    })?;
    Ok(connection.hold(made.key_handle))
}

/// The name of the primary under the endorsement hierarchy, `None` where that has a password.
pub(crate) fn endorsement_name(connection: &mut Connection) -> Tried<Option<[u8; NAME]>> {
    let primary = match create(connection, Hierarchy::Endorsement) {
        Ok(primary) => primary,
        Err(failure) if failure.is(&[Code::BAD_AUTH, Code::AUTH_FAIL]) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let name = name(connection, primary)?;
    connection.flush(primary)?;
    Ok(Some(name))
}

/// The primary's name. Takes no command.
pub(crate) fn name(connection: &mut Connection, primary: KeyHandle) -> Tried<[u8; NAME]> {
    <[u8; NAME]>::try_from(connection.name(primary)?)
        .map_err(|_| Failure::local("TPM2_CreatePrimary", "the primary's name is not of SHA-256"))
}

/// A restricted decryption key, for nothing but to be a parent. It has no authorization value: who may use the TPM may
/// load what is its child, and then needs what the child wants. `tpm2_createprimary -C o -G ecc256:aes128cfb` with these
/// attributes makes the same.
fn template() -> Tried<Public> {
    let build = || {
        let attributes = ObjectAttributesBuilder::new()
            .with_fixed_tpm(true)
            .with_fixed_parent(true)
            .with_sensitive_data_origin(true)
            .with_user_with_auth(true)
            .with_no_da(true)
            .with_restricted(true)
            .with_decrypt(true)
            .build()?;
        let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(
            SymmetricDefinitionObject::AES_128_CFB,
            EccCurve::NistP256,
        )
        .build()?;
        PublicBuilder::new()
            .with_public_algorithm(PublicAlgorithm::Ecc)
            .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
            .with_object_attributes(attributes)
            .with_ecc_parameters(parameters)
            .with_ecc_unique_identifier(EccPoint::default())
            .build()
    };
    build().map_err(|error| Failure::new("TPM2_CreatePrimary", &error))
}
