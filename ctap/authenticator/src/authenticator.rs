//! The commands: getInfo, makeCredential, getAssertion, reset, selection (CTAP 2.1 section 6); clientPIN is next door.

use crate::client_pin::PinUvAuth;
use crate::recorder::Recorder;
use crate::{Environment, HardwareError, KeyStore, KeyStoreError};
use ctap_core::Status;
use ctap_core::attestation::{AttestationObject, PackedStatement};
use ctap_core::authenticator_data::{AttestedCredential, AuthenticatorData, Flags};
use ctap_core::messages::{
    CredentialId, GetAssertionRequest, GetAssertionResponse, GetInfo, MakeCredentialRequest,
    MakeCredentialResponse, PinUvAuthParam, Request, Response,
};
use ctap_core::pin_uv_auth::{Permissions, Protocol};
use fwp_cose::{PublicKey, SignatureAlgorithm};
use sha2::{Digest, Sha256};

/// The largest command that is taken, in bytes.
const MAX_MSG_SIZE: usize = 8192;
/// How many credentials a list may have.
const MAX_CREDENTIALS_IN_LIST: usize = 64;

/// What came of asking whether the user is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Here, and willing.
    Confirmed,
    /// Said no.
    Declined,
    /// Did nothing in time.
    TimedOut,
    /// The platform cancelled.
    Cancelled,
}

/// A CTAP 2.1 authenticator over a key store. One that is newly made has been "powered up": after three wrong PINs in
/// a row a new one is needed.
pub struct Authenticator<K> {
    pub(crate) keys: Recorder<K>,
    pub(crate) environment: Box<dyn Environment>,
    pub(crate) pin_uv_auth: PinUvAuth,
}

impl<K: KeyStore> Authenticator<K> {
    /// Powers the authenticator up.
    ///
    /// # Errors
    /// [`KeyStoreError::Random`].
    pub fn new(keys: K, environment: impl Environment + 'static) -> Result<Self, KeyStoreError> {
        let mut environment: Box<dyn Environment> = Box::new(environment);
        let pin_uv_auth = PinUvAuth::new(&mut *environment)?;
        Ok(Self { keys: Recorder::new(keys), environment, pin_uv_auth })
    }

    /// Answers one command: command byte and CBOR in, status byte and CBOR out. `presence` is called when the user's
    /// presence is needed, and may block.
    pub fn process(&mut self, command: &[u8], presence: &mut dyn FnMut() -> Presence) -> Vec<u8> {
        self.expire_token();
        if command.len() > MAX_MSG_SIZE {
            return vec![Status::REQUEST_TOO_LARGE.0];
        }
        let answer = Request::decode(command)
            .map_err(|error| error.status())
            .and_then(|request| self.answer(request, presence));
        answer.unwrap_or_else(|status| vec![status.0])
    }

    /// How the hardware that keeps the keys failed in what [`Authenticator::process`] answered last with an error status:
    /// CTAP has no words for that.
    pub fn take_hardware_error(&mut self) -> Option<HardwareError> {
        self.keys.take_failure()
    }

    /// The ceremony is over or given up: a token that was not used goes, and the keys are locked.
    pub fn end_ceremony(&mut self) {
        self.drop_token();
    }

    fn answer(
        &mut self,
        request: Request,
        presence: &mut dyn FnMut() -> Presence,
    ) -> Result<Vec<u8>, Status> {
        match request {
            Request::GetInfo => Ok(self.get_info()?.encode()),
            Request::MakeCredential(request) => Ok(self.make_credential(&request, presence)?.encode()),
            Request::GetAssertion(request) => Ok(self.get_assertion(&request, presence)?.encode()),
            // Without discoverable keys there is never a next one.
            Request::GetNextAssertion => Err(Status::NOT_ALLOWED),
            Request::ClientPin(request) => Ok(self.client_pin(request)?),
            Request::Reset => self.reset(presence),
            Request::Selection => confirm(presence).map(|()| vec![Status::OK.0]),
        }
    }

