//! A shop after the FIDO Web Pay document: takes orders, and with the FWP assertion that the wallet gave its page asks its PSP for
//! the money (section 6, steps 1, 6 and 7). It knows that document and the W3C's, and nothing of wallets.

pub mod mozpay;
pub mod orders;
pub mod pages;
pub mod routes;

use crate::error::SandboxError;
use crate::http::{self, PAYEE_HOST, TRANSACTION, now_ms, random_id};
use crate::merchants::{Profile, SPACE_SHOP};
use crate::moz_pay::keys::MozPayKeys;
use fwp::envelope::PspRequest;
use fwp::{FwpAssertion, Prcd, TimeStamp};
use orders::{Order, Orders};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// The name of the shop that `fwp-sandbox order` buys at.
pub const NAME: &str = SPACE_SHOP.name;
/// What an order costs unless it says otherwise: the amount of the document's sample.
const PRICE: &str = "435.00";

/// A shop.
#[derive(Debug)]
pub struct Shop {
    /// Who it is.
    pub profile: &'static Profile,
    /// Its orders.
    pub orders: Orders,
    /// Where its PSP is.
    pub psp: String,
    /// What the shop shows to its PSP.
    pub merchant_token: String,
    /// Of these the shop uses its own secret and the provider's public key.
    pub keys: Arc<MozPayKeys>,
    /// Where this server is, such as `http://localhost:8080`.
    pub base_url: String,
    /// How many notices are still to be failed, for tests.
    pub fails_notices: AtomicU32,
}

impl Shop {
    /// What the user is asked to authorize for `order`.
    pub fn prcd(&self, order: &Order) -> Prcd {
        Prcd {
            payee_name: self.profile.name.to_owned(),
            request_id: order.number.to_string(),
            amount: order.amount.clone(),
            currency: order.currency,
        }
    }

    /// An order, with the request for the wallet as in the document's sample.
    pub fn order_json(&self, order: &Order) -> serde_json::Value {
        serde_json::json!({
            "order": order.number.to_string(),
            "state": order.state,
            "reference": order.reference,
            "message": order.message,
            "transactionID": order.transaction_id,
            "request": {
                "payeeHost": order.payee_host,
                "methodData": [{
                    "supportedMethods": fwp::PAYMENT_METHOD,
                    "data": {
                        "payeeName": self.profile.name,
                        "networks": [
                            { "id": "https://mastercard.com/fwp" },
                            { "id": "https://visa.com/fwp" },
                            { "id": "https://banknet2.org", "networkOptions": "additional stuff..." },
                        ],
                    },
                }],
                "details": {
                    "id": order.number.to_string(),
                    "total": { "label": null, "amount": { "currency": order.currency.as_str(), "value": order.amount.as_str() } },
                },
            },
        })
    }

    /// Asks the PSP for the money of `order` with `assertion`. Returns the answer, and notes it. Blocks.
    fn check_out(
        &self,
        order: &Order,
        assertion: FwpAssertion,
        client: IpAddr,
    ) -> Result<http::Answered, SandboxError> {
        let request = PspRequest {
            payment_request: self.prcd(order),
            fwp_assertion: assertion,
            receive_account: self.profile.receive_account.to_owned(),
            client_ip_address: client.to_string(),
            time_stamp: TimeStamp::from_unix_ms(now_ms()?, None).map_err(|_| SandboxError::Clock)?,
        };
        let mut answered = self.ask_psp(&request.to_json(), &order.payee_host)?;
        let text = |name: &str| answered.body.get(name).and_then(serde_json::Value::as_str);
        if let Some(status @ ("booked" | "declined" | "refused")) = text("status") {
            self.orders.note_state(order.number, status, text("reference"), text("message"))?;
        }
        if let Some(body) = answered.body.as_object_mut() {
            body.insert("order".to_owned(), order.number.to_string().into());
            body.insert("amount".to_owned(), order.amount.as_str().into());
            body.insert("currency".to_owned(), order.currency.as_str().into());
        }
        Ok(answered)
    }

    /// Sends a PSPRequest to the PSP. Blocks.
    pub(crate) fn ask_psp(
        &self,
        psp_request: &serde_json::Value,
        payee_host: &str,
    ) -> Result<http::Answered, SandboxError> {
        let transaction = random_id()?;
        let more = [(TRANSACTION, transaction.as_str()), (PAYEE_HOST, payee_host)];
        self.send(&format!("{}/payments", self.psp), &more, psp_request)
    }

    /// Sends `body` to the PSP's address `url`. Blocks.
    fn ask(&self, url: &str, body: &serde_json::Value) -> Result<http::Answered, SandboxError> {
        self.send(url, &[], body)
    }

    fn send(
        &self,
        url: &str,
        more: &[(&str, &str)],
        body: &serde_json::Value,
    ) -> Result<http::Answered, SandboxError> {
        let authorization = format!("Bearer {}", self.merchant_token);
        let headers = [&[("authorization", authorization.as_str())], more].concat();
        http::post(url, &headers, &body.to_string())
    }
}
