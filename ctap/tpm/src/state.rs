//! What the store keeps outside the TPM: nothing secret, a fixed layout.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: 1 |
//! | 1 | attempts left |
//! | 1 | how many of the failures that the TPM counts are of this wallet, at most |
//! | 16 | the wallet: random, new with each reset |
//! | 4 | NV index of the PIN, big-endian |
//! | 1 | 0: no TPM yet; 1: one, without a PIN; 2: one with a PIN; then |
//! | 34 | name of the primary under the owner hierarchy |
//! | 34 | name of the primary under the endorsement hierarchy, zeros where that has a password |
//! | 32 | with a PIN: SHA-256 of the PIN object's content |

use crate::primary::Identity;
use ctap_authenticator::KeyStoreError;

/// Wrong PINs in a row until the PIN is blocked for good (CTAP 2.1 section 6.5.2).
pub(crate) const MAX_RETRIES: u8 = 8;

const VERSION: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) retries: u8,
    /// Wrong PINs that the TPM has not forgiven yet. Neither the right PIN nor a reset takes any away.
    pub(crate) share: u8,
    /// Goes into each key's policy, so that keys of before a reset, and other users', are not ours.
    pub(crate) wallet: [u8; 16],
    pub(crate) pin_index: u32,
    pub(crate) tpm: Option<Bound>,
}

/// The TPM that the store belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) identity: Identity,
    /// Of the secret in the PIN object, once there is one.
    pub(crate) secret_digest: Option<[u8; 32]>,
}

impl State {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.retries, self.share];
        out.extend_from_slice(&self.wallet);
        out.extend_from_slice(&self.pin_index.to_be_bytes());
        let Some(tpm) = &self.tpm else {
            out.push(0);
            return out;
        };
        out.push(if tpm.secret_digest.is_some() { 2 } else { 1 });
        out.extend_from_slice(&tpm.identity.primary);
        out.extend_from_slice(&tpm.identity.endorsement);
        out.extend_from_slice(tpm.secret_digest.as_ref().map_or(&[], |digest| digest.as_slice()));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, KeyStoreError> {
        let mut rest = bytes;
        match *take(&mut rest)? {
            [VERSION] => {}
            [0] => return Err(KeyStoreError::Damaged("it has the version 0")),
            [newer] => return Err(KeyStoreError::Newer(newer)),
        }
        let [retries] = *take(&mut rest)?;
        if retries > MAX_RETRIES {
            return Err(KeyStoreError::Damaged("more attempts are left than there are"));
        }
        let [share] = *take(&mut rest)?;
        let wallet = *take(&mut rest)?;
        let pin_index = u32::from_be_bytes(*take(&mut rest)?);
        if !crate::pin_object::INDICES.contains(&pin_index) {
            return Err(KeyStoreError::Damaged("its NV index is none of a PIN"));
        }
        let tpm = match *take(&mut rest)? {
            [0] => None,
            [kind @ (1 | 2)] => Some(Bound {
                identity: Identity { primary: *take(&mut rest)?, endorsement: *take(&mut rest)? },
                secret_digest: if kind == 2 { Some(*take(&mut rest)?) } else { None },
            }),
            _ => return Err(KeyStoreError::Damaged("it neither has a TPM nor has none")),
        };
        if rest.is_empty() {
            Ok(Self { retries, share, wallet, pin_index, tpm })
        } else {
            Err(KeyStoreError::Damaged("it is too long"))
        }
    }

    pub(crate) fn pin_set(&self) -> bool {
        self.tpm.as_ref().is_some_and(|tpm| tpm.secret_digest.is_some())
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], KeyStoreError> {
    let (taken, left) = rest.split_first_chunk().ok_or(KeyStoreError::Damaged("it is too short"))?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn states() -> impl Strategy<Value = State> {
        let digests = || proptest::array::uniform32(any::<u8>());
        let names = || digests().prop_map(|digest| [&[0, 11], &digest[..]].concat().try_into().unwrap());
        let bound = (names(), names(), proptest::option::of(digests())).prop_map(
            |(primary, endorsement, secret_digest)| Bound {
                identity: Identity { primary, endorsement },
                secret_digest,
            },
        );
        let attempts = (0..=MAX_RETRIES, any::<u8>());
        (attempts, any::<[u8; 16]>(), crate::pin_object::INDICES, proptest::option::of(bound)).prop_map(
            |((retries, share), wallet, pin_index, tpm)| State { retries, share, wallet, pin_index, tpm },
        )
    }

    proptest! {
        #[test]
        fn a_state_is_read_as_it_was_written(state in states()) {
            let bytes = state.encode();
            prop_assert_eq!(State::decode(&bytes), Ok(state));
            for len in 0..bytes.len() {
                prop_assert!(matches!(State::decode(&bytes[..len]), Err(KeyStoreError::Damaged(_))));
            }
            prop_assert!(State::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
            prop_assert_eq!(State::decode(&[&[2], &bytes[1..]].concat()), Err(KeyStoreError::Newer(2)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(state) = State::decode(&bytes) {
                prop_assert_eq!(state.encode(), bytes);
            }
        }
    }
}
