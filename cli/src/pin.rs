//! PINs and passphrases from a file descriptor, for scripts: a line for each time that one is wanted.
//!
//! Never an argument (every user sees those) and never an environment variable (every child has those).

use std::fs::File;
use std::io::Read;
use zeroize::Zeroizing;

use std::fmt;

/// What the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// PINs.
    Pin,
    /// Passphrases.
    Passphrase,
}

impl Secret {
    /// Bytes that one may have (PINs: CTAP 2.1, section 6.5).
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Pin => 63,
            Self::Passphrase => 256,
        }
    }

    const fn option(self) -> &'static str {
        match self {
            Self::Pin => "--pin-fd",
            Self::Passphrase => "--passphrase-fd",
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pin => "PIN",
            Self::Passphrase => "passphrase",
        })
    }
}

/// Why no PIN or passphrase came from a descriptor.
#[derive(Debug, thiserror::Error)]
pub enum NoPin {
    /// It can't be read.
    #[error(
        "file descriptor {fd} ({}) can't be read: {source}; give one that this program inherits, such as 3 with \"3<file\"", what.option()
    )]
    Unreadable {
        /// Its number.
        fd: u32,
        /// What its lines are.
        what: Secret,
        /// Why.
        source: std::io::Error,
    },
    /// It has no more lines.
    #[error("file descriptor {fd} ({}) has no more lines, and another {what} was wanted", what.option())]
    Exhausted {
        /// Its number.
        fd: u32,
        /// What its lines are.
        what: Secret,
    },
    /// A line that can't be a PIN.
    #[error(
        "a line of file descriptor {fd} ({}) is no {what}: it must be UTF-8 text of 1 to {} bytes", what.option(), what.max_bytes()
    )]
    NotAPin {
        /// Its number.
        fd: u32,
        /// What its lines are.
        what: Secret,
    },
}

/// The lines of a file descriptor.
#[derive(Debug)]
pub struct PinLines {
    fd: u32,
    what: Secret,
    file: File,
}

impl PinLines {
    /// Opens the inherited descriptor `fd`.
    ///
    /// # Errors
    /// [`NoPin::Unreadable`].
    pub fn open(fd: u32, what: Secret) -> Result<Self, NoPin> {
        // Opened by its name, since a number can't be turned into a descriptor without a promise that it's ours alone.
        File::open(format!("/dev/fd/{fd}"))
            .map(|file| Self { fd, what, file })
            .map_err(|source| NoPin::Unreadable { fd, what, source })
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// [`NoPin`].
    pub fn next_pin(&mut self) -> Result<Zeroizing<String>, NoPin> {
        let (fd, what) = (self.fd, self.what);
        let mut line = Zeroizing::new(Vec::with_capacity(what.max_bytes()));
        let mut ended = false;
        // Byte by byte: no buffer but this one ever holds a PIN.
        loop {
            let mut byte = Zeroizing::new([0_u8; 1]);
            match self.file.read(&mut *byte) {
                Ok(0) => break,
                Ok(_) if *byte == *b"\n" => {
                    ended = true;
                    break;
                }
                Ok(_) if line.len() == what.max_bytes() => return Err(NoPin::NotAPin { fd, what }),
                Ok(_) => line.extend_from_slice(&*byte),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(NoPin::Unreadable { fd, what, source }),
            }
        }
        match std::str::from_utf8(&line) {
            Ok("") if !ended => Err(NoPin::Exhausted { fd, what }),
            Ok("") | Err(_) => Err(NoPin::NotAPin { fd, what }),
            Ok(pin) => Ok(Zeroizing::new(pin.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};
    use std::os::fd::AsRawFd;

    fn lines(content: &[u8]) -> (File, PinLines) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        let lines = PinLines::open(u32::try_from(file.as_raw_fd()).unwrap(), Secret::Pin).unwrap();
        (file, lines)
    }

    #[test]
    fn each_line_is_one_pin() {
        let (_file, mut lines) = lines("1234\nüber5".as_bytes());
        assert_eq!(lines.next_pin().unwrap().as_str(), "1234");
        assert_eq!(lines.next_pin().unwrap().as_str(), "über5");
        assert!(matches!(lines.next_pin(), Err(NoPin::Exhausted { .. })));
    }

    #[test]
    fn a_line_that_is_too_long_empty_or_not_text_is_no_pin() {
        for content in [&[b'1'; 64][..], b"\n", b"\xff1234\n"] {
            let (_file, mut lines) = lines(content);
            assert!(matches!(lines.next_pin(), Err(NoPin::NotAPin { .. })));
        }
    }

    #[test]
    fn a_passphrase_may_be_longer_than_a_pin() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b'x'; 256]).unwrap();
        file.rewind().unwrap();
        let fd = u32::try_from(file.as_raw_fd()).unwrap();
        let mut lines = PinLines::open(fd, Secret::Passphrase).unwrap();
        assert_eq!(lines.next_pin().unwrap().len(), 256);
        let error = lines.next_pin().unwrap_err().to_string();
        assert!(error.contains("--passphrase-fd") && error.contains("another passphrase"), "{error}");
    }

    #[test]
    fn a_descriptor_that_is_not_there_is_named_with_the_remedy() {
        let error = PinLines::open(987, Secret::Pin).unwrap_err().to_string();
        assert!(error.contains("987") && error.contains("--pin-fd"), "{error}");
    }
}
