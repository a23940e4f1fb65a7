//! Fair turns: calls of each user wait in a queue of the user's own, users take turns, and who has little is not held up by who
//! has much. A user's calls that wait are bounded, in number and bytes, and so are those of one connection. What is over is
//! refused; in a flood, where refusals would be one too, it is dropped.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use zbus::Message;
use zbus::names::OwnedUniqueName;

use crate::call::Uid;
use crate::work::Running;

/// Most bytes of a user's messages that wait for their turn or their answer: one with cards, and others beside it.
const MAX_BYTES: usize = 16 << 20;
/// What one connection may have of a user's calls: so much, or this part. The user's agent must get through beside a program that
/// has gone mad.
const PART_OF_ONE_CONNECTION: usize = 4;
/// While other users are there, a user's calls rest so many times as long as they took before the next one begins.
const REST: u32 = 3;
/// What a call takes besides what is measured: it is read, and its answer is written.
const TRANSPORT: Duration = Duration::from_micros(50);
/// Refusals that a user may have at once.
const MAX_REFUSALS: u32 = 64;
/// After this time there may be another refusal.
const REFUSAL_EVERY: Duration = Duration::from_millis(5);

/// All users' calls.
#[derive(Debug)]
pub(crate) struct Turns {
    most: usize,
    lanes: RefCell<HashMap<Uid, Lane>>,
    /// Whose calls wait, the next one first.
    order: RefCell<VecDeque<Uid>>,
    woken: Notify,
}

/// One user's.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    /// Calls that wait for their turn or their answer, by connection.
    open: HashMap<OwnedUniqueName, usize>,
    calls: usize,
    bytes: usize,
    /// No call begins before this, as long as other users are there.
    rests_until: Option<Instant>,
    refusals: Refusals,
}

/// A call that waits for its turn.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) message: Message,
    pub(crate) name: OwnedUniqueName,
    /// The daemon has something to do.
    pub(crate) running: Running,
}

/// A call whose turn it is. It counts until `begun` is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) uid: Uid,
    pub(crate) call: Waiting,
    pub(crate) begun: Begun,
}

/// A call is being answered until this is dropped.
#[derive(Debug)]
pub(crate) struct Begun {
    turns: Rc<Turns>,
    uid: Uid,
    name: OwnedUniqueName,
    bytes: usize,
}

/// Why a call is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Over {
    #[error("{0} calls of yours wait for an answer, and no more may: wait for them")]
    Calls(usize),
    #[error("{0} calls of this connection wait for an answer, and no more may: wait for them")]
    Connection(usize),
    #[error("the calls of yours that wait for an answer have more than {} MiB: wait for them", .0 >> 20)]
    Bytes(usize),
}

