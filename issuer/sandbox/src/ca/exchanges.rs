//! Certifications that have begun: what was sent to which attestation key, for a while and in memory only.

use fwp_cose::key::P256Key;
use fwp_verifier::tpm_certificate::TpmName;
use std::collections::HashMap;
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Milliseconds for which one is open.
pub const OPEN_MS: i64 = 600_000;
/// Most that are open at a time.
pub const MAX_OPEN: usize = 256;
/// Bytes of a challenge.
pub const CHALLENGE_BYTES: usize = 32;
/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;

/// Whom a certificate is for. Nothing in it tells one TPM of a model from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applicant {
    /// The attestation key.
    pub attestation_key: P256Key,
    /// What the maker calls its TPM.
    pub tpm: TpmName,
}

struct Open {
    applicant: Applicant,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    until_ms: i64,
}

/// The open ones.
#[derive(Default)]
pub struct Exchanges(HashMap<[u8; CHALLENGE_BYTES], Open>);

impl fmt::Debug for Exchanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchanges").field("open", &self.0.len()).finish_non_exhaustive()
    }
}

impl Exchanges {
    /// Opens one. False if there are too many.
    pub fn open(
        &mut self,
        challenge: [u8; CHALLENGE_BYTES],
        secret: Zeroizing<[u8; SECRET_BYTES]>,
        applicant: Applicant,
        now_ms: i64,
    ) -> bool {
        self.0.retain(|_, open| open.until_ms >= now_ms);
        if self.0.len() >= MAX_OPEN {
            return false;
        }
        self.0.insert(challenge, Open { applicant, secret, until_ms: now_ms + OPEN_MS });
        true
    }

    /// Ends the one with this challenge, whatever comes of it. `None`: there is none, or its time is over. `Some(None)`: the secret is
    /// another one.
    pub fn close(&mut self, challenge: &[u8], secret: &[u8], now_ms: i64) -> Option<Option<Applicant>> {
        let challenge: &[u8; CHALLENGE_BYTES] = challenge.try_into().ok()?;
        let open = self.0.remove(challenge).filter(|open| open.until_ms >= now_ms)?;
        let is_it = bool::from(open.secret[..].ct_eq(secret));
        Some(is_it.then_some(open.applicant))
    }
}
