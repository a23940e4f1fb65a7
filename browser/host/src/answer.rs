//! What goes to the browser: answers to requests, and events.

use crate::failure::Failure;
use crate::frame::{self, AnswerTooLarge, MAX_ANSWER};
use crate::message::{EnrollmentName, PaymentName, RequestId};
use serde::Serialize;
use serde_json::value::RawValue;

/// A whole frame of at most [`MAX_ANSWER`] bytes of JSON, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(Vec<u8>);

impl Encoded {
    /// The bytes, length and all.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Serialize)]
struct Good<T> {
    id: RequestId,
    result: T,
}

#[derive(Serialize)]
struct Bad<'a> {
    id: Option<RequestId>,
    error: &'a Failure,
}

/// Which payment or enrollment an event is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// A payment.
    Payment(PaymentName),
    /// An enrollment.
    Enrollment(EnrollmentName),
}

/// Where an authorized request of `navigator.mozPay` goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryTo {
    /// By HTTP POST.
    pub url: String,
    /// The provider's type.
    pub typ: String,
    /// The JWT.
    pub request: String,
}

/// Something that happens without a request.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The user authorized a payment.
    Response {
        /// Which.
        payment: PaymentName,
        /// The FWP assertion.
        details: Box<RawValue>,
        /// Of a request by `navigator.mozPay`.
        #[serde(skip_serializing_if = "Option::is_none")]
        delivery: Option<DeliveryTo>,
    },
    /// A key was made.
    Attestation {
        /// For which.
        enrollment: EnrollmentName,
        /// For the bank.
        attestation: Box<RawValue>,
    },
    /// The last of a payment or enrollment.
    Closed {
        /// Which.
        #[serde(flatten)]
        of: Of,
        /// `completed`, or the name of an error.
        reason: &'static str,
        /// English, for people.
        message: String,
    },
}

impl Event {
    /// An end, well or not.
    pub fn closed(of: Of, end: Result<(), Failure>) -> Self {
        let (reason, message) = match end {
            Ok(()) => ("completed", String::new()),
            Err(Failure { name, message }) => (name, message.into_owned()),
        };
        Self::Closed { of, reason, message }
    }

    /// The event for the browser.
    ///
    /// # Errors
    /// [`Failure`], if it is more than a browser takes.
    pub fn encode(&self) -> Result<Encoded, Failure> {
        encode(self)
    }
}

/// An answer. One that is too large for the browser becomes an error that says so.
pub fn answer(id: RequestId, result: Result<impl Serialize, Failure>) -> Encoded {
    match result {
        Ok(result) => encode(&Good { id, result }).unwrap_or_else(|failure| refusal(Some(id), &failure)),
        Err(failure) => refusal(Some(id), &failure),
    }
}

/// An error for a request whose number may not be known.
pub fn refusal(id: Option<RequestId>, failure: &Failure) -> Encoded {
    // A failure is short text and always fits; were it not so, nothing would be written.
    encode(&Bad { id, error: failure }).unwrap_or(Encoded(Vec::new()))
}

fn encode(message: &impl Serialize) -> Result<Encoded, Failure> {
    let json = serde_json::to_vec(message).map_err(|_| Failure::nonsense("something that is no JSON"))?;
    match frame::encode(&json) {
        Ok(frame) => Ok(Encoded(frame)),
        Err(AnswerTooLarge(bytes)) => Err(Failure::too_large(format_args!(
            "the wallet's answer has {bytes} bytes; a browser takes {MAX_ANSWER}"
        ))),
    }
}
