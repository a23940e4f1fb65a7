//! The last resort: a key in a file with mode 0600. Whoever can read the user's files can read it, and whoever shows
//! the wallet's state says so.

use super::wrap::WrappingKey;
use super::{KeySlot, SlotError, SlotKind};
use crate::seal::{DataKey, WalletId};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const FIRST_LINE: &str = "fwpd wallet key 1";

/// A slot whose own key stands in a file. It is made when first needed, and never replaced.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The slot with its key in the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the key stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> Result<WrappingKey, SlotError> {
        let file_error = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => SlotError::Missing(format!("there is no file {}", self.path.display())),
            _ => SlotError::File { path: self.path.clone(), source },
        };
        let file = File::open(&self.path).map_err(file_error)?;
        let mode = file.metadata().map_err(file_error)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SlotError::Exposed { path: self.path.clone(), mode });
        }
        let mut text = Zeroizing::new(String::with_capacity(256));
        file.take(200).read_to_string(&mut text).map_err(file_error)?;
        let malformed = || SlotError::Malformed(format!("{} is no key file of fwpd", self.path.display()));
        let mut lines = text.lines();
        let (Some(FIRST_LINE), Some(hex), None) = (lines.next(), lines.next(), lines.next()) else {
            return Err(malformed());
        };
        let bytes = Zeroizing::new(data_encoding::HEXLOWER.decode(hex.as_bytes()).map_err(|_| malformed())?);
        WrappingKey::from_slice(&bytes)
    }

    /// Makes the file whole or not at all: written aside, made durable, then linked to its name, which fails if the name is
    /// taken.
    fn create(&self) -> Result<WrappingKey, SlotError> {
        let key = WrappingKey::generate()?;
        let text =
            Zeroizing::new(format!("{FIRST_LINE}\n{}\n", data_encoding::HEXLOWER.encode(key.as_bytes())));
        let mut aside = self.path.clone().into_os_string();
        aside.push(".new");
        let aside = PathBuf::from(aside);
        let write = || {
            let _ = std::fs::remove_file(&aside);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::hard_link(&aside, &self.path)?;
            std::fs::remove_file(&aside)?;
            match self.path.parent() {
                Some(directory) => File::open(directory)?.sync_all(),
                None => Ok(()),
            }
        };
        write().map_err(|source| SlotError::File { path: self.path.clone(), source })?;
        Ok(key)
    }
}

impl KeySlot for KeyFile {
    fn kind(&self) -> SlotKind {
        SlotKind::KeyFile
    }

    fn wrap(&self, wallet: &WalletId, key: &DataKey) -> Result<Vec<u8>, SlotError> {
        let own = match self.read() {
            Err(SlotError::Missing(_)) => self.create()?,
            other => other?,
        };
        own.wrap(self.kind(), wallet, key)
    }

    fn unwrap(&self, wallet: &WalletId, wrapped: &[u8]) -> Result<DataKey, SlotError> {
        self.read()?.unwrap(self.kind(), wallet, wrapped)
    }

    /// Overwrites the key, as far as the disk does that in its place, and removes the file.
    fn discard(&self, _wallet: &WalletId) -> Result<(), SlotError> {
        let discard = || {
            let mut file = OpenOptions::new().write(true).open(&self.path)?;
            let length = file.metadata()?.len().min(4096);
            file.write_all(&vec![0; usize::try_from(length).unwrap_or(0)])?;
            file.sync_all()?;
            std::fs::remove_file(&self.path)
        };
        match discard() {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(SlotError::File { path: self.path.clone(), source })
            }
            _ => Ok(()),
        }
    }
}
