//! Counters in NV memory (TPM 2.0 Library, Part 1, section 37.2.4): they go up by one, survive a power failure when the command has
//! answered, and never go down; one that is deleted and made anew goes on above the highest that any counter had. They are
//! neither secret nor precious: without an authorization value, whoever may use the TPM may count them up.
//!
//! Those of others' choosing are found by a label, a digest of what they count for, which stands in their public area as the
//! policy. A policy that nobody can satisfy gives no rights, and is a part of the index's name: what has another label, other
//! attributes or another place is not taken for it. Each label has [`PLACES`] places, in an order that it gives.

use crate::connection::{Connection, Tried};
use crate::failure::{Code, Failure};
use crate::policy::{unwritten_nv_name, written_nv_name};
use crate::tpm::Tpm;
use ctap_authenticator::HardwareError;
use sha2::{Digest as _, Sha256};
use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::NvIndexType;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Digest, NvPublic};

/// Where labelled counters are: a part of the owner's range (TCG registry of reserved handles).
const FIRST_INDEX: u32 = 0x01be_0000;
/// How many indices a label may be found at.
const PLACES: u8 = 8;
const SIZE: u16 = 8;

/// What a counter counts for: a digest, by which it is found again.
pub type CounterLabel = [u8; 32];

/// A counter as the TPM has it.
struct Found {
    handle: NvIndexHandle,
    /// It has been counted up at least once: before that it has no value.
    written: bool,
}

impl Tpm {
    /// The value of the counter with this label. `None`: there is none. Costs two commands where there is one.
    ///
    /// # Errors
    /// [`HardwareError`].
    pub fn counter_value(&self, label: &CounterLabel) -> Result<Option<u64>, HardwareError> {
        self.with_connection(|connection| match find(connection, label)? {
            Some(Found { handle, written: true }) => {
                read(connection, AuthSession::Password, handle).map(Some)
            }
            _ => Ok(None),
        })
    }

    /// Counts up, and gives the new value; makes the counter if there is none. Costs three commands where there is one.
    ///
    /// # Errors
    /// [`HardwareError`].
    pub fn counter_increment(&self, label: &CounterLabel) -> Result<u64, HardwareError> {
        self.with_connection(|connection| {
            let handle = match find(connection, label)? {
                Some(found) => found.handle,
                None => make(connection, label)?,
            };
            count_up(connection, AuthSession::Password, handle)
        })
    }

    /// Deletes the counter with this label, and says whether there was one.
    ///
    /// # Errors
    /// [`HardwareError`].
    pub fn counter_remove(&self, label: &CounterLabel) -> Result<bool, HardwareError> {
        self.with_connection(|connection| {
            let Some(found) = find(connection, label)? else { return Ok(false) };
            connection.run_with("TPM2_NV_UndefineSpace", AuthSession::Password, |context| {
                context.nv_undefine_space(Provision::Owner, found.handle)
            })?;
            Ok(true)
        })
    }

    fn with_connection<T>(&self, work: impl FnOnce(&mut Connection) -> Tried<T>) -> Result<T, HardwareError> {
        let mut connection = self.connect()?;
        work(&mut connection).map_err(|failure| self.explain_owner(&mut connection, &failure))
    }
}

/// Counts up, and reads the new value. The responses are authenticated where `session` is.
pub(crate) fn count_up(
    connection: &mut Connection,
    session: AuthSession,
    handle: NvIndexHandle,
) -> Tried<u64> {
    connection
        .run_with("TPM2_NV_Increment", session, |esys| esys.nv_increment(NvAuth::NvIndex(handle), handle))?;
    read(connection, session, handle)
}

fn read(connection: &mut Connection, session: AuthSession, handle: NvIndexHandle) -> Tried<u64> {
    let command = "TPM2_NV_Read";
    let value = connection
        .run_with(command, session, |esys| esys.nv_read(NvAuth::NvIndex(handle), handle, SIZE, 0))?;
    <[u8; 8]>::try_from(value.value())
        .map(u64::from_be_bytes)
        .map_err(|_| Failure::local(command, "the counter has another length"))
}

/// Makes one, not yet counted up.
pub(crate) fn define(
    connection: &mut Connection,
    session: AuthSession,
    public: NvPublic,
) -> Tried<NvIndexHandle> {
    connection
        .run_with("TPM2_NV_DefineSpace", session, |esys| esys.nv_define_space(Provision::Owner, None, public))
}

/// The public area of a counter.
pub(crate) fn public(index: u32, label: Option<&CounterLabel>) -> Tried<NvPublic> {
    let bad = |error| Failure::new("TPM2_NV_DefineSpace", &error);
    let attributes = NvIndexAttributesBuilder::new()
        .with_nv_index_type(NvIndexType::Counter)
        .with_auth_read(true)
        .with_auth_write(true)
        .with_no_da(true)
        .build()
        .map_err(bad)?;
    let policy = label.map_or(&[] as &[u8], |label| label);
    NvPublic::builder()
        .with_nv_index(NvIndexTpmHandle::new(index).map_err(bad)?)
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(attributes)
        .with_index_auth_policy(Digest::try_from(policy).map_err(bad)?)
        .with_data_area_size(SIZE.into())
        .build()
        .map_err(bad)
}

/// Every place of a label.
fn places(label: &CounterLabel) -> impl Iterator<Item = u32> {
    (0..PLACES).map(move |place| {
        let digest = Sha256::new().chain_update(label).chain_update([place]).finalize();
        let low = digest.first_chunk().map_or(0, |first| u16::from_be_bytes(*first));
        FIRST_INDEX | u32::from(low)
    })
}

/// At whichever of its places it is: another index may have stood before it once.
fn find(connection: &mut Connection, label: &CounterLabel) -> Tried<Option<Found>> {
    for index in places(label) {
        let expected = public(index, Some(label))?;
        let handle = match connection.nv_index(expected.nv_index()) {
            Ok(handle) => handle,
            Err(failure) if failure.is(&[Code::HANDLE]) => continue,
            Err(failure) => return Err(failure),
        };
        let name = connection.name(handle)?;
        let written = name == written_nv_name(&expected);
        if written || name == unwritten_nv_name(&expected) {
            return Ok(Some(Found { handle, written }));
        }
    }
    Ok(None)
}

fn make(connection: &mut Connection, label: &CounterLabel) -> Tried<NvIndexHandle> {
    let mut taken = Failure::local("TPM2_NV_DefineSpace", "all its places are taken");
    for index in places(label) {
        match define(connection, AuthSession::Password, public(index, Some(label))?) {
            Err(failure) if failure.is(&[Code::NV_DEFINED]) => taken = failure,
            done => return done,
        }
    }
    Err(taken)
}
