//! Why the certification authority says no.

use fwp::json::FieldError;
use fwp_verifier::endorsement::EndorsementError;

/// Why no certificate is issued, in the order in which it is checked. [`CaRefusal::code`] is stable and for programs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaRefusal {
    /// The message is not as its schema says.
    #[error("{0}")]
    Message(#[from] FieldError),
    /// No maker vouches for the endorsement key.
    #[error(transparent)]
    Endorsement(#[from] EndorsementError),
    /// The attestation key's public area is none, or of another kind.
    #[error("attestationKey is not the TPMT_PUBLIC of a key for ECDSA on P-256 with SHA-256")]
    AttestationKeyForm,
    /// The attestation key signs more than what the TPM says of itself, or could leave the TPM.
    #[error(
        "the attestation key must have fixedTPM, fixedParent, sensitiveDataOrigin, restricted and sign, without decrypt"
    )]
    AttestationKeyAttributes,
    /// Too many exchanges are open.
    #[error("too many certifications are open; try again in some minutes")]
    Busy,
    /// No exchange is open under that challenge.
    #[error("the challenge is not that of an open certification; begin again")]
    Challenge,
    /// The secret is not the one that was sent.
    #[error("the secret is not the one that was sent to the TPM; begin again")]
    Secret,
}

impl CaRefusal {
    /// A word for programs that stays the same from version to version.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Endorsement(error) => error.code(),
            Self::AttestationKeyForm | Self::AttestationKeyAttributes => "attestation-key",
            Self::Busy => "busy",
            Self::Challenge => "challenge",
            Self::Secret => "secret",
        }
    }
}
