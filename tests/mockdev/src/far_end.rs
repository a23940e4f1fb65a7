//! The device's side of a hidraw node.

use crate::MockError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a report of a FIDO key.
const REPORT_LEN: usize = 64;

/// The device's side of a hidraw node. Like a USB device it sees reports without hidraw's leading report number.
#[derive(Debug)]
pub struct FarEnd {
    /// `None` once it was unplugged: while a far end is open, the node doesn't hang up.
    file: Option<std::fs::File>,
    unplugged: Arc<OwnedFd>,
    pending: Vec<u8>,
}

impl FarEnd {
    pub(crate) fn new(fd: OwnedFd, unplugged: Arc<OwnedFd>) -> Result<Self, MockError> {
        let io = |error: Errno| MockError::Io(error.to_string());
        // What is a report on hidraw is bytes on a pty: no line discipline, and whole reports for the reader.
        let mut modes = rustix::termios::tcgetattr(&fd).map_err(io)?;
        modes.make_raw();
        modes.local_modes.remove(LocalModes::ECHO);
        modes.special_codes[SpecialCodeIndex::VMIN] = 64;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        rustix::termios::tcsetattr(&fd, OptionalActions::Now, &modes).map_err(io)?;
        Ok(Self { file: Some(fd.into()), unplugged, pending: Vec::new() })
    }

    /// The next report that the program wrote, or `None` if there was none within `timeout` (for ever if that is
    /// longer than clocks reach) or the node is gone.
    pub fn receive(&mut self, timeout: Duration) -> Option<[u8; REPORT_LEN]> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            // hidraw: the report's number (0: there is one only), then the report.
            if let Some((written, rest)) = self.pending.split_at_checked(REPORT_LEN + 1) {
                let report = written.get(1..)?.try_into().ok()?;
                self.pending = rest.to_vec();
                return Some(report);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.map(Timespec::try_from).transpose().ok()?;
            let file = self.file.as_mut()?;
            let mut fds = [PollFd::new(file, PollFlags::IN), PollFd::new(&*self.unplugged, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(_) => return None,
            }
            if !matches!(&fds, [_, unplugged] if unplugged.revents().is_empty()) {
                self.file = None;
                return None;
            }
            let mut bytes = [0; 4096];
            let len = file.read(&mut bytes).ok()?;
            if len == 0 {
                return None;
            }
            self.pending.extend(bytes.iter().take(len));
        }
    }

    /// Sends `report` to the program.
    ///
    /// # Errors
    /// [`MockError::Io`] if the node is gone.
    pub fn send(&mut self, report: &[u8]) -> Result<(), MockError> {
        let file = self.file.as_mut().ok_or_else(|| MockError::Io("unplugged".to_owned()))?;
        file.write_all(report).map_err(|error| MockError::Io(error.to_string()))
    }
}
