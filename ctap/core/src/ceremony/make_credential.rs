//! "Make a credential": a new key for a relying party, the user verified (CTAP 2.1 section 6.1).

use super::exchange::expect;
use super::get_assertion::check_data;
use super::preflight::{Held, Question, list_limit, possible, questions};
use super::verified::{Authorization, Operation, Verified};
use super::{Ceremony, Input, Output};
use crate::attestation::{Attestation, AttestationObject};
use crate::authenticator_data::AuthenticatorData;
use crate::messages::{
    CommandCode, CredProtect, CredentialId, GetInfo, MakeCredentialRequest, MakeCredentialResponse,
    PinUvAuthParam, RelyingParty, Request, UserAccount,
};
use crate::pin_uv_auth::{Permissions, Protocol};
use crate::{Error, Mismatch, Random};
use fwp_cose::{PublicKey, SignatureAlgorithm};

/// The longest pinUvAuthParam, protocol two's, in bytes.
const PIN_UV_AUTH_PARAM_LEN: usize = 32;

/// Which key to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRequest {
    /// For whom.
    pub rp: RelyingParty,
    /// For which account.
    pub user: UserAccount,
    /// What the attestation signs.
    pub client_data_hash: [u8; 32],
    /// What the key may sign with, most wanted first.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Not on an authenticator that has one of these.
    pub exclude: Vec<CredentialId>,
}

/// A new key, verified as far as it can be without the manufacturer's roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCredential {
    /// By which the authenticator knows the key again.
    pub credential_id: CredentialId,
    /// The public key.
    pub public_key: PublicKey,
    /// What it signs with.
    pub algorithm: SignatureAlgorithm,
    /// The authenticator's model.
    pub aaguid: [u8; 16],
    /// What it takes to see that the key is there, where the authenticator says so. Level 2 is asked for of those that
    /// know the extension. Any answer is taken (CTAP 2.1 section 12.1, without `enforceCredentialProtectionPolicy`): a
    /// lower level loses nothing for a key that is not discoverable, a higher one only hides it from silent questions.
    pub cred_protect: Option<CredProtect>,
    /// For the bank, in the WebAuthn form.
    pub attestation_object: AttestationObject,
    /// What the attestation shows by itself.
    pub attestation: Attestation,
}

/// The ceremony. Its result has been verified: rpIdHash, UP, UV, the algorithm, the form of the attestation and, where
/// it is a self attestation, its signature.
pub struct MakeCredential(Verified<Making>);

/// The request, and what is left of its exclude list after the silent questions.
struct Making {
    request: CredentialRequest,
    exclude: Vec<CredentialId>,
}

impl MakeCredential {
    /// The ceremony for `request`.
    pub fn new(request: CredentialRequest) -> Self {
        let exclude = request.exclude.clone();
        Self(Verified::new(Making { request, exclude }))
    }
}

impl Ceremony for MakeCredential {
    type Outcome = NewCredential;

    fn step(&mut self, input: Input<'_>, random: &mut dyn Random) -> Result<Output<NewCredential>, Error> {
        self.0.step(input, random)
    }
}

impl Making {
    /// Whether the request, with `exclude` and the longest authorization, is not more than the device takes.
    fn fits(&self, info: &GetInfo, exclude: &[CredentialId]) -> bool {
        let longest = PinUvAuthParam { protocol: Protocol::Two, param: vec![0; PIN_UV_AUTH_PARAM_LEN] };
        let request = self.with(info, exclude, Authorization::Param(longest));
        exclude.len() <= list_limit(info) && request.encode().len() <= info.max_request()
    }

