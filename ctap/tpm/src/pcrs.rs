//! A selection of platform configuration registers (TPM 2.0 Library, Part 1, section 17), of the SHA-256 bank.

use crate::connection::Tried;
use crate::failure::Failure;
use std::fmt;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{PcrSelectionList, PcrSlot};

/// Registers of a TPM of PCs.
const REGISTERS: u32 = 24;

/// Which registers. None by default.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Pcrs(u32);

/// A number that is none of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no PCR {0}: they are counted from 0 to 23")]
pub struct NoSuchPcr(u32);

impl Pcrs {
    /// No register: what is sealed does not depend on what was started.
    pub const NONE: Self = Self(0);

    /// These registers, 0 to 23, each once or more often.
    ///
    /// # Errors
    /// [`NoSuchPcr`].
    pub fn new(numbers: impl IntoIterator<Item = u32>) -> Result<Self, NoSuchPcr> {
        let select = |Self(bits), number| match number {
            0..REGISTERS => Ok(Self(bits | 1 << number)),
            _ => Err(NoSuchPcr(number)),
        };
        numbers.into_iter().try_fold(Self::NONE, select)
    }

    /// Whether it selects none.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// The numbers, ascending.
    pub fn numbers(self) -> impl Iterator<Item = u32> {
        (0..REGISTERS).filter(move |number| self.0 & 1 << number != 0)
    }

    /// As in TPMS_PCR_SELECTION (Part 2, section 10.6.2): register 0 is the lowest bit of the first byte.
    pub(crate) fn to_bytes(self) -> [u8; 3] {
        let [first, second, third, _] = self.0.to_le_bytes();
        [first, second, third]
    }

    pub(crate) fn from_bytes([first, second, third]: [u8; 3]) -> Self {
        Self(u32::from_le_bytes([first, second, third, 0]))
    }

    pub(crate) fn selection(self) -> Tried<PcrSelectionList> {
        let bad = |error| Failure::new("TPM2_PolicyPCR", &error);
        let slots: Vec<_> = self
            .numbers()
            .map(|number| PcrSlot::try_from(1 << number))
            .collect::<Result<_, _>>()
            .map_err(bad)?;
        PcrSelectionList::builder().with_selection(HashingAlgorithm::Sha256, &slots).build().map_err(bad)
    }
}

/// `7, 11`.
impl fmt::Display for Pcrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.numbers().map(|number| number.to_string()).collect();
        f.write_str(&numbers.join(", "))
    }
}

impl fmt::Debug for Pcrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pcrs({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_those_that_were_named_and_no_others() {
        let pcrs = Pcrs::new([23, 7, 0, 7]).unwrap();
        assert_eq!(pcrs.numbers().collect::<Vec<_>>(), [0, 7, 23]);
        assert_eq!((pcrs.to_string(), pcrs.to_bytes()), ("0, 7, 23".to_owned(), [0x81, 0, 0x80]));
        assert_eq!(Pcrs::from_bytes(pcrs.to_bytes()), pcrs);
        assert_eq!(Pcrs::new([1, 24]), Err(NoSuchPcr(24)));
        assert_eq!(Pcrs::new([u32::MAX]), Err(NoSuchPcr(u32::MAX)));
        assert!(Pcrs::new([]).unwrap().is_empty() && !pcrs.is_empty());
    }
}