    fn get_info(&mut self) -> Result<GetInfo, Status> {
        let pin = self.keys.pin_state().map_err(status)?;
        let options = [
            ("alwaysUv", true),
            ("clientPin", pin.set),
            ("makeCredUvNotRqd", false),
            ("pinUvAuthToken", true),
            ("plat", true),
            ("rk", false),
            ("up", true),
        ];
        Ok(GetInfo {
            versions: vec!["FIDO_2_0".to_owned(), "FIDO_2_1".to_owned()],
            aaguid: self.keys.aaguid(),
            options: options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            max_msg_size: Some(MAX_MSG_SIZE as u64),
            pin_uv_auth_protocols: Protocol::PREFERRED.iter().map(|protocol| protocol.id()).collect(),
            max_credential_count_in_list: Some(MAX_CREDENTIALS_IN_LIST as u64),
            max_credential_id_length: Some(self.keys.max_credential_id_length() as u64),
            transports: vec!["internal".to_owned()],
            algorithms: vec![SignatureAlgorithm::Es256.id()],
            ..GetInfo::default()
        })
    }

    /// CTAP 2.1 section 6.1.2, in its order, without the steps for what getInfo does not offer.
    fn make_credential(
        &mut self,
        request: &MakeCredentialRequest,
        presence: &mut dyn FnMut() -> Presence,
    ) -> Result<MakeCredentialResponse, Status> {
        // 1. A touch only, as CTAP 2.0 platforms select.
        self.touch_only(request.pin_uv_auth.as_ref(), presence)?;
        // 3. The algorithm.
        if !request.algorithms.contains(&SignatureAlgorithm::Es256.id()) {
            return Err(Status::UNSUPPORTED_ALGORITHM);
        }
        // 5. The options.
        if request.user_verification == Some(true) || request.user_presence == Some(false) {
            return Err(Status::INVALID_OPTION);
        }
        if request.resident_key == Some(true) {
            return Err(Status::UNSUPPORTED_OPTION);
        }
        if request.exclude.len() > MAX_CREDENTIALS_IN_LIST {
            return Err(Status::LIMIT_EXCEEDED);
        }
        // 11. The user is verified.
        self.verify_user(
            request.pin_uv_auth.as_ref(),
            &request.client_data_hash,
            Permissions::MAKE_CREDENTIAL,
            &request.rp.id,
        )?;
        let result = self.make_verified_credential(request, presence);
        self.keys.lock();
        result
    }

    fn make_verified_credential(
        &mut self,
        request: &MakeCredentialRequest,
        presence: &mut dyn FnMut() -> Presence,
    ) -> Result<MakeCredentialResponse, Status> {
        let rp_id_hash = rp_id_hash(&request.rp.id);
        // 12. The exclude list. The user is asked first, so that nobody can try lists unseen.
        let excluded = self.first_owned(&rp_id_hash, &request.exclude)?.is_some();
        // 14. The user is present.
        confirm(presence)?;
        if excluded {
            return Err(Status::CREDENTIAL_EXCLUDED);
        }
        // 16. The key.
        let key = self.keys.create_key(&rp_id_hash).map_err(status)?;
        let sign_count = self.keys.next_counter().map_err(status)?;
        let auth_data = AuthenticatorData {
            rp_id_hash,
            flags: Flags::USER_PRESENT.with(Flags::USER_VERIFIED),
            sign_count,
            attested: Some(AttestedCredential {
                aaguid: self.keys.aaguid(),
                credential_id: key.credential_id.clone(),
                public_key: PublicKey::P256(key.public_key),
                algorithm: SignatureAlgorithm::Es256,
            }),
            extensions: None,
        }
        .encode();
        // 19. The attestation: by the TPM (WebAuthn Level 2 section 8.3), else packed, by the key itself (section 8.2).
        let digest = signed_digest(&auth_data, &request.client_data_hash);
        let attested = self.keys.attest(&rp_id_hash, &key.credential_id, &digest).map_err(status)?;
        let (fmt, att_stmt) = match attested {
            Some(statement) => ("tpm", statement.to_map()),
            None => {
                let signature = self.keys.sign(&rp_id_hash, &key.credential_id, &digest).map_err(status)?;
                let alg = SignatureAlgorithm::Es256.id();
                ("packed", PackedStatement { alg, signature, certificates: Vec::new() }.to_map())
            }
        };
        let attestation = AttestationObject { fmt: fmt.to_owned(), att_stmt, auth_data };
        Ok(MakeCredentialResponse { attestation })
    }

