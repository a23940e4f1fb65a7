//! The issuer's checks of one payment (FIDO Web Pay section 6, steps 10.1 to 10.4), without memory.

use crate::authenticator_data::AuthenticatorData;
use crate::booking::{CardRecord, MAX_AGE_MS};
use crate::decrypt;
use crate::error::Refusal;
use crate::issuer_key::KeyRing;
use crate::signature;
use crate::terms::{NetworkTerms, Terms};
use fwp::envelope::IssuerRequest;
use fwp::{AuthorizationData, RpId, SignedAuthorizationData, TimeStamp};
use fwp_cose::SignatureAlgorithm;
use fwp_cose::cbor::Value;
use sha2::{Digest, Sha256};

/// Milliseconds that an authorization's time stamp may lie ahead of the issuer's clock (protocol section 9).
pub const MAX_AHEAD_MS: i64 = 60_000;

/// Something that was not checked, for want of what to check it against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unchecked {
    /// The envelopes' time stamps, beyond their syntax.
    EnvelopeTime,
    /// paymentNetworkId.
    Network,
    /// issuerId.
    IssuerId,
    /// receiveAccount.
    ReceiveAccount,
    /// networkOptions.
    NetworkOptions,
    /// The authorization's age.
    Age,
    /// rpIdHash.
    RpId,
}

impl Unchecked {
    /// A word for programs that stays the same from version to version.
    pub fn name(self) -> &'static str {
        match self {
            Self::EnvelopeTime => "envelope-time",
            Self::Network => "network",
            Self::IssuerId => "issuer-id",
            Self::ReceiveAccount => "receive-account",
            Self::NetworkOptions => "network-options",
            Self::Age => "age",
            Self::RpId => "rp-id",
        }
    }
}

/// A payment that passed every check that needs no memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    request: IssuerRequest,
    sad: SignedAuthorizationData,
    authenticator_data: AuthenticatorData,
    replay_key: [u8; 32],
    unchecked: Vec<Unchecked>,
}

/// Makes the checks of steps 10.1 to 10.4, in that order; whose card it is, [`crate::booking::settle`] looks up. `now_ms` is
/// the issuer's clock in milliseconds since 1970.
///
/// # Errors
/// The first [`Refusal`].
pub fn verify(
    issuer_request: &str,
    keys: &KeyRing,
    terms: &Terms,
    now_ms: Option<i64>,
) -> Result<Verified, Refusal> {
    // 10.1 The IssuerRequest is right by its schema ...
    let request = IssuerRequest::parse(issuer_request)?;
    verify_request(request, keys, terms, now_ms)
}

/// [`verify`] for an IssuerRequest that has been read.
///
/// # Errors
/// The first [`Refusal`].
pub fn verify_request(
    request: IssuerRequest,
    keys: &KeyRing,
    terms: &Terms,
    now_ms: Option<i64>,
) -> Result<Verified, Refusal> {
    let mut unchecked = Vec::new();
    // ... its time stamps are within limits, and it is routed to this issuer.
    check_envelope_times(&request, terms.envelope_limit_ms.zip(now_ms), &mut unchecked)?;
    let network = check_routing(&request, terms, &mut unchecked)?;
    // 10.2 COTX, key, decryption, SAD.
    let sad = decrypt::open(&request.psp_request.fwp_assertion.user_authorization, keys)?;
    // 10.3 What the user authorized is what is asked for, now.
    let ad = sad.authorization_data();
    check_same(&request, ad)?;
    check_age(&ad.time_stamp, now_ms, &mut unchecked)?;
    check_network_options(ad, network, terms.provider_request.as_ref(), &mut unchecked)?;
    // 10.4 The user's authenticator signed it.
    let (authenticator_data, replay_key) = check_signature(&sad, terms.rp_id.as_ref(), &mut unchecked)?;
    Ok(Verified { request, sad, authenticator_data, replay_key, unchecked })
}

/// From an encoded ESAD to a verified signature: decryption and 10.4 alone.
///
/// # Errors
/// [`Refusal`] of steps 10.2 and 10.4.
pub fn open_and_verify(esad: &[u8], keys: &KeyRing) -> Result<SignedAuthorizationData, Refusal> {
    let sad = decrypt::open(esad, keys)?;
    check_signature(&sad, None, &mut Vec::new())?;
    Ok(sad)
}

fn check_envelope_times(
    request: &IssuerRequest,
    limit_and_now: Option<(i64, i64)>,
    unchecked: &mut Vec<Unchecked>,
) -> Result<(), Refusal> {
    let Some((limit_ms, now_ms)) = limit_and_now else {
        unchecked.push(Unchecked::EnvelopeTime);
        return Ok(());
    };
    check_envelope_time("issuerRequest.timeStamp", &request.time_stamp, limit_ms, now_ms)?;
    check_envelope_time("pspRequest.timeStamp", &request.psp_request.time_stamp, limit_ms, now_ms)
}

/// Checks that an envelope's time stamp is less than `limit_ms` away from `now_ms`.
pub(crate) fn check_envelope_time(
    field: &'static str,
    time_stamp: &TimeStamp,
    limit_ms: i64,
    now_ms: i64,
) -> Result<(), Refusal> {
    let within = time_stamp.is_within(now_ms, limit_ms, limit_ms);
    if within { Ok(()) } else { Err(Refusal::EnvelopeTime { field, limit_ms }) }
}

