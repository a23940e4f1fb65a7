//! The person's terminal: text out, lines in, a PIN without echo.
//!
//! It is `/dev/tty`, not the standard streams, so that a request can come from a pipe and an assertion can go into one
//! while the person is asked; and so that what a person approves stands on the screen where they type "yes".
//! Every question throws away what was typed before it was there. Ctrl-C while a question is open arrives here as a
//! key, and the terminal is put back as it was on every way out.

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use zeroize::Zeroizing;

/// Bytes that a line may have; what is typed beyond is not taken.
const MAX_LINE: usize = 256;

/// Withdraws an open question from another thread.
#[derive(Clone, Debug, Default)]
pub struct Withdrawal(Arc<AtomicBool>);

impl Withdrawal {
    /// Withdraws the question.
    pub fn withdraw(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was withdrawn.
    pub fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether what is typed is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// As usual.
    On,
    /// Not at all, not even as stars.
    Off,
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum NoLine {
    /// The person pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The question was withdrawn ([`Withdrawal`]).
    #[error("the question was withdrawn")]
    Withdrawn,
    /// The terminal is gone, or Ctrl-D was pressed on an empty line.
    #[error("the terminal was closed")]
    Closed,
    /// The line was not UTF-8.
    #[error("what was typed is not UTF-8; check the terminal's character set")]
    NotUtf8,
}

/// The controlling terminal.
#[derive(Debug)]
pub struct Terminal {
    tty: File,
}

impl Terminal {
    /// The terminal of this process, if it has one.
    pub fn open() -> Option<Self> {
        OpenOptions::new().read(true).write(true).open("/dev/tty").ok().map(|tty| Self { tty })
    }

    /// How many columns it has, as far as it says.
    pub fn columns(&self) -> Option<usize> {
        let columns = tcgetwinsize(&self.tty).ok()?.ws_col;
        Some(usize::from(columns)).filter(|columns| *columns > 0)
    }

    /// The terminal as it is now, to be so again.
    pub fn keep(self) -> Option<Kept> {
        let before = tcgetattr(&self.tty).ok()?;
        Some(Kept { tty: self.tty, before })
    }

    /// Writes text that is safe already ([`crate::text`]). A terminal that is gone is noticed by the next question.
    pub fn say(&self, text: &str) {
        let _ = (&self.tty).write_all(text.as_bytes());
        let _ = (&self.tty).flush();
    }

    /// Shows `prompt` and reads one line, without its end.
    ///
    /// # Errors
    /// [`NoLine`].
    pub fn ask(
        &self,
        prompt: &str,
        echo: Echo,
        withdrawal: &Withdrawal,
    ) -> Result<Zeroizing<String>, NoLine> {
        let _mode = KeyMode::enter(&self.tty).ok_or(NoLine::Closed)?;
        self.say(prompt);
        let line = self.keys(echo, withdrawal);
        self.say("\r\n");
        line
    }

    /// A line, key by key.
    fn keys(&self, echo: Echo, withdrawal: &Withdrawal) -> Result<Zeroizing<String>, NoLine> {
        let mut line = Line::default();
        loop {
            if withdrawal.is_withdrawn() {
                return Err(NoLine::Withdrawn);
            }
            let mut key = Zeroizing::new([0_u8; 1]);
            match (&self.tty).read(&mut *key) {
                // Nothing for a tenth of a second: look at the withdrawal again. A terminal that hung up reads as
                // nothing, too, but without the pause, and can't be asked for its mode any more.
                Ok(0) if tcgetattr(&self.tty).is_err() => return Err(NoLine::Closed),
                Ok(0) => continue,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(NoLine::Closed),
                Ok(_) => {}
            }
            let [byte] = *key;
            match line.key(byte) {
                Key::Taken if echo == Echo::On => {
                    let _ = (&self.tty).write_all(&*key);
                }
                Key::Erased(columns) if echo == Echo::On => self.say(&"\x08 \x08".repeat(columns)),
                Key::Taken | Key::Erased(_) | Key::Ignored => {}
                Key::Interrupt => return Err(NoLine::Interrupted),
                Key::End => return Err(NoLine::Closed),
                Key::Enter => return line.text(),
            }
        }
    }
}

/// What a key did to the line.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    Taken,
    Erased(usize),
    Ignored,
    Enter,
    Interrupt,
    End,
}

/// A line being typed. Its buffer never grows, so that no copy of a PIN is left behind.
#[derive(Default)]
struct Line {
    bytes: Option<Zeroizing<Vec<u8>>>,
    escape: bool,
}

impl Line {
    fn buffer(&mut self) -> &mut Zeroizing<Vec<u8>> {
        self.bytes.get_or_insert_with(|| Zeroizing::new(Vec::with_capacity(MAX_LINE)))
    }

