//! The file system of the guest, as the archive that the kernel unpacks into memory when it boots ("newc" of cpio:
//! Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;

/// Files by their path in the guest, without the leading slash; a `BTreeMap` has each folder before what is in it.
#[derive(Debug, Default)]
pub struct Initramfs {
    entries: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Initramfs {
    /// With nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder, and those above it.
    pub fn folder(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        if !path.is_empty() {
            self.entries.entry(path.to_owned()).or_insert((DIRECTORY, Vec::new()));
        }
    }

    /// Adds a file with this content; `mode` is its permissions.
    pub fn text(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.entry(path, FILE | mode, content.into());
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, to: &str) {
        self.entry(path, LINK, to.into());
    }

    /// Adds a copy of this machine's file, with its permissions.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn file(&mut self, path: &str, from: &Path) -> io::Result<()> {
        let named = |error| io::Error::other(format!("{}: {error}", from.display()));
        let mode = fs::metadata(from).map_err(named)?.permissions().mode() & 0o777;
        self.entry(path, FILE | mode, fs::read(from).map_err(named)?);
        Ok(())
    }

    /// Adds a copy of this machine's program, and of the libraries that it is linked to, each under its own path. Looks for
    /// them in `libraries` too.
    ///
    /// # Errors
    /// The program can't be read, or a library of it is missing.
    pub fn program(&mut self, path: &str, from: &Path, libraries: &[PathBuf]) -> io::Result<()> {
        self.file(path, from)?;
        let ldd = Command::new("ldd").arg(from).env("LD_LIBRARY_PATH", paths(libraries)).output()?;
        for line in String::from_utf8_lossy(&ldd.stdout).lines() {
            if line.ends_with("not found") {
                return Err(io::Error::other(format!("{}: {}", from.display(), line.trim())));
            }
            // "name => path (address)", and for the loader itself "path (address)".
            let mut words = line.split_whitespace().rev();
            if let Some(library) = words.find(|word| word.starts_with('/'))
                && !self.entries.contains_key(library.trim_start_matches('/'))
            {
                self.file(library, Path::new(library))?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        if let Some((above, _)) = path.trim_matches('/').rsplit_once('/') {
            self.folder(above);
        }
        self.entries.insert(path.trim_matches('/').to_owned(), (mode, content));
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// The destination can't be written.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let entries =
            self.entries.iter().map(|(path, (mode, content))| (path.as_str(), *mode, content.as_slice()));
        for (number, (path, mode, content)) in entries.chain([("TRAILER!!!", 0, [].as_slice())]).enumerate() {
            let too_large = |_| io::Error::other(format!("{path} is too large"));
            let number = u32::try_from(number + 1).map_err(too_large)?;
            let len = u32::try_from(content.len()).map_err(too_large)?;
            let name_len = u32::try_from(path.len() + 1).map_err(too_large)?;
            // Number, mode, owner (root), links, time, size, device numbers, length of the name, no checksum.
            let fields = [number, mode, 0, 0, 1, 0, len, 0, 0, 0, 0, name_len, 0];
            let header: String = fields.iter().map(|field| format!("{field:08x}")).collect();
            write!(to, "070701{header}{path}\0")?;
            pad(to, 110 + path.len() + 1)?;
            to.write_all(content)?;
            pad(to, content.len())?;
        }
        Ok(())
    }
}

/// Zeros up to a multiple of four bytes.
fn pad(to: &mut impl Write, written: usize) -> io::Result<()> {
    let zeros: &[u8] = match written % 4 {
        0 => &[],
        1 => &[0; 3],
        2 => &[0; 2],
        _ => &[0; 1],
    };
    to.write_all(zeros)
}

/// A list of folders as environment variables have it.
pub(super) fn paths(folders: &[PathBuf]) -> std::ffi::OsString {
    std::env::join_paths(folders).expect("folders without colons in their names")
}
