//! A PIN in memory (CTAP 2.1 section 6.5.1): UTF-8 in normal form C, at least four code points, at most 63 bytes.

use sha2::{Digest, Sha256};
use std::fmt;
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The fewest code points of a PIN on any authenticator.
pub(crate) const MIN_CODE_POINTS: usize = 4;
/// The most bytes of a PIN.
const MAX_BYTES: usize = 63;
/// How many bytes a new PIN is padded to before it is encrypted.
pub(crate) const PADDED_BYTES: usize = 64;

/// Why text is not a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Fewer than four code points.
    #[error("a PIN has at least {MIN_CODE_POINTS} characters")]
    TooShort,
    /// More than 63 bytes of UTF-8.
    #[error("a PIN has at most {MAX_BYTES} bytes")]
    TooLong,
    /// A NUL character: PINs travel padded with it.
    #[error("a PIN cannot have a NUL character")]
    Nul,
    /// Not UTF-8.
    #[error("a PIN is UTF-8 text")]
    Utf8,
}

/// A PIN. It is erased from memory when dropped, and never shown.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Pin(String);

impl Pin {
    /// The PIN that the user typed, brought to normal form C.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn new(text: &str) -> Result<Self, PinError> {
        // Room for the longest normal form, so that no smaller copy is left behind by growing.
        let mut normal = Zeroizing::new(String::with_capacity(text.len().saturating_mul(4)));
        text.nfc().for_each(|c| normal.push(c));
        if normal.chars().count() < MIN_CODE_POINTS {
            return Err(PinError::TooShort);
        }
        if normal.len() > MAX_BYTES {
            return Err(PinError::TooLong);
        }
        if normal.contains('\0') {
            return Err(PinError::Nul);
        }
        Ok(Self(std::mem::take(&mut *normal)))
    }

    /// The PIN in `padded`, an authenticator's view: 64 bytes, zeros after the PIN.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn from_padded(padded: &[u8]) -> Result<Self, PinError> {
        if padded.len() != PADDED_BYTES {
            return Err(PinError::TooLong);
        }
        let len = padded.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let pin = std::str::from_utf8(padded.get(..len).unwrap_or_default()).map_err(|_| PinError::Utf8)?;
        // The platform has normalised it; what it sent is what it will hash, so it is taken as it came.
        if pin.chars().count() < MIN_CODE_POINTS {
            return Err(PinError::TooShort);
        }
        if pin.len() > MAX_BYTES {
            return Err(PinError::TooLong);
        }
        Ok(Self(pin.to_owned()))
    }

    /// How many code points it has.
    pub fn code_points(&self) -> usize {
        self.0.chars().count()
    }

    /// `LEFT(SHA-256(pin), 16)`: all that an authenticator ever gets of a PIN that is set.
    pub fn hash(&self) -> PinHash {
        let digest = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(self.0.as_bytes())));
        let mut hash = [0; 16];
        hash.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        PinHash(hash)
    }

    /// The PIN padded with zeros to 64 bytes, as setPIN and changePIN send it (encrypted).
    pub(crate) fn padded(&self) -> Zeroizing<[u8; PADDED_BYTES]> {
        let mut padded = Zeroizing::new([0; PADDED_BYTES]);
        padded.iter_mut().zip(self.0.as_bytes()).for_each(|(to, from)| *to = *from);
        padded
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// `LEFT(SHA-256(pin), 16)`. As good as the PIN, so it is erased when dropped, and never shown.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PinHash([u8; 16]);

impl PinHash {
    /// The hash with these bytes, which an authenticator has decrypted.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for PinHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinHash(..)")
    }
}
