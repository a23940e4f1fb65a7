//! The bank's test keys: made at the first start, kept in a file of mode 0600, exported on demand so that others can check
//! what their own implementation makes of our authorizations.

use crate::cases::{CaseKey, read_keys};
use crate::error::SandboxError;
use data_encoding::HEXLOWER as HEX;
use fwp_cose::PublicKey;
use fwp_cose::cbor::{Map, Value};
use fwp_cose::key::{P256Key, X25519Key};
use fwp_verifier::KeyRing;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// keyId of the X25519 key. The P-256 key has none: cards name it by itself.
pub const X25519_KEY_ID: &str = "x25519:sandbox:1";

/// What the key file holds and `fwp-sandbox export-keys` prints: the `issuerKeys` of a case.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyFile {
    /// First the X25519 key, then the P-256 key.
    pub issuer_keys: Vec<CaseKey>,
}

/// The bank's keys as the server uses them.
#[derive(Debug)]
pub struct BankKeys {
    /// For decryption.
    pub ring: KeyRing,
    /// Public half of the X25519 key.
    pub x25519: PublicKey,
    /// Public half of the P-256 key.
    pub p256: PublicKey,
}

/// The key file in the sandbox's directory.
pub fn key_file(dir: &Path) -> PathBuf {
    dir.join("issuer-keys.json")
}

impl KeyFile {
    /// Reads the key file in `dir`.
    ///
    /// # Errors
    /// [`SandboxError::File`], [`SandboxError::KeyFile`].
    pub fn read(dir: &Path) -> Result<Self, SandboxError> {
        Self::read_file(&key_file(dir))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`SandboxError::File`], [`SandboxError::KeyFile`].
    pub fn read_file(path: &Path) -> Result<Self, SandboxError> {
        let text = std::fs::read_to_string(path).map_err(SandboxError::file(path))?;
        serde_json::from_str(&text)
            .map_err(|error| SandboxError::KeyFile { path: path.to_owned(), why: error.to_string() })
    }

    /// Reads the key file in `dir`, or makes new keys if there is none.
    ///
    /// # Errors
    /// [`SandboxError::File`], [`SandboxError::KeyFile`], [`SandboxError::Randomness`].
    pub fn read_or_make(dir: &Path) -> Result<Self, SandboxError> {
        if key_file(dir).exists() {
            return Self::read(dir);
        }
        let keys = Self { issuer_keys: vec![make_x25519()?, make_p256()?] };
        let path = key_file(dir);
        let text = serde_json::to_vec_pretty(&keys)
            .map_err(|error| SandboxError::KeyFile { path: path.clone(), why: error.to_string() })?;
        let write = || {
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(&text)?;
            file.sync_all()
        };
        write().map_err(SandboxError::file(&path))?;
        Ok(keys)
    }

    /// The keys for use.
    ///
    /// # Errors
    /// [`SandboxError::KeyFile`].
    pub fn load(&self, dir: &Path) -> Result<BankKeys, SandboxError> {
        let wrong = |why: String| SandboxError::KeyFile { path: key_file(dir), why };
        let ring = read_keys(&self.issuer_keys).map_err(wrong)?;
        let (Some(x25519), Some(p256)) =
            (ring.by_id(&X25519_KEY_ID.into()), ring.iter().find(|key| key.key_id().is_none()))
        else {
            return Err(wrong(format!(
                "it must have a key with the keyId {X25519_KEY_ID:?} and one without"
            )));
        };
        let (x25519, p256) = (x25519.public().clone(), p256.public().clone());
        Ok(BankKeys { ring, x25519, p256 })
    }
}

fn make_x25519() -> Result<CaseKey, SandboxError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let public = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(secret));
    let public = PublicKey::X25519(X25519Key::new(public.to_bytes()));
    Ok(case_key(Some(X25519_KEY_ID), &public, &secret))
}

fn make_p256() -> Result<CaseKey, SandboxError> {
    loop {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        // Zero and what lies beyond the order of the curve is no key: one case in 2^32.
        let Ok(key) = p256::SecretKey::from_slice(&secret) else { continue };
        let point = p256::elliptic_curve::sec1::ToSec1Point::to_sec1_point(&key.public_key(), false);
        if let Ok(public) = P256Key::from_sec1(point.as_bytes()) {
            return Ok(case_key(None, &PublicKey::P256(public), &secret));
        }
    }
}

fn case_key(key_id: Option<&str>, public: &PublicKey, secret: &[u8]) -> CaseKey {
    let members = match public.to_value() {
        Value::Map(map) => map,
        _ => Map::new(),
    };
    CaseKey {
        key_id: key_id.map(|id| HEX.encode(&Value::from(id).encode())),
        public_key: HEX.encode(&public.to_value().encode()),
        cose_private: HEX.encode(&Value::Map(members.with(-4, secret)).encode()),
    }
}
