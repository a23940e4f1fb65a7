//! What a request claims: who sells what to whom for how much, and how long that holds.

use super::{Algorithm, Jws, MAX_REQUESTS, Verification, WrongSignature};
use crate::json::{Attributes, FieldError, Json};
use crate::money::{Amount, Currency};
use crate::payment_request::{MAX_ID, MAX_PAYEE_NAME, Prcd};
use crate::provider::{Provider, ProviderType};
use crate::text::check_shown;

/// How far in the future a request may have been issued, in seconds: clocks differ.
pub const MAX_CLOCK_AHEAD_S: i64 = 60;
/// Longest time from `iat` to `exp`, in seconds: a day.
pub const MAX_LIFE_S: i64 = 86_400;
/// Most UTF-16 code units of a product's name.
const MAX_NAME: usize = 256;
/// Most UTF-16 code units of a product's description.
const MAX_DESCRIPTION: usize = 1024;
/// Most UTF-16 code units of a URL that the provider notifies.
const MAX_URL: usize = 2048;

/// A request as its shop makes it: well-formed, and nothing more. Everything in it is the shop's claim until the provider
/// has verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MozPayRequest {
    jws: Jws,
    prcd: Prcd,
    audience: String,
    typ: ProviderType,
    issued_at_s: i64,
    expires_s: i64,
    name: String,
    description: String,
}

/// Why a request does not hold now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeProblem {
    /// `exp` is not in the future.
    #[error("the request expired {ago_s} s ago; the shop has to make a new one")]
    Expired {
        /// How long ago, in seconds.
        ago_s: i64,
    },
    /// `iat` is too far in the future.
    #[error(
        "the request is not valid yet: it says that it will be made in {ahead_s} s, by this computer's clock"
    )]
    NotYet {
        /// How far, in seconds.
        ahead_s: i64,
    },
}

impl MozPayRequest {
    /// Reads the requests that a page gives: 1 to [`MAX_REQUESTS`], no two for the same provider type, each valid at `now_s`
    /// (seconds since 1970).
    ///
    /// # Errors
    /// [`FieldError`] for `requests`, `requests[i]` and what is in it, such as `requests[0].request.price.amount`.
    pub fn parse_all(requests: &[impl AsRef<str>], now_s: i64) -> Result<Vec<Self>, FieldError> {
        if !(1..=MAX_REQUESTS).contains(&requests.len()) {
            let rule = format!("there must be 1 to {MAX_REQUESTS} of them");
            return Err(FieldError::invalid("requests", rule));
        }
        let mut parsed: Vec<Self> = Vec::with_capacity(requests.len());
        for (index, text) in requests.iter().enumerate() {
            let path = format!("requests[{index}]");
            let request = Self::parse(&path, text.as_ref())?;
            request
                .check_time(now_s)
                .map_err(|problem| FieldError::invalid(request.time_field(&path, problem), problem))?;
            // Which of two is meant is not clear.
            if parsed.iter().any(|other| other.typ == request.typ) {
                return Err(FieldError::invalid(format!("{path}.typ"), "another request has the same"));
            }
            parsed.push(request);
        }
        Ok(parsed)
    }

    /// Reads one request; `path` names it in errors. Its times fit each other; whether they fit the clock,
    /// [`MozPayRequest::check_time`] tells.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn parse(path: &str, text: &str) -> Result<Self, FieldError> {
        let (jws, mut claims) = Jws::parse(path, text)?;
        let payee_name = shown(&mut claims, "iss", MAX_PAYEE_NAME)?;
        let audience = shown(&mut claims, "aud", MAX_PAYEE_NAME)?;
        let typ = claims.parsed("typ", ProviderType::parse)?;
        let issued_at_s = seconds(&mut claims, "iat")?;
        let expires_s = seconds(&mut claims, "exp")?;
        if expires_s <= issued_at_s || expires_s - issued_at_s > MAX_LIFE_S {
            let rule = format!("it must be after iat, and at most {MAX_LIFE_S} s after it");
            return Err(FieldError::invalid(claims.path("exp"), rule));
        }
        // Other attributes are between shop and provider.
        let mut request = claims.object("request")?;
        let request_id = shown(&mut request, "id", MAX_ID)?;
        let name = shown(&mut request, "name", MAX_NAME)?;
        let description = shown(&mut request, "description", MAX_DESCRIPTION)?;
        shown(&mut request, "postbackURL", MAX_URL)?;
        shown(&mut request, "chargebackURL", MAX_URL)?;
        let mut price = request.object("price")?;
        let amount = price.parsed("amount", Amount::parse)?;
        let currency = price.parsed("currency", Currency::parse)?;
        price.finish()?;
        let prcd = Prcd { payee_name, request_id, amount, currency };
        Ok(Self { jws, prcd, audience, typ, issued_at_s, expires_s, name, description })
    }

    /// Whether it holds at `now_s`, in seconds since 1970: `exp` is in the future, and `iat` at most
    /// [`MAX_CLOCK_AHEAD_S`] ahead.
    ///
    /// # Errors
    /// [`TimeProblem`].
    pub fn check_time(&self, now_s: i64) -> Result<(), TimeProblem> {
        if self.expires_s <= now_s {
            return Err(TimeProblem::Expired { ago_s: now_s.saturating_sub(self.expires_s) });
        }
        match self.issued_at_s.saturating_sub(now_s) {
            ahead_s if ahead_s > MAX_CLOCK_AHEAD_S => Err(TimeProblem::NotYet { ahead_s }),
            _ => Ok(()),
        }
    }

    fn time_field(&self, path: &str, problem: TimeProblem) -> String {
        match problem {
            TimeProblem::Expired { .. } => format!("{path}.exp"),
            TimeProblem::NotYet { .. } => format!("{path}.iat"),
        }
    }

    /// Verifies its signature with the keys of `provider`.
    ///
    /// # Errors
    /// [`WrongSignature`].
    pub fn verify(&self, provider: &Provider) -> Result<Verification, WrongSignature> {
        self.jws.verify(provider)
    }

    /// The JWT: what the user authorizes.
    pub fn jwt(&self) -> &str {
        &self.jws.text
    }

    /// What it is signed with.
    pub fn algorithm(&self) -> Algorithm {
        self.jws.algorithm
    }

    /// Name of the key that signed it (`kid`), if it says so.
    pub fn kid(&self) -> Option<&str> {
        self.jws.kid.as_deref()
    }

    /// The shop (`iss`), product's ID, and price.
    pub fn prcd(&self) -> &Prcd {
        &self.prcd
    }

    /// The provider's name (`aud`).
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// What kind of provider takes it (`typ`).
    pub fn typ(&self) -> &ProviderType {
        &self.typ
    }

    /// What is sold.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// More of that.
    pub fn description(&self) -> &str {
        &self.description
    }
}

fn shown(attributes: &mut Attributes, name: &str, max: usize) -> Result<String, FieldError> {
    attributes.parsed(name, |text| check_shown(text, max).map(|()| text.to_owned()))
}

/// A time in seconds since 1970 (RFC 7519 section 2, NumericDate), whole and not negative.
fn seconds(claims: &mut Attributes, name: &str) -> Result<i64, FieldError> {
    match claims.required(name)? {
        Json::Int(seconds) if seconds >= 0 => Ok(seconds),
        _ => Err(FieldError::not_a(claims.path(name), "whole seconds since 1970")),
    }
}
