//! Secrets that this TPM alone gives back: sealed data objects, children of the primary (TPM 2.0 Library, Part 1, section 27.5.2.3;
//! Part 3, sections 12.1 and 12.7).
//!
//! Nothing guessable protects them, so nothing about them counts as a wrong PIN (noDA): whoever may use this TPM and has the
//! bytes gets the secret. With registers (PCRs) they do so only after the computer was started as it was when the secret was
//! sealed. On the way to and from the TPM the secret is encrypted.
//!
//! Of what is kept outside nothing is secret. Whoever has it chooses it: the public area is made from two digests, so that no
//! other object than one of ours is ever loaded.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: 1 |
//! | 34 | name of the primary under the owner hierarchy |
//! | 34 | name of the primary under the endorsement hierarchy, zeros where that has a password |
//! | 3 | the registers, as in TPMS_PCR_SELECTION |
//! | 32 | the policy; zeros without registers |
//! | 32 | `unique` of the public area |
//! | the rest, at most 512 | the private part |

use crate::connection::{Connection, Tried};
use crate::failure::{Code, Failure};
use crate::pcrs::Pcrs;
use crate::primary::Identity;
use crate::tpm::Tpm;
use crate::unlocked::load;
use ctap_authenticator::HardwareError;
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::handles::{KeyHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Digest, KeyedHashScheme, Private, Public, PublicBuilder, PublicKeyedHashParameters, SensitiveData,
};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const DIGEST: usize = 32;
/// The longest private part that is read, in bytes. libtpms makes 94 bytes of 32.
const MAX_PRIVATE: usize = 512;
/// How often a PCR that is not asked about may change in between.
const ATTEMPTS: usize = 3;

/// The longest secret, in bytes.
pub const MAX_SEALED: usize = 64;

/// A sealed secret, as it is kept outside the TPM: of no use without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    tpm: Identity,
    pcrs: Pcrs,
    policy: [u8; DIGEST],
    unique: [u8; DIGEST],
    private: Vec<u8>,
}

/// Why a secret is not given back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// The TPM can't be used, or is not the one that sealed it.
    #[error(transparent)]
    Hardware(#[from] HardwareError),
    /// The registers are not what they were.
    #[error("the computer was started in another way than when this was sealed (PCR {0})")]
    PcrsChanged(Pcrs),
    /// The bytes are not what this TPM made.
    #[error("what was sealed was altered")]
    Altered,
}

impl Sealed {
    /// The registers that it depends on.
    pub fn pcrs(&self) -> Pcrs {
        self.pcrs
    }

    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.tpm.primary);
        out.extend_from_slice(&self.tpm.endorsement);
        out.extend_from_slice(&self.pcrs.to_bytes());
        out.extend_from_slice(&self.policy);
        out.extend_from_slice(&self.unique);
        out.extend_from_slice(&self.private);
        out
    }

    /// Reads what [`Sealed::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let [VERSION] = *take(&mut rest)? else { return None };
        let tpm = Identity { primary: *take(&mut rest)?, endorsement: *take(&mut rest)? };
        let pcrs = Pcrs::from_bytes(*take(&mut rest)?);
        let (policy, unique) = (*take(&mut rest)?, *take(&mut rest)?);
        let fits = !rest.is_empty() && rest.len() <= MAX_PRIVATE;
        let sound = fits && (pcrs.is_empty() == (policy == [0; DIGEST]));
        sound.then(|| Self { tpm, pcrs, policy, unique, private: rest.to_vec() })
    }

    /// TPMT_PUBLIC and the content of TPM2B_PRIVATE, as other tools load them (Part 2, sections 12.2.4 and 12.3.7).
    ///
    /// # Errors
    /// [`HardwareError::Failed`].
    pub fn parts(&self) -> Result<(Vec<u8>, Vec<u8>), HardwareError> {
        let public = self.public().and_then(|public| crate::credential::marshalled(&public));
        Ok((public.map_err(|failure| failure.meaning())?, self.private.clone()))
    }

    fn public(&self) -> Tried<Public> {
        public((!self.pcrs.is_empty()).then_some(&self.policy), &self.unique)
    }
}

