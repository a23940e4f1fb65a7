//! The PSP's checks (FIDO Web Pay section 6, step 8): what goes on to the bank is well-formed and the merchant's own.

use crate::error::Refusal;
use crate::terms::ENVELOPE_LIMIT_MS;
use crate::verified::check_envelope_time;
use fwp::envelope::{IssuerRequest, PspRequest};
use fwp::json::Attributes;
use fwp::{PayeeHost, TimeStamp};

/// A merchant as it is registered at the PSP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merchant {
    /// The name that every payment request must have.
    pub payee_name: String,
    /// Hosts that the merchant's pages come from.
    pub payee_hosts: Vec<PayeeHost>,
    /// Accounts that may be credited.
    pub receive_accounts: Vec<String>,
}

/// A payment network that the PSP serves.
#[derive(Clone, Debug)]
pub struct ServedNetwork {
    /// paymentNetworkId.
    pub id: String,
    /// Whether an issuerId has the form that the network wants.
    pub issuer_id: fn(&str) -> bool,
}

/// Checks a PSPRequest of `merchant`, who has been authenticated, and makes the IssuerRequest of it. `payee_host` is the one, of the
/// merchant's registered hosts, on whose page the user authorized; the bank compares it with the one that the user was shown. `now` is
/// the PSP's clock.
///
/// # Errors
/// [`Refusal::Envelope`], [`Refusal::Base64`], [`Refusal::PayeeName`], [`Refusal::MerchantHost`], [`Refusal::Network`],
/// [`Refusal::IssuerIdForm`], [`Refusal::ReceiveAccount`], [`Refusal::EnvelopeTime`].
pub fn forward(
    psp_request: &str,
    merchant: &Merchant,
    payee_host: &PayeeHost,
    networks: &[ServedNetwork],
    now: TimeStamp,
) -> Result<IssuerRequest, Refusal> {
    // paymentRequest is well-formed, nothing is missing and nothing unknown.
    let request = PspRequest::from_json(Attributes::parse("pspRequest", psp_request)?)?;
    if request.payment_request.payee_name != merchant.payee_name {
        return Err(Refusal::PayeeName);
    }
    if !merchant.payee_hosts.contains(payee_host) {
        return Err(Refusal::MerchantHost);
    }
    let assertion = &request.fwp_assertion;
    let network = networks.iter().find(|network| network.id == assertion.payment_network_id);
    if !(network.ok_or(Refusal::Network)?.issuer_id)(&assertion.issuer_id) {
        return Err(Refusal::IssuerIdForm);
    }
    if !merchant.receive_accounts.contains(&request.receive_account) {
        return Err(Refusal::ReceiveAccount);
    }
    check_envelope_time("pspRequest.timeStamp", &request.time_stamp, ENVELOPE_LIMIT_MS, now.unix_ms())?;
    Ok(IssuerRequest { psp_request: request, payee_host: payee_host.clone(), time_stamp: now })
}
