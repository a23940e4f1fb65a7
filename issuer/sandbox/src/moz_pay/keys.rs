//! The secrets that the provider shares with its shops, and its key pair: test keys, made at the first start and kept in a file of
//! mode 0600.

use super::KID;
use super::jwt::{Checker, Signer};
use crate::error::SandboxError;
use crate::merchants::{MERCHANTS, Profile};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::HEXLOWER as HEX;
use fwp::provider::ProviderKey;
use fwp_cose::key::P256Key;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What the file holds, in hexadecimal.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    /// By the PSP's name of the merchant.
    secrets: BTreeMap<String, String>,
    /// PKCS #8.
    provider_key: String,
}

/// The keys.
pub struct MozPayKeys {
    secrets: BTreeMap<String, Zeroizing<Vec<u8>>>,
    pkcs8: Zeroizing<Vec<u8>>,
    /// SEC 1, uncompressed.
    public: Vec<u8>,
}

/// The key file in the sandbox's directory.
pub fn key_file(dir: &Path) -> PathBuf {
    dir.join("mozpay-keys.json")
}

impl MozPayKeys {
    /// Reads the keys in `dir`, or makes new ones.
    ///
    /// # Errors
    /// [`SandboxError::File`], [`SandboxError::KeyFile`], [`SandboxError::Randomness`], [`SandboxError::ProviderKey`].
    pub fn read_or_make(dir: &Path) -> Result<Self, SandboxError> {
        let path = key_file(dir);
        let file = match std::fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| SandboxError::KeyFile { path: path.clone(), why: error.to_string() })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path)?,
            Err(error) => return Err(SandboxError::file(&path)(error)),
        };
        let wrong = |why: &str| SandboxError::KeyFile { path: path.clone(), why: why.to_owned() };
        let decode = |hex: &str| {
            HEX.decode(hex.as_bytes())
                .map(Zeroizing::new)
                .map_err(|_| wrong("it has text that is not hexadecimal"))
        };
        let secrets = file
            .secrets
            .iter()
            .map(|(id, hex)| Ok((id.clone(), decode(hex)?)))
            .collect::<Result<BTreeMap<_, _>, SandboxError>>()?;
        if !MERCHANTS.iter().all(|merchant| secrets.contains_key(merchant.id)) {
            return Err(wrong("a merchant's secret is missing"));
        }
        let pkcs8 = decode(&file.provider_key)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|_| wrong("providerKey is no private key on P-256"))?;
        Ok(Self { secrets, pkcs8, public: pair.public_key().as_ref().to_vec() })
    }

    /// The secret that the provider shares with `merchant`.
    ///
    /// # Errors
    /// [`SandboxError::DamagedBooks`] if there is none.
    pub fn secret(&self, merchant: &Profile) -> Result<&[u8], SandboxError> {
        let secret = self.secrets.get(merchant.id).map(|secret| secret.as_slice());
        secret.ok_or(SandboxError::DamagedBooks("a merchant has no secret"))
    }

    /// Signs as the provider.
    pub fn provider_signer(&self) -> Signer {
        Signer::es256(&self.pkcs8, KID)
    }

    /// Verifies what the provider signed.
    pub fn provider_checker(&self) -> Checker {
        Checker::es256(&self.public)
    }

    /// The provider's public key as cards have it.
    ///
    /// # Errors
    /// [`SandboxError::ProviderKey`].
    pub fn provider_key(&self) -> Result<ProviderKey, SandboxError> {
        let public_key = P256Key::from_sec1(&self.public).map_err(|_| SandboxError::ProviderKey)?;
        Ok(ProviderKey { kid: KID.to_owned(), public_key })
    }
}

fn make(path: &Path) -> Result<File, SandboxError> {
    let mut secrets = BTreeMap::new();
    for merchant in MERCHANTS {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret)?;
        secrets.insert(merchant.id.to_owned(), HEX.encode(&*secret));
    }
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|_| SandboxError::ProviderKey)?;
    let file = File { secrets, provider_key: HEX.encode(pair.as_ref()) };
    let text = serde_json::to_vec_pretty(&file)
        .map(Zeroizing::new)
        .map_err(|error| SandboxError::KeyFile { path: path.to_owned(), why: error.to_string() })?;
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&text)?;
        file.sync_all()
    };
    write().map_err(SandboxError::file(path))?;
    Ok(file)
}

impl std::fmt::Debug for MozPayKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MozPayKeys").finish_non_exhaustive()
    }
}
