//! PINs from a file descriptor, for scripts: a line for each time that one is wanted.
//!
//! Never an argument (every user sees those) and never an environment variable (every child has those).

use std::fs::File;
use std::io::Read;
use zeroize::Zeroizing;

/// Bytes that a PIN may have (CTAP 2.1, section 6.5).
pub const MAX_PIN_BYTES: usize = 63;

/// Why no PIN came from a descriptor.
#[derive(Debug, thiserror::Error)]
pub enum NoPin {
    /// It can't be read.
    #[error(
        "file descriptor {fd} (--pin-fd) can't be read: {source}; give one that this program inherits, such as 3 with \"3<pinfile\""
    )]
    Unreadable {
        /// Its number.
        fd: u32,
        /// Why.
        source: std::io::Error,
    },
    /// It has no more lines.
    #[error("file descriptor {fd} (--pin-fd) has no more lines, and another PIN was wanted")]
    Exhausted {
        /// Its number.
        fd: u32,
    },
    /// A line that can't be a PIN.
    #[error(
        "a line of file descriptor {fd} (--pin-fd) is no PIN: it must be UTF-8 text of 1 to {MAX_PIN_BYTES} bytes"
    )]
    NotAPin {
        /// Its number.
        fd: u32,
    },
}

/// The lines of a file descriptor.
#[derive(Debug)]
pub struct PinLines {
    fd: u32,
    file: File,
}

impl PinLines {
    /// Opens the inherited descriptor `fd`.
    ///
    /// # Errors
    /// [`NoPin::Unreadable`].
    pub fn open(fd: u32) -> Result<Self, NoPin> {
        // Opened by its name, since a number can't be turned into a descriptor without a promise that it's ours alone.
        File::open(format!("/dev/fd/{fd}"))
            .map(|file| Self { fd, file })
            .map_err(|source| NoPin::Unreadable { fd, source })
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// [`NoPin`].
    pub fn next_pin(&mut self) -> Result<Zeroizing<String>, NoPin> {
        let fd = self.fd;
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_PIN_BYTES));
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
                Ok(_) if line.len() == MAX_PIN_BYTES => return Err(NoPin::NotAPin { fd }),
                Ok(_) => line.extend_from_slice(&*byte),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(NoPin::Unreadable { fd, source }),
            }
        }
        match std::str::from_utf8(&line) {
            Ok("") if !ended => Err(NoPin::Exhausted { fd }),
            Ok("") | Err(_) => Err(NoPin::NotAPin { fd }),
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
        let lines = PinLines::open(u32::try_from(file.as_raw_fd()).unwrap()).unwrap();
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
    fn a_descriptor_that_is_not_there_is_named_with_the_remedy() {
        let error = PinLines::open(987).unwrap_err().to_string();
        assert!(error.contains("987") && error.contains("--pin-fd"), "{error}");
    }
}
