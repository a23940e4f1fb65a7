//! A credential of systemd: the slot's own key comes with the service, decrypted by systemd into memory that only the
//! service can read. On the disk it stands encrypted to the machine's TPM and a secret of the host (systemd.exec(5),
//! `LoadCredentialEncrypted=`; systemd-creds(1)).
//!
//! One credential serves every wallet of a service: each wallet's wrapping key is derived from it (HKDF-SHA256 with the
//! wallet's name as salt). It is made once, as root:
//!
//! ```text
//! head -c 32 /dev/urandom |
//!   systemd-creds encrypt --with-key=host+tpm2 --tpm2-pcrs=22 --name=fwpd.wallet-key - /etc/credstore.encrypted/fwpd.wallet-key
//! ```
//!
//! and named in the unit: `LoadCredentialEncrypted=fwpd.wallet-key`.
//!
//! **PCRs.** The credential must not depend on any PCR that changes: by default systemd takes PCR 7, which a Secure Boot
//! update changes, and every wallet would be locked. What is wanted is an empty list (`--tpm2-pcrs=`). systemd 252 takes
//! one when it encrypts and then refuses to decrypt ("TPM2 PCR bank invalid or not supported"). PCR 22 is as good as
//! none: without a dynamic launch it is all ones from power-on, and nobody can extend it from locality 0, where the system
//! and its users are. systemd warns that such a policy restricts nothing, which is what is asked for. PCR 16 or 23 would
//! not do: whoever may use the TPM can extend those, and lock the wallets until the next start.

use super::wrap::WrappingKey;
use super::{KeySlot, SlotError, SlotKind};
use crate::seal::{DataKey, WalletId};
use crate::secret::Secret;
use hkdf::Hkdf;
use sha2::Sha256;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A slot whose own key is derived from a credential of systemd: exactly 32 bytes in `$CREDENTIALS_DIRECTORY/name`.
#[derive(Clone, Debug)]
pub struct SystemdCredential {
    path: PathBuf,
}

impl SystemdCredential {
    /// The credential `name` in `directory`, which is what the environment variable `CREDENTIALS_DIRECTORY` says: the
    /// caller reads it.
    pub fn new(directory: impl Into<PathBuf>, name: &str) -> Self {
        Self { path: directory.into().join(name) }
    }

    fn key_of(&self, wallet: &WalletId) -> Result<WrappingKey, SlotError> {
        let credential = self.read()?;
        let hkdf = Hkdf::<Sha256>::new(Some(wallet.as_bytes()), credential.expose());
        let derived = Secret::fill_with(|out| hkdf.expand(b"fwpd slot credential", out));
        derived
            .map(WrappingKey::from_secret)
            .map_err(|_| SlotError::Malformed("it can't be derived from".into()))
    }

    fn read(&self) -> Result<Secret, SlotError> {
        let file_error = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => SlotError::Missing(format!(
                "systemd gave no credential {}; the unit needs LoadCredentialEncrypted=",
                self.path.display()
            )),
            _ => SlotError::File { path: self.path.clone(), source },
        };
        let file = File::open(&self.path).map_err(file_error)?;
        let metadata = file.metadata().map_err(file_error)?;
        // systemd gives the service's user access by an ACL, whose mask shows as the group's bits.
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(SlotError::Exposed { path: self.path.clone(), mode });
        }
        let malformed = || SlotError::Malformed(format!("{} must hold 32 random bytes", self.path.display()));
        if !metadata.is_file() {
            return Err(malformed());
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(64));
        file.take(33).read_to_end(&mut bytes).map_err(file_error)?;
        match Secret::from_slice(&bytes) {
            Some(secret) if bytes.iter().any(|byte| *byte != 0) => Ok(secret),
            _ => Err(malformed()),
        }
    }
}

impl KeySlot for SystemdCredential {
    fn kind(&self) -> SlotKind {
        SlotKind::SystemdCredential
    }

    fn wrap(&self, wallet: &WalletId, key: &DataKey) -> Result<Vec<u8>, SlotError> {
        self.key_of(wallet)?.wrap(self.kind(), wallet, key)
    }

    fn unwrap(&self, wallet: &WalletId, wrapped: &[u8]) -> Result<DataKey, SlotError> {
        self.key_of(wallet)?.unwrap(self.kind(), wallet, wrapped)
    }
}