impl Turns {
    /// No call waits; of each user, so many may.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, lanes: RefCell::default(), order: RefCell::default(), woken: Notify::new() }
    }

    /// Takes a call into its user's queue.
    ///
    /// # Errors
    /// [`Over`].
    pub(crate) fn enter(&self, uid: Uid, call: Waiting) -> Result<(), Over> {
        let mut lanes = self.lanes.borrow_mut();
        let lane = lanes.entry(uid).or_default();
        let of_one = self.most.div_ceil(PART_OF_ONE_CONNECTION);
        let bytes = call.message.data().len();
        if lane.calls >= self.most {
            return Err(Over::Calls(self.most));
        }
        if lane.open.get(&call.name).is_some_and(|open| *open >= of_one) {
            return Err(Over::Connection(of_one));
        }
        // One is taken however long it is: that is bounded elsewhere.
        if lane.calls > 0 && lane.bytes.saturating_add(bytes) > MAX_BYTES {
            return Err(Over::Bytes(MAX_BYTES));
        }
        lane.calls = lane.calls.saturating_add(1);
        lane.bytes = lane.bytes.saturating_add(bytes);
        let open = lane.open.entry(call.name.clone()).or_default();
        *open = open.saturating_add(1);
        if lane.waiting.is_empty() {
            self.order.borrow_mut().push_back(uid);
        }
        lane.waiting.push_back(call);
        self.woken.notify_one();
        Ok(())
    }

    /// Whether the user may be told of a refusal; else it is dropped.
    pub(crate) fn may_refuse(&self, uid: Uid) -> bool {
        self.lanes.borrow_mut().entry(uid).or_default().refusals.take(Instant::now())
    }

    /// The call whose turn it is, as soon as there is one. `others`: whether users other than this one are there.
    pub(crate) async fn next(self: &Rc<Self>, others: impl Fn(Uid) -> bool) -> Turn {
        loop {
            match self.pick(&others) {
                Ok(turn) => return turn,
                Err(None) => self.woken.notified().await,
                Err(Some(until)) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        () = self.woken.notified() => {}
                    }
                }
            }
        }
    }

    /// The call whose turn it is, or until when everyone who has one rests.
    fn pick(self: &Rc<Self>, others: &impl Fn(Uid) -> bool) -> Result<Turn, Option<Instant>> {
        let (mut lanes, mut order) = (self.lanes.borrow_mut(), self.order.borrow_mut());
        let now = Instant::now();
        let mut earliest = None::<Instant>;
        for _ in 0..order.len() {
            let Some(uid) = order.pop_front() else { break };
            let Some(lane) = lanes.get_mut(&uid) else { continue };
            if let Some(until) = lane.rests_until.filter(|until| *until > now && others(uid)) {
                earliest = Some(earliest.map_or(until, |earliest| earliest.min(until)));
                order.push_back(uid);
                continue;
            }
            let Some(call) = lane.waiting.pop_front() else { continue };
            if !lane.waiting.is_empty() {
                order.push_back(uid);
            }
            let (name, bytes) = (call.name.clone(), call.message.data().len());
            let begun = Begun { turns: Rc::clone(self), uid, name, bytes };
            return Ok(Turn { uid, call, begun });
        }
        Err(earliest)
    }

    /// A user's call took this long.
    fn charge(&self, uid: Uid, took: Duration) {
        if let Some(lane) = self.lanes.borrow_mut().get_mut(&uid) {
            let now = Instant::now();
            let from = lane.rests_until.map_or(now, |until| until.max(now));
            lane.rests_until = Some(from + took.saturating_mul(REST));
        }
    }

    /// Forgets who has nothing here, and rests from nothing. To be called now and then.
    pub(crate) fn forget_idle(&self) {
        let now = Instant::now();
        self.lanes.borrow_mut().retain(|_, lane| {
            lane.calls > 0 || lane.rests_until.is_some_and(|until| until > now) || !lane.refusals.is_full(now)
        });
    }
}

impl Begun {
    /// Runs the call's work, whose time is counted.
    pub(crate) async fn measured<T>(self, work: impl Future<Output = T>) -> T {
        self.turns.charge(self.uid, TRANSPORT);
        Measured { work: Box::pin(work), turns: &self.turns, uid: self.uid }.await
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut lanes = self.turns.lanes.borrow_mut();
        let Some(lane) = lanes.get_mut(&self.uid) else { return };
        lane.calls = lane.calls.saturating_sub(1);
        lane.bytes = lane.bytes.saturating_sub(self.bytes);
        if let Some(open) = lane.open.get_mut(&self.name) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                lane.open.remove(&self.name);
            }
        }
    }
}

/// Work whose time on the thread that serves all is charged to its user.
struct Measured<'t, W> {
    work: Pin<Box<W>>,
    turns: &'t Turns,
    uid: Uid,
}

impl<W: Future> Future for Measured<'_, W> {
    type Output = W::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<W::Output> {
        let begun = Instant::now();
        let polled = self.work.as_mut().poll(context);
        self.turns.charge(self.uid, begun.elapsed());
        polled
    }
}

/// Refusals that a user may be told of: so many at once, and another one after a time.
#[derive(Debug)]
struct Refusals {
    left: u32,
    since: Instant,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { left: MAX_REFUSALS, since: Instant::now() }
    }
}

