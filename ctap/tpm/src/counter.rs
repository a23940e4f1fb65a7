//! The signature counter: one [NV counter](crate::nv_counter) for the whole TPM, since TPMs have few of them.

use crate::connection::{Connection, Tried};
use crate::failure::Code;
use crate::nv_counter;
use crate::policy::{unwritten_nv_name, written_nv_name};
use ctap_authenticator::HardwareError;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::NvPublic;

/// Where it is: a part of the owner's range (TCG registry of reserved handles).
pub(crate) const INDEX: u32 = 0x01bc_f0d0;

/// Counts up, and gives the new value. Its response is authenticated where `session` is.
pub(crate) fn next(connection: &mut Connection, session: AuthSession) -> Tried<u64> {
    let public = public()?;
    let handle = match connection.nv_index(public.nv_index()) {
        Ok(handle) => handle,
        Err(failure) if failure.is(&[Code::HANDLE]) => nv_counter::define(connection, session, public)?,
        Err(failure) => return Err(failure),
    };
    nv_counter::count_up(connection, session, handle)
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
    if name == written_nv_name(&expected) || name == unwritten_nv_name(&expected) {
        Ok(())
    } else {
        Err(HardwareError::IndexTaken { index: INDEX })
    }
}

fn public() -> Tried<NvPublic> {
    nv_counter::public(INDEX, None)
}
