//! Why a payment or an enrollment is refused.

use crate::certificate::CertificateError;
use crate::maker::MakerError;
use fwp::authorization::{EsadError, SadError};
use fwp::json::{FieldError, FieldProblem};
use fwp_cose::SignatureError;
use fwp_cose::tpm::TpmStatementError;

/// Why the PSP or the bank says no: one variant for each check, in the order in which they are made. [`Refusal::code`] is
/// stable and for programs; the text is for people. Neither holds an account number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    // PSP (FIDO Web Pay section 6 step 8) and the bank's core validation (step 10.1).
    /// The envelope is not as its schema says: JSON, a missing, unknown or malformed attribute.
    #[error("{0}")]
    Envelope(FieldError),
    /// userAuthorization is not base64url without padding.
    #[error("{0}")]
    Base64(FieldError),
    /// An envelope's time stamp is too far from now.
    #[error(
        "{field} is more than {limit_ms} ms away from the receiver's clock; check the clocks, then send again"
    )]
    EnvelopeTime {
        /// Which time stamp.
        field: &'static str,
        /// The limit in milliseconds, either way.
        limit_ms: i64,
    },
    /// payeeName is not the merchant's registered name (PSP).
    #[error("paymentRequest.payeeName is not the name under which the merchant is registered")]
    PayeeName,
    /// payeeHost is none of the merchant's (PSP).
    #[error("the payee's host is not registered for the merchant")]
    MerchantHost,
    /// paymentNetworkId is none that the receiver serves.
    #[error("paymentNetworkId is not a payment network that is served here")]
    Network,
    /// issuerId does not have the form that the network wants.
    #[error("issuerId does not have the form that its payment network wants")]
    IssuerIdForm,
    /// issuerId is another issuer's (bank).
    #[error("issuerId is not this issuer's on that payment network")]
    IssuerId,
    /// receiveAccount is none of the merchant's (PSP).
    #[error("receiveAccount is not registered for the merchant")]
    ReceiveAccount,
    /// receiveAccount does not have the form that the network wants (bank).
    #[error("receiveAccount does not have the form that its payment network wants")]
    ReceiveAccountForm,

    // 10.2 Extract SAD.
    /// The ESAD is malformed.
    #[error(transparent)]
    Esad(#[from] EsadError),
    /// keyId or publicKey names no key of this bank.
    #[error("ESAD: keyId or publicKey is not that of a key of this issuer")]
    UnknownIssuerKey,
    /// The ephemeral key is of another curve than the issuer's key, or nothing can be agreed with it.
    #[error("ESAD: ephemeralKey does not fit the issuer's key, or gives no shared secret")]
    KeyAgreement,
    /// The wrapped key does not unwrap.
    #[error("ESAD: the wrapped content key does not unwrap")]
    KeyUnwrap,
    /// The content does not decrypt: another key, or something was changed.
    #[error("ESAD: the content does not decrypt")]
    Decryption,
    /// The SAD is malformed.
    #[error(transparent)]
    Sad(#[from] SadError),

    // 10.3 Validate request data.
    /// paymentRequest is not what the user authorized.
    #[error("paymentRequest differs from the one that the user authorized")]
    PaymentRequest,
    /// payeeHost is not what the user authorized.
    #[error("payeeHost differs from the one that the user authorized")]
    PayeeHost,
    /// paymentNetworkId is not what the user authorized.
    #[error("paymentNetworkId differs from the one that the user authorized")]
    SignedNetwork,
    /// The authorization is too old.
    #[error("the authorization is 600 s old or older; the user has to authorize again")]
    Expired,
    /// The authorization's time stamp lies ahead.
    #[error(
        "the authorization's time stamp lies 60 s or more ahead of the issuer's clock; the user's clock is wrong"
    )]
    FromTheFuture,
    /// networkOptions are not what the issuer wants.
    #[error("networkOptions are not what the issuer wants on that payment network")]
    NetworkOptions,
    /// networkOptions are not the request that the merchant's provider was given.
    #[error(
        "networkOptions are not the very request that the merchant had signed; the user did not authorize that one"
    )]
    ProviderRequest,

    // 10.4 Validate authorization signature.
    /// authenticatorData is not as long as its flags say, or malformed.
    #[error("authenticatorData is malformed, or not exactly as long as its flags say")]
    AuthenticatorData,
    /// authenticatorData is for another relying party.
    #[error("authenticatorData is not for this issuer's rpId")]
    RpId,
    /// Flag UP is not set.
    #[error("authenticatorData: the user was not present (UP)")]
    UserNotPresent,
    /// Flag UV is not set.
    #[error("authenticatorData: the user was not verified (UV)")]
    UserNotVerified,
    /// The signature is not good.
    #[error("signature: {0}")]
    Signature(#[from] SignatureError),
    /// accountId and serialNumber are no card's.
    #[error("accountId and serialNumber are not those of a card of this issuer")]
    UnknownCard,
    /// The public key is not the card's.
    #[error("the public key is not the one that the card was issued for")]
    KeyNotOfCard,
    /// The card pays through another network.
    #[error("the card does not pay through that payment network")]
    CardNetwork,

    // 10.5 Replay handling and uniqueness.
    /// The authorization was used before, in another envelope.
    #[error("the authorization was used before (replay)")]
    Replay,
    /// The merchant's request was booked before with other data.
    #[error("this request ID was booked before for another payment request (conflict)")]
    Conflict,

    // Enrollment (section 5).
    /// The attestation object is malformed.
    #[error(
        "the attestation object is not CBOR with fmt, attStmt and authData as WebAuthn section 6.5.4 says"
    )]
    AttestationForm,
    /// Another attestation statement format than `packed` and `tpm`, or one with members that `packed` does not have.
    #[error("the attestation statement is not of the format tpm, nor packed with alg, sig and at most x5c")]
    AttestationFormat,
    /// The statement of a TPM is malformed, or does not attest the key.
    #[error("the TPM's attestation statement: {0}")]
    TpmStatement(TpmStatementError),
    /// The statement of a TPM is signed with another algorithm than ES256.
    #[error("the TPM's attestation statement is signed with COSE algorithm {0}; ES256 (-7) is taken")]
    TpmAlgorithm(i64),
    /// The attestation is not over the challenge of an open offer.
    #[error("the challenge is not that of an open offer; ask for a new one")]
    Challenge,
    /// The attested key is not the one whose credentialId was sent.
    #[error("credentialId is not that of the attested key")]
    AttestedCredential,
    /// The key's algorithm is none of the offer's.
    #[error("the key's algorithm is none of those that were offered")]
    AttestedAlgorithm,
    /// The certificates of the attestation are not as WebAuthn section 8.2.1, or 8.3.1 for a TPM's, says.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No maker that the bank knows vouches for the key.
    #[error(transparent)]
    Maker(#[from] MakerError),
}

