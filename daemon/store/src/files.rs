//! The wallet's directory: 0700, a lock that one process holds, and the names in it.

use crate::error::StoreError;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The wallet's directory, held by this process for as long as this value lives.
#[derive(Debug)]
pub(crate) struct WalletDirectory {
    path: PathBuf,
    _lock: File,
}

pub(crate) fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { path, source }
}

impl WalletDirectory {
    /// Makes the directory if it is not there, makes it private, and takes the lock.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(file_error(path))?;
        // SQLite refuses paths with symbolic links in them, and so we resolve those above our own files.
        let path = path.canonicalize().map_err(file_error(path))?;
        make_private(&path, 0o700)?;
        let lock_path = path.join("wallet.lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(file_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { directory: path }),
            Err(TryLockError::Error(source)) => Err(StoreError::File { path: lock_path, source }),
        }
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("wallet.db")
    }

    /// The database's write-ahead log, as SQLite names it.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("wallet.db-wal")
    }

    /// The database while it is made for the first time.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.path.join("wallet.new")
    }

    /// Makes renames in the directory durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.path).and_then(|directory| directory.sync_all()).map_err(file_error(&self.path))
    }
}

/// Whether there is anything at `path`, were it a link to nowhere.
pub(crate) fn exists(path: &Path) -> bool {
    !path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Makes an empty private file; fails if there is one.
pub(crate) fn create_private(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(file_error(path))?;
    Ok(())
}

/// Takes permissions away from everybody else, if somebody gave them.
pub(crate) fn make_private(path: &Path, mode: u32) -> Result<(), StoreError> {
    let mut permissions = std::fs::metadata(path).map_err(file_error(path))?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(mode);
        std::fs::set_permissions(path, permissions).map_err(file_error(path))?;
    }
    Ok(())
}

pub(crate) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(file_error(path)(error)),
        _ => Ok(()),
    }
}