impl Tpm {
    /// Seals a secret of 1 to [`MAX_SEALED`] bytes to this TPM and, where `pcrs` selects some, to what those registers hold now.
    ///
    /// # Errors
    /// [`HardwareError`].
    pub fn seal(&self, secret: &[u8], pcrs: Pcrs) -> Result<Sealed, HardwareError> {
        let mut connection = self.connect()?;
        let parent = self.load_primary(&mut connection)?;
        let sealed = seal(&mut connection, parent, secret, pcrs);
        crate::wipe::stack();
        sealed.map_err(|failure| self.explain(&mut connection, &failure))
    }

    /// The secret.
    ///
    /// # Errors
    /// [`UnsealError`]; [`HardwareError::Cleared`] and its like are told apart.
    pub fn unseal(&self, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        let mut connection = self.connect()?;
        let parent = self.load_primary(&mut connection)?;
        self.check_identity(&mut connection, parent, &sealed.tpm)?;
        let secret = unseal(&mut connection, parent, sealed);
        crate::wipe::stack();
        match secret {
            Ok(Unsealed::Secret(secret)) => Ok(secret),
            Ok(Unsealed::Altered) => Err(UnsealError::Altered),
            Ok(Unsealed::PcrsChanged) => Err(UnsealError::PcrsChanged(sealed.pcrs)),
            Err(failure) => Err(self.explain(&mut connection, &failure).into()),
        }
    }
}

fn seal(connection: &mut Connection, parent: KeyHandle, secret: &[u8], pcrs: Pcrs) -> Tried<Sealed> {
    let command = "TPM2_Create";
    let tpm = Identity::read(connection, parent)?;
    let policy = if pcrs.is_empty() { [0; DIGEST] } else { policy_of_now(connection, parent, pcrs)? };
    if secret.is_empty() || secret.len() > MAX_SEALED {
        return Err(Failure::local(command, "such a secret is not sealed"));
    }
    let bad = |error| Failure::new(command, &error);
    let template = public((!pcrs.is_empty()).then_some(&policy), &[])?;
    let content = SensitiveData::try_from(secret).map_err(bad)?;
    let session = connection.salted_session(parent)?;
    let made = connection.run_last(command, session, |context| {
        context.create(parent, template, None, Some(content), None, None)
    })?;
    let Public::KeyedHash { unique, .. } = &made.out_public else {
        return Err(Failure::local(command, "it made another kind of object"));
    };
    let unique = <[u8; DIGEST]>::try_from(unique.value());
    let unique = unique.map_err(|_| Failure::local(command, "its object has another length"))?;
    let private = made.out_private.value().to_vec();
    if private.len() > MAX_PRIVATE {
        return Err(Failure::local(command, "the TPM's private parts are too long"));
    }
    Ok(Sealed { tpm, pcrs, policy, unique, private })
}

/// The policy that the registers are what they are now.
fn policy_of_now(connection: &mut Connection, parent: KeyHandle, pcrs: Pcrs) -> Tried<[u8; DIGEST]> {
    let command = "TPM2_PolicyGetDigest";
    let session = pcr_session(connection, parent, pcrs)?;
    let policy = policy_session(session)?;
    let digest = connection.run(command, |context| context.policy_get_digest(policy))?;
    connection.flush(SessionHandle::from(session))?;
    <[u8; DIGEST]>::try_from(digest.value()).map_err(|_| Failure::local(command, "it has another length"))
}

/// A session that hides what it gives, and says what the registers hold now (Part 3, section 23.7).
fn pcr_session(connection: &mut Connection, parent: KeyHandle, pcrs: Pcrs) -> Tried<AuthSession> {
    let session = connection.salted_policy_session(parent)?;
    let (policy, selection) = (policy_session(session)?, pcrs.selection()?);
    connection.run("TPM2_PolicyPCR", |context| context.policy_pcr(policy, Digest::default(), selection))?;
    Ok(session)
}

fn policy_session(session: AuthSession) -> Tried<PolicySession> {
    PolicySession::try_from(session).map_err(|error| Failure::new("TPM2_StartAuthSession", &error))
}

