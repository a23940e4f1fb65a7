//! Requests of the extension, read once into types that can't be wrong. What a page wrote (offers, details, errorFields)
//! stays text here: the daemon reads it.
//!
//! A request is `{"id": 1..2^53-1, "method": "...", "params": {...}}`. Unknown and duplicate attributes are refused. No
//! reading recurses: parameters are looked at only once their method is known, and none of them nests.

use crate::failure::Failure;
use crate::origin::payee_host;
use fwp::PayeeHost;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The version of the protocol between extension and host.
pub const PROTOCOL: u32 = 1;
/// The largest request ID: JavaScript's largest safe integer.
pub const MAX_ID: u64 = (1 << 53) - 1;
/// Requests of one call of `navigator.mozPay`, at most.
pub const MAX_MOZ_REQUESTS: usize = 8;
/// Bytes of each of them, at most.
pub const MAX_MOZ_REQUEST_BYTES: usize = 16 << 10;
/// Payments or enrollments that one `forget` names, at most.
pub const MAX_FORGOTTEN: usize = 1024;
/// Characters of a browser's name, and of its version.
const MAX_BROWSER_TEXT: usize = 64;

/// The number of a request, for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RequestId(u64);

/// A payment or enrollment of this process: `p1`, `e1`. A number is never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name<const KIND: char>(pub u64);
/// `p1`
pub type PaymentName = Name<'p'>;
/// `e1`
pub type EnrollmentName = Name<'e'>;

/// Text for D-Bus, which has no NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

/// The last part of a card's object path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardName(String);

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The extension introduces itself and its browser.
    Hello(Browser),
    /// For a page: is there any card?
    CanMakePayment,
    /// For a page: checks a payment request.
    CreatePayment {
        /// Who asks for the money.
        payee_host: PayeeHost,
        /// JSON.
        method_data: Text,
        /// JSON.
        details: Text,
    },
    /// For a page: checks requests of `navigator.mozPay`.
    CreateMozPayment {
        /// Who asks for the money.
        payee_host: PayeeHost,
        /// JWTs, in the page's order: 1 to [`MAX_MOZ_REQUESTS`], each of at most [`MAX_MOZ_REQUEST_BYTES`].
        requests: Vec<Text>,
    },
    /// For a page: checks an offer of a bank and asks the user.
    BeginEnrollment {
        /// The bank's host, where the offer comes from.
        host: PayeeHost,
        /// JSON.
        offer: Text,
        /// Which kind of authenticator.
        attachment: Option<Attachment>,
        /// Replace cards of the same account.
        replace: Option<bool>,
    },
    /// To a payment.
    OfPayment(PaymentName, PaymentCall),
    /// To an enrollment.
    OfEnrollment(EnrollmentName, EnrollmentCall),
    /// Ends whatever is open of these.
    Forget(Vec<PaymentName>, Vec<EnrollmentName>),
    /// For the popup: `Wallet1.Status`.
    Status,
    /// For the popup: the cards.
    ListCards,
    /// For the popup: a card's picture.
    CardImage(CardName),
}

/// What a payment is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentCall {
    /// Put it before the user.
    Show,
    /// End it.
    Abort,
    /// New details, JSON.
    Update(Text),
    /// Once more; the W3C's errorFields, JSON.
    Retry(Text),
    /// How it went.
    Complete(Completion),
}

/// What an enrollment is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrollmentCall {
    /// The bank's cards, JSON.
    StoreCards(Text),
    /// End it.
    Cancel,
}

/// The W3C's PaymentComplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Completion {
    /// The payment was processed.
    Success,
    /// It was not.
    Fail,
    /// The page does not say.
    Unknown,
}

/// WebAuthn's AuthenticatorAttachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attachment {
    /// This computer.
    Platform,
    /// A security key.
    CrossPlatform,
}

/// The browser, as the extension names it; it is signed as platformData.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Browser {
    /// Such as `Chromium`.
    #[serde(deserialize_with = "shown")]
    pub name: String,
    /// Such as `156.0.8078.79`.
    #[serde(deserialize_with = "shown")]
    pub version: String,
}

/// A request that can't be served, and the number that its answer has: none if it could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The request's number.
    pub id: Option<RequestId>,
    /// Why.
    pub failure: Failure,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    id: RequestId,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: &'a RawValue,
}

