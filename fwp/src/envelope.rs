//! PSPRequest (FIDO Web Pay section 6) and IssuerRequest (section 8): how an authorization travels to the bank. Both are
//! samples in the document; this project takes them as they stand there, without unknown attributes.

use crate::assertion::FwpAssertion;
use crate::host::PayeeHost;
use crate::json::{Attributes, FieldError};
use crate::payment_request::Prcd;
use crate::time_stamp::TimeStamp;
use std::net::IpAddr;

/// Most bytes of an IssuerRequest as JSON. A limit of ours.
pub const MAX_ENVELOPE_BYTES: usize = 4 << 20;

/// What the merchant sends to its PSP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PspRequest {
    /// The PRCD, made again by the merchant.
    pub payment_request: Prcd,
    /// The FWP assertion, verbatim.
    pub fwp_assertion: FwpAssertion,
    /// The merchant's account that is to be credited. The user did not sign it.
    pub receive_account: String,
    /// Address of the user's device, as text.
    pub client_ip_address: String,
    /// When the merchant made this.
    pub time_stamp: TimeStamp,
}

/// What the PSP sends to the issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRequest {
    /// The PSPRequest as received.
    pub psp_request: PspRequest,
    /// The merchant's host as registered by the PSP.
    pub payee_host: PayeeHost,
    /// When the PSP made this.
    pub time_stamp: TimeStamp,
}

impl PspRequest {
    /// Reads a PSPRequest.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn from_json(mut attributes: Attributes) -> Result<Self, FieldError> {
        let request = Self {
            payment_request: Prcd::from_json(attributes.object("paymentRequest")?)?,
            fwp_assertion: FwpAssertion::from_json(attributes.object("fwpAssertion")?)?,
            receive_account: attributes.text("receiveAccount")?,
            client_ip_address: attributes.parsed("clientIpAddress", |text| {
                text.parse::<IpAddr>()
                    .map(|_| text.to_owned())
                    .map_err(|_| "it is not an IPv4 or IPv6 address")
            })?,
            time_stamp: attributes.parsed("timeStamp", TimeStamp::parse)?,
        };
        attributes.finish()?;
        Ok(request)
    }

    /// The PSPRequest as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "paymentRequest": self.payment_request.to_json(),
            "fwpAssertion": self.fwp_assertion.to_json(),
            "receiveAccount": self.receive_account,
            "clientIpAddress": self.client_ip_address,
            "timeStamp": self.time_stamp.as_str(),
        })
    }
}

impl IssuerRequest {
    /// Reads an IssuerRequest from its text.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        if text.len() > MAX_ENVELOPE_BYTES {
            return Err(FieldError::invalid(
                "issuerRequest",
                format_args!("it has more than {MAX_ENVELOPE_BYTES} bytes"),
            ));
        }
        Self::from_json(Attributes::parse("issuerRequest", text)?)
    }

    /// Reads an IssuerRequest.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn from_json(mut attributes: Attributes) -> Result<Self, FieldError> {
        let request = Self {
            psp_request: PspRequest::from_json(attributes.object("pspRequest")?)?,
            payee_host: attributes.parsed("payeeHost", PayeeHost::parse)?,
            time_stamp: attributes.parsed("timeStamp", TimeStamp::parse)?,
        };
        attributes.finish()?;
        Ok(request)
    }

    /// The IssuerRequest as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "pspRequest": self.psp_request.to_json(),
            "payeeHost": self.payee_host.as_str(),
            "timeStamp": self.time_stamp.as_str(),
        })
    }
}
