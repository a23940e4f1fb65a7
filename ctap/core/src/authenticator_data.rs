//! authenticatorData (WebAuthn Level 2 section 6.1): what an authenticator says and signs. Exactly as long as its
//! flags say.

use crate::MessageError;
use crate::messages::CredentialId;
use fwp_cose::cbor::{Map, Value, decode_prefix};
use fwp_cose::{PublicKey, SignatureAlgorithm};

/// The flags of authenticatorData.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// UP: the user was present.
    pub const USER_PRESENT: Self = Self(0x01);
    /// UV: the user was verified.
    pub const USER_VERIFIED: Self = Self(0x04);
    /// AT: attestedCredentialData follows.
    pub const ATTESTED: Self = Self(0x40);
    /// ED: extensions follow.
    pub const EXTENSIONS: Self = Self(0x80);

    /// Whether all of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and `other`.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// attestedCredentialData (WebAuthn Level 2 section 6.5.1): a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedCredential {
    /// The authenticator's model.
    pub aaguid: [u8; 16],
    /// By which the authenticator knows the key again.
    pub credential_id: CredentialId,
    /// The key.
    pub public_key: PublicKey,
    /// What it signs with.
    pub algorithm: SignatureAlgorithm,
}

/// authenticatorData, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatorData {
    /// SHA-256 of the rpId.
    pub rp_id_hash: [u8; 32],
    /// UP, UV, AT, ED and others.
    pub flags: Flags,
    /// The signature counter; 0 where the authenticator has none.
    pub sign_count: u32,
    /// Only where [`Flags::ATTESTED`] is set.
    pub attested: Option<AttestedCredential>,
    /// Only where [`Flags::EXTENSIONS`] is set.
    pub extensions: Option<Map>,
}

const BAD: &str = "authenticatorData";

fn bad(problem: &'static str) -> MessageError {
    MessageError::Member { member: BAD, problem }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], MessageError> {
    let (taken, left) = rest.split_first_chunk().ok_or(bad("too short"))?;
    *rest = left;
    Ok(taken)
}

impl AuthenticatorData {
    /// Parses `bytes`, which must be all of it and nothing more.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut rest = bytes;
        let rp_id_hash = *take(&mut rest)?;
        let [flags] = *take(&mut rest)?;
        let flags = Flags(flags);
        let sign_count = u32::from_be_bytes(*take(&mut rest)?);
        let attested = if flags.contains(Flags::ATTESTED) { Some(attested(&mut rest)?) } else { None };
        let extensions = if flags.contains(Flags::EXTENSIONS) {
            match cbor(&mut rest)? {
                Value::Map(map) => Some(map),
                _ => return Err(bad("with extensions that are not a map")),
            }
        } else {
            None
        };
        if !rest.is_empty() {
            return Err(bad("longer than its flags say"));
        }
        Ok(Self { rp_id_hash, flags, sign_count, attested, extensions })
    }

    /// The bytes. AT and ED are set by what is there.
    pub fn encode(&self) -> Vec<u8> {
        let mut flags = self.flags.0 & !(Flags::ATTESTED.0 | Flags::EXTENSIONS.0);
        flags |= if self.attested.is_some() { Flags::ATTESTED.0 } else { 0 };
        flags |= if self.extensions.is_some() { Flags::EXTENSIONS.0 } else { 0 };
        let mut out = self.rp_id_hash.to_vec();
        out.push(flags);
        out.extend_from_slice(&self.sign_count.to_be_bytes());
        if let Some(attested) = &self.attested {
            let id = attested.credential_id.as_bytes();
            out.extend_from_slice(&attested.aaguid);
            // CredentialId has at most 1023 bytes.
            out.extend_from_slice(&u16::try_from(id.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(id);
            attested.public_key.to_credential_value(attested.algorithm).encode_to(&mut out);
        }
        if let Some(extensions) = &self.extensions {
            Value::Map(extensions.clone()).encode_to(&mut out);
        }
        out
    }
}

fn cbor(rest: &mut &[u8]) -> Result<Value, MessageError> {
    let (value, used) = decode_prefix(rest)?;
    *rest = rest.get(used..).unwrap_or_default();
    Ok(value)
}

fn attested(rest: &mut &[u8]) -> Result<AttestedCredential, MessageError> {
    let aaguid = *take(rest)?;
    let len = usize::from(u16::from_be_bytes(*take(rest)?));
    let (id, left) = rest.split_at_checked(len).ok_or(bad("too short for its credential ID"))?;
    *rest = left;
    let credential_id = CredentialId::new(id.to_vec())?;
    let (public_key, algorithm) = PublicKey::from_credential_value(cbor(rest)?)?;
    Ok(AttestedCredential { aaguid, credential_id, public_key, algorithm })
}