/// The terms of the network on which the request came, if there are any.
fn check_routing<'t>(
    request: &IssuerRequest,
    terms: &'t Terms,
    unchecked: &mut Vec<Unchecked>,
) -> Result<Option<&'t NetworkTerms>, Refusal> {
    let assertion = &request.psp_request.fwp_assertion;
    let network = match &terms.networks {
        None => None,
        Some(networks) => {
            let is_it = |id: &String| *id == assertion.payment_network_id;
            let found = networks.iter().find(|network| network.id.as_ref().is_none_or(is_it));
            Some(found.ok_or(Refusal::Network)?)
        }
    };
    if network.is_none_or(|network| network.id.is_none()) {
        unchecked.push(Unchecked::Network);
    }
    match network.and_then(|network| network.receive_account) {
        None => unchecked.push(Unchecked::ReceiveAccount),
        Some(fits) if fits(&request.psp_request.receive_account) => {}
        Some(_) => return Err(Refusal::ReceiveAccountForm),
    }
    match network.and_then(|network| network.issuer_ids.as_ref()) {
        None => unchecked.push(Unchecked::IssuerId),
        Some(ids) if ids.contains(&assertion.issuer_id) => {}
        Some(_) => return Err(Refusal::IssuerId),
    }
    Ok(network)
}

/// paymentRequest and payeeHost are those that the user authorized; so is the network, which decides who routes and settles.
fn check_same(request: &IssuerRequest, ad: &AuthorizationData) -> Result<(), Refusal> {
    if request.psp_request.payment_request != ad.payment_request {
        return Err(Refusal::PaymentRequest);
    }
    if request.payee_host != ad.payee_host {
        return Err(Refusal::PayeeHost);
    }
    if request.psp_request.fwp_assertion.payment_network_id != ad.payment_network_id {
        return Err(Refusal::SignedNetwork);
    }
    Ok(())
}

/// now - 600 s < SAD.timeStamp < now + 60 s.
fn check_age(
    time_stamp: &TimeStamp,
    now_ms: Option<i64>,
    unchecked: &mut Vec<Unchecked>,
) -> Result<(), Refusal> {
    let Some(now_ms) = now_ms else {
        unchecked.push(Unchecked::Age);
        return Ok(());
    };
    if time_stamp.is_within(now_ms, MAX_AGE_MS, MAX_AHEAD_MS) {
        Ok(())
    } else if time_stamp.unix_ms() > now_ms {
        Err(Refusal::FromTheFuture)
    } else {
        Err(Refusal::Expired)
    }
}

fn check_network_options(
    ad: &AuthorizationData,
    network: Option<&NetworkTerms>,
    provider_request: Option<&Value>,
    unchecked: &mut Vec<Unchecked>,
) -> Result<(), Refusal> {
    if let Some(request) = provider_request {
        let same = ad.network_options.as_ref() == Some(request);
        return if same { Ok(()) } else { Err(Refusal::ProviderRequest) };
    }
    match network.and_then(|network| network.network_options) {
        None => unchecked.push(Unchecked::NetworkOptions),
        Some(fit) if fit(ad.network_options.as_ref()) => {}
        Some(_) => return Err(Refusal::NetworkOptions),
    }
    Ok(())
}

/// The authenticator's statement, and SHA-256 of the signed message: the replay key.
fn check_signature(
    sad: &SignedAuthorizationData,
    rp_id: Option<&RpId>,
    unchecked: &mut Vec<Unchecked>,
) -> Result<(AuthenticatorData, [u8; 32]), Refusal> {
    let stated = AuthenticatorData::parse(sad.authenticator_data()).ok_or(Refusal::AuthenticatorData)?;
    match rp_id {
        None => unchecked.push(Unchecked::RpId),
        Some(rp_id) if stated.rp_id_hash == <[u8; 32]>::from(Sha256::digest(rp_id.as_str())) => {}
        Some(_) => return Err(Refusal::RpId),
    }
    if !stated.user_present {
        return Err(Refusal::UserNotPresent);
    }
    if !stated.user_verified {
        return Err(Refusal::UserNotVerified);
    }
    let ad = sad.authorization_data();
    let message = sad.signed_message();
    signature::verify(ad.signature_algorithm, &ad.public_key, &message, sad.signature())?;
    Ok((stated, Sha256::digest(&message).into()))
}

impl Verified {
    /// The envelope.
    pub fn request(&self) -> &IssuerRequest {
        &self.request
    }

    /// What the user signed.
    pub fn sad(&self) -> &SignedAuthorizationData {
        &self.sad
    }

    /// What the user authorized.
    pub fn authorization(&self) -> &AuthorizationData {
        self.sad.authorization_data()
    }

    /// What the authenticator said beside.
    pub fn authenticator_data(&self) -> &AuthenticatorData {
        &self.authenticator_data
    }

    /// The signature counter of the FIDO key.
    pub fn sign_count(&self) -> u32 {
        self.authenticator_data.sign_count
    }

    /// The algorithm of the signature.
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.authorization().signature_algorithm
    }

    /// What a replay is recognised by: SHA-256 of the signed message, since signatures have twins and messages don't.
    pub fn replay_key(&self) -> [u8; 32] {
        self.replay_key
    }

    /// What was not checked. The card, replay and uniqueness never are, here.
    pub fn unchecked(&self) -> &[Unchecked] {
        &self.unchecked
    }

    /// Checks that the public key and network are those of the card that accountId and serialNumber name.
    ///
    /// # Errors
    /// [`Refusal::KeyNotOfCard`], [`Refusal::CardNetwork`].
    pub fn check_card(&self, card: &CardRecord) -> Result<(), Refusal> {
        let ad = self.authorization();
        if ad.public_key.sha256() != card.public_key_sha256 {
            return Err(Refusal::KeyNotOfCard);
        }
        if ad.payment_network_id != card.payment_network_id {
            return Err(Refusal::CardNetwork);
        }
        Ok(())
    }
}
