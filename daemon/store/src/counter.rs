//! Roll-back of the whole store. The head sees when single records are put back, but not when all files are: for that a
//! number has to stand somewhere else.

/// A counter that stands outside of the store and never goes back (TPM NV, for one).
pub trait OutsideCounter: Send {
    /// Its value: 0 when it was never advanced.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn value(&self) -> Result<u64, String>;

    /// Sets it to `generation`, which is more than its value.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn advance(&mut self, generation: u64) -> Result<(), String>;
}

/// Whether the store can tell that it was rolled back as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollBack {
    /// There is no outside counter: not detected here.
    NotDetectedHere,
    /// The store is at least as new as the outside counter says.
    Excluded,
}
