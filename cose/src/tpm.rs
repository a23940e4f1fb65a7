//! The `tpm` attestation statement (WebAuthn Level 2 section 8.3): a key of the TPM's says that another one is in it. Section numbers
//! of structures are those of the TPM 2.0 Library specification, Part 2.

use crate::cbor::{Map, Value};
use crate::key::P256Key;
use crate::{PublicKey, SignatureAlgorithm, SignatureError, signature};
use p256::ecdsa::Signature;
use sha2::{Digest, Sha256};

/// The most certificates in `x5c`; a limit of ours.
const MAX_CERTIFICATES: usize = 8;
/// TPM_GENERATED_VALUE (6.2): what a TPM says of itself begins with it, and a restricted key signs nothing else that does.
const GENERATED: u32 = 0xff54_4347;
/// TPM_ST_ATTEST_CERTIFY (6.9).
const ATTEST_CERTIFY: u16 = 0x8017;
/// TPM_ALG_* (6.3) and TPM_ECC_NIST_P256 (6.4).
const ALG_SHA256: u16 = 0x000b;
const ALG_NULL: u16 = 0x0010;
const ALG_ECDSA: u16 = 0x0018;
const ALG_ECC: u16 = 0x0023;
const NIST_P256: u16 = 0x0003;
/// Attributes of an object (8.3): fixedTPM, fixedParent, sensitiveDataOrigin: it was made in the TPM and cannot leave it.
const BORN_AND_STAYS: u32 = 1 << 1 | 1 << 4 | 1 << 5;

