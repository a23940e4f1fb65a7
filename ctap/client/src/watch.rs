//! Hot-plug: a blocked thread per transport.

use crate::Keys;
use ctap_core::transport::{CancelToken, Transport, Watcher};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Keys are watched as long as this lives.
#[must_use = "nothing is watched any more once it is dropped"]
#[derive(Debug)]
pub struct Watch {
    cancel: CancelToken,
    threads: Vec<JoinHandle<()>>,
}

impl Keys {
    /// Calls `on_change`, on a thread of the watch, after keys may have come or gone since this was called, until the
    /// watch is dropped. A transport that can't be watched is left out: [`Keys::list`] says why.
    pub fn watch(&self, on_change: impl Fn() + Send + Sync + 'static) -> Watch {
        let on_change: Arc<dyn Fn() + Send + Sync> = Arc::new(on_change);
        let cancel = CancelToken::new();
        let threads = self.transports().iter().filter_map(|transport| {
            let watcher = transport.watch().ok()?;
            let (transport, on_change, cancel) =
                (Arc::clone(transport), Arc::clone(&on_change), cancel.clone());
            let thread = std::thread::Builder::new().name(format!("watch {}", transport.kind()));
            thread.spawn(move || follow(&*transport, watcher, &*on_change, &cancel)).ok()
        });
        let threads = threads.collect();
        Watch { cancel, threads }
    }
}

/// Follows `watcher` until `cancel`. One that fails is replaced once; if that one fails too before it has seen anything,
/// the transport is given up.
fn follow(
    transport: &dyn Transport,
    mut watcher: Box<dyn Watcher>,
    on_change: &dyn Fn(),
    cancel: &CancelToken,
) {
    let mut replaced = false;
    while !cancel.is_cancelled() {
        let waited = watcher.wait(cancel);
        if cancel.is_cancelled() {
            return;
        }
        if waited.is_err() {
            match transport.watch() {
                Ok(new) if !replaced => watcher = new,
                _ => return on_change(),
            }
        }
        replaced = waited.is_err();
        on_change();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.cancel.cancel();
        let here = std::thread::current().id();
        // One that drops the watch in its own `on_change` can't wait for itself.
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != here) {
            // It ends soon, and what it panicked with, if it did, has been printed.
            let _ = thread.join();
        }
    }
}
