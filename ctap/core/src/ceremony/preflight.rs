//! Pre-flight (CTAP 2.1 sections 6.1 and 6.2, `up: false`): which of some credentials a device has, asked silently. Neither
//! user presence nor verification is asked for, so nothing blinks; a credential with credProtect level 3 is not seen.

use crate::messages::{CredentialId, GetAssertionRequest, GetAssertionResponse, GetInfo, Request, Response};
use crate::transport::{CancelToken, Device};
use crate::{Error, Status, authenticator_data::AuthenticatorData};
use sha2::{Digest, Sha256};

/// What a silent question for credentials came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// The device has this one.
    Yes(CredentialId),
    /// It has none of them, or none that it shows without verifying the user.
    No,
    /// It does not say: it refuses to be asked silently, say.
    Unclear,
}

/// Asks `device` silently which of `credentials` it has for `rp_id`, in as many commands as its lists and messages need.
///
/// # Errors
/// [`Error`] of the transport. What the device itself answers is never an error, at most [`Held::Unclear`].
pub fn preflight(
    device: &mut dyn Device,
    info: &GetInfo,
    rp_id: &str,
    credentials: &[CredentialId],
    cancel: &CancelToken,
) -> Result<Held, Error> {
    let mut held = Held::No;
    for question in questions(info, rp_id, credentials) {
        let response = device.transact(&question.encode(), &mut |_| {}, cancel)?;
        match question.answer(&response) {
            yes @ Held::Yes(_) => return Ok(yes),
            Held::Unclear if response.first() == Some(&Status::KEEPALIVE_CANCEL.0) => {
                return Err(Error::Cancelled);
            }
            Held::Unclear => held = Held::Unclear,
            Held::No => {}
        }
    }
    Ok(held)
}

/// One silent getAssertion.
#[derive(Clone, Debug)]
pub(super) struct Question(GetAssertionRequest);

impl Question {
    fn new(rp_id: &str, credentials: &[CredentialId]) -> Self {
        Self(GetAssertionRequest {
            rp_id: rp_id.to_owned(),
            // Nothing that anybody would take for a signature of something.
            client_data_hash: [0; 32],
            allow: credentials.to_vec(),
            user_presence: Some(false),
            user_verification: None,
            pin_uv_auth: None,
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        Request::GetAssertion(self.0.clone()).encode()
    }

    /// Which credentials it asks for.
    pub(super) fn credentials(&self) -> &[CredentialId] {
        &self.0.allow
    }

    /// What `response` says to it.
    pub(super) fn answer(&self, response: &[u8]) -> Held {
        let response = match GetAssertionResponse::decode(response) {
            Ok(Ok(response)) => response,
            Ok(Err(Status::NO_CREDENTIALS)) => return Held::No,
            Ok(Err(_)) | Err(_) => return Held::Unclear,
        };
        // An answer for another site or credential says nothing of those that were asked for.
        let rp_id_hash = <[u8; 32]>::from(Sha256::digest(self.0.rp_id.as_bytes()));
        if !AuthenticatorData::parse(&response.auth_data).is_ok_and(|data| data.rp_id_hash == rp_id_hash) {
            return Held::Unclear;
        }
        match (response.credential, self.credentials()) {
            (Some(credential), asked) if asked.contains(&credential) => Held::Yes(credential),
            // It may be left out where there was one only.
            (None, [only]) => Held::Yes(only.clone()),
            _ => Held::Unclear,
        }
    }
}

/// Those of `credentials` that the device with `info` can have: not those with longer IDs than it gives.
pub(super) fn possible<'a>(
    info: &GetInfo,
    credentials: &'a [CredentialId],
) -> impl Iterator<Item = &'a CredentialId> {
    let longest =
        info.max_credential_id_length.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    credentials.iter().filter(move |credential| credential.as_bytes().len() <= longest)
}

/// How many credentials a list of the device with `info` may have: as many as it says, or any number where it does not
/// (the message's size limits them then).
pub(super) fn list_limit(info: &GetInfo) -> usize {
    let limit = info.max_credential_count_in_list.filter(|limit| *limit > 0);
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// The questions that ask for all of `credentials` that the device can have, each as long as it takes.
pub(super) fn questions(info: &GetInfo, rp_id: &str, credentials: &[CredentialId]) -> Vec<Question> {
    let mut questions = Vec::new();
    let mut batch: Vec<CredentialId> = Vec::new();
    let fits = |batch: &[CredentialId]| {
        batch.len() <= list_limit(info) && Question::new(rp_id, batch).encode().len() <= info.max_request()
    };
    // One that doesn't fit by itself could never be used with this device, so it isn't its own.
    let possible = possible(info, credentials)
        .filter(|credential| fits(std::slice::from_ref::<CredentialId>(credential)));
    for credential in possible {
        batch.push(credential.clone());
        if !fits(&batch) {
            let next = batch.split_off(batch.len() - 1);
            questions.extend((!batch.is_empty()).then(|| Question::new(rp_id, &batch)));
            batch = next;
        }
    }
    questions.extend((!batch.is_empty()).then(|| Question::new(rp_id, &batch)));
    questions
}
