//! Which of the keys is used.
//!
//! Every key that is there and usable is asked, each on a thread of its own: what it can do, and silently whether it holds
//! the card's key. The one that says so is the one. Else those that may do are left: if there is one, that is it; of
//! several the user touches one (authenticatorSelection, CTAP 2.1 section 6.9; a card that lies on a reader may answer it
//! at once, since laying it there was the touch); where there is none we wait for one. A key can lie about what it holds,
//! to be given the PIN of another: so of several that say that they are the one, the user chooses too. Nothing here is
//! decided on those threads: they report, and [`Choice`] decides on the thread that called [`Keys::choose`].

use crate::session::Session;
use crate::slot::{ANSWERING, Slot, Use};
use crate::{KeyId, Keys, Watch};
use ctap_core::ceremony::{Event, Held, PinRequest, Unfit, User, preflight, select};
use ctap_core::messages::{CredentialId, GetInfo};
use ctap_core::transport::{CancelToken, Device, DeviceDescription, TransportError};
use ctap_core::{Error, Pin};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How long keys that have answered wait for others that have not.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the keys that were not chosen may take to end what they do.
const ENDING: Duration = Duration::from_secs(2);
/// A key that says sooner than this that the user did not touch it in time is not asked again.
const SHORTEST_TOUCH: Duration = Duration::from_secs(1);

/// Which key is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    Key(KeyId),
    /// The only one there, or the one that the user touches.
    Any,
    /// The one that has this credential.
    Holder {
        /// For which relying party.
        rp_id: String,
        /// The credential.
        credential_id: CredentialId,
    },
}

/// The key to use.
pub struct Chosen {
    /// Which.
    pub id: KeyId,
    /// What the transport says of it.
    pub description: DeviceDescription,
    /// What it says of itself.
    pub info: GetInfo,
    /// The key, opened: one session until it is dropped.
    pub device: Box<dyn Device>,
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chosen")
            .field("id", &self.id)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Opens the key to be used. Blocks until it is clear which one that is, or `cancel` is cancelled, which ends it in
    /// all devices.
    ///
    /// Only keys that are `usable` take part. Those that are plugged in meanwhile join, those that are pulled out leave.
    /// `user` is told, on this thread: [`Event::DeviceWanted`] while none is there, [`Event::OtherDeviceWanted`] while
    /// none of those there will do, [`Event::ChoiceWanted`] while several wait for the touch that chooses.
    ///
    /// # Errors
    /// [`Error`]: `Cancelled`; for [`Wanted::Key`] whatever is wrong with it, `Transport(Gone)` if no usable one is it;
    /// else what is wrong with a key that can't be asked (another program uses it, no permission), where no other
    /// will do; what is wrong with the transports, where none can be used; `Denied` if the user said no on the last
    /// key that was left.
    pub fn choose(
        &self,
        wanted: &Wanted,
        usable: &dyn Fn(&DeviceDescription) -> bool,
        user: &mut dyn User,
        cancel: &CancelToken,
    ) -> Result<Chosen, Error> {
        let (reporter, reports) = channel();
        let cancelled = reporter.clone();
        // Nobody reads it once the choice is made.
        let _registration = cancel.on_cancel(move || drop(cancelled.send(Report::Cancelled)));
        let mut choice = Choice {
            keys: self,
            wanted,
            usable,
            reporter,
            reports,
            contenders: BTreeMap::new(),
            threads: 0,
            patience: None,
            watch: None,
            shown: None,
        };
        let chosen = choice.make(user, cancel);
        choice.end();
        chosen
    }
}

/// What the threads say.
enum Report {
    /// `cancel` was cancelled.
    Cancelled,
    /// Keys came or went.
    Changed,
    /// A key was asked. The thread has ended.
    Asked(KeyId, Result<(Ready, Fit), Error>),
    /// A key was touched, or not. The thread has ended.
    Touched(KeyId, Ready, Result<(), Error>, Duration),
}

/// A key that is open and has said what it can do.
struct Ready {
    session: Session,
    info: GetInfo,
}

/// Whether a key is the one that is wanted.
enum Fit {
    Yes,
    Maybe,
    No,
}