/// Why a `tpm` statement does not attest the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TpmStatementError {
    /// A member is missing or of another type.
    #[error("the statement's {0} is missing or of another type")]
    Member(&'static str),
    /// A structure that ends early, is too long, or has other values than ES256 keys have.
    #[error("{0} is malformed, or of another kind than ours")]
    Structure(&'static str),
    /// A key that the TPM did not make itself, or that can leave it.
    #[error("the key is not bound to the TPM")]
    NotBound,
    /// It is about another key.
    #[error("it attests another key")]
    OtherKey,
    /// It was made for something else.
    #[error("it was not made for this credential")]
    ExtraData,
    /// The signature is not the attestation key's.
    #[error("it is not signed by the attestation key: {0}")]
    Signature(#[from] SignatureError),
}

/// A `tpm` attestation statement of version 2.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmStatement {
    /// The attestation key's algorithm (COSE identifier).
    pub alg: i64,
    /// `x5c`: DER, the attestation key's certificate first, 1 to 8 of them.
    pub certificates: Vec<Vec<u8>>,
    /// `sig`: TPMT_SIGNATURE (11.3.4).
    pub signature: Vec<u8>,
    /// `certInfo`: TPMS_ATTEST (10.12.12).
    pub cert_info: Vec<u8>,
    /// `pubArea`: TPMT_PUBLIC (12.2.4) of the credential's key.
    pub pub_area: Vec<u8>,
}

impl TpmStatement {
    /// The CBOR map.
    pub fn to_map(&self) -> Map {
        let certificates = self.certificates.iter().map(|der| Value::from(der.as_slice())).collect();
        let members = [
            ("ver", Value::from("2.0")),
            ("alg", Value::int(self.alg)),
            ("x5c", Value::Array(certificates)),
            ("sig", Value::from(self.signature.as_slice())),
            ("certInfo", Value::from(self.cert_info.as_slice())),
            ("pubArea", Value::from(self.pub_area.as_slice())),
        ];
        let mut map = Map::new();
        for (name, value) in members {
            map.insert(Value::from(name), value);
        }
        map
    }

    /// Reads the CBOR map. The structures in it are not looked into yet.
    ///
    /// # Errors
    /// [`TpmStatementError::Member`].
    pub fn from_map(map: &Map) -> Result<Self, TpmStatementError> {
        let member = |name: &'static str| map.get(&Value::from(name)).ok_or(TpmStatementError::Member(name));
        let bytes = |name: &'static str| match member(name)? {
            Value::Bytes(bytes) => Ok(bytes.clone()),
            _ => Err(TpmStatementError::Member(name)),
        };
        if *member("ver")? != Value::from("2.0") {
            return Err(TpmStatementError::Member("ver"));
        }
        let certificates = match member("x5c")? {
            Value::Array(items) if (1..=MAX_CERTIFICATES).contains(&items.len()) => items
                .iter()
                .map(|item| match item {
                    Value::Bytes(der) => Ok(der.clone()),
                    _ => Err(TpmStatementError::Member("x5c")),
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(TpmStatementError::Member("x5c")),
        };
        Ok(Self {
            alg: member("alg")?.as_i64().ok_or(TpmStatementError::Member("alg"))?,
            certificates,
            signature: bytes("sig")?,
            cert_info: bytes("certInfo")?,
            pub_area: bytes("pubArea")?,
        })
    }

    /// Verifies that the TPM with `attestation_key`, the key of the first certificate, has `key` and says so over
    /// `to_be_signed` (authenticatorData and clientDataHash). Whether the certificates are good is the caller's to verify
    /// (WebAuthn Level 2 section 8.3.1).
    ///
    /// # Errors
    /// [`TpmStatementError`].
    pub fn verify(
        &self,
        attestation_key: &PublicKey,
        key: &PublicKey,
        to_be_signed: &[u8],
    ) -> Result<(), TpmStatementError> {
        let algorithm = SignatureAlgorithm::Es256;
        if self.alg != algorithm.id() {
            return Err(TpmStatementError::Member("alg"));
        }
        // The public area is that of the credential's key.
        let public = public_area(&self.pub_area).ok_or(TpmStatementError::Structure("pubArea"))?;
        if *key != PublicKey::P256(public.key) {
            return Err(TpmStatementError::OtherKey);
        }
        if public.attributes & BORN_AND_STAYS != BORN_AND_STAYS {
            return Err(TpmStatementError::NotBound);
        }
        // What the TPM says is about that area, and for this credential.
        let said = certify(&self.cert_info).ok_or(TpmStatementError::Structure("certInfo"))?;
        let name = [ALG_SHA256.to_be_bytes().as_slice(), &Sha256::digest(&self.pub_area)].concat();
        if said.name != name {
            return Err(TpmStatementError::OtherKey);
        }
        if said.extra_data != Sha256::digest(to_be_signed).as_slice() {
            return Err(TpmStatementError::ExtraData);
        }
        // It was the attestation key that said so.
        let der = ecdsa(&self.signature).ok_or(TpmStatementError::Structure("sig"))?;
        signature::verify(algorithm, attestation_key, &self.cert_info, &der)?;
        Ok(())
    }
}

struct PublicArea {
    attributes: u32,
    key: P256Key,
}

/// TPMT_PUBLIC of a key for ES256 (12.2.4, 12.2.3.6).
fn public_area(bytes: &[u8]) -> Option<PublicArea> {
    let mut rest = bytes;
    let (kind, name_alg) = (u16_of(&mut rest)?, u16_of(&mut rest)?);
    let attributes = u32::from_be_bytes(*take(&mut rest)?);
    let _auth_policy = sized(&mut rest)?;
    let symmetric = u16_of(&mut rest)?;
    let scheme = (u16_of(&mut rest)?, u16_of(&mut rest)?);
    let (curve, kdf) = (u16_of(&mut rest)?, u16_of(&mut rest)?);
    let (x, y) = (coordinate(sized(&mut rest)?)?, coordinate(sized(&mut rest)?)?);
    let es256 = (kind, name_alg, symmetric, scheme, curve, kdf)
        == (ALG_ECC, ALG_SHA256, ALG_NULL, (ALG_ECDSA, ALG_SHA256), NIST_P256, ALG_NULL);
    (es256 && rest.is_empty()).then_some(PublicArea { attributes, key: P256Key::new(x, y).ok()? })
}

struct Certify<'a> {
    extra_data: &'a [u8],
    name: &'a [u8],
}

/// TPMS_ATTEST of TPM2_Certify (10.12.12, 10.12.3).
fn certify(bytes: &[u8]) -> Option<Certify<'_>> {
    let mut rest = bytes;
    let magic = u32::from_be_bytes(*take(&mut rest)?);
    let kind = u16_of(&mut rest)?;
    let _qualified_signer = sized(&mut rest)?;
    let extra_data = sized(&mut rest)?;
    // clockInfo and firmwareVersion: nothing here depends on them.
    let [..] = take::<17>(&mut rest)?;
    let [..] = take::<8>(&mut rest)?;
    let (name, _qualified_name) = (sized(&mut rest)?, sized(&mut rest)?);
    (magic == GENERATED && kind == ATTEST_CERTIFY && rest.is_empty()).then_some(Certify { extra_data, name })
}

/// TPMT_SIGNATURE with ECDSA and SHA-256 (11.3.4, 11.3.2), as DER.
fn ecdsa(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes;
    let algorithms = (u16_of(&mut rest)?, u16_of(&mut rest)?);
    let (r, s) = (coordinate(sized(&mut rest)?)?, coordinate(sized(&mut rest)?)?);
    let known = algorithms == (ALG_ECDSA, ALG_SHA256) && rest.is_empty();
    known.then_some(Signature::from_scalars(r, s).ok()?.to_der().as_bytes().to_vec())
}

/// Some TPMs leave out zeros at the beginning.
fn coordinate(bytes: &[u8]) -> Option<[u8; 32]> {
    let mut padded = [0; 32];
    padded.get_mut(32_usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(padded)
}

fn u16_of(rest: &mut &[u8]) -> Option<u16> {
    take(rest).map(|bytes| u16::from_be_bytes(*bytes))
}

/// The content of a TPM2B_* structure.
fn sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u16_of(rest)?;
    let (content, left) = rest.split_at_checked(len.into())?;
    *rest = left;
    Some(content)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(taken)
}
