//! Requests of `navigator.mozPay` at their provider: verified before anything is made of them.

use super::Registered;
use crate::moz_pay::jwt::{Checker, JwtRefusal};
use crate::moz_pay::{PROVIDER, TYP_SHARED, TYP_SIGNED};
use fwp::moz_pay::{Algorithm, MozPayRequest, TimeProblem};
use fwp::{PayeeHost, Prcd};
use serde_json::Value;
use url::Url;

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefusal {
    /// The JWT is not believed.
    #[error("the request: {0}")]
    Jwt(#[from] JwtRefusal),
    /// A notice would go elsewhere than to the shop's registered site.
    #[error("request.{0} is not a URL on the shop's registered site; notices go nowhere else")]
    Url(&'static str),
    /// Its two notices would go to different sites.
    #[error("request.postbackURL and request.chargebackURL are not of one origin")]
    TwoOrigins,
    /// A payment that is to be acted only.
    #[error("request.simulate is not supported here; nothing was booked")]
    Simulate,
}

impl RequestRefusal {
    /// A word for programs that stays the same from version to version.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Jwt(refusal) => refusal.code(),
            Self::Url(_) | Self::TwoOrigins => "notice-url",
            Self::Simulate => "simulate",
        }
    }
}

/// A verified request.
#[derive(Clone, Debug)]
pub struct VerifiedRequest {
    /// What the user has to have authorized.
    pub prcd: Prcd,
    /// On a page of this host: the one that the notices go to.
    pub payee_host: PayeeHost,
    /// Its type.
    pub typ: String,
    /// `request`.
    pub request: Value,
}

/// Who a request is by, before its signature is checked: the merchant whom `iss` names, if the type is one of ours, signed with the
/// algorithm that the type wants, and for this provider.
///
/// # Errors
/// [`JwtRefusal`].
pub fn read<'m>(
    jwt: &str,
    merchants: &'m [Registered],
) -> Result<(MozPayRequest, &'m Registered), JwtRefusal> {
    let request = MozPayRequest::parse("jwt", jwt)?;
    // The type says which algorithm it must be, whatever the JWT says.
    let wanted = match request.typ().as_str() {
        TYP_SHARED => Algorithm::Hs256,
        TYP_SIGNED => Algorithm::Es256,
        _ => return Err(JwtRefusal::Type),
    };
    if request.algorithm() != wanted {
        return Err(JwtRefusal::Algorithm);
    }
    if request.audience() != PROVIDER {
        return Err(JwtRefusal::Audience);
    }
    let merchant = merchants.iter().find(|merchant| merchant.profile.name == request.prcd().payee_name);
    Ok((request, merchant.ok_or(JwtRefusal::Issuer)?))
}

/// Checks the request's signature with the key of its type, its times and its URLs.
///
/// # Errors
/// [`RequestRefusal`].
pub fn verify(
    request: &MozPayRequest,
    merchant: &Registered,
    checker: &Checker,
    kid: Option<&str>,
    now_s: i64,
) -> Result<VerifiedRequest, RequestRefusal> {
    if request.kid().is_some() && request.kid() != kid {
        return Err(JwtRefusal::Key.into());
    }
    let claims = checker.check(request.jwt(), merchant.profile.name, PROVIDER, now_s)?;
    request.check_time(now_s).map_err(|problem| match problem {
        TimeProblem::Expired { .. } => JwtRefusal::Expired,
        TimeProblem::NotYet { .. } => JwtRefusal::NotYetValid,
    })?;
    let request_claims = claims.get("request").cloned().unwrap_or_default();
    if request_claims.get("simulate").is_some() {
        return Err(RequestRefusal::Simulate);
    }
    let postback = notice_url(&request_claims, "postbackURL", merchant)?;
    let chargeback = notice_url(&request_claims, "chargebackURL", merchant)?;
    if postback.origin() != chargeback.origin() {
        return Err(RequestRefusal::TwoOrigins);
    }
    let host = postback.host_str().and_then(|host| PayeeHost::parse(host).ok());
    Ok(VerifiedRequest {
        prcd: request.prcd().clone(),
        payee_host: host.ok_or(RequestRefusal::Url("postbackURL"))?,
        typ: request.typ().as_str().to_owned(),
        request: request_claims,
    })
}

/// A URL that notices go to: of an origin that is registered for the merchant, so that nobody can have the provider call others.
fn notice_url(request: &Value, name: &'static str, merchant: &Registered) -> Result<Url, RequestRefusal> {
    let url = request.get(name).and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
    let url = url.ok_or(RequestRefusal::Url(name))?;
    let registered = merchant.origins.contains(&url.origin().ascii_serialization());
    let bare = url.username().is_empty() && url.password().is_none();
    if registered && bare { Ok(url) } else { Err(RequestRefusal::Url(name)) }
}
