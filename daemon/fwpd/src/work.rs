//! What the daemon is doing: the tasks that somebody waits for. When all have ended, nothing that was asked for is half done,
//! neither an answer nor what is to be stored.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::call::Uid;
use crate::journal;

/// Counts what runs. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Work(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    running: Cell<usize>,
    /// How many calls came.
    calls: Cell<u64>,
    /// The daemon ends.
    is_closed: Cell<bool>,
    /// When something was done last.
    last: Cell<Instant>,
    /// Told when something ends.
    ended: Notify,
}

/// Something runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Running(Rc<Inner>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get().saturating_sub(1));
        self.0.last.set(Instant::now());
        self.0.ended.notify_waiters();
    }
}

impl Work {
    /// Nothing runs.
    pub(crate) fn new() -> Self {
        Self(Rc::new(Inner {
            running: Cell::new(0),
            calls: Cell::new(0),
            is_closed: Cell::new(false),
            last: Cell::new(Instant::now()),
            ended: Notify::new(),
        }))
    }

    /// Something runs, until what this gives is dropped.
    pub(crate) fn begin(&self) -> Running {
        self.0.running.set(self.0.running.get().saturating_add(1));
        Running(Rc::clone(&self.0))
    }

    /// Runs a task for this user. Tasks begin in the order in which they are made.
    pub(crate) fn spawn(&self, uid: Uid, task: impl Future<Output = ()> + 'static) {
        let running = self.begin();
        tokio::task::spawn_local(journal::of_user(uid, async move {
            // Taken along, so that it ends with the task, however that ends.
            let _running = running;
            task.await;
        }));
    }

    /// A call came.
    pub(crate) fn comes(&self) {
        self.0.calls.set(self.0.calls.get().wrapping_add(1));
        self.touch();
    }

    /// How many calls came so far.
    pub(crate) fn calls(&self) -> u64 {
        self.0.calls.get()
    }

    /// The daemon ends: calls are refused from now on.
    pub(crate) fn close(&self) {
        self.0.is_closed.set(true);
    }

    /// Whether the daemon ends.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed.get()
    }

    /// Something was heard that is no work, but a sign that somebody is there.
    pub(crate) fn touch(&self) {
        self.0.last.set(Instant::now());
    }

    /// Whether nothing runs.
    pub(crate) fn is_none(&self) -> bool {
        self.0.running.get() == 0
    }

    /// Waits until nothing runs.
    pub(crate) async fn ends(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.is_none() {
                return;
            }
            ended.await;
        }
    }

    /// Waits until nothing was done for this long, and nothing is.
    pub(crate) async fn rests(&self, pause: Duration) {
        loop {
            self.ends().await;
            let until = self.0.last.get() + pause;
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(100);

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn it_rests_a_pause_after_the_last_task_has_ended() {
        run(async {
            let (work, begun) = (Work::new(), Instant::now());
            work.spawn(1, tokio::time::sleep(PAUSE * 3));
            assert!(!work.is_none());
            work.ends().await;
            assert!(work.is_none() && begun.elapsed() >= PAUSE * 3);
            work.rests(PAUSE).await;
            assert!(begun.elapsed() >= PAUSE * 4);
        });
    }

    #[test]
    fn what_is_heard_meanwhile_begins_the_pause_anew() {
        run(async {
            let (work, begun) = (Work::new(), Instant::now());
            let heard = async {
                tokio::time::sleep(PAUSE / 2).await;
                work.touch();
            };
            tokio::join!(work.rests(PAUSE), heard);
            assert!(begun.elapsed() >= PAUSE * 3 / 2);
        });
    }

    #[test]
    fn a_task_that_is_given_up_has_ended() {
        let work = Work::new();
        run({
            let work = work.clone();
            async move { work.spawn(1, std::future::pending()) }
        });
        assert!(work.is_none());
    }
}
