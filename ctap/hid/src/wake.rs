//! Wakes a thread that polls.

use ctap_core::transport::{CancelToken, OnCancel, TransportError};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Readable once a token was cancelled: to be polled beside what is waited for.
#[derive(Debug)]
pub(crate) struct Wake(Arc<OwnedFd>);

impl Wake {
    pub(crate) fn new() -> Result<Self, TransportError> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map(|fd| Self(Arc::new(fd)))
            .map_err(|error| TransportError::Io(error.to_string()))
    }

    /// Wakes when `cancel` is cancelled, at once if it was.
    pub(crate) fn on(&self, cancel: &CancelToken) -> OnCancel {
        let wake = Arc::clone(&self.0);
        cancel.on_cancel(move || {
            // It fails only where it is readable already, which is as good.
            let _ = rustix::io::write(&wake, &1u64.to_ne_bytes());
        })
    }

    /// Not readable any more.
    pub(crate) fn reset(&self) {
        // Non-blocking; whatever it counted, it is read.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
