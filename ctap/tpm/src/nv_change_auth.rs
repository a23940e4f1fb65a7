//! `TPM2_NV_ChangeAuth` (TPM 2.0 Library, Part 3, section 31.15), which tss-esapi does not have, on a connection of its own.
//!
//! It is the one module that calls libtss2 itself. It sends: TPM2_ContextLoad (the primary), TPM2_NV_ReadPublic,
//! TPM2_StartAuthSession (salted), TPM2_PolicyCommandCode, TPM2_PolicyAuthValue, TPM2_NV_ChangeAuth, and flushes both.
#![allow(unsafe_code)]

use crate::connection::Tried;
use crate::failure::Failure;
use crate::tpm::Tpm;
use std::ffi::CString;
use std::ptr::null;
use tss_esapi::constants::tss::{
    TPM2_ALG_AES, TPM2_ALG_CFB, TPM2_ALG_SHA256, TPM2_CC_NV_ChangeAuth, TPM2_SE_POLICY,
    TPMA_SESSION_CONTINUESESSION, TPMA_SESSION_DECRYPT,
};
use tss_esapi::structures::Auth;
use tss_esapi::tss2_esys::{
    ESYS_CONTEXT, ESYS_TR, ESYS_TR_NONE, Esys_ContextLoad, Esys_Finalize, Esys_FlushContext, Esys_Initialize,
    Esys_NV_ChangeAuth, Esys_PolicyAuthValue, Esys_PolicyCommandCode, Esys_StartAuthSession,
    Esys_TR_FromTPMPublic, Esys_TR_SetAuth, Esys_TRSess_SetAttributes, TPM2B_AUTH, TPMS_CONTEXT,
    TPMT_SYM_DEF, TPMU_SYM_KEY_BITS, TPMU_SYM_MODE, TSS2_RC, TSS2_TCTI_CONTEXT, Tss2_TctiLdr_Finalize,
    Tss2_TctiLdr_Initialize,
};
use tss_esapi::utils::TpmsContext;
use zeroize::Zeroize;

/// Changes the authorization value of the NV index from `old` to `new`, in one atomic command.
pub(crate) fn nv_change_auth(
    tpm: &Tpm,
    primary: TpmsContext,
    index: u32,
    old: &Auth,
    new: &Auth,
) -> Tried<()> {
    let mut esys = Esys::open(tpm)?;
    let primary = esys.load(primary)?;
    let index = esys.nv_index(index)?;
    esys.set_auth(index, old)?;
    let session = esys.policy_session(primary)?;
    esys.policy_command_code(session)?;
    esys.policy_auth_value(session)?;
    esys.change_auth(index, session, new)
}

/// libtss2's context. All pointers are its own, from its initialization to its end in `drop`.
struct Esys<'a> {
    tpm: &'a Tpm,
    tcti: *mut TSS2_TCTI_CONTEXT,
    context: *mut ESYS_CONTEXT,
    /// In the TPM, to be flushed.
    held: Vec<ESYS_TR>,
    /// Has an authorization value, to be overwritten.
    authorized: Option<ESYS_TR>,
}

impl<'a> Esys<'a> {
    fn open(tpm: &'a Tpm) -> Tried<Self> {
        let name = CString::new(tpm.address().to_string())
            .map_err(|error| Failure::local("Tss2_TctiLdr_Initialize", error))?;
        let mut esys = Self {
            tpm,
            tcti: std::ptr::null_mut(),
            context: std::ptr::null_mut(),
            held: Vec::new(),
            authorized: None,
        };
        // SAFETY: `name` is a C string that outlives the call, `tcti` a place for a pointer.
        let code = unsafe { Tss2_TctiLdr_Initialize(name.as_ptr(), &mut esys.tcti) };
        done("Tss2_TctiLdr_Initialize", code)?;
        // SAFETY: `tcti` is what the call above made, and lives as long as `context`; no version is asked for.
        let code = unsafe { Esys_Initialize(&mut esys.context, esys.tcti, std::ptr::null_mut()) };
        done("Esys_Initialize", code)?;
        Ok(esys)
    }

    fn load(&mut self, saved: TpmsContext) -> Tried<ESYS_TR> {
        let saved =
            TPMS_CONTEXT::try_from(saved).map_err(|error| Failure::new("TPM2_ContextLoad", &error))?;
        let mut handle = ESYS_TR_NONE;
        self.tpm.tell("TPM2_ContextLoad");
        // SAFETY: `context` is initialized; `saved` and `handle` outlive the call.
        let code = unsafe { Esys_ContextLoad(self.context, &saved, &mut handle) };
        done("TPM2_ContextLoad", code)?;
        self.held.push(handle);
        Ok(handle)
    }