enum Unsealed {
    Secret(Zeroizing<Vec<u8>>),
    PcrsChanged,
    Altered,
}

fn unseal(connection: &mut Connection, parent: KeyHandle, sealed: &Sealed) -> Tried<Unsealed> {
    let command = "TPM2_Unseal";
    let private = Private::try_from(sealed.private.as_slice());
    let Ok(private) = private else { return Ok(Unsealed::Altered) };
    let parts = (sealed.public()?, private);
    let Some(object) = load(connection, AuthSession::Password, parent, parts)? else {
        return Ok(Unsealed::Altered);
    };
    for _ in 0..ATTEMPTS {
        let session = match sealed.pcrs.is_empty() {
            true => connection.salted_session(parent)?,
            false => pcr_session(connection, parent, sealed.pcrs)?,
        };
        match connection.run_last(command, session, |context| context.unseal(object.into())) {
            Ok(secret) => return Ok(Unsealed::Secret(Zeroizing::new(secret.value().to_vec()))),
            Err(failure) if failure.is(&[Code::POLICY_FAIL]) => return Ok(Unsealed::PcrsChanged),
            // Some register, maybe another one, was extended since the session asked.
            Err(failure) if failure.is(&[Code::PCR_CHANGED]) => {
                connection.flush(SessionHandle::from(session))?;
            }
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::local(command, "registers change all the time"))
}

/// The public area: without registers the empty authorization value opens it, with some their policy alone.
fn public(policy: Option<&[u8; DIGEST]>, unique: &[u8]) -> Tried<Public> {
    let build = || {
        let attributes = ObjectAttributesBuilder::new()
            .with_fixed_tpm(true)
            .with_fixed_parent(true)
            .with_no_da(true)
            .with_user_with_auth(policy.is_none())
            .with_admin_with_policy(policy.is_some())
            .build()?;
        let policy = policy.map_or(&[] as &[u8], |policy| policy);
        PublicBuilder::new()
            .with_public_algorithm(PublicAlgorithm::KeyedHash)
            .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
            .with_object_attributes(attributes)
            .with_auth_policy(Digest::try_from(policy)?)
            .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
            .with_keyed_hash_unique_identifier(Digest::try_from(unique)?)
            .build()
    };
    build().map_err(|error| Failure::new("TPM2_Create", &error))
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::NAME;
    use proptest::prelude::*;

    fn sealed() -> impl Strategy<Value = Sealed> {
        let name = || proptest::collection::vec(any::<u8>(), NAME).prop_map(|name| name.try_into().unwrap());
        let private = proptest::collection::vec(any::<u8>(), 1..=MAX_PRIVATE);
        (name(), name(), any::<[u8; 3]>(), any::<[u8; 32]>(), any::<[u8; 32]>(), private).prop_map(
            |(primary, endorsement, pcrs, policy, unique, private)| {
                let pcrs = Pcrs::from_bytes(pcrs);
                let policy = if pcrs.is_empty() { [0; 32] } else { policy };
                Sealed { tpm: Identity { primary, endorsement }, pcrs, policy, unique, private }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_read_as_it_was_written(sealed in sealed()) {
            let bytes = sealed.encode();
            prop_assert_eq!(Sealed::decode(&bytes), Some(sealed.clone()));
            prop_assert_eq!(Sealed::decode(&[&[2], &bytes[1..]].concat()), None);
            let header = bytes.len() - sealed.private.len();
            for len in 0..=header {
                prop_assert_eq!(Sealed::decode(&bytes[..len]), None);
            }
            prop_assert_eq!(Sealed::decode(&[&bytes[..header], &[0; MAX_PRIVATE + 1]].concat()), None);
            prop_assert!(sealed.parts().is_ok());
        }

        #[test]
        fn any_bytes_are_refused_or_the_one_way_to_write_them(bytes in proptest::collection::vec(any::<u8>(), 0..800)) {
            for bytes in [bytes.clone(), [&[VERSION], bytes.as_slice()].concat()] {
                if let Some(sealed) = Sealed::decode(&bytes) {
                    prop_assert_eq!(sealed.encode(), bytes);
                }
            }
        }
    }
}
