//! One key that is plugged in: who uses it, and what is known of it.

use crate::keys::{Found, KeyId};
use crate::session::Session;
use ctap_core::Error;
use ctap_core::ceremony::get_info;
use ctap_core::messages::GetInfo;
use ctap_core::transport::{CancelToken, Device, DeviceDescription, Transport, TransportError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a key may take to say what it can do, and whether it holds what is wanted.
pub(crate) const ANSWERING: Duration = Duration::from_secs(4);

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is asked what it can do, which is soon over.
    Asking,
    /// A ceremony, or whatever else takes the user's time.
    Ceremony,
}

pub(crate) struct Slot {
    id: KeyId,
    description: DeviceDescription,
    transport: Arc<dyn Transport>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    used: Option<Use>,
    known: Option<Known>,
}

struct Known {
    info: Result<GetInfo, Error>,
    /// Something may have changed it since.
    stale: bool,
}

impl Slot {
    pub(crate) fn new(id: KeyId, description: DeviceDescription, transport: Arc<dyn Transport>) -> Self {
        Self { id, description, transport, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn description(&self) -> &DeviceDescription {
        &self.description
    }

    pub(crate) fn found(&self, info: Result<GetInfo, Error>) -> Found {
        Found { id: self.id, description: self.description.clone(), info }
    }

    /// What the key can do, as far as it is known without asking it.
    pub(crate) fn known(&self) -> Option<Result<GetInfo, Error>> {
        self.state().current()
    }

    /// What the key can do. It is asked if that is not known, until `cancel` says that it takes too long; not while a
    /// ceremony uses it.
    pub(crate) fn info(self: &Arc<Self>, cancel: &CancelToken) -> Result<GetInfo, Error> {
        match self.lease(Use::Asking)? {
            Leased::Known(info) => *info,
            Leased::Lease(lease) => Self::ask(&mut Session::with(lease)?, cancel),
        }
    }

    /// Takes the key for `used`, or says what is known of it, where that is enough for [`Use::Asking`].
    pub(crate) fn lease(self: &Arc<Self>, used: Use) -> Result<Leased, Error> {
        let deadline = Instant::now() + ANSWERING;
        let mut state = self.state();
        loop {
            match (state.used, used) {
                (None | Some(Use::Asking), Use::Asking) if let Some(info) = state.current() => {
                    return Ok(Leased::Known(Box::new(info)));
                }
                (None, _) => {
                    state.used = Some(used);
                    return Ok(Leased::Lease(Lease(Arc::clone(self))));
                }
                // What was known before is better than nothing.
                (Some(Use::Ceremony), Use::Asking) if let Some(known) = &state.known => {
                    return Ok(Leased::Known(Box::new(known.info.clone())));
                }
                (Some(Use::Ceremony), Use::Ceremony) => return Err(TransportError::Busy.into()),
                _ => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(TransportError::Busy.into());
            }
            (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Opens the key and begins a session with it.
    pub(crate) fn open(&self) -> Result<Box<dyn Device>, Error> {
        let opened = self.transport.open(&self.description.id).and_then(|mut device| {
            device.begin()?;
            Ok(device)
        });
        Ok(opened.inspect_err(|error| self.learn_error(error))?)
    }

    /// Asks the key what it can do.
    pub(crate) fn ask(session: &mut Session, cancel: &CancelToken) -> Result<GetInfo, Error> {
        // The session tells the slot what the key answers.
        match get_info(session, cancel) {
            // Only who asks too long is cancelled.
            Err(Error::Cancelled) => Err(TransportError::Timeout.into()),
            answer => answer.and_then(new_enough),
        }
    }

    /// The key has said what it can do, or has shown that it can't be used at all.
    pub(crate) fn learn(&self, info: Result<GetInfo, Error>) {
        self.state().known = Some(Known { info: info.and_then(new_enough), stale: false });
        self.changed.notify_all();
    }

    /// The key could not be used: some of the reasons stay.
    pub(crate) fn learn_error(&self, error: &TransportError) {
        if *error == TransportError::TooOld {
            self.learn(Err(TransportError::TooOld.into()));
        }
    }

    /// What is known of the key may be so no longer.
    pub(crate) fn forget(&self) {
        if let Some(known) = &mut self.state().known {
            known.stale = true;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn current(&self) -> Option<Result<GetInfo, Error>> {
        self.known.as_ref().filter(|known| !known.stale).map(|known| known.info.clone())
    }
}

/// What came of asking for a key.
pub(crate) enum Leased {
    /// It was not needed.
    Known(Box<Result<GetInfo, Error>>),
    /// It is ours.
    Lease(Lease),
}

/// The right to use a key; dropping it gives it back.
pub(crate) struct Lease(Arc<Slot>);

impl Lease {
    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.state().used = None;
        self.0.changed.notify_all();
    }
}

/// A key that answers getInfo may still speak U2F alone.
fn new_enough(info: GetInfo) -> Result<GetInfo, Error> {
    if info.speaks_ctap2() { Ok(info) } else { Err(TransportError::TooOld.into()) }
}