    fn with(&self, info: &GetInfo, exclude: &[CredentialId], authorization: Authorization) -> Request {
        let (user_verification, pin_uv_auth) = match authorization {
            Authorization::Param(param) => (None, Some(param)),
            Authorization::BuiltInUv => (Some(true), None),
        };
        Request::MakeCredential(MakeCredentialRequest {
            client_data_hash: self.request.client_data_hash,
            rp: self.request.rp.clone(),
            user: self.request.user.clone(),
            algorithms: self.request.algorithms.iter().map(|algorithm| algorithm.id()).collect(),
            exclude: exclude.to_vec(),
            // A key that silent questions still find: the wallet tells by them which device has it.
            cred_protect: info
                .extension(CredProtect::NAME)
                .then_some(CredProtect::UserVerificationOptionalWithCredentialIdList),
            resident_key: None, // false by default: the wallet keeps the credential ID, not the key
            user_presence: None,
            user_verification,
            pin_uv_auth,
        })
    }
}

impl Operation for Making {
    type Outcome = NewCredential;
    const COMMAND: CommandCode = MakeCredentialRequest::COMMAND;
    const PERMISSION: Permissions = Permissions::MAKE_CREDENTIAL;

    fn rp_id(&self) -> &str {
        &self.request.rp.id
    }

    fn client_data_hash(&self) -> &[u8; 32] {
        &self.request.client_data_hash
    }

    /// Before the user is asked for anything: an authenticator that says what it can sign with must have one of ours.
    fn check(&self, info: &GetInfo) -> Result<(), Error> {
        let fits = info.algorithms.is_empty()
            || self.request.algorithms.iter().any(|algorithm| info.algorithms.contains(&algorithm.id()));
        if fits { Ok(()) } else { Err(Error::UnsupportedAlgorithm) }
    }

    /// An exclude list that is longer than the device takes is asked for silently, in parts (CTAP 2.1 section 6.1.1).
    fn questions(&mut self, info: &GetInfo) -> Vec<Question> {
        self.exclude = possible(info, &self.request.exclude).cloned().collect();
        if self.fits(info, &self.exclude) {
            return Vec::new();
        }
        questions(info, &self.request.rp.id, &std::mem::take(&mut self.exclude))
    }

    /// What was found is excluded: the device then says so itself, after a touch, as with a list that is short enough.
    fn answered(&mut self, info: &GetInfo, question: &Question, held: Held) -> bool {
        match held {
            Held::Yes(credential) => {
                self.exclude = vec![credential];
                false
            }
            Held::No => true,
            // It can't be asked silently: it gets as much of the list as it takes.
            Held::Unclear => {
                for credential in question.credentials() {
                    self.exclude.push(credential.clone());
                    if !self.fits(info, &self.exclude) {
                        self.exclude.pop();
                        break;
                    }
                }
                true
            }
        }
    }

    fn request(&self, info: &GetInfo, authorization: Authorization) -> Request {
        self.with(info, &self.exclude, authorization)
    }

    fn conclude(&self, response: &[u8]) -> Result<NewCredential, Error> {
        let command = Self::COMMAND;
        let response: MakeCredentialResponse = expect(command, response)?;
        let object = response.attestation;
        // 1. authenticatorData.
        let data = AuthenticatorData::parse(&object.auth_data)
            .map_err(|error| Error::Response { command, error })?;
        check_data(&data, &self.request.rp.id)?;
        // 2. The new key, of an algorithm that was asked for.
        let credential = data.attested.ok_or(Mismatch::AttestedCredential)?;
        if !self.request.algorithms.contains(&credential.algorithm) {
            return Err(Mismatch::Algorithm.into());
        }
        // A key that was to be excluded is no new one.
        if self.request.exclude.contains(&credential.credential_id) {
            return Err(Mismatch::CredentialId.into());
        }
        // 3. The extensions.
        let cred_protect = CredProtect::from_extensions(&data.extensions.unwrap_or_default())
            .map_err(|error| Error::Response { command, error })?;
        // 4. The attestation.
        let attestation = object.verify(&self.request.client_data_hash)?;
        Ok(NewCredential {
            credential_id: credential.credential_id,
            public_key: credential.public_key,
            algorithm: credential.algorithm,
            aaguid: credential.aaguid,
            cred_protect,
            attestation_object: object,
            attestation,
        })
    }
}
