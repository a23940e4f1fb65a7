//! The TPM of this machine, as all its users share it.

use crate::address::TpmAddress;
use crate::attempts::Attempts;
use crate::connection::{Connection, OnCommand, Tried};
use crate::failure::{Code, Failure};
use crate::policy::NAME;
use crate::primary::{self, Identity, SavedPrimary};
use ctap_authenticator::HardwareError;
use std::fmt;
use std::sync::OnceLock;
use tss_esapi::TctiNameConf;
use tss_esapi::constants::{CapabilityType, PropertyTag};
use tss_esapi::handles::KeyHandle;
use tss_esapi::structures::CapabilityData;

/// The TPM. Shared by the key stores of all wallets in a process, in an `Arc`.
pub struct Tpm {
    address: TpmAddress,
    /// The address, as the library has it.
    name: OnceLock<TctiNameConf>,
    on_command: Option<OnCommand>,
    pub(crate) primary: SavedPrimary,
    pub(crate) attempts: Attempts,
}

impl fmt::Debug for Tpm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tpm").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Tpm {
    /// The TPM at `address`. Nothing is sent to it yet.
    pub fn new(address: TpmAddress) -> Self {
        Self {
            address,
            name: OnceLock::new(),
            on_command: None,
            primary: SavedPrimary::default(),
            attempts: Attempts::default(),
        }
    }

    /// The same, telling each command that is sent from now on.
    #[must_use]
    pub fn on_command(self, on_command: OnCommand) -> Self {
        Self { on_command: Some(on_command), ..self }
    }

    /// Asks how it is. Costs two commands.
    ///
    /// # Errors
    /// [`HardwareError`].
    pub fn health(&self) -> Result<Health, HardwareError> {
        let mut connection = self.connect()?;
        Health::read(&mut connection).map_err(|failure| failure.meaning())
    }

    pub(crate) fn connect(&self) -> Result<Connection, HardwareError> {
        Connection::open(&self.address, &self.name, self.on_command.clone())
    }

    pub(crate) fn address(&self) -> &TpmAddress {
        &self.address
    }

    pub(crate) fn tell(&self, command: &'static str) {
        if let Some(on_command) = &self.on_command {
            on_command(command);
        }
    }

    pub(crate) fn load_primary(&self, connection: &mut Connection) -> Result<KeyHandle, HardwareError> {
        self.primary.load(connection).map_err(|failure| self.explain_owner(connection, &failure))
    }

    /// Whether it is the one that it was.
    ///
    /// # Errors
    /// [`HardwareError::Cleared`], [`HardwareError::Replaced`], [`HardwareError::ClearedOrReplaced`] and others.
    pub(crate) fn check_identity(
        &self,
        connection: &mut Connection,
        primary: KeyHandle,
        was: &Identity,
    ) -> Result<(), HardwareError> {
        let found = primary::name(connection, primary).map_err(|failure| failure.meaning())?;
        if found == was.primary {
            return Ok(());
        }
        let endorsement = primary::endorsement_name(connection)
            .map_err(|failure| self.explain(connection, &failure))?
            .filter(|_| was.endorsement != [0; NAME]);
        Err(match endorsement {
            Some(name) if name == was.endorsement => HardwareError::Cleared,
            Some(_) => HardwareError::Replaced,
            None => HardwareError::ClearedOrReplaced,
        })
    }

    /// As [`Self::explain`], for what the owner hierarchy authorizes without a password.
    pub(crate) fn explain_owner(&self, connection: &mut Connection, failure: &Failure) -> HardwareError {
        if failure.is(&[Code::BAD_AUTH, Code::AUTH_FAIL]) {
            return HardwareError::OwnerPassword;
        }
        self.explain(connection, failure)
    }

    /// What `failure` means to the user, who may want to know for how long.
    pub(crate) fn explain(&self, connection: &mut Connection, failure: &Failure) -> HardwareError {
        if !failure.is(&[Code::LOCKOUT]) {
            return failure.meaning();
        }
        match Lockout::read(connection) {
            Ok(lockout) => HardwareError::LockedOut { seconds: lockout.interval },
            Err(failure) => failure.meaning(),
        }
    }
}

/// How a TPM is set up (TPM 2.0 Library, Part 2, sections 6.13 and 8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The owner hierarchy has a password: nothing can be set up then.
    pub owner_password: bool,
    /// The lockout hierarchy has a password. Where it has none, whoever may use the TPM may forgive wrong PINs, and so try as
    /// many as they like: `doctor` should say so.
    pub lockout_password: bool,
    /// Wrong PINs and the like, and what comes of them.
    pub lockout: Lockout,
}

const OWNER_AUTH_SET: u32 = 1;
const LOCKOUT_AUTH_SET: u32 = 1 << 2;

impl Health {
    fn read(connection: &mut Connection) -> Tried<Self> {
        let [permanent] = properties(connection, [PropertyTag::Permanent])?;
        Ok(Self {
            owner_password: permanent & OWNER_AUTH_SET != 0,
            lockout_password: permanent & LOCKOUT_AUTH_SET != 0,
            lockout: Lockout::read(connection)?,
        })
    }
}

/// The TPM's protection against guessing, the same for all its users (TPM 2.0 Library, Part 1, section 19.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// Wrong authorization values counted now.
    pub failures: u32,
    /// At so many it locks.
    pub limit: u32,
    /// Each of so many seconds (switched on) forgives one; 0: never.
    pub interval: u32,
}

impl Lockout {
    pub(crate) fn read(connection: &mut Connection) -> Tried<Self> {
        let [failures, limit, interval] = properties(
            connection,
            [PropertyTag::LockoutCounter, PropertyTag::MaxAuthFail, PropertyTag::LockoutInterval],
        )?;
        Ok(Self { failures, limit, interval })
    }

    /// It takes no authorization value that it protects.
    pub fn is_locked(&self) -> bool {
        self.failures >= self.limit
    }

    /// As many as one user may have counted: half of what locks it.
    pub fn fair_share(&self) -> u32 {
        self.limit.div_ceil(2)
    }

    /// One more wrong one locks it.
    pub fn is_near(&self) -> bool {
        self.failures.saturating_add(1) >= self.limit
    }
}

/// Properties that follow each other.
fn properties<const N: usize>(connection: &mut Connection, tags: [PropertyTag; N]) -> Tried<[u32; N]> {
    let command = "TPM2_GetCapability";
    let first = tags.first().map_or(0, |tag| u32::from(*tag));
    let count = u32::try_from(N).map_err(|error| Failure::local(command, error))?;
    let (data, _) = connection
        .run(command, |context| context.get_capability(CapabilityType::TpmProperties, first, count))?;
    let CapabilityData::TpmProperties(list) = data else {
        return Err(Failure::local(command, "it gave something else than properties"));
    };
    let mut values = [0; N];
    for (value, tag) in values.iter_mut().zip(tags) {
        *value = list
            .find(tag)
            .map(|property| property.value())
            .ok_or_else(|| Failure::local(command, "a property is missing"))?;
    }
    Ok(values)
}