    fn key(&mut self, byte: u8) -> Key {
        // An arrow or function key: ESC, then anything up to a letter.
        if self.escape {
            self.escape = !(byte.is_ascii_alphabetic() || byte == b'~');
            return Key::Ignored;
        }
        match byte {
            b'\r' | b'\n' => Key::Enter,
            0x03 => Key::Interrupt,
            0x04 if self.buffer().is_empty() => Key::End,
            0x08 | 0x7f => Key::Erased(usize::from(self.erase())),
            0x15 => {
                let mut columns = 0;
                while self.erase() {
                    columns += 1;
                }
                Key::Erased(columns)
            }
            0x1b => {
                self.escape = true;
                Key::Ignored
            }
            0x00..=0x1f => Key::Ignored,
            _ if self.buffer().len() >= MAX_LINE => Key::Ignored,
            _ => {
                self.buffer().push(byte);
                Key::Taken
            }
        }
    }

    /// Takes the last character away, if there is one.
    fn erase(&mut self) -> bool {
        let buffer = self.buffer();
        // A character of UTF-8 is one byte that does not start with the bits 10, and those after it that do.
        while let Some(byte) = buffer.pop() {
            if byte & 0xc0 != 0x80 {
                return true;
            }
        }
        false
    }

    fn text(mut self) -> Result<Zeroizing<String>, NoLine> {
        let text = std::str::from_utf8(self.buffer()).map_err(|_| NoLine::NotUtf8)?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// The terminal giving keys one by one, unseen, Ctrl-C among them; as it was before when this is dropped.
struct KeyMode<'t> {
    tty: &'t File,
    before: Termios,
}

impl<'t> KeyMode<'t> {
    fn enter(tty: &'t File) -> Option<Self> {
        let before = tcgetattr(tty).ok()?;
        let mut keys = before.clone();
        keys.local_modes.remove(
            LocalModes::ECHO
                | LocalModes::ECHONL
                | LocalModes::ICANON
                | LocalModes::ISIG
                | LocalModes::IEXTEN,
        );
        // A read returns with a key, or with nothing after a tenth of a second.
        keys.special_codes[SpecialCodeIndex::VMIN] = 0;
        keys.special_codes[SpecialCodeIndex::VTIME] = 1;
        tcsetattr(tty, OptionalActions::Flush, &keys).ok()?;
        Some(Self { tty, before })
    }
}

/// A terminal that another program may use meanwhile, and end while it hides what is typed: as it was when this is dropped.
#[derive(Debug)]
pub struct Kept {
    tty: File,
    before: Termios,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Where nothing changed nothing is set: that would stop a program in the background.
        if tcgetattr(&self.tty).is_ok_and(|now| now.local_modes != self.before.local_modes) {
            let _ = tcsetattr(&self.tty, OptionalActions::Now, &self.before);
        }
    }
}

impl Drop for KeyMode<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.tty, OptionalActions::Drain, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn type_keys(keys: &[u8]) -> (Vec<Key>, Line) {
        let mut line = Line::default();
        let keys = keys.iter().map(|key| line.key(*key)).collect();
        (keys, line)
    }

    #[test]
    fn backspace_takes_a_whole_character() {
        let (_, line) = type_keys("1ü\x7f2".as_bytes());
        assert_eq!(line.text().unwrap().as_str(), "12");
    }

    #[test]
    fn an_arrow_key_is_no_part_of_a_pin() {
        let (_, line) = type_keys(b"12\x1b[A34\x1b[3~");
        assert_eq!(line.text().unwrap().as_str(), "1234");
    }

    #[test]
    fn ctrl_u_starts_again_and_ctrl_c_interrupts() {
        let (keys, line) = type_keys(b"12\x154\x03");
        assert_eq!(keys.last(), Some(&Key::Interrupt));
        assert_eq!(line.text().unwrap().as_str(), "4");
    }

    #[test]
    fn the_end_of_input_ends_an_empty_line_only() {
        assert_eq!(type_keys(b"\x04").0, [Key::End]);
        assert_eq!(type_keys(b"1\x04").0, [Key::Taken, Key::Ignored]);
    }

    proptest! {
        #[test]
        fn no_key_sequence_makes_a_line_too_long_or_a_control_character(keys in proptest::collection::vec(any::<u8>(), 0..600)) {
            let (_, mut line) = type_keys(&keys);
            prop_assert!(line.buffer().len() <= MAX_LINE);
            prop_assert!(line.buffer().iter().all(|b| *b >= 0x20 && *b != 0x7f));
        }
    }
}
