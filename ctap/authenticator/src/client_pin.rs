//! authenticatorClientPIN (CTAP 2.1 section 6.5): key agreement, PIN, tokens.

use crate::authenticator::status;
use crate::{Authenticator, Environment, KeyStore, Unlock};
use ctap_core::messages::{
    ClientPinRequest, ClientPinResponse, ClientPinSubcommand, PinUvAuthParam, Response,
};
use ctap_core::pin_uv_auth::{KeyAgreement, KeyAgreementKey, Permissions, Protocol, SharedSecret, Token};
use ctap_core::{Pin, PinHash, RandomError, Status};
use std::time::Duration;

/// Wrong PINs in a row until a new power-up is needed.
const MAX_CONSECUTIVE_WRONG: u8 = 3;
/// How long a token may wait to be used, the initial usage time limit of CTAP 2.1 section 6.5.2.1. It is used once.
const TOKEN_LIFETIME: Duration = Duration::from_secs(30);

/// What lives from one power-up to the next.
pub(crate) struct PinUvAuth {
    key_agreement: KeyAgreement,
    token: Option<IssuedToken>,
    consecutive_wrong: u8,
}

struct IssuedToken {
    token: Token,
    permissions: Permissions,
    /// `None`: any (getPinToken).
    rp_id: Option<String>,
    issued: Duration,
}

impl PinUvAuth {
    pub(crate) fn new(environment: &mut dyn Environment) -> Result<Self, RandomError> {
        let key_agreement = KeyAgreement::generate(environment)?;
        Ok(Self { key_agreement, token: None, consecutive_wrong: 0 })
    }
}

impl<K: KeyStore> Authenticator<K> {
    pub(crate) fn client_pin(&mut self, request: ClientPinRequest) -> Result<Vec<u8>, Status> {
        use ClientPinSubcommand as S;
        let protocol = || request.protocol.ok_or(Status::MISSING_PARAMETER);
        let response = match request.subcommand {
            S::GetPinRetries => self.pin_retries()?,
            S::GetKeyAgreement => {
                protocol()?;
                let key_agreement = Some(self.pin_uv_auth.key_agreement.public_key().clone());
                ClientPinResponse { key_agreement, ..ClientPinResponse::default() }
            }
            S::SetPin { key_agreement, new_pin_enc, pin_uv_auth_param } => {
                let secret = self.shared_secret(protocol()?, &key_agreement);
                self.set_pin(&secret, &new_pin_enc, &pin_uv_auth_param)?;
                return Ok(vec![Status::OK.0]);
            }
            S::ChangePin { key_agreement, pin_hash_enc, new_pin_enc, pin_uv_auth_param } => {
                let secret = self.shared_secret(protocol()?, &key_agreement);
                self.change_pin(&secret, &pin_hash_enc, &new_pin_enc, &pin_uv_auth_param)?;
                return Ok(vec![Status::OK.0]);
            }
            S::GetPinToken { key_agreement, pin_hash_enc } => {
                let secret = self.shared_secret(protocol()?, &key_agreement);
                self.issue_token(&secret, &pin_hash_enc, Permissions::DEFAULT, None)?
            }
            S::GetPinUvAuthTokenUsingPinWithPermissions {
                key_agreement,
                pin_hash_enc,
                permissions,
                rp_id,
            } => {
                let secret = self.shared_secret(protocol()?, &key_agreement);
                // mc and ga are all that there is, and both need an rpId.
                if !Permissions::DEFAULT.contains(permissions) {
                    return Err(Status::UNAUTHORIZED_PERMISSION);
                }
                let rp_id = rp_id.ok_or(Status::MISSING_PARAMETER)?;
                self.issue_token(&secret, &pin_hash_enc, permissions, Some(rp_id))?
            }
            // There is no built-in verification.
            S::GetPinUvAuthTokenUsingUvWithPermissions { .. } | S::GetUvRetries => {
                return Err(Status::INVALID_SUBCOMMAND);
            }
        };
        Ok(response.encode())
    }

    fn shared_secret(&self, protocol: Protocol, peer: &KeyAgreementKey) -> SharedSecret {
        self.pin_uv_auth.key_agreement.shared_secret(protocol, peer)
    }

    fn pin_retries(&mut self) -> Result<ClientPinResponse, Status> {
        let pin = self.keys.pin_state().map_err(status)?;
        Ok(ClientPinResponse {
            pin_retries: Some(u64::from(pin.retries)),
            power_cycle_state: Some(self.pin_uv_auth.consecutive_wrong >= MAX_CONSECUTIVE_WRONG),
            ..ClientPinResponse::default()
        })
    }

    /// CTAP 2.1 section 6.5.5.5.
    fn set_pin(&mut self, secret: &SharedSecret, new_pin_enc: &[u8], param: &[u8]) -> Result<(), Status> {
        if self.keys.pin_state().map_err(status)?.set {
            return Err(Status::PIN_AUTH_INVALID);
        }
        secret.verify(new_pin_enc, param).map_err(|_| Status::PIN_AUTH_INVALID)?;
        let pin = new_pin(secret, new_pin_enc)?;
        self.keys.set_pin(&pin.hash()).map_err(status)
    }

