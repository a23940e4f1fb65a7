//! What the right PIN opens: a connection on which keys are loaded and sign.

use crate::attestation::{self, AttestationKey, Certified};
use crate::connection::{Connection, Tried};
use crate::credential;
use crate::failure::{Code, Failure};
use crate::policy::PolicyDigest;
use ctap_core::messages::CredentialId;
use p256::ecdsa::Signature;
use tss_esapi::constants::StructureTag;
use tss_esapi::constants::tss::TPM2_RH_NULL;
use tss_esapi::handles::{AuthHandle, KeyHandle, NvIndexHandle};
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Auth, Data, Digest, HashcheckTicket, Nonce, Private, Public, Signature as TpmSignature, SignatureScheme,
};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;

/// What is held from the right PIN until [`KeyStore::lock`]: a connection, and in the TPM the primary and a session. Dropping
/// it flushes both.
pub(crate) struct Unlocked {
    pub(crate) connection: Connection,
    pub(crate) primary: KeyHandle,
    /// Salted; the signature is the last thing that one is used for.
    session: Option<AuthSession>,
    pub(crate) pin_object: NvIndexHandle,
    pub(crate) pin: Auth,
    pub(crate) secret: Auth,
    /// The key that was asked for last, which is most likely the one that is to sign.
    pub(crate) loaded: Option<(CredentialId, KeyHandle)>,
}

impl Unlocked {
    pub(crate) fn new(
        connection: Connection,
        (primary, session): (KeyHandle, AuthSession),
        pin_object: NvIndexHandle,
        (pin, secret): (Auth, Auth),
    ) -> Self {
        Self { connection, primary, session: Some(session), pin_object, pin, secret, loaded: None }
    }

    /// The session, a new one if the last one was used up.
    pub(crate) fn session(&mut self) -> Tried<AuthSession> {
        let session = match self.session {
            Some(session) => session,
            None => self.connection.salted_session(self.primary)?,
        };
        self.session = Some(session);
        Ok(session)
    }

    /// The key of a credential ID, loaded. `None`: it is not one of ours.
    pub(crate) fn load(
        &mut self,
        policy: &PolicyDigest,
        credential_id: &CredentialId,
    ) -> Tried<Option<KeyHandle>> {
        let Some(parts) = credential::decode(credential_id, policy)? else { return Ok(None) };
        if let Some((_, key)) = self.loaded.as_ref().filter(|(loaded, _)| loaded == credential_id) {
            return Ok(Some(*key));
        }
        if let Some((_, other)) = self.loaded.take() {
            self.connection.flush(other)?;
        }
        let session = self.session()?;
        let key = load(&mut self.connection, session, self.primary, parts)?;
        self.loaded = key.map(|key| (credential_id.clone(), key));
        Ok(key)
    }

    pub(crate) fn certify(
        &mut self,
        key: KeyHandle,
        credential_id: &CredentialId,
        attestation_key: &AttestationKey,
        extra_data: &[u8; 32],
    ) -> Tried<Certified> {
        let command = "TPM2_Certify";
        let extra = Data::try_from(extra_data.as_slice()).map_err(|error| Failure::new(command, &error))?;
        let signer = attestation_key.load(&mut self.connection, self.primary)?;
        self.connection.set_auth(key, &self.secret)?;
        let sessions = (self.session()?, AuthSession::Password);
        let (attest, signature) = self.connection.run_with_both(command, sessions, |context| {
            context.certify(key.into(), signer, extra, SignatureScheme::Null)
        })?;
        self.connection.flush(signer)?;
        let (public, _) = credential::split(credential_id.as_bytes())
            .ok_or_else(|| Failure::local(command, "the credential ID is none of ours"))?;
        Ok(Certified {
            cert_info: attestation::marshalled(&attest)?,
            signature: attestation::marshalled(&signature)?,
            public: public.to_vec(),
        })
    }

    /// ECDSA in ASN.1 DER.
    pub(crate) fn sign(&mut self, key: KeyHandle, policy_ref: &[u8], digest: &[u8; 32]) -> Tried<Vec<u8>> {
        let command = "TPM2_Sign";
        let bad = |error: tss_esapi::Error| Failure::new(command, &error);
        let session = self.session()?;
        let policy_session = self.connection.policy_session()?;
        let policy = PolicySession::try_from(policy_session).map_err(bad)?;
        let policy_ref = Nonce::try_from(policy_ref).map_err(bad)?;
        let pin_object = AuthHandle::from(self.pin_object);
        self.session = None;
        self.connection.run_last("TPM2_PolicySecret", session, |context| {
            context.policy_secret(policy, pin_object, Nonce::default(), Digest::default(), policy_ref, None)
        })?;
        self.connection.run("TPM2_PolicyAuthValue", |context| context.policy_auth_value(policy))?;
        self.connection.set_auth(key, &self.secret)?;
        let digest = Digest::try_from(digest.as_slice()).map_err(bad)?;
        // The digest is not of the TPM's making, and the key is not restricted to those.
        let no_ticket = HashcheckTicket::try_from(TPMT_TK_HASHCHECK {
            tag: StructureTag::Hashcheck.into(),
            hierarchy: TPM2_RH_NULL,
            digest: Default::default(),
        })
        .map_err(bad)?;
        let signature = self.connection.run_last(command, policy_session, |context| {
            context.sign(key, digest, SignatureScheme::Null, no_ticket)
        })?;
        der(&signature).ok_or_else(|| Failure::local(command, "its signature is none of ECDSA on P-256"))
    }
}

/// `None`: the private part is not one that this TPM made for this public one.
pub(crate) fn load(
    connection: &mut Connection,
    session: AuthSession,
    primary: KeyHandle,
    (public, private): (Public, Private),
) -> Tried<Option<KeyHandle>> {
    match connection.run_with("TPM2_Load", session, |context| context.load(primary, private, public)) {
        Ok(key) => Ok(Some(connection.hold(key))),
        Err(failure) if failure.is(&[Code::INTEGRITY, Code::SIZE, Code::VALUE]) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn der(signature: &TpmSignature) -> Option<Vec<u8>> {
    let TpmSignature::EcDsa(signature) = signature else { return None };
    let scalar = |value: &[u8]| {
        let mut padded = [0; 32];
        padded.get_mut(32_usize.checked_sub(value.len())?..)?.copy_from_slice(value);
        Some(padded)
    };
    let (r, s) = (scalar(signature.signature_r().value())?, scalar(signature.signature_s().value())?);
    Some(Signature::from_scalars(r, s).ok()?.to_der().as_bytes().to_vec())
}
