//! 32 secret bytes in one place of memory.

use zeroize::Zeroize;

/// A key. It stands on the heap, so that passing it on leaves no copies behind, and is overwritten when it goes. It has
/// no way to be printed, compared or cloned by accident.
pub(crate) struct Secret(Box<[u8; 32]>);

impl Secret {
    fn empty() -> Self {
        Self(Box::new([0; 32]))
    }

    /// Random bytes of the operating system.
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        let mut secret = Self::empty();
        getrandom::fill(secret.0.as_mut())?;
        Ok(secret)
    }

    /// A copy of these bytes.
    pub(crate) fn copy_of(bytes: &[u8; 32]) -> Self {
        let mut secret = Self::empty();
        secret.0.copy_from_slice(bytes);
        secret
    }

    /// A copy of these bytes; `None` if they are not 32.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::copy_of)
    }

    /// What `fill` writes.
    pub(crate) fn fill_with<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self::empty();
        fill(&mut secret.0)?;
        Ok(secret)
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