impl Refusal {
    /// A word for programs that stays the same from version to version.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Envelope(_) => "envelope",
            Self::Base64(_) => "base64url",
            Self::EnvelopeTime { .. } => "envelope-time",
            Self::PayeeName => "payee-name",
            Self::MerchantHost => "merchant-host",
            Self::Network => "network",
            Self::IssuerIdForm => "issuer-id-form",
            Self::IssuerId => "issuer-id",
            Self::ReceiveAccount => "receive-account",
            Self::ReceiveAccountForm => "receive-account-form",
            Self::Esad(EsadError::Cbor(_)) => "esad-cbor",
            Self::Esad(EsadError::Version) => "esad-version",
            Self::Esad(EsadError::Algorithm { .. }) => "esad-algorithm",
            Self::Esad(_) => "esad-schema",
            Self::UnknownIssuerKey => "unknown-issuer-key",
            Self::KeyAgreement => "key-agreement",
            Self::KeyUnwrap => "key-unwrap",
            Self::Decryption => "decryption",
            Self::Sad(SadError::Cbor(_)) => "sad-cbor",
            Self::Sad(_) => "sad-schema",
            Self::PaymentRequest => "payment-request",
            Self::PayeeHost => "payee-host",
            Self::SignedNetwork => "signed-network",
            Self::Expired => "expired",
            Self::FromTheFuture => "from-the-future",
            Self::NetworkOptions => "network-options",
            Self::ProviderRequest => "provider-request",
            Self::AuthenticatorData => "authenticator-data",
            Self::RpId => "rp-id",
            Self::UserNotPresent => "user-not-present",
            Self::UserNotVerified => "user-not-verified",
            Self::Signature(_) => "signature",
            Self::UnknownCard => "unknown-card",
            Self::KeyNotOfCard => "key-not-of-card",
            Self::CardNetwork => "card-network",
            Self::Replay => "replay",
            Self::Conflict => "conflict",
            Self::AttestationForm => "attestation-form",
            Self::AttestationFormat => "attestation-format",
            Self::TpmStatement(error) => tpm_code(error),
            Self::TpmAlgorithm(_) => "attestation-algorithm",
            Self::Challenge => "challenge",
            Self::AttestedCredential => "attested-credential",
            Self::AttestedAlgorithm => "attested-algorithm",
            Self::Certificate(error) => error.code(),
            Self::Maker(error) => error.code(),
        }
    }
}

/// A word for programs that stays the same from version to version.
fn tpm_code(error: &TpmStatementError) -> &'static str {
    match error {
        TpmStatementError::Member(_) | TpmStatementError::Unknown | TpmStatementError::Structure(_) => {
            "tpm-form"
        }
        TpmStatementError::Version => "tpm-version",
        TpmStatementError::Magic => "tpm-magic",
        TpmStatementError::Kind => "tpm-type",
        TpmStatementError::NotBound => "tpm-not-bound",
        TpmStatementError::OtherKey => "tpm-other-key",
        TpmStatementError::Name => "tpm-name",
        TpmStatementError::ExtraData => "tpm-extra-data",
        TpmStatementError::Signature(_) => "signature",
    }
}

impl From<TpmStatementError> for Refusal {
    fn from(error: TpmStatementError) -> Self {
        match error {
            TpmStatementError::Signature(error) => Self::Signature(error),
            error => Self::TpmStatement(error),
        }
    }
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        let is_authorization = error.field.ends_with(".userAuthorization");
        if is_authorization && matches!(error.problem, FieldProblem::Invalid(_)) {
            Self::Base64(error)
        } else {
            Self::Envelope(error)
        }
    }
}
