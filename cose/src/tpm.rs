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
/// Attributes of an object (8.3): restricted, sign.
const SIGNS_WHAT_THE_TPM_SAYS: u32 = 1 << 16 | 1 << 18;
/// Attribute of an object (8.3).
const DECRYPT: u32 = 1 << 17;
/// Members of a statement.
const MEMBERS: usize = 6;

/// Why a `tpm` statement does not attest the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TpmStatementError {
    /// A member is missing or of another type.
    #[error("the statement's {0} is missing or of another type")]
    Member(&'static str),
    /// A member that the format does not have.
    #[error("the statement has other members than ver, alg, x5c, sig, certInfo and pubArea")]
    Unknown,
    /// Another version than TPM 2.0's.
    #[error("the statement's ver is not 2.0")]
    Version,
    /// A structure that ends early, is too long, or has other values than ES256 keys have.
    #[error("{0} is malformed, or of another kind than ours")]
    Structure(&'static str),
    /// Not something that a TPM says of itself: without TPM_GENERATED_VALUE.
    #[error("certInfo does not begin with TPM_GENERATED_VALUE: no TPM made it")]
    Magic,
    /// Something else that a TPM says of itself.
    #[error("certInfo is not of TPM2_Certify (TPM_ST_ATTEST_CERTIFY)")]
    Kind,
    /// A key that the TPM did not make itself, or that can leave it.
    #[error("the key is not bound to the TPM: fixedTPM, fixedParent or sensitiveDataOrigin is not set")]
    NotBound,
    /// pubArea is another key's than the credential's.
    #[error("it attests another key")]
    OtherKey,
    /// certInfo is about another key than pubArea's.
    #[error("certInfo names another key than that of pubArea")]
    Name,
    /// It was made for something else.
    #[error("it was not made for this credential")]
    ExtraData,
    /// The signature is not the attestation key's.
    #[error("it is not signed by the attestation key: {0}")]
    Signature(#[from] SignatureError),
}

/// Why bytes are no [`PublicArea`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TPMT_PUBLIC is malformed, or not that of a key for ECDSA on P-256 with SHA-256")]
pub struct PublicAreaError;

/// TPMT_PUBLIC (12.2.4, 12.2.3.6) of a key for ES256, read to the last byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicArea {
    attributes: u32,
    key: P256Key,
    name: [u8; 34],
}

impl PublicArea {
    /// Reads a TPMT_PUBLIC.
    ///
    /// # Errors
    /// [`PublicAreaError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PublicAreaError> {
        public_area(bytes).ok_or(PublicAreaError)
    }

    /// The key by itself.
    pub fn key(&self) -> &P256Key {
        &self.key
    }

    /// Its name (Part 1, section 16): the hash algorithm and the hash of the TPMT_PUBLIC.
    pub fn name(&self) -> &[u8; 34] {
        &self.name
    }

    /// It was made in the TPM and cannot leave it: fixedTPM, fixedParent, sensitiveDataOrigin.
    pub fn is_bound(&self) -> bool {
        self.attributes & BORN_AND_STAYS == BORN_AND_STAYS
    }

    /// It is bound, and signs what the TPM says of itself and nothing else that looks like it: restricted, sign, not decrypt.
    pub fn is_attestation_key(&self) -> bool {
        let signs = self.attributes & SIGNS_WHAT_THE_TPM_SAYS == SIGNS_WHAT_THE_TPM_SAYS;
        self.is_bound() && signs && self.attributes & DECRYPT == 0
    }
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
    /// [`TpmStatementError::Member`], [`TpmStatementError::Version`], [`TpmStatementError::Unknown`].
    pub fn from_map(map: &Map) -> Result<Self, TpmStatementError> {
        let member = |name: &'static str| map.get(&Value::from(name)).ok_or(TpmStatementError::Member(name));
        let bytes = |name: &'static str| match member(name)? {
            Value::Bytes(bytes) => Ok(bytes.clone()),
            _ => Err(TpmStatementError::Member(name)),
        };
        match member("ver")? {
            Value::Text(version) if version == "2.0" => {}
            Value::Text(_) => return Err(TpmStatementError::Version),
            _ => return Err(TpmStatementError::Member("ver")),
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
        let statement = Self {
            alg: member("alg")?.as_i64().ok_or(TpmStatementError::Member("alg"))?,
            certificates,
            signature: bytes("sig")?,
            cert_info: bytes("certInfo")?,
            pub_area: bytes("pubArea")?,
        };
        if map.len() == MEMBERS { Ok(statement) } else { Err(TpmStatementError::Unknown) }
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
        if *key != PublicKey::P256(public.key.clone()) {
            return Err(TpmStatementError::OtherKey);
        }
        if !public.is_bound() {
            return Err(TpmStatementError::NotBound);
        }
        // What the TPM says is about that area, and for this credential.
        let said = certify(&self.cert_info)?;
        if said.name != public.name {
            return Err(TpmStatementError::Name);
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
    if !es256 || !rest.is_empty() {
        return None;
    }
    let mut name = [0; 34];
    let (algorithm, hash) = name.split_first_chunk_mut()?;
    *algorithm = ALG_SHA256.to_be_bytes();
    hash.copy_from_slice(&Sha256::digest(bytes));
    Some(PublicArea { attributes, key: P256Key::new(x, y).ok()?, name })
}

struct Certify<'a> {
    extra_data: &'a [u8],
    name: &'a [u8],
}

/// TPMS_ATTEST of TPM2_Certify (10.12.12, 10.12.3).
fn certify(bytes: &[u8]) -> Result<Certify<'_>, TpmStatementError> {
    let mut rest = bytes;
    if take(&mut rest).map(|magic| u32::from_be_bytes(*magic)) != Some(GENERATED) {
        return Err(TpmStatementError::Magic);
    }
    if u16_of(&mut rest) != Some(ATTEST_CERTIFY) {
        return Err(TpmStatementError::Kind);
    }
    certified(rest).ok_or(TpmStatementError::Structure("certInfo"))
}

/// TPMS_ATTEST of TPM2_Certify behind magic and type.
fn certified(bytes: &[u8]) -> Option<Certify<'_>> {
    let mut rest = bytes;
    let _qualified_signer = sized(&mut rest)?;
    let extra_data = sized(&mut rest)?;
    // clockInfo and firmwareVersion: nothing here depends on them.
    let [..] = take::<17>(&mut rest)?;
    let [..] = take::<8>(&mut rest)?;
    let (name, _qualified_name) = (sized(&mut rest)?, sized(&mut rest)?);
    rest.is_empty().then_some(Certify { extra_data, name })
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
