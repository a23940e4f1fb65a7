//! A connection to the TPM that leaves nothing behind: whatever it made there is flushed when it is dropped, however its
//! work ended.

use crate::address::TpmAddress;
use crate::failure::Failure;
use ctap_authenticator::HardwareError;
use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{
    KeyHandle, NvIndexHandle, NvIndexTpmHandle, ObjectHandle, SessionHandle, TpmHandle,
};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Auth, SymmetricDefinition};
use tss_esapi::{Context, TctiNameConf};

/// Is told each command by its name in the TPM library specification, `TPM2_Sign` say, before it is sent.
pub type OnCommand = Arc<dyn Fn(&'static str) + Send + Sync>;

pub(crate) type Tried<T> = Result<T, Failure>;

pub(crate) struct Connection {
    context: Context,
    on_command: Option<OnCommand>,
    /// Objects and sessions in the TPM that are ours, oldest first.
    held: Vec<ObjectHandle>,
    /// What an authorization value was set for, to be overwritten in the library's memory.
    authorized: Vec<ObjectHandle>,
}

impl Connection {
    /// `name` is the address as the library has it: reading it costs more than some commands, and is done once.
    pub(crate) fn open(
        address: &TpmAddress,
        name: &OnceLock<TctiNameConf>,
        on_command: Option<OnCommand>,
    ) -> Result<Self, HardwareError> {
        reachable(address)?;
        let missing = |error: &dyn ToString| HardwareError::Missing {
            address: address.to_string(),
            cause: error.to_string(),
        };
        let tcti = match name.get() {
            Some(tcti) => tcti,
            None => {
                let tcti = tcti_name(address).map_err(|error| missing(&error))?;
                name.get_or_init(|| tcti)
            }
        };
        let context = Context::new(tcti.clone()).map_err(|error| missing(&error))?;
        Ok(Self { context, on_command, held: Vec::new(), authorized: Vec::new() })
    }

    /// Sends one command.
    pub(crate) fn run<T>(
        &mut self,
        command: &'static str,
        send: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Tried<T> {
        if let Some(on_command) = &self.on_command {
            on_command(command);
        }
        send(&mut self.context).map_err(|error| Failure::new(command, &error))
    }

    /// Sends one command that `session` authorizes or encrypts.
    pub(crate) fn run_with<T>(
        &mut self,
        command: &'static str,
        session: AuthSession,
        send: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Tried<T> {
        self.run(command, |context| context.execute_with_session(Some(session), send))
    }

    /// Sends one command that two sessions authorize, one for each of its handles.
    pub(crate) fn run_with_both<T>(
        &mut self,
        command: &'static str,
        (first, second): (AuthSession, AuthSession),
        send: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Tried<T> {
        self.run(command, |context| context.execute_with_sessions((Some(first), Some(second), None), send))
    }

    /// Takes over what a command made in the TPM, to flush it.
    pub(crate) fn hold<H: Into<ObjectHandle> + Copy>(&mut self, handle: H) -> H {
        self.held.push(handle.into());
        handle
    }

    /// Flushes what is [held](Self::hold).
    pub(crate) fn flush(&mut self, handle: impl Into<ObjectHandle>) -> Tried<()> {
        let handle = handle.into();
        self.forget_auth(handle);
        self.held.retain(|held| *held != handle);
        self.run("TPM2_FlushContext", |context| context.flush_context(handle))
    }

    /// An HMAC session, salted with `primary`, whose commands' and responses' first parameters are encrypted where they
    /// can be (Part 1, sections 19.6.8 and 21).
    pub(crate) fn salted_session(&mut self, primary: KeyHandle) -> Tried<AuthSession> {
        self.start_session(Some(primary), SessionType::Hmac)
    }

    /// A policy session without a key of its own: its HMACs are keyed with the authorization value of what it authorizes.
    pub(crate) fn policy_session(&mut self) -> Tried<AuthSession> {
        self.start_session(None, SessionType::Policy)
    }

    /// A policy session that is salted and encrypts, as [`Self::salted_session`].
    pub(crate) fn salted_policy_session(&mut self, primary: KeyHandle) -> Tried<AuthSession> {
        self.start_session(Some(primary), SessionType::Policy)
    }

    fn start_session(&mut self, salt: Option<KeyHandle>, kind: SessionType) -> Tried<AuthSession> {
        let command = "TPM2_StartAuthSession";
        let symmetric = SymmetricDefinition::AES_128_CFB;
        let session = self
            .run(command, |context| {
                context.start_auth_session(salt, None, None, kind, symmetric, HashingAlgorithm::Sha256)
            })?
            .ok_or_else(|| Failure::local(command, "it gave no session"))?;
        self.hold(SessionHandle::from(session));
        if salt.is_some() {
            let (attributes, mask) =
                SessionAttributesBuilder::new().with_decrypt(true).with_encrypt(true).build();
            self.context
                .tr_sess_set_attributes(session, attributes, mask)
                .map_err(|error| Failure::new(command, &error))?;
        }
        Ok(session)
    }

    /// Sends the last command that `session` is used for: the TPM flushes it by itself once that is done (continueSession is
    /// clear, Part 1, section 19.6.2), which saves a command.
    pub(crate) fn run_last<T>(
        &mut self,
        command: &'static str,
        session: AuthSession,
        send: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Tried<T> {
        let (attributes, mask) = SessionAttributesBuilder::new().with_continue_session(false).build();
        self.context
            .tr_sess_set_attributes(session, attributes, mask)
            .map_err(|error| Failure::new(command, &error))?;
        let done = self.run_with(command, session, send)?;
        let mut handle = ObjectHandle::from(SessionHandle::from(session));
        self.held.retain(|held| *held != handle);
        // tss-esapi takes it for an error that what it would have flushed is gone; it has forgotten it then, as it should.
        let _forgotten = self.context.tr_close(&mut handle);
        Ok(done)
    }

    /// The NV index, with its name as the TPM says it is.
    pub(crate) fn nv_index(&mut self, index: NvIndexTpmHandle) -> Tried<NvIndexHandle> {
        self.run("TPM2_NV_ReadPublic", |context| context.tr_from_tpm_public(TpmHandle::NvIndex(index)))
            .map(NvIndexHandle::from)
    }

    /// The name of an object or NV index (Part 1, section 16). Takes no command.
    pub(crate) fn name(&mut self, handle: impl Into<ObjectHandle>) -> Tried<Vec<u8>> {
        self.context
            .tr_get_name(handle.into())
            .map(|name| name.value().to_vec())
            .map_err(|error| Failure::new("ESYS_TR_GetName", &error))
    }

    /// Says with which value `handle` is authorized from now on. Takes no command.
    pub(crate) fn set_auth(&mut self, handle: impl Into<ObjectHandle>, auth: &Auth) -> Tried<()> {
        let handle = handle.into();
        self.authorized.push(handle);
        self.context
            .tr_set_auth(handle, auth.clone())
            .map_err(|error| Failure::new("ESYS_TR_SetAuth", &error))
    }

    /// Overwrites the value, which the library does not when it frees it.
    fn forget_auth(&mut self, handle: ObjectHandle) {
        if self.authorized.contains(&handle) {
            self.authorized.retain(|authorized| *authorized != handle);
            let _unknown = self.context.tr_set_auth(handle, Auth::default());
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for handle in self.authorized.clone() {
            self.forget_auth(handle);
        }
        for handle in std::mem::take(&mut self.held).into_iter().rev() {
            // A TPM that does not answer any more has nothing of ours, or a resource manager that cleans up.
            let _gone = self.run("TPM2_FlushContext", |context| context.flush_context(handle));
        }
    }
}

/// Without the library's own way to tell the kinds of addresses apart, five regular expressions.
fn tcti_name(address: &TpmAddress) -> tss_esapi::Result<TctiNameConf> {
    match address {
        TpmAddress::Device(path) => path.to_string_lossy().parse().map(TctiNameConf::Device),
        TpmAddress::Swtpm { host, port } => {
            format!("host={host},port={port}").parse().map(TctiNameConf::Swtpm)
        }
    }
}

/// Whether there is something at `address` that may be opened: the library tells the reasons apart only in what it prints.
fn reachable(address: &TpmAddress) -> Result<(), HardwareError> {
    let TpmAddress::Device(path) = address else { return Ok(()) };
    let opened = std::fs::OpenOptions::new().read(true).write(true).open(path);
    opened.map(drop).map_err(|error| unreachable_because(address, &error))
}

fn unreachable_because(address: &TpmAddress, error: &std::io::Error) -> HardwareError {
    match error.kind() {
        ErrorKind::PermissionDenied => HardwareError::NoPermission { address: address.to_string() },
        ErrorKind::ResourceBusy => {
            HardwareError::Busy { cause: "another program has it for itself alone".to_owned() }
        }
        _ => HardwareError::Missing { address: address.to_string(), cause: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_device_cannot_be_opened_is_told_apart() {
        let because =
            |code| unreachable_because(&TpmAddress::default(), &std::io::Error::from_raw_os_error(code));
        let (eacces, ebusy, enoent) = (13, 16, 2);
        assert!(matches!(because(eacces), HardwareError::NoPermission { .. }));
        assert!(matches!(because(ebusy), HardwareError::Busy { .. }));
        assert!(matches!(because(enoent), HardwareError::Missing { .. }));
        assert!(because(eacces).to_string().contains("group \"tss\""));
    }
}
