//! FIDO Web Pay 0.32 and its Crypto 0.17, without I/O: no socket, no file, no clock, no random number. What needs one gets
//! it as an argument, so that everything here can be tested to the byte.
//!
//! | module | what | section of FIDO Web Pay |
//! |---|---|---|
//! | [`payment_request`] | what a merchant asks for, checked once and then valid by type | 6 step 1, 4.1 (PRCD) |
//! | [`credential`] | a virtual card | 4 |
//! | [`authorization`] | AD, SAD and ESAD: what is signed, signed, and sealed for the bank | 4.2, 4.3, 4.4 |
//! | [`assertion`] | what the page gets | 4.5 |
//! | [`envelope`] | PSPRequest and IssuerRequest | 6, 8 |
//! | [`enrollment`] | offer, attestation and cards | 5 |
//! | [`moz_pay`] | what a page asks for by `navigator.mozPay`: a signed request | 6, in its place |
//! | [`provider`] | who books what a page asks for by signed requests | |
//! | [`relying_party`] | which host may have keys made for which rpId | 5 |
//! | [`certification`] | a TPM's attestation key gets its certificate | |
//! | [`money`], [`host`], [`time_stamp`], [`text`], [`json`] | the words these are made of | |
#![forbid(unsafe_code)]

pub mod assertion;
pub mod authorization;
pub mod certification;
pub mod credential;
mod encryption_algorithm;
pub mod enrollment;
pub mod envelope;
pub mod host;
pub mod json;
pub mod money;
pub mod moz_pay;
pub mod payment_request;
pub mod provider;
pub mod relying_party;
pub mod text;
pub mod time_stamp;

pub use assertion::FwpAssertion;
pub use authorization::{AuthorizationData, EncryptedSad, Location, PlatformData, SignedAuthorizationData};
pub use credential::{AccountId, Credential, CredentialId};
pub use host::{PayeeHost, RpId};
pub use money::{Amount, Currency};
pub use moz_pay::MozPayRequest;
pub use payment_request::{InvalidRequest, Network, PaymentRequest, Prcd};
pub use provider::{Provider, ProviderType};
pub use time_stamp::TimeStamp;

/// The payment method that a page names in `supportedMethods`.
pub const PAYMENT_METHOD: &str = "fido-web-pay/v1";
/// COTX identifier of FWP assertions (ESAD).
pub const ASSERTION_VERSION: &str = "https://fido-web-pay.github.io/ns/p1";
/// Version of credential records that goes with [`ASSERTION_VERSION`].
pub const CREDENTIAL_VERSION: &str = "https://fido-web-pay.github.io/ns/w1";
