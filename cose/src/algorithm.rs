//! The signature algorithms by name.

/// A signature algorithm of a FIDO key, by its COSE identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ES256 (-7): ECDSA on P-256 with SHA-256; the signature in ASN.1 DER, as FIDO gives it.
    Es256,
    /// Ed25519 (-8): 64 bytes.
    Ed25519,
    /// RS256 (-257): RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl SignatureAlgorithm {
    /// All of them, in the order in which a wallet prefers them.
    pub const ALL: [Self; 3] = [Self::Es256, Self::Ed25519, Self::Rs256];

    /// The COSE algorithm identifier.
    pub fn id(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::Ed25519 => -8,
            Self::Rs256 => -257,
        }
    }

    /// The algorithm with the COSE identifier `id`, if it is one of the three.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.id() == id)
    }
}
