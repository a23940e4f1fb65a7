//! Cards that come and go, seen without polling: SCardGetStatusChange without a time-out.
//!
//! The thread that waits sleeps in pcsc-lite's library, which wakes by itself once a minute to register anew with pcscd.

use crate::reader::{Reader, ReaderCount, connect, of_service, readers, wait_for_change};
use crate::transport::Shared;
use ctap_core::transport::{CancelToken, TransportError, Watcher};
use pcsc::{Context, Error};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long SCardCancel is given until it is called again: it does nothing if the wait has not quite begun.
const CANCEL_AGAIN: Duration = Duration::from_millis(5);

pub(crate) struct NfcWatcher {
    shared: Arc<Shared>,
    context: Context,
    seen: Vec<Seen>,
    count: ReaderCount,
    waiting: Arc<Waiting>,
}

/// What of a reader matters to who lists cards.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    reader: std::ffi::CString,
    card: Option<String>,
    /// The card could not be asked what it is, and is in use yet.
    held: bool,
}

impl NfcWatcher {
    pub(crate) fn begin(shared: Arc<Shared>) -> Result<Self, TransportError> {
        let context = connect()?;
        let count = ReaderCount::now(&context).map_err(of_service)?;
        let mut watcher = Self { shared, context, seen: Vec::new(), count, waiting: Arc::default() };
        watcher.seen = watcher.look()?.1;
        Ok(watcher)
    }

    fn look(&self) -> Result<(Vec<Reader>, Vec<Seen>), TransportError> {
        let readers = readers(&self.context).map_err(of_service)?;
        let seen = readers.iter().map(|reader| self.seen(reader)).collect();
        Ok((readers, seen))
    }

    fn seen(&self, reader: &Reader) -> Seen {
        let card = reader.card_id();
        let held = reader.in_use && card.as_ref().is_some_and(|id| self.shared.is_unknown(id));
        Seen { reader: reader.name.clone(), card, held }
    }
}

impl Watcher for NfcWatcher {
    fn wait(&mut self, cancel: &CancelToken) -> Result<(), TransportError> {
        let waiting = Arc::clone(&self.waiting);
        let context = self.context.clone();
        let _cancel = cancel.on_cancel(move || waiting.stop(&context));
        loop {
            if cancel.is_cancelled() {
                return Err(TransportError::Cancelled);
            }
            let (readers, seen) = self.look()?;
            if seen != self.seen {
                self.seen = seen;
                return Ok(());
            }
            let (context, count) = (&self.context, &mut self.count);
            let result = self.waiting.around(cancel, || wait_for_change(context, &readers, count));
            match result {
                Ok(()) | Err(Error::Cancelled | Error::UnknownReader | Error::Timeout) => {}
                Err(error) => return Err(of_service(error)),
            }
        }
    }
}

/// Whether a thread is in SCardGetStatusChange, for the one that wants it out.
#[derive(Default)]
struct Waiting {
    inside: Mutex<bool>,
    left: Condvar,
}

impl Waiting {
    fn around(&self, cancel: &CancelToken, wait: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        // Either the token's callback sees that somebody is inside, or it is seen here that it is cancelled.
        *self.inside.lock().unwrap_or_else(PoisonError::into_inner) = true;
        let result = if cancel.is_cancelled() { Err(Error::Cancelled) } else { wait() };
        *self.inside.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.left.notify_all();
        result
    }

    fn stop(&self, context: &Context) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        while *inside {
            // If pcscd is gone, so is the wait.
            let _ = context.cancel();
            (inside, _) =
                self.left.wait_timeout(inside, CANCEL_AGAIN).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
