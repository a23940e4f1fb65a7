//! Ctrl-C, wherever it is noticed: as a signal, or as a key while a question is open.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells everyone who waits that the person wants to stop.
#[derive(Clone, Debug)]
pub struct Interrupt(watch::Sender<bool>);

impl Interrupt {
    /// Begins to listen for SIGINT, SIGTERM and SIGHUP. Needs a tokio runtime.
    pub fn listen() -> Self {
        let interrupt = Self(watch::Sender::new(false));
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            // Where a handler can't be set, the signal ends the program, which is what was meant.
            if let Ok(mut signals) = signal(kind) {
                let interrupt = interrupt.clone();
                tokio::spawn(async move {
                    if signals.recv().await.is_some() {
                        interrupt.raise();
                    }
                });
            }
        }
        interrupt
    }

    /// Stops everything.
    pub fn raise(&self) {
        self.0.send_replace(true);
    }

    /// Returns once it was raised.
    pub async fn raised(&self) {
        // The sender is this very value, so that the wait can't end in another way.
        let _ = self.0.subscribe().wait_for(|raised| *raised).await;
    }
}
