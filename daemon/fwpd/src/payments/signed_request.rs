//! Requests of `navigator.mozPay`: signed by a shop, booked by a provider that a bank registered with a card.

use fwp::json::FieldError;
use fwp::moz_pay::WrongSignature;
use fwp::{InvalidRequest, MozPayRequest, PayeeHost, PaymentRequest};
use fwp_dbus::Error;
use fwp_dbus::types::Delivery;
use fwp_wallet::{Approved, PaymentConsent};

use super::invalid;
use crate::clock;

/// Reads what a page gave. Cards are not looked at: nobody learns from here whether one fits.
///
/// # Errors
/// `InvalidRequest`, naming the field.
pub(super) fn read(payee_host: &str, requests: &[String]) -> Result<Vec<PaymentRequest>, Error> {
    let refused = |error: FieldError| invalid(InvalidRequest(error));
    let payee_host =
        PayeeHost::parse(payee_host).map_err(|error| refused(FieldError::invalid("payeeHost", error)))?;
    let requests = MozPayRequest::parse_all(requests, now_s()).map_err(refused)?;
    let request = |signed| PaymentRequest::from_moz_pay(payee_host.clone(), signed);
    Ok(requests.into_iter().map(request).collect())
}

/// Checks that a signed request still holds: it may have expired before it is shown, or before the user said yes.
///
/// # Errors
/// `InvalidRequest`.
pub(super) fn check_time(signed: Option<&MozPayRequest>) -> Result<(), Error> {
    signed.map_or(Ok(()), |signed| signed.check_time(now_s()).map_err(invalid))
}

/// Why a request that no card fits ends, where its signature is the reason.
pub(super) fn wrong_signature(consent: &PaymentConsent) -> Option<Error> {
    let (wrong, signed): (WrongSignature, _) = (consent.wrong_signature()?, consent.moz_pay()?);
    Some(invalid(format!("the request for {}: {wrong}; the user was told", signed.typ())))
}

/// Where what the user said yes to goes.
pub(super) fn delivery(approved: &Approved) -> Option<Delivery> {
    let signed = approved.consent().moz_pay()?;
    let provider = approved.card().provider(signed.typ())?;
    Some(Delivery {
        url: Some(provider.delivery_url.as_str().to_owned()),
        typ: Some(provider.typ.as_str().to_owned()),
        request: Some(signed.jwt().to_owned()),
    })
}

/// Seconds since 1970.
fn now_s() -> i64 {
    clock::now_ms().div_euclid(1000)
}
