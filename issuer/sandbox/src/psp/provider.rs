//! The PSP as the provider of `navigator.mozPay`: takes paid requests from wallets, has the bank book them, and gives money back.

use super::books::{Opened, Payment, State};
use super::requests::{RequestRefusal, VerifiedRequest, read, verify};
use super::{Psp, Registered};
use crate::error::SandboxError;
use crate::http::{self, MERCHANT, PROVIDER_REQUEST, TRANSACTION, now_ms, random_id};
use crate::moz_pay::jwt::{Checker, JwtRefusal};
use crate::moz_pay::{KID, PROVIDER, REQUEST_LIFE_S, TYP_SIGNED};
use fwp::envelope::PspRequest;
use fwp::json::{Attributes, FieldError};
use fwp::{FwpAssertion, TimeStamp};
use fwp_verifier::Refusal;
use fwp_verifier::psp::forward;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// Why a delivery is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryRefusal {
    /// The body is not as docs/mozpay.md says.
    #[error("{0}")]
    Body(#[from] FieldError),
    /// The request is not served.
    #[error(transparent)]
    Request(#[from] RequestRefusal),
    /// The PSP's checks of FIDO Web Pay (section 6 step 8) say no.
    #[error(transparent)]
    Psp(#[from] Refusal),
    /// The shop's request was paid before.
    #[error("this request of the shop's was paid before; nothing was booked now")]
    AlreadyPaid,
    /// The shop's request is being paid.
    #[error("another payment of this request is on its way; try again in a moment")]
    InProgress,
    /// There is nothing to give back.
    #[error("there is no such transaction of the merchant's that is booked")]
    NotBooked,
}

impl From<JwtRefusal> for DeliveryRefusal {
    fn from(refusal: JwtRefusal) -> Self {
        Self::Request(refusal.into())
    }
}

impl DeliveryRefusal {
    /// HTTP status, and a word for programs that stays the same from version to version.
    pub fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::Body(_) => (400, "body"),
            Self::Request(refusal) => (422, refusal.code()),
            Self::Psp(refusal) => (422, refusal.code()),
            Self::AlreadyPaid => (409, "already-paid"),
            Self::InProgress => (409, "in-progress"),
            Self::NotBooked => (404, "not-booked"),
        }
    }
}

/// What wallets deliver: the request, and the user's authorization of it.
struct Delivery {
    jwt: String,
    assertion: FwpAssertion,
}

impl Delivery {
    fn parse(body: &str) -> Result<Self, FieldError> {
        let mut delivery = Attributes::parse("delivery", body)?;
        let jwt = delivery.text("request")?;
        let assertion = FwpAssertion::from_json(delivery.object("fwpAssertion")?)?;
        delivery.finish()?;
        Ok(Self { jwt, assertion })
    }

    fn digest(&self) -> [u8; 32] {
        let assertion = self.assertion.to_json().to_string();
        let length = (self.jwt.len() as u64).to_be_bytes();
        Sha256::new().chain_update(length).chain_update(&self.jwt).chain_update(assertion).finalize().into()
    }
}