    fn nv_index(&mut self, index: u32) -> Tried<ESYS_TR> {
        let mut handle = ESYS_TR_NONE;
        self.tpm.tell("TPM2_NV_ReadPublic");
        // SAFETY: `context` is initialized; `handle` outlives the call.
        let code = unsafe {
            Esys_TR_FromTPMPublic(self.context, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &mut handle)
        };
        done("TPM2_NV_ReadPublic", code).map(|()| handle)
    }

    fn set_auth(&mut self, handle: ESYS_TR, auth: &Auth) -> Tried<()> {
        let mut value = TPM2B_AUTH::from(auth.clone());
        self.authorized = Some(handle);
        // SAFETY: `context` is initialized; `value` outlives the call, which copies it.
        let code = unsafe { Esys_TR_SetAuth(self.context, handle, &value) };
        value.buffer.zeroize();
        done("Esys_TR_SetAuth", code)
    }

    /// Salted with the primary, and encrypting the first parameter of commands: the new value.
    fn policy_session(&mut self, primary: ESYS_TR) -> Tried<ESYS_TR> {
        let command = "TPM2_StartAuthSession";
        let symmetric = TPMT_SYM_DEF {
            algorithm: TPM2_ALG_AES,
            keyBits: TPMU_SYM_KEY_BITS { aes: 128 },
            mode: TPMU_SYM_MODE { aes: TPM2_ALG_CFB },
        };
        let mut session = ESYS_TR_NONE;
        self.tpm.tell(command);
        // SAFETY: `context` is initialized; `symmetric` and `session` outlive the call; libtss2 makes the nonce.
        let code = unsafe {
            Esys_StartAuthSession(
                self.context,
                primary,
                ESYS_TR_NONE,
                ESYS_TR_NONE,
                ESYS_TR_NONE,
                ESYS_TR_NONE,
                null(),
                TPM2_SE_POLICY,
                &symmetric,
                TPM2_ALG_SHA256,
                &mut session,
            )
        };
        done(command, code)?;
        self.held.push(session);
        let attributes = TPMA_SESSION_DECRYPT | TPMA_SESSION_CONTINUESESSION;
        // SAFETY: `context` is initialized.
        let code = unsafe { Esys_TRSess_SetAttributes(self.context, session, attributes, 0xff) };
        done("Esys_TRSess_SetAttributes", code).map(|()| session)
    }

    fn policy_command_code(&mut self, session: ESYS_TR) -> Tried<()> {
        let none = ESYS_TR_NONE;
        self.tpm.tell("TPM2_PolicyCommandCode");
        // SAFETY: `context` is initialized.
        let code =
            unsafe { Esys_PolicyCommandCode(self.context, session, none, none, none, TPM2_CC_NV_ChangeAuth) };
        done("TPM2_PolicyCommandCode", code)
    }

    fn policy_auth_value(&mut self, session: ESYS_TR) -> Tried<()> {
        let none = ESYS_TR_NONE;
        self.tpm.tell("TPM2_PolicyAuthValue");
        // SAFETY: `context` is initialized.
        let code = unsafe { Esys_PolicyAuthValue(self.context, session, none, none, none) };
        done("TPM2_PolicyAuthValue", code)
    }

    fn change_auth(&mut self, index: ESYS_TR, session: ESYS_TR, new: &Auth) -> Tried<()> {
        let mut value = TPM2B_AUTH::from(new.clone());
        self.tpm.tell("TPM2_NV_ChangeAuth");
        // SAFETY: `context` is initialized; `value` outlives the call.
        let code =
            unsafe { Esys_NV_ChangeAuth(self.context, index, session, ESYS_TR_NONE, ESYS_TR_NONE, &value) };
        value.buffer.zeroize();
        done("TPM2_NV_ChangeAuth", code)
    }
}

impl Drop for Esys<'_> {
    fn drop(&mut self) {
        if !self.context.is_null() {
            if let Some(handle) = self.authorized {
                // SAFETY: `context` is initialized; the value outlives the call.
                let _unknown = unsafe { Esys_TR_SetAuth(self.context, handle, &TPM2B_AUTH::default()) };
            }
            for handle in std::mem::take(&mut self.held).into_iter().rev() {
                self.tpm.tell("TPM2_FlushContext");
                // SAFETY: `context` is initialized. A TPM that does not answer has nothing of ours.
                let _gone = unsafe { Esys_FlushContext(self.context, handle) };
            }
            // SAFETY: `context` is initialized, and not used after this.
            unsafe { Esys_Finalize(&mut self.context) };
        }
        if !self.tcti.is_null() {
            // SAFETY: `tcti` is initialized, and not used after this: `context` is finalized.
            unsafe { Tss2_TctiLdr_Finalize(&mut self.tcti) };
        }
    }
}

fn done(command: &'static str, code: TSS2_RC) -> Tried<()> {
    if code == 0 { Ok(()) } else { Err(Failure::of_raw(command, code)) }
}
