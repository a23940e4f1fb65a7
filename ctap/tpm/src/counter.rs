//! The signature counter: one NV counter for the whole TPM (TPM 2.0 Library, Part 1, section 37.2.4), since TPMs have few of
//! them. It is neither secret nor precious: it has no authorization value, so whoever may use the TPM may count it up. Nobody
//! can count it down: if it is deleted and made anew, the TPM lets it go on above the highest that any counter had.

use crate::connection::{Connection, Tried};
use crate::failure::{Code, Failure};
use crate::policy::written_nv_name;
use ctap_authenticator::HardwareError;
use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::NvIndexType;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::NvPublic;

/// Where it is: a part of the owner's range (TCG registry of reserved handles).
pub(crate) const INDEX: u32 = 0x01bc_f0d0;
const SIZE: u16 = 8;

/// Counts up, and gives the new value. Its response is authenticated where `session` is.
pub(crate) fn next(connection: &mut Connection, session: AuthSession) -> Tried<u64> {
    let index = NvIndexTpmHandle::new(INDEX).map_err(|error| Failure::new("TPM2_NV_ReadPublic", &error))?;
    let handle = match connection.nv_index(index) {
        Ok(handle) => handle,
        Err(failure) if failure.is(&[Code::HANDLE]) => define(connection, session)?,
        Err(failure) => return Err(failure),
    };
    connection
        .run_with("TPM2_NV_Increment", session, |esys| esys.nv_increment(NvAuth::NvIndex(handle), handle))?;
    let command = "TPM2_NV_Read";
    let value = connection
        .run_with(command, session, |esys| esys.nv_read(NvAuth::NvIndex(handle), handle, SIZE, 0))?;
    <[u8; 8]>::try_from(value.value())
        .map(u64::from_be_bytes)
        .map_err(|_| Failure::local(command, "the counter has another length"))
}

/// Whether what is at its place, if anything, is it.
///
/// # Errors
/// [`HardwareError::IndexTaken`].
pub(crate) fn check(connection: &mut Connection) -> Result<(), HardwareError> {
    let expected = public().map_err(|failure| failure.meaning())?;
    let handle = match connection.nv_index(expected.nv_index()) {
        Ok(handle) => handle,
        Err(failure) if failure.is(&[Code::HANDLE]) => return Ok(()),
        Err(failure) => return Err(failure.meaning()),
    };
    let name = connection.name(handle).map_err(|failure| failure.meaning())?;
    // One that was made, and not yet counted up before a power failure, has another name: counting up mends that.
    if name == written_nv_name(&expected) || name == crate::policy::unwritten_nv_name(&expected) {
        Ok(())
    } else {
        Err(HardwareError::IndexTaken { index: INDEX })
    }
}

fn define(connection: &mut Connection, session: AuthSession) -> Tried<NvIndexHandle> {
    let public = public()?;
    connection
        .run_with("TPM2_NV_DefineSpace", session, |esys| esys.nv_define_space(Provision::Owner, None, public))
}

fn public() -> Tried<NvPublic> {
    let bad = |error| Failure::new("TPM2_NV_DefineSpace", &error);
    let attributes = NvIndexAttributesBuilder::new()
        .with_nv_index_type(NvIndexType::Counter)
        .with_auth_read(true)
        .with_auth_write(true)
        .with_no_da(true)
        .build()
        .map_err(bad)?;
    NvPublic::builder()
        .with_nv_index(NvIndexTpmHandle::new(INDEX).map_err(bad)?)
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(attributes)
        .with_data_area_size(SIZE.into())
        .build()
        .map_err(bad)
}
