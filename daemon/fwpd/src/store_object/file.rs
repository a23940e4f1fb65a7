//! The caller's file or pipe. Whoever is at its other end may be slow, or never come: each step has a deadline, and whoever waits
//! for it all may tell it to stop, so that a thread of ours never waits for ever.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long one step may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often it is looked whether nobody waits for it any more.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// What a pipe takes at once after it said that it is ready (pipe(7): PIPE_BUF).
const STEP: usize = 4096;

/// Tells reading and writing to stop. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Nobody waits for it any more.
    pub(super) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes all of it. Blocks.
///
/// # Errors
/// What the system says, and [`ErrorKind::TimedOut`].
pub(super) fn write(file: OwnedFd, bytes: &[u8], stop: &Stop) -> Result<()> {
    let mut file = File::from(file);
    let mut rest = bytes;
    while !rest.is_empty() {
        ready(&file, PollFlags::OUT, stop)?;
        let (step, _) = rest.split_at_checked(STEP).unwrap_or((rest, &[]));
        match file.write(step) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    file.flush()?;
    // A pipe has nothing to sync.
    match file.sync_all() {
        Err(error) if error.kind() != ErrorKind::InvalidInput => Err(error),
        _ => Ok(()),
    }
}

/// Reads to the end, `limit` bytes at most. Blocks.
///
/// # Errors
/// What the system says, [`ErrorKind::TimedOut`], and [`ErrorKind::FileTooLarge`] beyond `limit`.
pub(super) fn read(file: OwnedFd, limit: usize, stop: &Stop) -> Result<Vec<u8>> {
    let mut file = File::from(file);
    let mut bytes = Vec::new();
    let mut step = [0; 16 * 1024];
    loop {
        ready(&file, PollFlags::IN, stop)?;
        match file.read(&mut step) {
            Ok(0) => return Ok(bytes),
            Ok(length) => bytes.extend_from_slice(step.get(..length).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
        if bytes.len() > limit {
            return Err(ErrorKind::FileTooLarge.into());
        }
    }
}

fn ready(file: &File, flags: PollFlags, stop: &Stop) -> Result<()> {
    let since = Instant::now();
    while !stop.0.load(Ordering::Relaxed) {
        match poll(&mut [PollFd::new(file, flags)], Some(&TICK)) {
            Ok(0) if since.elapsed() >= DEADLINE => {
                let text = format!("nothing moved for {} s", DEADLINE.as_secs());
                return Err(Error::new(ErrorKind::TimedOut, text));
            }
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            // What is wrong with it, the next step says.
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::new(ErrorKind::TimedOut, "nobody waits for it any more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_into_a_pipe_is_read_from_it_and_no_more_than_the_limit() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        for (limit, fits) in [(200_000, true), (199_999, false)] {
            let (from, to) = std::io::pipe().unwrap();
            let writer = std::thread::spawn({
                let bytes = bytes.clone();
                move || write(to.into(), &bytes, &Stop::default())
            });
            match read(from.into(), limit, &Stop::default()) {
                Ok(read) => assert!(fits && read == bytes),
                Err(error) => assert!(!fits && error.kind() == ErrorKind::FileTooLarge, "{error}"),
            }
            let _may_have_nobody_to_write_to = writer.join().unwrap();
        }
    }

    #[test]
    fn a_pipe_that_nobody_reads_from_is_an_error() {
        let (from, to) = std::io::pipe().unwrap();
        drop(from);
        assert_eq!(write(to.into(), b"x", &Stop::default()).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
    #[test]
    fn what_nobody_waits_for_any_more_stops_soon() {
        let (from, _to) = std::io::pipe().unwrap();
        let stop = Stop::default();
        let reader = std::thread::spawn({
            let stop = stop.clone();
            move || read(from.into(), 1, &stop)
        });
        stop.now();
        assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
