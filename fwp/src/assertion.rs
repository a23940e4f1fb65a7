//! The FWP assertion (FIDO Web Pay section 4.5): what the page gets and the merchant sends on.

use crate::json::{Attributes, FieldError};
use data_encoding::BASE64URL_NOPAD;

/// Most bytes of an ESAD. A limit of ours: network options of a wallet fit in many times over.
pub const MAX_ESAD_BYTES: usize = 1 << 20;

/// `{paymentNetworkId, issuerId, userAuthorization}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FwpAssertion {
    /// The card's payment network.
    pub payment_network_id: String,
    /// The card's issuer.
    pub issuer_id: String,
    /// The encoded ESAD; base64url without padding in JSON.
    pub user_authorization: Vec<u8>,
}

impl FwpAssertion {
    /// The assertion as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "paymentNetworkId": self.payment_network_id,
            "issuerId": self.issuer_id,
            "userAuthorization": BASE64URL_NOPAD.encode(&self.user_authorization),
        })
    }

    /// Reads an assertion from JSON. base64url is strict: its own alphabet, no padding, no stray bits at the end.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn from_json(mut attributes: Attributes) -> Result<Self, FieldError> {
        let assertion = Self {
            payment_network_id: attributes.text("paymentNetworkId")?,
            issuer_id: attributes.text("issuerId")?,
            user_authorization: attributes
                .parsed("userAuthorization", |text| decode_base64url(text, MAX_ESAD_BYTES))?,
        };
        attributes.finish()?;
        Ok(assertion)
    }
}

/// base64url without padding, of at most `max` bytes.
pub(crate) fn decode_base64url(text: &str, max: usize) -> Result<Vec<u8>, String> {
    if text.len() > BASE64URL_NOPAD.encode_len(max) {
        return Err(format!("it has more than {max} bytes"));
    }
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| "it is not base64url without padding".to_owned())
}
