//! A key on its hidraw node.
//!
//! One thread does all I/O of a key, that of its caller: it waits for a report, for its deadline and for an eventfd, which
//! is all that the cancelling thread touches. So CTAPHID_CANCEL goes out between messages by construction, and a key that
//! does not take its packets can block nobody but its own caller.

use crate::channel::{Channel, Input, Output};
use crate::frame::{Command, Message, REPORT_LEN, Report};
use crate::wake::Wake;
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a message may take on its way to the key.
const SENDING: Duration = Duration::from_secs(5);
/// Reports that can wait in the kernel's queue of a node are 64; more than these are a flood.
const STALE_REPORTS: usize = 256;

/// A security key on a hidraw node.
#[derive(Debug)]
pub struct UsbKey {
    port: Port,
    channel: Channel,
}

impl UsbKey {
    /// Opens the hidraw node at `path`. Sends nothing yet.
    ///
    /// # Errors
    /// [`TransportError`]: `Gone`, `Permission`, `Busy`, `Io`.
    pub fn open(path: &Path) -> Result<Self, TransportError> {
        let node = File::options().read(true).write(true).open(path).map_err(|error| io_error(&error))?;
        Ok(Self { port: Port { node, wake: Wake::new()?, is_gone: false }, channel: Channel::new() })
    }

    /// Has the key send `payload` back (CTAPHID_PING).
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn ping(&mut self, payload: &[u8], cancel: &CancelToken) -> Result<Vec<u8>, TransportError> {
        self.exchange(Command::PING, payload, &mut |_| {}, cancel)
    }

    fn exchange(
        &mut self,
        command: Command,
        payload: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        if cancel.is_cancelled() {
            return Err(TransportError::Cancelled);
        }
        let _on_cancel = self.port.wake.on(cancel);
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|error| TransportError::Io(error.to_string()))?;

        self.port.drop_stale_reports()?;
        let (mut exchange, mut output) = self.channel.begin(command, payload, nonce, Instant::now())?;
        let mut cancel_was_seen = false;
        loop {
            match output {
                Output::Send(message) => self.port.send(&message)?,
                Output::Keepalive(status) => on_keepalive(status),
                Output::Done(response) => return Ok(response),
                Output::Wait => {}
            }
            let mut report = [0; REPORT_LEN];
            let input = if !cancel_was_seen && cancel.is_cancelled() {
                cancel_was_seen = true;
                Input::Cancel
            } else {
                match self.port.wait(exchange.deadline(), &mut report)? {
                    Some(len) => Input::Report(report.get(..len).unwrap_or_default()),
                    None => Input::Deadline,
                }
            };
            output = exchange.step(input, Instant::now())?;
        }
    }
}

impl Device for UsbKey {
    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        self.exchange(Command::CBOR, command, on_keepalive, cancel)
    }

    fn wink(&mut self) -> Result<(), TransportError> {
        self.exchange(Command::WINK, &[], &mut |_| {}, &CancelToken::new()).map(drop)
    }
}

/// The node, and what wakes its caller.
#[derive(Debug)]
struct Port {
    node: File,
    wake: Wake,
    /// Once gone, always gone: the node's number may be another device's by now.
    is_gone: bool,
}

impl Port {
    /// Sends all of `message`.
    fn send(&mut self, message: &Message) -> Result<(), TransportError> {
        let deadline = Instant::now() + SENDING;
        for report in message.reports() {
            self.write(&report)?;
            if Instant::now() >= deadline {
                return Err(TransportError::Timeout);
            }
        }
        Ok(())
    }

    fn write(&mut self, report: &Report) -> Result<(), TransportError> {
        // hidraw wants the report's number first: 0, there is one only.
        let mut numbered = [0; REPORT_LEN + 1];
        numbered.iter_mut().skip(1).zip(report).for_each(|(to, from)| *to = *from);
        let written = self.node.write(&numbered).map_err(|error| self.failed(&error))?;
        // Linux counts the report's number or does not, by driver.
        if written < REPORT_LEN {
            return Err(TransportError::Framing(format!("it took {written} bytes of a report")));
        }
        Ok(())
    }

    /// Waits until `deadline` for a report and returns its length. `None` without one: the deadline has passed, or
    /// something else woke it.
    fn wait(&mut self, deadline: Instant, report: &mut Report) -> Result<Option<usize>, TransportError> {
        if !self.is_readable(deadline.saturating_duration_since(Instant::now()))? {
            return Ok(None);
        }
        match self.node.read(report) {
            Ok(0) => Err(self.gone()),
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Drops what came while nobody asked, other programs' answers mostly: once the kernel's queue is full, it keeps no
    /// new report.
    fn drop_stale_reports(&mut self) -> Result<(), TransportError> {
        if self.is_gone {
            return Err(TransportError::Gone);
        }
        let mut report = [0; REPORT_LEN];
        for _ in 0..STALE_REPORTS {
            if self.wait(Instant::now(), &mut report)?.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_readable(&mut self, timeout: Duration) -> Result<bool, TransportError> {
        let timeout = Timespec::try_from(timeout).map_err(|error| TransportError::Io(error.to_string()))?;
        let mut fds = [PollFd::new(&self.node, PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(TransportError::Io(error.to_string())),
        }
        let [node, wake] = fds.map(|fd| fd.revents());
        if !wake.is_empty() {
            self.wake.reset();
        }
        if node.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
            return Err(self.gone());
        }
        Ok(node.contains(PollFlags::IN))
    }

    fn gone(&mut self) -> TransportError {
        self.is_gone = true;
        TransportError::Gone
    }

    fn failed(&mut self, error: &std::io::Error) -> TransportError {
        let error = io_error(error);
        self.is_gone |= error == TransportError::Gone;
        error
    }
}

/// What the operating system's error means to the user.
fn io_error(error: &std::io::Error) -> TransportError {
    match Errno::from_io_error(error) {
        // The last four are what a transfer ends with before the hub has told that the device is gone.
        Some(
            Errno::NODEV
            | Errno::NXIO
            | Errno::NOENT
            | Errno::IO
            | Errno::PROTO
            | Errno::ILSEQ
            | Errno::SHUTDOWN
            | Errno::OVERFLOW,
        ) => TransportError::Gone,
        Some(Errno::ACCESS | Errno::PERM) => TransportError::Permission,
        Some(Errno::BUSY) => TransportError::Busy,
        Some(Errno::TIMEDOUT) => TransportError::Timeout,
        _ => TransportError::Io(error.to_string()),
    }
}