    /// CTAP 2.1 section 6.2.2, in its order, without the steps for what getInfo does not offer.
    fn get_assertion(
        &mut self,
        request: &GetAssertionRequest,
        presence: &mut dyn FnMut() -> Presence,
    ) -> Result<GetAssertionResponse, Status> {
        // 1. A touch only.
        self.touch_only(request.pin_uv_auth.as_ref(), presence)?;
        // 4. The options.
        if request.user_verification == Some(true) {
            return Err(Status::INVALID_OPTION);
        }
        if request.user_presence == Some(false) {
            return Err(Status::UNSUPPORTED_OPTION);
        }
        if request.allow.len() > MAX_CREDENTIALS_IN_LIST {
            return Err(Status::LIMIT_EXCEEDED);
        }
        // 6. The user is verified.
        self.verify_user(
            request.pin_uv_auth.as_ref(),
            &request.client_data_hash,
            Permissions::GET_ASSERTION,
            &request.rp_id,
        )?;
        let result = self.get_verified_assertion(request, presence);
        self.keys.lock();
        result
    }

    fn get_verified_assertion(
        &mut self,
        request: &GetAssertionRequest,
        presence: &mut dyn FnMut() -> Presence,
    ) -> Result<GetAssertionResponse, Status> {
        let rp_id_hash = rp_id_hash(&request.rp_id);
        // 7. The credential.
        let credential = self.first_owned(&rp_id_hash, &request.allow)?.ok_or(Status::NO_CREDENTIALS)?;
        // 9. The user is present.
        confirm(presence)?;
        // 12. The signature.
        let auth_data = AuthenticatorData {
            rp_id_hash,
            flags: Flags::USER_PRESENT.with(Flags::USER_VERIFIED),
            sign_count: self.keys.next_counter().map_err(status)?,
            attested: None,
            extensions: None,
        }
        .encode();
        let digest = signed_digest(&auth_data, &request.client_data_hash);
        let signature = self.keys.sign(&rp_id_hash, &credential, &digest).map_err(status)?;
        Ok(GetAssertionResponse {
            credential: Some(credential),
            auth_data,
            signature,
            user: None,
            number_of_credentials: None,
        })
    }

    /// CTAP 2.1 section 6.6. When it is allowed is up to whoever lets the command through: there is no plug to pull.
    fn reset(&mut self, presence: &mut dyn FnMut() -> Presence) -> Result<Vec<u8>, Status> {
        confirm(presence)?;
        self.keys.reset().map_err(status)?;
        self.pin_uv_auth = PinUvAuth::new(&mut *self.environment).map_err(status)?;
        Ok(vec![Status::OK.0])
    }

    fn touch_only(
        &mut self,
        auth: Option<&PinUvAuthParam>,
        presence: &mut dyn FnMut() -> Presence,
    ) -> Result<(), Status> {
        if auth.is_none_or(|auth| !auth.param.is_empty()) {
            return Ok(());
        }
        confirm(presence)?;
        let set = self.keys.pin_state().map_err(status)?.set;
        Err(if set { Status::PIN_INVALID } else { Status::PIN_NOT_SET })
    }

    fn first_owned(
        &mut self,
        rp_id_hash: &[u8; 32],
        credentials: &[CredentialId],
    ) -> Result<Option<CredentialId>, Status> {
        for credential in credentials {
            if self.keys.owns(rp_id_hash, credential).map_err(status)? {
                return Ok(Some(credential.clone()));
            }
        }
        Ok(None)
    }
}

fn confirm(presence: &mut dyn FnMut() -> Presence) -> Result<(), Status> {
    match presence() {
        Presence::Confirmed => Ok(()),
        Presence::Declined => Err(Status::OPERATION_DENIED),
        Presence::TimedOut => Err(Status::USER_ACTION_TIMEOUT),
        Presence::Cancelled => Err(Status::KEEPALIVE_CANCEL),
    }
}

fn rp_id_hash(rp_id: &str) -> [u8; 32] {
    Sha256::digest(rp_id.as_bytes()).into()
}

fn signed_digest(auth_data: &[u8], client_data_hash: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(auth_data).chain_update(client_data_hash).finalize().into()
}

/// The status that tells of a key store's error.
pub(crate) fn status(error: impl Into<KeyStoreError>) -> Status {
    match error.into() {
        KeyStoreError::NotOurs => Status::NO_CREDENTIALS,
        KeyStoreError::Locked => Status::PUAT_REQUIRED,
        KeyStoreError::PinNotSet => Status::PIN_NOT_SET,
        KeyStoreError::PinBlocked => Status::PIN_BLOCKED,
        KeyStoreError::Damaged(_) | KeyStoreError::Newer(_) => Status::INTEGRITY_FAILURE,
        KeyStoreError::Storage(_)
        | KeyStoreError::Random(_)
        | KeyStoreError::Hardware(_)
        | KeyStoreError::Backend(_) => Status::OTHER,
    }
}