struct Choice<'a> {
    keys: &'a Keys,
    wanted: &'a Wanted,
    usable: &'a dyn Fn(&DeviceDescription) -> bool,
    reporter: Sender<Report>,
    reports: Receiver<Report>,
    /// Every usable key that is there.
    contenders: BTreeMap<KeyId, Contender>,
    /// How many threads have not reported yet.
    threads: usize,
    /// Until when one that has answered waits for those that have not.
    patience: Option<Instant>,
    watch: Option<Watch>,
    shown: Option<Event>,
}

struct Contender {
    slot: Arc<Slot>,
    cancel: CancelToken,
    state: State,
}

enum State {
    /// It is being asked.
    Asked { until: Instant },
    /// It was touched: it is the one.
    Touched(Ready),
    /// It says that it is the one.
    Holder(Ready),
    /// It may be.
    Candidate(Ready),
    /// It waits for the touch.
    Blinking { holder: bool },
    /// It is not the one.
    Unfit(Unfit),
    /// It can't be used.
    Failed(Error),
    /// It is gone, and its transport will say so soon.
    Gone,
}

impl Choice<'_> {
    fn make(&mut self, user: &mut dyn User, cancel: &CancelToken) -> Result<Chosen, Error> {
        self.look()?;
        loop {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if let Some(id) = self.decide(user)? {
                return self.take(id);
            }
            match self.next() {
                Some(Report::Cancelled) => return Err(Error::Cancelled),
                Some(Report::Changed) => self.look()?,
                Some(Report::Asked(id, answer)) => self.asked(id, answer),
                Some(Report::Touched(id, ready, result, after)) => self.touched(id, ready, result, after),
                None => {}
            }
        }
    }

    /// The next report; `None` when it is time to decide without those that have not answered.
    fn next(&self) -> Option<Report> {
        let now = Instant::now();
        for contender in self.contenders.values() {
            if matches!(contender.state, State::Asked { until } if until <= now) {
                // It reports soon that it was cancelled.
                contender.cancel.cancel();
            }
        }
        let answering = self.contenders.values().filter_map(|contender| match contender.state {
            State::Asked { until } => Some([Some(until), self.patience]),
            _ => None,
        });
        match answering.flatten().flatten().filter(|until| *until > now).min() {
            Some(until) => self.reports.recv_timeout(until.saturating_duration_since(now)).ok(),
            // It can't fail: this has a sender too.
            None => self.reports.recv().ok(),
        }
    }

    /// Looks which keys are there: asks those that came, and leaves those that went.
    fn look(&mut self) -> Result<(), Error> {
        let present = self.keys.present();
        let wanted = |slot: &Slot| match self.wanted {
            Wanted::Key(id) => slot.id() == *id,
            Wanted::Any | Wanted::Holder { .. } => true,
        };
        let slots: Vec<_> = present
            .slots
            .into_iter()
            .filter(|slot| wanted(slot) && (self.usable)(slot.description()))
            .collect();
        self.contenders.retain(|id, contender| {
            let there = slots.iter().any(|slot| slot.id() == *id);
            if !there {
                contender.cancel.cancel();
            }
            there
        });
        if slots.is_empty() {
            if let Wanted::Key(_) = self.wanted {
                return Err(TransportError::Gone.into());
            }
            if present.unavailable.len() == self.keys.transports().len()
                && let Some((_, error)) = present.unavailable.into_iter().next()
            {
                return Err(error.into());
            }
        }
        for slot in slots {
            if !self.contenders.contains_key(&slot.id()) {
                self.ask(slot);
            }
        }
        Ok(())
    }

    /// Asks a key what it can do, and whether it holds what is wanted.
    fn ask(&mut self, slot: Arc<Slot>) {
        let cancel = CancelToken::new();
        let (asked, wanted, token) = (Arc::clone(&slot), self.wanted.clone(), cancel.clone());
        let started = self.start(move |reporter| {
            let answer = ask(&asked, &wanted, &token);
            let _ = reporter.send(Report::Asked(asked.id(), answer));
        });
        let until = Instant::now() + ANSWERING;
        let state = started.map_or_else(State::Failed, |()| State::Asked { until });
        self.contenders.insert(slot.id(), Contender { slot, cancel, state });
    }

    fn asked(&mut self, id: KeyId, answer: Result<(Ready, Fit), Error>) {
        self.threads -= 1;
        // One that was pulled out meanwhile is forgotten, and closed here.
        let Some(contender) = self.contenders.get_mut(&id) else { return };
        contender.state = match answer {
            Ok((ready, Fit::Yes)) => State::Holder(ready),
            Ok((ready, Fit::Maybe)) => State::Candidate(ready),
            Ok((_, Fit::No)) => State::Unfit(Unfit::WithoutKey),
            Err(error) => State::after(error),
        };
    }

    /// Which key it is, if that is clear; else sees to it that it becomes so.
    fn decide(&mut self, user: &mut dyn User) -> Result<Option<KeyId>, Error> {
        if let Some(id) = self.find(|state| matches!(state, State::Touched(_))) {
            return Ok(Some(id));
        }
        let holders =
            self.count(|state| matches!(state, State::Holder(_) | State::Blinking { holder: true }));
        let candidates = self.count(|state| matches!(state, State::Candidate(_)));
        let choosing = self.is_any(|state| matches!(state, State::Blinking { .. }));
        let asking = self.is_any(|state| matches!(state, State::Asked { .. }));
        let none_yet = !choosing && holders + candidates == 0;
        let is_patient = self.is_patient(holders + candidates);
        if asking && (none_yet || is_patient) {
            return Ok(None);
        }
        if holders == 1
            && let Some(id) = self.find(|state| matches!(state, State::Holder(_)))
        {
            return Ok(Some(id));
        }
        if !choosing && holders == 0 {
            if candidates == 1 {
                return Ok(self.find(|state| matches!(state, State::Candidate(_))));
            }
            if candidates == 0
                && let Some(error) = self.failure()
            {
                return Err(error);
            }
        }
        // What came before the watch began may be the one.
        if self.watch.is_none() {
            self.watch()?;
            return self.decide(user);
        }
        if none_yet {
            self.show(user, self.another_wanted());
        } else {
            self.show(user, Event::ChoiceWanted);
            self.blink(holders > 0);
        }
        Ok(None)
    }

    /// Whether those that have answered, so many, wait for the others yet. Keys that come and go meanwhile prolong nothing.
    fn is_patient(&mut self, answered: usize) -> bool {
        if answered == 0 {
            self.patience = None;
            return false;
        }
        let now = Instant::now();
        now < *self.patience.get_or_insert(now + PATIENCE)
    }

    /// What keeps a key from being asked, which might be the one.
    fn failure(&self) -> Option<Error> {
        let certain = matches!(self.wanted, Wanted::Key(_));
        self.contenders.values().find_map(|contender| match &contender.state {
            State::Failed(error) => Some(error.clone()),
            State::Unfit(Unfit::TooOld) if certain => Some(TransportError::TooOld.into()),
            State::Gone if certain => Some(TransportError::Gone.into()),
            _ => None,
        })
    }

    /// What the user is told where none of the keys will do.
    fn another_wanted(&self) -> Event {
        [Unfit::WithoutKey, Unfit::TooOld]
            .into_iter()
            .find(|unfit| self.is_any(|state| matches!(state, State::Unfit(of) if of == unfit)))
            .map_or(Event::DeviceWanted, Event::OtherDeviceWanted)
    }

    /// Has every candidate wait for a touch, or, if `holder`, every one that says that it is the one.
    fn blink(&mut self, holder: bool) {
        let mut candidates = Vec::new();
        for (id, contender) in &mut self.contenders {
            match std::mem::replace(&mut contender.state, State::Blinking { holder }) {
                State::Holder(ready) if holder => candidates.push((*id, ready, contender.cancel.clone())),
                State::Candidate(ready) if !holder => candidates.push((*id, ready, contender.cancel.clone())),
                state => contender.state = state,
            }
        }
        for (id, mut ready, cancel) in candidates {
            let started = self.start(move |reporter| {
                let since = Instant::now();
                let result = select(&mut ready.session, &mut Nobody, &cancel);
                let _ = reporter.send(Report::Touched(id, ready, result, since.elapsed()));
            });
            if let (Err(error), Some(contender)) = (started, self.contenders.get_mut(&id)) {
                contender.state = State::Failed(error);
            }
        }
    }

    fn touched(&mut self, id: KeyId, ready: Ready, result: Result<(), Error>, after: Duration) {
        self.threads -= 1;
        let Some(contender) = self.contenders.get_mut(&id) else { return };
        contender.state = match result {
            Ok(()) => State::Touched(ready),
            // The user is still to choose: it goes on blinking.
            Err(Error::Timeout) if after >= SHORTEST_TOUCH => match contender.state {
                State::Blinking { holder: true } => State::Holder(ready),
                _ => State::Candidate(ready),
            },
            Err(error) => State::after(error),
        };
    }

    /// Begins to watch for keys, and looks once more.
    fn watch(&mut self) -> Result<(), Error> {
        let reporter = self.reporter.clone();
        self.watch = Some(self.keys.watch(move || drop(reporter.send(Report::Changed))));
        self.look()
    }

    fn show(&mut self, user: &mut dyn User, event: Event) {
        if self.shown.replace(event) != Some(event) {
            user.status(event);
        }
    }

    fn take(&mut self, id: KeyId) -> Result<Chosen, Error> {
        let contender = self.contenders.remove(&id);
        match contender.map(|contender| (contender.slot, contender.state)) {
            Some((slot, State::Touched(ready) | State::Holder(ready) | State::Candidate(ready))) => {
                Ok(Chosen {
                    id,
                    description: slot.description().clone(),
                    info: ready.info,
                    device: Box::new(ready.session),
                })
            }
            _ => Err(TransportError::Gone.into()),
        }
    }

    /// Stops all that still runs, in the devices too, and waits until it has ended; not for ever, though.
    fn end(mut self) {
        self.watch = None;
        self.contenders.values().for_each(|contender| contender.cancel.cancel());
        self.contenders.clear();
        let deadline = Instant::now() + ENDING;
        while self.threads > 0 {
            match self.reports.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Report::Asked(..) | Report::Touched(..)) => self.threads -= 1,
                Ok(Report::Cancelled | Report::Changed) => {}
                Err(_) => return,
            }
        }
    }

    fn start(&mut self, work: impl FnOnce(&Sender<Report>) + Send + 'static) -> Result<(), Error> {
        let reporter = self.reporter.clone();
        std::thread::Builder::new()
            .name("security key".to_owned())
            .spawn(move || work(&reporter))
            .map_err(|error| TransportError::Io(error.to_string()))?;
        self.threads += 1;
        Ok(())
    }

    fn is_any(&self, is: impl Fn(&State) -> bool) -> bool {
        self.find(is).is_some()
    }

    fn find(&self, is: impl Fn(&State) -> bool) -> Option<KeyId> {
        self.contenders.iter().find(|(_, contender)| is(&contender.state)).map(|(id, _)| *id)
    }

    fn count(&self, is: impl Fn(&State) -> bool) -> usize {
        self.contenders.values().filter(|contender| is(&contender.state)).count()
    }
}