impl Psp {
    /// Takes a delivery of a wallet at `client`: the payment, settled. The same delivery gets the same answer. Blocks.
    ///
    /// # Errors
    /// [`SandboxError`]; the inner error is why it is not taken.
    pub fn take(&self, body: &str, client: IpAddr) -> Result<Result<Payment, DeliveryRefusal>, SandboxError> {
        let delivery = match Delivery::parse(body) {
            Ok(delivery) => delivery,
            Err(error) => return Ok(Err(error.into())),
        };
        // What was taken once was verified, and may have expired since.
        let payment = match self.books.delivered(&delivery.digest())? {
            Some(known) => known,
            None => match self.open(&delivery, client)? {
                Ok(opened) => opened,
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        self.settle(payment).map(Ok)
    }

    /// Verifies a delivery and opens its payment.
    fn open(
        &self,
        delivery: &Delivery,
        client: IpAddr,
    ) -> Result<Result<Payment, DeliveryRefusal>, SandboxError> {
        let now_ms = now_ms()?;
        let verified = self.verify(&delivery.jwt, now_ms / 1000)?;
        let (request, merchant) = match verified {
            Ok(verified) => verified,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let now = TimeStamp::from_unix_ms(now_ms, None).map_err(|_| SandboxError::Clock)?;
        // PRCD is the request's, and so is everything else that the merchant says; only the authorization is the wallet's.
        let psp_request = PspRequest {
            payment_request: request.prcd.clone(),
            fwp_assertion: delivery.assertion.clone(),
            receive_account: merchant.profile.receive_account.to_owned(),
            client_ip_address: client.to_string(),
            time_stamp: now.clone(),
        };
        let psp_request = psp_request.to_json().to_string();
        let forwarded = forward(&psp_request, &merchant.merchant, &request.payee_host, &self.networks, now);
        let issuer_request = match forwarded {
            Ok(issuer_request) => issuer_request.to_json().to_string(),
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let payment = Payment {
            digest: delivery.digest(),
            transaction_id: format!("sandbox:{}", random_id()?),
            merchant: merchant.profile.id.to_owned(),
            typ: request.typ,
            request_id: request.prcd.request_id,
            request: request.request.to_string(),
            jwt: delivery.jwt.clone(),
            issuer_request,
            at_ms: now_ms,
            state: State::Pending,
        };
        Ok(match self.books.open_payment(&payment)? {
            Opened::Known(payment) => Ok(*payment),
            Opened::AlreadyPaid => Err(DeliveryRefusal::AlreadyPaid),
            Opened::InProgress => Err(DeliveryRefusal::InProgress),
        })
    }

    fn verify(
        &self,
        jwt: &str,
        now_s: i64,
    ) -> Result<Result<(VerifiedRequest, &Registered), RequestRefusal>, SandboxError> {
        let (request, merchant) = match read(jwt, &self.merchants) {
            Ok(read) => read,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let (checker, kid) = if request.typ().as_str() == TYP_SIGNED {
            (self.keys.provider_checker(), Some(KID))
        } else {
            (Checker::hs256(self.keys.secret(merchant.profile)?), None)
        };
        Ok(verify(&request, merchant, &checker, kid, now_s).map(|verified| (verified, merchant)))
    }

    /// Asks the bank for a payment that is pending, and notes the answer. Asked again with the same transaction, the bank answers
    /// the same. Blocks.
    ///
    /// # Errors
    /// [`SandboxError`]; the payment stays pending then.
    pub fn settle(&self, payment: Payment) -> Result<Payment, SandboxError> {
        if payment.state != State::Pending {
            return Ok(payment);
        }
        let merchant = self.merchants.iter().find(|merchant| merchant.profile.id == payment.merchant);
        let merchant = merchant.ok_or(SandboxError::DamagedBooks("a payment is of no merchant"))?;
        let authorization = format!("Bearer {}", self.psp_token);
        let name = merchant.profile.name_at_banks();
        let headers = [
            ("authorization", authorization.as_str()),
            (MERCHANT, name.as_str()),
            (TRANSACTION, payment.transaction_id.as_str()),
            (PROVIDER_REQUEST, payment.jwt.as_str()),
        ];
        let answered = http::post(&self.bank_url, &headers, &payment.issuer_request)?;
        let text = |name: &str| answered.body.get(name).and_then(Value::as_str).map(str::to_owned);
        let state = match (text("status").as_deref(), text("reference"), text("error"), text("message")) {
            (Some("booked"), Some(reference), ..) => State::Booked(reference),
            (Some("declined"), .., Some(message)) => State::Declined(message),
            (Some("refused"), _, Some(error), Some(message)) => State::Refused(error, message),
            _ => {
                let body = answered.body.to_string().chars().take(300).collect();
                return Err(SandboxError::Answer {
                    url: self.bank_url.clone(),
                    status: answered.status,
                    body,
                });
            }
        };
        self.books.settle(&payment.transaction_id, &state, now_ms()?)?;
        self.wake.notify_one();
        // Another may have been faster; the bank answers the same.
        Ok(Payment { state, ..payment })
    }

    /// Signs a request for `merchant` with the provider's key: `request` is its own, the rest is filled in here.
    ///
    /// # Errors
    /// [`SandboxError`]; the inner error is why it is not signed.
    pub fn sign(
        &self,
        merchant: &Registered,
        request: &Value,
    ) -> Result<Result<String, RequestRefusal>, SandboxError> {
        let now_s = now_ms()? / 1000;
        let claims = json!({
            "iss": merchant.profile.name, "aud": PROVIDER, "typ": TYP_SIGNED,
            "iat": now_s, "exp": now_s + REQUEST_LIFE_S, "request": request,
        });
        let jwt = self.keys.provider_signer().sign(&claims)?;
        // Nothing is signed that would not be taken.
        Ok(self.verify(&jwt, now_s)?.map(|_| jwt))
    }

    /// Gives the money of a booked payment of `merchant` back, and has the shop told. Blocks.
    ///
    /// # Errors
    /// [`SandboxError`]; the inner error is why not.
    pub fn refund(
        &self,
        merchant: &Registered,
        transaction_id: &str,
    ) -> Result<Result<(), DeliveryRefusal>, SandboxError> {
        let payment = self.books.payment(transaction_id)?;
        let payment = payment.filter(|payment| payment.merchant == merchant.profile.id);
        match payment.map(|payment| payment.state) {
            Some(State::Booked(reference)) => {
                let authorization = format!("Bearer {}", self.psp_token);
                let name = merchant.profile.name_at_banks();
                let headers = [("authorization", authorization.as_str()), (MERCHANT, name.as_str())];
                let body = json!({ "reference": reference }).to_string();
                let answered = http::post(&self.refund_url, &headers, &body)?;
                if answered.status != 200 {
                    return Ok(Err(DeliveryRefusal::NotBooked));
                }
                self.books.refund(transaction_id, now_ms()?)?;
                self.wake.notify_one();
                Ok(Ok(()))
            }
            // Asked twice; it was given back once.
            Some(State::Refunded) => Ok(Ok(())),
            _ => Ok(Err(DeliveryRefusal::NotBooked)),
        }
    }
}
