//! How long the TPM is waited for. A TPM that hangs, or works for another program for minutes, must not hold up the wallet, whose
//! store waits meanwhile.

use ctap_tpm::Tpm;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// A way to the TPM with a deadline. Clones are the same one: while work that was given up is still going on, no other begins, so
/// that what is done late is never done beside or after what came later.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    tpm: Arc<Tpm>,
    deadline: Duration,
    waiting: Arc<AtomicBool>,
}

/// It was not done in time, and may be done yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Late {
    #[error("no answer within {0} seconds")]
    Now(u64),
    #[error("it still works on what was asked before")]
    Before,
    #[error("no thread for asking it")]
    NoThread,
}

impl Patience {
    pub(crate) fn new(tpm: Arc<Tpm>, deadline: Duration) -> Self {
        Self { tpm, deadline, waiting: Arc::default() }
    }

    pub(crate) fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Does `work` on a thread of its own, and waits until the deadline.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tpm) -> T + Send + 'static,
    ) -> Result<T, Late> {
        if self.waiting.swap(true, Ordering::AcqRel) {
            return Err(Late::Before);
        }
        let no_longer = NoLonger(Arc::clone(&self.waiting));
        let (sender, receiver) = sync_channel(1);
        let tpm = Arc::clone(&self.tpm);
        let call = move || {
            let done = work(&tpm);
            drop(no_longer);
            // Nobody listens any more where it took too long.
            let _ = sender.send(done);
        };
        std::thread::Builder::new().name("tpm".to_owned()).spawn(call).map_err(|_| Late::NoThread)?;
        receiver.recv_timeout(self.deadline).map_err(|error| match error {
            RecvTimeoutError::Timeout => Late::Now(self.deadline.as_secs()),
            RecvTimeoutError::Disconnected => Late::NoThread,
        })
    }
}

/// Takes the mark of work away with it, however that ends.
struct NoLonger(Arc<AtomicBool>);

impl Drop for NoLonger {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