impl Refusals {
    fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left == MAX_REFUSALS
    }

    fn refill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.since);
        let more = u32::try_from(since.as_nanos() / REFUSAL_EVERY.as_nanos()).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(MAX_REFUSALS);
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Work;

    fn name(number: usize) -> OwnedUniqueName {
        OwnedUniqueName::try_from(format!(":1.{number}")).unwrap()
    }

    fn call(connection: usize, bytes: usize) -> Waiting {
        let message = Message::method_call("/", "M").build(&vec![0_u8; bytes]).unwrap();
        Waiting { message, name: name(connection), running: Work::new().begin() }
    }

    async fn next(turns: &Rc<Turns>) -> Turn {
        tokio::time::timeout(Duration::from_secs(5), turns.next(|_| true)).await.unwrap()
    }

    #[tokio::test]
    async fn users_take_turns_however_many_calls_one_has() {
        let turns = Rc::new(Turns::new(100));
        for _ in 0..20 {
            turns.enter(1, call(1, 0)).unwrap();
        }
        turns.enter(2, call(2, 0)).unwrap();
        turns.enter(3, call(3, 0)).unwrap();
        let mut whose = Vec::new();
        for _ in 0..5 {
            whose.push(next(&turns).await.uid);
        }
        assert_eq!(whose, [1, 2, 3, 1, 1]);
    }

    #[tokio::test]
    async fn one_connections_calls_keep_their_order() {
        let turns = Rc::new(Turns::new(100));
        for bytes in [7, 3, 5] {
            turns.enter(1, call(1, bytes)).unwrap();
        }
        for bytes in [7, 3, 5] {
            let turn = next(&turns).await;
            let body: Vec<u8> = turn.call.message.body().deserialize().unwrap();
            assert_eq!(body.len(), bytes);
        }
    }

    #[tokio::test]
    async fn what_waits_is_bounded_and_what_ended_makes_room() {
        let turns = Rc::new(Turns::new(8));
        for connection in [1, 1, 2, 2, 3, 3, 4, 4] {
            turns.enter(1, call(connection, 0)).unwrap();
        }
        assert_eq!(turns.enter(1, call(5, 0)), Err(Over::Calls(8)));
        turns.enter(2, call(9, 0)).unwrap();
        turns.enter(2, call(9, 0)).unwrap();
        assert_eq!(turns.enter(2, call(9, 0)), Err(Over::Connection(2)));
        turns.enter(2, call(8, 0)).unwrap();
        let turn = next(&turns).await;
        assert_eq!(turns.enter(1, call(1, 0)), Err(Over::Calls(8)), "it counts until it is answered");
        drop(turn);
        turns.enter(1, call(1, 0)).unwrap();
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_bytes() {
        let turns = Rc::new(Turns::new(100));
        turns.enter(1, call(1, 9 << 20)).unwrap();
        assert_eq!(turns.enter(1, call(1, 9 << 20)), Err(Over::Bytes(MAX_BYTES)));
        turns.enter(1, call(1, 1 << 20)).unwrap();
        turns.enter(2, call(2, 9 << 20)).unwrap();
    }

    #[tokio::test]
    async fn who_took_long_rests_while_others_are_there_and_only_then() {
        let turns = Rc::new(Turns::new(100));
        turns.enter(1, call(1, 0)).unwrap();
        turns.enter(1, call(1, 0)).unwrap();
        let begun = Instant::now();
        let took = Duration::from_millis(40);
        // Work on the thread that serves all.
        let turn = next(&turns).await;
        turn.begun.measured(async { std::thread::sleep(took) }).await;
        turns.enter(2, call(2, 0)).unwrap();
        assert_eq!(next(&turns).await.uid, 2);
        assert!(begun.elapsed() < took * 2);
        assert_eq!(next(&turns).await.uid, 1);
        assert!(begun.elapsed() >= took * (1 + REST));
        // Alone, nobody rests.
        turns.enter(1, call(1, 0)).unwrap();
        turns.charge(1, Duration::from_secs(60));
        assert_eq!(turns.next(|_| false).await.uid, 1);
    }

    #[tokio::test]
    async fn refusals_are_told_as_long_as_they_are_no_flood() {
        let turns = Rc::new(Turns::new(1));
        let told = (0..1000).filter(|_| turns.may_refuse(1)).count();
        assert!((64..200).contains(&told), "{told}");
        assert!(turns.may_refuse(2));
        tokio::time::sleep(REFUSAL_EVERY * 2).await;
        assert!(turns.may_refuse(1));
    }

    #[tokio::test]
    async fn who_has_nothing_here_is_forgotten() {
        let turns = Rc::new(Turns::new(2));
        for uid in 0..50 {
            turns.enter(uid, call(1, 0)).unwrap();
            drop(next(&turns).await);
        }
        turns.enter(7, call(1, 0)).unwrap();
        turns.forget_idle();
        assert_eq!(turns.lanes.borrow().len(), 1);
    }
}
