//! How something that waits for the user or an authenticator is told that it waits for nothing any more.

use std::time::Duration;

use fwp_dbus::Error;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::clock;

/// Interrupts what runs.
#[derive(Debug, Clone)]
pub(crate) struct Interrupter(mpsc::UnboundedSender<Error>);

/// What runs waits for this as well.
#[derive(Debug)]
pub(crate) struct Interrupts(mpsc::UnboundedReceiver<Error>);

/// Both ends.
pub(crate) fn interrupts() -> (Interrupter, Interrupts) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Interrupter(sender), Interrupts(receiver))
}

impl Interrupter {
    /// Interrupts, with the reason; without effect on what has ended.
    pub(crate) fn interrupt(&self, reason: Error) {
        let _ = self.0.send(reason);
    }
}

/// Interrupts when its time is up, unless this is dropped before.
#[derive(Debug)]
pub(crate) struct Timer(AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Interrupter {
    /// Interrupts after this time, as long as what this gives lives.
    pub(crate) fn after(&self, time: Duration, reason: Error) -> Timer {
        let interrupter = self.clone();
        let waiting = async move {
            clock::sleep(time).await;
            interrupter.interrupt(reason);
        };
        Timer(tokio::task::spawn_local(waiting).abort_handle())
    }
}

impl Interrupts {
    /// Waits for an interruption; for ever if nobody can interrupt any more.
    pub(crate) async fn next(&mut self) -> Error {
        match self.0.recv().await {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }
}
