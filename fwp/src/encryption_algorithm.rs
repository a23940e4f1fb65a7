//! The content and key encryption algorithms of ESAD (protocol section 4) by name.

/// A content encryption algorithm: AES-GCM with a tag of 16 bytes and an iv of 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentEncryption {
    /// A128GCM (1).
    A128Gcm,
    /// A192GCM (2).
    A192Gcm,
    /// A256GCM (3).
    A256Gcm,
}

/// A key encryption algorithm: ECDH-ES with HKDF-SHA256, directly or with AES key wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyEncryption {
    /// ECDH-ES (-25): the derived key is the content key.
    EcdhEs,
    /// ECDH-ES+A128KW (-29).
    EcdhEsA128Kw,
    /// ECDH-ES+A192KW (-30).
    EcdhEsA192Kw,
    /// ECDH-ES+A256KW (-31).
    EcdhEsA256Kw,
}

impl ContentEncryption {
    /// All three.
    pub const ALL: [Self; 3] = [Self::A128Gcm, Self::A192Gcm, Self::A256Gcm];

    /// The COSE algorithm identifier.
    pub fn id(self) -> i64 {
        match self {
            Self::A128Gcm => 1,
            Self::A192Gcm => 2,
            Self::A256Gcm => 3,
        }
    }

    /// The algorithm with this identifier.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.id() == id)
    }

    /// Length of the content key in bytes.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::A128Gcm => 16,
            Self::A192Gcm => 24,
            Self::A256Gcm => 32,
        }
    }
}

impl KeyEncryption {
    /// All four.
    pub const ALL: [Self; 4] = [Self::EcdhEs, Self::EcdhEsA128Kw, Self::EcdhEsA192Kw, Self::EcdhEsA256Kw];

    /// The COSE algorithm identifier.
    pub fn id(self) -> i64 {
        match self {
            Self::EcdhEs => -25,
            Self::EcdhEsA128Kw => -29,
            Self::EcdhEsA192Kw => -30,
            Self::EcdhEsA256Kw => -31,
        }
    }

    /// The algorithm with this identifier.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.id() == id)
    }

    /// Whether a random content key is wrapped (RFC 3394), and not the derived key used for the content itself.
    pub fn wraps(self) -> bool {
        self != Self::EcdhEs
    }

    /// Length of the derived key in bytes, when the content is encrypted with `content`.
    pub fn derived_key_bytes(self, content: ContentEncryption) -> usize {
        match self {
            Self::EcdhEs => content.key_bytes(),
            Self::EcdhEsA128Kw => 16,
            Self::EcdhEsA192Kw => 24,
            Self::EcdhEsA256Kw => 32,
        }
    }
}
