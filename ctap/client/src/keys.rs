//! Which keys there are.

use crate::session::Session;
use crate::slot::{ANSWERING, Slot, Use};
use ctap_core::Error;
use ctap_core::messages::GetInfo;
use ctap_core::transport::{
    CancelToken, Device, DeviceDescription, Transport, TransportError, TransportKind,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

/// A key, from when it was plugged in (or laid on the reader) until it is gone. Never reused in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub u64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key that is there.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which.
    pub id: KeyId,
    /// What the transport says of it.
    pub description: DeviceDescription,
    /// What it says of itself. It was asked once since it was plugged in, and again after what may have changed it.
    pub info: Result<GetInfo, Error>,
}

/// What is there.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The keys, those that were there first before others.
    pub keys: Vec<Found>,
    /// Which transports can't be used, and why.
    pub unavailable: Vec<(TransportKind, TransportError)>,
}

/// All keys of the machine. Clones are the same.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    transports: Vec<Arc<dyn Transport>>,
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    last: u64,
    /// By transport and its own ID.
    slots: BTreeMap<(usize, String), Arc<Slot>>,
}

/// The keys that are there now.
pub(crate) struct Present {
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) unavailable: Vec<(TransportKind, TransportError)>,
}

impl Keys {
    /// The keys of these transports. Nothing is asked yet.
    pub fn new(transports: Vec<Box<dyn Transport>>) -> Self {
        let transports = transports.into_iter().map(Arc::from).collect();
        Self(Arc::new(Inner { transports, registry: Mutex::default() }))
    }

    /// What is there now. A key that has not been asked yet what it can do is, which takes as long as it does, some
    /// seconds at most; one that a ceremony uses is left alone.
    pub fn list(&self) -> Listing {
        let Present { slots, unavailable } = self.present();
        Listing { keys: found(&slots), unavailable }
    }

    /// The key `id`, if it is still there.
    pub fn find(&self, id: KeyId) -> Option<Found> {
        self.slot(id).and_then(|slot| found(&[slot]).pop())
    }

    /// Opens the key `id`. As long as the device lives, nobody else in this process talks to the key.
    ///
    /// # Errors
    /// [`Error::Transport`]: `Gone` if it is no longer there, `Busy` if it is in use, and others.
    pub fn open(&self, id: KeyId) -> Result<Box<dyn Device>, Error> {
        let slot = self.slot(id).ok_or(Error::Transport(TransportError::Gone))?;
        Ok(Box::new(Session::open(&slot, Use::Ceremony)?))
    }

    pub(crate) fn slot(&self, id: KeyId) -> Option<Arc<Slot>> {
        self.present().slots.into_iter().find(|slot| slot.id() == id)
    }

    pub(crate) fn transports(&self) -> &[Arc<dyn Transport>] {
        &self.0.transports
    }

    /// Looks which keys are there, and gives new ones their IDs.
    pub(crate) fn present(&self) -> Present {
        // The lock is held while the transports look, so that an older look can't undo what a newer one saw.
        let mut registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut slots, mut unavailable) = (Vec::new(), Vec::new());
        for (index, transport) in self.0.transports.iter().enumerate() {
            match transport.devices() {
                Ok(devices) => {
                    registry.update(index, transport, devices);
                    let of = registry.slots.iter().filter(|((of, _), _)| *of == index);
                    slots.extend(of.map(|(_, slot)| Arc::clone(slot)));
                }
                // Its keys may still be there, and keep their IDs.
                Err(error) => unavailable.push((transport.kind(), error)),
            }
        }
        slots.sort_by_key(|slot| slot.id());
        Present { slots, unavailable }
    }
}

/// What the keys in these slots say of themselves.
fn found(slots: &[Arc<Slot>]) -> Vec<Found> {
    let cancel = CancelToken::new();
    let (done, answers) = channel();
    // Side by side, since each may take its time.
    std::thread::scope(|scope| {
        let ask = |slot: &Arc<Slot>| {
            let (slot, cancel, done) = (Arc::clone(slot), cancel.clone(), done.clone());
            scope.spawn(move || {
                let info = slot.info(&cancel);
                // It is counted as long as anybody waits.
                let _ = done.send(());
                info
            })
        };
        let asking: Vec<_> = slots.iter().map(|slot| slot.known().is_none().then(|| ask(slot))).collect();
        let deadline = Instant::now() + ANSWERING;
        for _ in asking.iter().flatten() {
            if answers.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_err() {
                cancel.cancel();
            }
        }
        let info = |(thread, slot): (Option<ScopedJoinHandle<'_, _>>, &Arc<Slot>)| match thread {
            Some(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => slot.info(&cancel),
        };
        slots.iter().zip(asking).map(|(slot, thread)| slot.found(info((thread, slot)))).collect()
    })
}

impl Registry {
    fn update(&mut self, index: usize, transport: &Arc<dyn Transport>, devices: Vec<DeviceDescription>) {
        self.slots.retain(|(of, id), _| *of != index || devices.iter().any(|device| device.id == *id));
        for description in devices {
            let last = &mut self.last;
            self.slots.entry((index, description.id.clone())).or_insert_with(|| {
                *last += 1;
                Arc::new(Slot::new(KeyId(*last), description, Arc::clone(transport)))
            });
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}
