//! Attestation (WebAuthn Level 2 sections 6.5.4 and 8.2): how an authenticator vouches for a new key.

use crate::authenticator_data::AuthenticatorData;
use crate::{MessageError, Mismatch};
use fwp_cose::cbor::{Map, Value, decode};
use fwp_cose::{SignatureAlgorithm, signature};

/// The most certificates in `x5c`; a limit of ours.
const MAX_CERTIFICATES: usize = 8;

/// An attestation object in the WebAuthn form `{fmt, attStmt, authData}`, for the bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationObject {
    /// The attestation statement format, `packed` or `none` mostly.
    pub fmt: String,
    /// The attestation statement, of that format.
    pub att_stmt: Map,
    /// authenticatorData, as it was signed.
    pub auth_data: Vec<u8>,
}

/// What an attestation statement shows by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attestation {
    /// `none`: nothing.
    None,
    /// Packed self attestation, verified: whoever made this had the new private key.
    SelfSigned,
    /// Packed with certificates (DER, the attestation key's first): for the relying party to verify with its roots.
    Certified {
        /// The signature algorithm of the first certificate's key (COSE identifier).
        alg: i64,
        /// Over `authData || clientDataHash`.
        signature: Vec<u8>,
        /// DER, 1 to 8 of them.
        certificates: Vec<Vec<u8>>,
    },
    /// Another format, which is not looked into here.
    Other,
}

impl AttestationObject {
    /// Reads the CBOR of an attestation object.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let bad = |problem| MessageError::Member { member: "attestationObject", problem };
        let Value::Map(mut map) = decode(bytes)? else { return Err(bad("not a map")) };
        let mut take = |key: &str| map.remove(&Value::from(key));
        match (take("fmt"), take("attStmt"), take("authData")) {
            (Some(Value::Text(fmt)), Some(Value::Map(att_stmt)), Some(Value::Bytes(auth_data))) => {
                Ok(Self { fmt, att_stmt, auth_data })
            }
            _ => Err(bad("without fmt, attStmt or authData of the right type")),
        }
    }

    /// The CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let mut map = Map::new();
        map.insert(Value::from("fmt"), Value::from(self.fmt.as_str()));
        map.insert(Value::from("attStmt"), Value::Map(self.att_stmt.clone()));
        map.insert(Value::from("authData"), Value::from(self.auth_data.as_slice()));
        Value::Map(map).encode()
    }

    /// Verifies the statement as far as it can be without the manufacturer's roots: self attestation fully, the form of
    /// `none` and of packed statements with certificates.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn verify(&self, client_data_hash: &[u8; 32]) -> Result<Attestation, Mismatch> {
        let bad = Mismatch::Attestation;
        match self.fmt.as_str() {
            "none" if self.att_stmt.is_empty() => Ok(Attestation::None),
            "none" => Err(bad("the format none has an empty statement")),
            "packed" => self.verify_packed(client_data_hash),
            _ => Ok(Attestation::Other),
        }
    }

    fn verify_packed(&self, client_data_hash: &[u8; 32]) -> Result<Attestation, Mismatch> {
        let statement = PackedStatement::from_map(&self.att_stmt)?;
        if !statement.certificates.is_empty() {
            return Ok(Attestation::Certified {
                alg: statement.alg,
                signature: statement.signature,
                certificates: statement.certificates,
            });
        }
        let data = AuthenticatorData::parse(&self.auth_data)
            .map_err(|_| Mismatch::Attestation("authData is malformed"))?;
        let credential = data.attested.ok_or(Mismatch::AttestedCredential)?;
        if SignatureAlgorithm::from_id(statement.alg) != Some(credential.algorithm) {
            return Err(Mismatch::Attestation("alg of a self attestation is not the new key's"));
        }
        let message = [self.auth_data.as_slice(), client_data_hash].concat();
        signature::verify(credential.algorithm, &credential.public_key, &message, &statement.signature)?;
        Ok(Attestation::SelfSigned)
    }
}

/// The packed attestation statement (WebAuthn Level 2 section 8.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedStatement {
    /// COSE algorithm identifier.
    pub alg: i64,
    /// Over `authData || clientDataHash`.
    pub signature: Vec<u8>,
    /// DER; none in a self attestation.
    pub certificates: Vec<Vec<u8>>,
}

impl PackedStatement {
    /// The CBOR map.
    pub fn to_map(&self) -> Map {
        let mut map = Map::new();
        map.insert(Value::from("alg"), Value::int(self.alg));
        map.insert(Value::from("sig"), Value::from(self.signature.as_slice()));
        if !self.certificates.is_empty() {
            let certificates =
                self.certificates.iter().map(|der| Value::from(der.as_slice())).collect::<Vec<_>>();
            map.insert(Value::from("x5c"), Value::Array(certificates));
        }
        map
    }

    /// Reads the CBOR map.
    ///
    /// # Errors
    /// [`Mismatch::Attestation`].
    pub fn from_map(map: &Map) -> Result<Self, Mismatch> {
        let bad = Mismatch::Attestation;
        let alg = map.get(&Value::from("alg")).and_then(Value::as_i64).ok_or(bad("alg is not an integer"))?;
        let Some(Value::Bytes(signature)) = map.get(&Value::from("sig")) else {
            return Err(bad("sig is not a byte string"));
        };
        let certificates = match map.get(&Value::from("x5c")) {
            None => Vec::new(),
            Some(Value::Array(items)) if (1..=MAX_CERTIFICATES).contains(&items.len()) => items
                .iter()
                .map(|item| match item {
                    Value::Bytes(der) => Ok(der.clone()),
                    _ => Err(bad("x5c has something else than certificates")),
                })
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(bad("x5c is not an array of 1 to 8 certificates")),
        };
        Ok(Self { alg, signature: signature.clone(), certificates })
    }
}
