//! What stands in the store for a slot that the TPM seals:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: 1 |
//! | 68 | the data key, wrapped under the slot's own key ([`fwp_store::slot::WrappingKey::wrap`]) |
//! | the rest | the slot's own key, sealed ([`ctap_tpm::Sealed::encode`]) |

use ctap_tpm::{Pcrs, Sealed};
use fwp_store::slot::{SlotError, WRAPPED_BYTES};

const VERSION: u8 = 1;

/// What stands in the store. Nothing in it is secret without the TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    /// The data key under the slot's own key.
    pub(crate) wrapped: [u8; WRAPPED_BYTES],
    /// The slot's own key.
    pub(crate) sealed: Sealed,
}

impl SealedKey {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        [&[VERSION], self.wrapped.as_slice(), &self.sealed.encode()].concat()
    }

    /// Reads what [`SealedKey::encode`] wrote. Whoever has the file chooses these bytes.
    ///
    /// # Errors
    /// [`SlotError::Altered`] for anything else, [`SlotError::Other`] for a version that this program does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, SlotError> {
        let (version, rest) = bytes.split_first().ok_or(SlotError::Altered)?;
        if *version > VERSION {
            return Err(SlotError::Other(format!(
                "it was made by a newer program (version {version}): use that one"
            )));
        }
        let (wrapped, sealed) = rest.split_first_chunk().ok_or(SlotError::Altered)?;
        let sealed = Sealed::decode(sealed).filter(|_| *version == VERSION).ok_or(SlotError::Altered)?;
        Ok(Self { wrapped: *wrapped, sealed })
    }

    /// The registers that it depends on.
    pub fn pcrs(&self) -> Pcrs {
        self.sealed.pcrs()
    }

    /// TPMT_PUBLIC and the content of TPM2B_PRIVATE of the sealed key, for other tools to look at.
    ///
    /// # Errors
    /// [`SlotError::Tpm`].
    pub fn parts(&self) -> Result<(Vec<u8>, Vec<u8>), SlotError> {
        self.sealed.parts().map_err(|error| crate::problem::of(error).into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use proptest::prelude::*;

    /// With a private part of `private` bytes.
    fn some(private: usize, pcrs: [u8; 3]) -> Vec<u8> {
        let policy = if pcrs == [0; 3] { [0; 32] } else { [4; 32] };
        let head = [[1].as_slice(), &[2; 34], &[3; 34], &pcrs, &policy, &[5; 32]].concat();
        [[VERSION].as_slice(), &[9; WRAPPED_BYTES], &head, &vec![6; private]].concat()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_nothing_cut_or_too_long(private in 1..=512_usize, pcrs: [u8; 3]) {
            let bytes = some(private, pcrs);
            prop_assert_eq!(SealedKey::decode(&bytes).unwrap().encode(), bytes.clone());
            for len in 0..bytes.len() - private {
                prop_assert!(matches!(SealedKey::decode(&bytes[..len]), Err(SlotError::Altered)));
            }
            prop_assert!(matches!(SealedKey::decode(&some(513, pcrs)), Err(SlotError::Altered)));
            let newer = [&[2], &bytes[1..]].concat();
            prop_assert!(matches!(SealedKey::decode(&newer), Err(SlotError::Other(_))));
            let zero = [&[0], &bytes[1..]].concat();
            prop_assert!(matches!(SealedKey::decode(&zero), Err(SlotError::Altered)));
        }

        #[test]
        fn any_bytes_are_refused_or_the_one_way_to_write_them(
            bytes in proptest::collection::vec(any::<u8>(), 0..900), at: prop::sample::Index, to: u8,
        ) {
            let mut changed = some(94, [0x80, 0, 0]);
            *at.get_mut(&mut changed) = to;
            for bytes in [bytes, changed] {
                if let Ok(key) = SealedKey::decode(&bytes) {
                    prop_assert_eq!(key.encode(), bytes);
                }
            }
        }
    }
}