impl State {
    /// After a key could not be used, for `error`.
    fn after(error: Error) -> Self {
        match error {
            Error::Transport(TransportError::TooOld) => Self::Unfit(Unfit::TooOld),
            Error::Transport(TransportError::Gone) => Self::Gone,
            // By us, since it did not answer: who is cancelled by the caller reports to nobody.
            Error::Cancelled => Self::Failed(TransportError::Timeout.into()),
            error => Self::Failed(error),
        }
    }
}

fn ask(slot: &Arc<Slot>, wanted: &Wanted, cancel: &CancelToken) -> Result<(Ready, Fit), Error> {
    let mut session = Session::open(slot, Use::Ceremony)?;
    let info = Slot::ask(&mut session, cancel)?;
    let fit = match wanted {
        Wanted::Key(_) => Fit::Yes,
        Wanted::Any => Fit::Maybe,
        Wanted::Holder { rp_id, credential_id } => {
            match preflight(&mut session, &info, rp_id, std::slice::from_ref(credential_id), cancel)? {
                Held::Yes(_) => Fit::Yes,
                Held::No => Fit::No,
                Held::Unclear => Fit::Maybe,
            }
        }
    };
    Ok((Ready { session, info }, fit))
}

/// While several keys blink, what each of them waits for is said once, for all.
struct Nobody;

impl User for Nobody {
    fn pin(&mut self, _: &PinRequest) -> Option<Pin> {
        None
    }

    fn status(&mut self, _: Event) {}
}
