//! The PIN: an NV index whose authorization value it is (TPM 2.0 Library, Part 1, section 37).
//!
//! Its attributes are AUTHREAD and AUTHWRITE and nothing else, so that neither owner nor platform can read it, and without
//! NO_DA, so that the TPM counts wrong PINs. Only `TPM2_NV_ChangeAuth`, authorized with the PIN itself, changes the PIN
//! (policy: PolicyCommandCode and PolicyAuthValue). The content is a random secret, the authorization value of all keys:
//! who has the owner's rights can delete the index and make another one of the same name with a PIN of their own, but not
//! with the same content.

use crate::connection::{Connection, Tried};
use crate::failure::Failure;
use crate::policy::PolicyDigest;
use ctap_core::PinHash;
use std::ops::Range;
use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Auth, Digest, MaxNvBuffer, NvPublic};
use zeroize::Zeroizing;

/// Where PINs are, one for each wallet: a part of the owner's range (TCG registry of reserved handles).
pub(crate) const INDICES: Range<u32> = 0x01bd_0000..0x01be_0000;
/// The content, in bytes.
pub(crate) const SECRET: usize = 32;

/// The secret that all keys have as their authorization value.
pub(crate) type Secret = Zeroizing<[u8; SECRET]>;

/// The public area of the PIN object at `index`.
pub(crate) fn public(index: u32) -> Tried<NvPublic> {
    let command = "TPM2_NV_DefineSpace";
    let bad = |error| Failure::new(command, &error);
    let policy = PolicyDigest::new().nv_change_auth_only().auth_value();
    NvPublic::builder()
        .with_nv_index(NvIndexTpmHandle::new(index).map_err(bad)?)
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(
            NvIndexAttributesBuilder::new()
                .with_auth_read(true)
                .with_auth_write(true)
                .build()
                .map_err(bad)?,
        )
        .with_index_auth_policy(Digest::try_from(policy.as_bytes().as_slice()).map_err(bad)?)
        .with_data_area_size(SECRET)
        .build()
        .map_err(bad)
}

/// The PIN as the TPM takes it: without zeros at the end (Part 1, section 19.6.4.3).
pub(crate) fn auth(pin: &PinHash) -> Tried<Auth> {
    let bytes = pin.as_bytes().as_slice();
    let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    Auth::try_from(bytes.get(..len).unwrap_or(bytes)).map_err(|error| Failure::new("Auth", &error))
}

/// Makes it, with `secret` in it.
pub(crate) fn define(
    connection: &mut Connection,
    session: AuthSession,
    public: NvPublic,
    pin: &Auth,
    secret: &Secret,
) -> Tried<()> {
    let handle = connection.run_with("TPM2_NV_DefineSpace", session, |context| {
        context.nv_define_space(Provision::Owner, Some(pin.clone()), public)
    })?;
    connection.set_auth(handle, pin)?;
    let content =
        MaxNvBuffer::try_from(secret.as_slice()).map_err(|error| Failure::new("TPM2_NV_Write", &error))?;
    connection.run_with("TPM2_NV_Write", session, |context| {
        context.nv_write(NvAuth::NvIndex(handle), handle, content, 0)
    })
}

/// Reads the secret with the PIN that was set on `handle`.
pub(crate) fn read(
    connection: &mut Connection,
    session: AuthSession,
    handle: NvIndexHandle,
) -> Tried<Secret> {
    let command = "TPM2_NV_Read";
    let size = u16::try_from(SECRET).map_err(|error| Failure::local(command, error))?;
    let content = connection
        .run_with(command, session, |context| context.nv_read(NvAuth::NvIndex(handle), handle, size, 0))?;
    <[u8; SECRET]>::try_from(content.value())
        .map(Zeroizing::new)
        .map_err(|_| Failure::local(command, "the content has another length"))
}

/// Deletes it, by the owner's right.
pub(crate) fn delete(connection: &mut Connection, handle: NvIndexHandle) -> Tried<()> {
    connection.run_with("TPM2_NV_UndefineSpace", AuthSession::Password, |context| {
        context.nv_undefine_space(Provision::Owner, handle)
    })
}