    /// CTAP 2.1 section 6.5.5.6.
    fn change_pin(
        &mut self,
        secret: &SharedSecret,
        pin_hash_enc: &[u8],
        new_pin_enc: &[u8],
        param: &[u8],
    ) -> Result<(), Status> {
        let signed = [new_pin_enc, pin_hash_enc].concat();
        secret.verify(&signed, param).map_err(|_| Status::PIN_AUTH_INVALID)?;
        self.check_pin(secret, pin_hash_enc)?;
        let changed =
            new_pin(secret, new_pin_enc).and_then(|pin| self.keys.change_pin(&pin.hash()).map_err(status));
        self.drop_token();
        changed
    }

    /// CTAP 2.1 sections 6.5.5.7.1 and 6.5.5.7.2.
    fn issue_token(
        &mut self,
        secret: &SharedSecret,
        pin_hash_enc: &[u8],
        permissions: Permissions,
        rp_id: Option<String>,
    ) -> Result<ClientPinResponse, Status> {
        self.drop_token();
        self.check_pin(secret, pin_hash_enc)?;
        let token = Token::generate(secret.protocol(), &mut *self.environment).map_err(status)?;
        let encrypted = token.encrypt(secret, &mut *self.environment).map_err(status)?;
        let issued = self.environment.now();
        self.pin_uv_auth.token = Some(IssuedToken { token, permissions, rp_id, issued });
        Ok(ClientPinResponse { pin_uv_auth_token: Some(encrypted), ..ClientPinResponse::default() })
    }

    /// Checks the encrypted hash of a PIN; if it is right the key store is unlocked.
    fn check_pin(&mut self, secret: &SharedSecret, pin_hash_enc: &[u8]) -> Result<(), Status> {
        let pin = self.keys.pin_state().map_err(status)?;
        if !pin.set {
            return Err(Status::PIN_NOT_SET);
        }
        if pin.retries == 0 {
            return Err(Status::PIN_BLOCKED);
        }
        if self.pin_uv_auth.consecutive_wrong >= MAX_CONSECUTIVE_WRONG {
            return Err(Status::PIN_AUTH_BLOCKED);
        }
        let hash = secret.decrypt(pin_hash_enc).map_err(|_| Status::INVALID_PARAMETER)?;
        let hash = <[u8; 16]>::try_from(hash.as_slice()).map_err(|_| Status::INVALID_PARAMETER)?;
        match self.keys.unlock(&PinHash::new(hash)).map_err(status)? {
            Unlock::Unlocked => {
                self.pin_uv_auth.consecutive_wrong = 0;
                Ok(())
            }
            Unlock::Wrong => Err(self.wrong_pin()?),
        }
    }

    /// A new key agreement key after a wrong PIN, and the status that says how bad it is.
    fn wrong_pin(&mut self) -> Result<Status, Status> {
        self.pin_uv_auth.key_agreement = KeyAgreement::generate(&mut *self.environment).map_err(status)?;
        self.pin_uv_auth.consecutive_wrong = self.pin_uv_auth.consecutive_wrong.saturating_add(1);
        let retries = self.keys.pin_state().map_err(status)?.retries;
        Ok(match (retries, self.pin_uv_auth.consecutive_wrong) {
            (0, _) => Status::PIN_BLOCKED,
            (_, MAX_CONSECUTIVE_WRONG..) => Status::PIN_AUTH_BLOCKED,
            _ => Status::PIN_INVALID,
        })
    }

    /// Takes the token that `auth` was made with, if it is for this: it is good for one command. The key store stays
    /// unlocked for that command; whoever called locks it.
    pub(crate) fn verify_user(
        &mut self,
        auth: Option<&PinUvAuthParam>,
        client_data_hash: &[u8; 32],
        permission: Permissions,
        rp_id: &str,
    ) -> Result<(), Status> {
        let auth = auth.ok_or(Status::PUAT_REQUIRED)?;
        if !self.keys.pin_state().map_err(status)?.set {
            return Err(Status::PIN_NOT_SET);
        }
        let issued = self.pin_uv_auth.token.take().ok_or(Status::PIN_AUTH_INVALID)?;
        let fits = issued.token.protocol() == auth.protocol
            && issued.token.verify(client_data_hash, &auth.param).is_ok()
            && issued.permissions.contains(permission)
            && issued.rp_id.as_deref().is_none_or(|bound| bound == rp_id);
        if !fits {
            self.keys.lock();
            return Err(Status::PIN_AUTH_INVALID);
        }
        Ok(())
    }

    pub(crate) fn expire_token(&mut self) {
        let now = self.environment.now();
        let expired = |issued: &IssuedToken| now.saturating_sub(issued.issued) > TOKEN_LIFETIME;
        if self.pin_uv_auth.token.as_ref().is_some_and(expired) {
            self.drop_token();
        }
    }

    pub(crate) fn drop_token(&mut self) {
        self.pin_uv_auth.token = None;
        self.keys.lock();
    }
}

/// The new PIN in `new_pin_enc`.
fn new_pin(secret: &SharedSecret, new_pin_enc: &[u8]) -> Result<Pin, Status> {
    let padded = secret.decrypt(new_pin_enc).map_err(|_| Status::INVALID_PARAMETER)?;
    Pin::from_padded(&padded).map_err(|_| Status::PIN_POLICY_VIOLATION)
}