/// Of an envelope that breaks the rules: its number, if that alone is right.
#[derive(Deserialize)]
struct Numbered {
    id: RequestId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HelloParams<'a> {
    protocol: u32,
    #[serde(borrow)]
    browser: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginParams {
    origin: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CreateParams {
    origin: String,
    method_data: Text,
    details: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateMozParams {
    origin: String,
    requests: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrollParams {
    origin: String,
    offer: Text,
    attachment: Option<Attachment>,
    replace: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaymentParams {
    payment: PaymentName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateParams {
    payment: PaymentName,
    details: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RetryParams {
    payment: PaymentName,
    error_fields: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompleteParams {
    payment: PaymentName,
    result: Completion,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrollmentParams {
    enrollment: EnrollmentName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreParams {
    enrollment: EnrollmentName,
    cards: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgetParams {
    payments: Vec<PaymentName>,
    enrollments: Vec<EnrollmentName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CardParams {
    card: CardName,
}

impl Request {
    /// Reads a message of the browser.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn parse(message: &[u8]) -> Result<(RequestId, Self), Unreadable> {
        if !message.trim_ascii_start().starts_with(b"{") {
            return Err(Unreadable { id: None, failure: Failure::invalid_message(NO_OBJECT) });
        }
        let envelope: Envelope<'_> = serde_json::from_slice(message).map_err(|error| Unreadable {
            id: serde_json::from_slice(message).ok().map(|numbered: Numbered| numbered.id),
            failure: Failure::invalid_message(error),
        })?;
        match Self::of_method(&envelope.method, envelope.params) {
            Ok(request) => Ok((envelope.id, request)),
            Err(failure) => Err(Unreadable { id: Some(envelope.id), failure }),
        }
    }

    fn of_method(method: &str, params: &RawValue) -> Result<Self, Failure> {
        Ok(match method {
            "hello" => {
                let HelloParams { protocol, browser } = read(params)?;
                if protocol != PROTOCOL {
                    return Err(Failure::invalid_message(format_args!(
                        "the extension speaks version {protocol} of the protocol, this host {PROTOCOL}; update the older one"
                    )));
                }
                Self::Hello(read(browser)?)
            }
            "canMakePayment" => {
                let OriginParams { origin } = read(params)?;
                payee(&origin)?;
                Self::CanMakePayment
            }
            "createPayment" => {
                let CreateParams { origin, method_data, details } = read(params)?;
                Self::CreatePayment { payee_host: payee(&origin)?, method_data, details }
            }
            "createMozPayment" => {
                let CreateMozParams { origin, requests } = read(params)?;
                if requests.is_empty() || requests.len() > MAX_MOZ_REQUESTS {
                    return Err(Failure::invalid_message(format_args!(
                        "requests must have 1 to {MAX_MOZ_REQUESTS} entries"
                    )));
                }
                if requests.iter().any(|request| request.as_str().len() > MAX_MOZ_REQUEST_BYTES) {
                    return Err(Failure::invalid_message(format_args!(
                        "a request has more than {MAX_MOZ_REQUEST_BYTES} bytes"
                    )));
                }
                Self::CreateMozPayment { payee_host: payee(&origin)?, requests }
            }
            "beginEnrollment" => {
                let EnrollParams { origin, offer, attachment, replace } = read(params)?;
                Self::BeginEnrollment { host: payee(&origin)?, offer, attachment, replace }
            }
            "show" => Self::OfPayment(read::<PaymentParams>(params)?.payment, PaymentCall::Show),
            "abort" => Self::OfPayment(read::<PaymentParams>(params)?.payment, PaymentCall::Abort),
            "update" => {
                let UpdateParams { payment, details } = read(params)?;
                Self::OfPayment(payment, PaymentCall::Update(details))
            }
            "retry" => {
                let RetryParams { payment, error_fields } = read(params)?;
                Self::OfPayment(payment, PaymentCall::Retry(error_fields))
            }
            "complete" => {
                let CompleteParams { payment, result } = read(params)?;
                Self::OfPayment(payment, PaymentCall::Complete(result))
            }
            "storeCards" => {
                let StoreParams { enrollment, cards } = read(params)?;
                Self::OfEnrollment(enrollment, EnrollmentCall::StoreCards(cards))
            }
            "cancelEnrollment" => {
                Self::OfEnrollment(read::<EnrollmentParams>(params)?.enrollment, EnrollmentCall::Cancel)
            }
            "forget" => {
                let ForgetParams { payments, enrollments } = read(params)?;
                if payments.len().max(enrollments.len()) > MAX_FORGOTTEN {
                    return Err(Failure::invalid_message(format_args!(
                        "more than {MAX_FORGOTTEN} are named at once"
                    )));
                }
                Self::Forget(payments, enrollments)
            }
            "status" => read::<NoParams>(params).map(|NoParams {}| Self::Status)?,
            "listCards" => read::<NoParams>(params).map(|NoParams {}| Self::ListCards)?,
            "cardImage" => Self::CardImage(read::<CardParams>(params)?.card),
            _ => return Err(Failure::invalid_message("there is no such method")),
        })
    }
}

const NO_OBJECT: &str = "a message, its params and a browser are objects";

fn read<'a, T: Deserialize<'a>>(params: &'a RawValue) -> Result<T, Failure> {
    // The derived readers take an array, too, for an object; the protocol does not.
    if !params.get().starts_with('{') {
        return Err(Failure::invalid_message(NO_OBJECT));
    }
    serde_json::from_str(params.get())
        .map_err(|error| Failure::invalid_message(format_args!("params: {error}")))
}

fn payee(origin: &str) -> Result<PayeeHost, Failure> {
    payee_host(origin).map_err(Failure::refused)
}

fn shown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    fwp::text::check_shown(&text, MAX_BROWSER_TEXT).map_err(D::Error::custom)?;
    Ok(text)
}

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl CardName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Completion {
    /// As the wallet is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

impl Attachment {
    /// As the wallet is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::CrossPlatform => "cross-platform",
        }
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            id @ 1..=MAX_ID => Ok(Self(id)),
            _ => Err(D::Error::custom("id must be in 1 ..= 2^53 - 1")),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.contains('\0') { Err(D::Error::custom("a text has a NUL")) } else { Ok(Self(text)) }
    }
}

impl<'de> Deserialize<'de> for CardName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let valid =
            (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if valid { Ok(Self(name)) } else { Err(D::Error::custom("card is not a name of listCards")) }
    }
}

impl<'de, const KIND: char> Deserialize<'de> for Name<KIND> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.strip_prefix(KIND).and_then(|digits| digits.parse().ok()).map(Self);
        // One way of writing a name only.
        number
            .filter(|name| name.to_string() == text)
            .ok_or_else(|| D::Error::custom("this names nothing of the host's"))
    }
}

impl<const KIND: char> fmt::Display for Name<KIND> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND}{}", self.0)
    }
}

impl<const KIND: char> fmt::Debug for Name<KIND> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const KIND: char> Serialize for Name<KIND> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
