//! Keys in ports that a test plugs them into and pulls them out of.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]

use ctap_client::{Chosen, Keys, Wanted};
use ctap_core::Error;
use ctap_core::ceremony::{
    CredentialRequest, Event, GetAssertion, MakeCredential, NewCredential, PinRequest, SetPin, User, run,
};
use ctap_core::messages::{CommandCode, RelyingParty, UserAccount};
use ctap_core::transport::{
    CancelToken, Device, DeviceDescription, KeepaliveStatus, Transport, TransportError, TransportKind,
    Watcher,
};
use fwp_cose::SignatureAlgorithm;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use virtual_keys::{Key, Touch, Typist};

pub const RP_ID: &str = "bank.example";
pub const PIN: &str = "4711-pin";
/// Long enough for anything that ends soon.
pub const SOON: Duration = Duration::from_secs(20);

/// Command in, and the device's answer where it is to be another than the key's.
pub type Answer = Arc<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// What is in a port.
#[derive(Clone)]
pub struct Plugged {
    pub key: Key,
    pub seat: String,
    /// Why it can't be opened.
    pub refusal: Option<TransportError>,
    /// It takes commands and never answers, until it is cancelled.
    pub mute: bool,
    pub answer: Option<Answer>,
}

impl Plugged {
    pub fn new(key: &Key) -> Self {
        Self { key: key.clone(), seat: "seat0".to_owned(), refusal: None, mute: false, answer: None }
    }
}

/// The ports of a machine, as a transport. Clones are the same.
#[derive(Clone)]
pub struct Ports(Arc<Inner>);

struct Inner {
    kind: TransportKind,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    last: u32,
    changes: u64,
    restarts: u64,
    plugged: Vec<(String, Plugged)>,
    unavailable: Option<TransportError>,
    log: Log,
}

/// How often what was called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub opened: u32,
    pub begun: u32,
    pub ended: u32,
    pub closed: u32,
    pub watched: u32,
    pub waits: u32,
}

impl Ports {
    pub fn new() -> Self {
        Self::of(TransportKind::Usb)
    }

    pub fn of(kind: TransportKind) -> Self {
        Self(Arc::new(Inner { kind, state: Mutex::default(), changed: Condvar::new() }))
    }

    pub fn keys(&self) -> Keys {
        Keys::new(vec![Box::new(self.clone())])
    }

    pub fn plug_in(&self, key: &Key) -> String {
        self.plug(Plugged::new(key))
    }

    pub fn plug(&self, plugged: Plugged) -> String {
        self.change(|state| {
            state.last += 1;
            let id = format!("port{}", state.last);
            state.plugged.push((id.clone(), plugged));
            id
        })
    }

    /// Pulls the key in this port out, whatever it is doing.
    pub fn pull_out(&self, id: &str) {
        let pulled = self.change(|state| {
            let at = state.plugged.iter().position(|(of, _)| of == id).unwrap();
            state.plugged.remove(at).1
        });
        pulled.key.unplug();
    }

    pub fn fail(&self, error: TransportError) {
        self.change(|state| state.unavailable = Some(error));
    }

    /// What watches the ports breaks, and can be had anew.
    pub fn restart(&self) {
        self.change(|state| state.restarts += 1);
    }

    pub fn log(&self) -> Log {
        self.0.state.lock().unwrap().log.clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.state.lock().unwrap();
        state.changes += 1;
        self.0.changed.notify_all();
        change(&mut state)
    }

    fn note(&self, note: impl FnOnce(&mut Log)) {
        note(&mut self.0.state.lock().unwrap().log);
    }

    fn has(&self, id: &str) -> Result<(), TransportError> {
        let state = self.0.state.lock().unwrap();
        state.plugged.iter().any(|(of, _)| of == id).then_some(()).ok_or(TransportError::Gone)
    }
}

impl Transport for Ports {
    fn kind(&self) -> TransportKind {
        self.0.kind
    }

    fn devices(&self) -> Result<Vec<DeviceDescription>, TransportError> {
        let state = self.0.state.lock().unwrap();
        if let Some(error) = &state.unavailable {
            return Err(error.clone());
        }
        let describe = |(id, plugged): &(String, Plugged)| DeviceDescription {
            kind: self.0.kind,
            id: id.clone(),
            name: "OpenSK".to_owned(),
            seat: plugged.seat.clone(),
        };
        Ok(state.plugged.iter().map(describe).collect())
    }

    fn open(&self, id: &str) -> Result<Box<dyn Device>, TransportError> {
        self.has(id)?;
        self.note(|log| log.opened += 1);
        let state = self.0.state.lock().unwrap();
        let plugged = state.plugged.iter().find(|(of, _)| of == id).unwrap().1.clone();
        match plugged.refusal {
            Some(refusal) => Err(refusal),
            None => Ok(Box::new(Port { ports: self.clone(), id: id.to_owned(), plugged })),
        }
    }

    fn watch(&self) -> Result<Box<dyn Watcher>, TransportError> {
        self.note(|log| log.watched += 1);
        let state = self.0.state.lock().unwrap();
        if let Some(error) = &state.unavailable {
            return Err(error.clone());
        }
        Ok(Box::new(PortsWatcher { ports: self.clone(), seen: state.changes, restarts: state.restarts }))
    }
}

struct PortsWatcher {
    ports: Ports,
    seen: u64,
    restarts: u64,
}

impl Watcher for PortsWatcher {
    fn wait(&mut self, cancel: &CancelToken) -> Result<(), TransportError> {
        self.ports.note(|log| log.waits += 1);
        let inner = Arc::clone(&self.ports.0);
        let _registration = cancel.on_cancel(move || {
            let _state = inner.state.lock().unwrap();
            inner.changed.notify_all();
        });
        let state = self.ports.0.state.lock().unwrap();
        let waiting = |state: &mut State| state.changes == self.seen && !cancel.is_cancelled();
        let state = self.ports.0.changed.wait_while(state, waiting).unwrap();
        self.seen = state.changes;
        if cancel.is_cancelled() {
            return Err(TransportError::Cancelled);
        }
        let broken = state.unavailable.is_some() || state.restarts != self.restarts;
        if broken { Err(TransportError::Io("the service went away".to_owned())) } else { Ok(()) }
    }
}

/// A key in its port, opened.
struct Port {
    ports: Ports,
    id: String,
    plugged: Plugged,
}

impl Device for Port {
    fn begin(&mut self) -> Result<(), TransportError> {
        self.ports.note(|log| log.begun += 1);
        Ok(())
    }

    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        self.ports.has(&self.id)?;
        if self.plugged.mute {
            let (wake, woken) = channel();
            let _registration = cancel.on_cancel(move || {
                let _ = wake.send(());
            });
            let _ = woken.recv_timeout(SOON);
            return Err(TransportError::Cancelled);
        }
        if let Some(answer) = self.plugged.answer.as_ref().and_then(|answer| answer(command)) {
            return Ok(answer);
        }
        let response = self.plugged.key.device().transact(command, on_keepalive, cancel)?;
        self.ports.has(&self.id)?;
        Ok(response)
    }

    fn end(&mut self) {
        self.ports.note(|log| log.ended += 1);
    }

    fn wink(&mut self) -> Result<(), TransportError> {
        self.plugged.key.device().wink()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.ports.note(|log| log.closed += 1);
    }
}

/// A user who has every event told to the test as it comes.
pub struct Teller(pub Sender<Event>);

impl User for Teller {
    fn pin(&mut self, _: &PinRequest) -> Option<ctap_core::Pin> {
        panic!("choosing needs no PIN")
    }

    fn status(&mut self, event: Event) {
        self.0.send(event).unwrap();
    }
}

/// A choice under way.
pub struct Choosing {
    pub events: Receiver<Event>,
    pub cancel: CancelToken,
    result: Receiver<Result<Chosen, Error>>,
}

impl Choosing {
    pub fn begin(keys: &Keys, wanted: Wanted) -> Self {
        Self::among(keys, wanted, |_| true)
    }

    pub fn among(
        keys: &Keys,
        wanted: Wanted,
        usable: impl Fn(&DeviceDescription) -> bool + Send + 'static,
    ) -> Self {
        let (keys, cancel) = (keys.clone(), CancelToken::new());
        let (tell, events) = channel();
        let (done, result) = channel();
        let token = cancel.clone();
        std::thread::spawn(move || {
            let chosen = keys.choose(&wanted, &usable, &mut Teller(tell), &token);
            // A test that ends without asking does not care.
            let _ = done.send(chosen);
        });
        Self { events, cancel, result }
    }

    /// The next thing that the user is told.
    pub fn told(&self) -> Event {
        self.events.recv_timeout(SOON).expect("an event")
    }

    pub fn end(&self) -> Result<Chosen, Error> {
        self.result().expect("an end of the choice")
    }

    /// The end, if it comes soon.
    pub fn result(&self) -> Option<Result<Chosen, Error>> {
        self.result.recv_timeout(SOON).ok()
    }

    /// Nothing has come of it for a while.
    pub fn goes_on(&self) -> bool {
        self.result.recv_timeout(Duration::from_millis(150)).is_err()
    }
}

pub fn opensk() -> Key {
    virtual_keys::opensk::key(Touch::Waits)
}

/// A key with a PIN and a credential for [`RP_ID`].
pub fn enrolled() -> (Key, NewCredential) {
    let key = virtual_keys::opensk::key(Touch::AtOnce);
    let credential = enroll(&key, &mut key.device());
    (key, credential)
}

/// Sets a PIN on `device` and makes a credential. `key`, which it is, waits for touches afterwards.
pub fn enroll(key: &Key, device: &mut dyn Device) -> NewCredential {
    let (random, cancel) = (&mut virtual_keys::OsRandom, CancelToken::new());
    run(&mut SetPin::new(), device, &mut Typist::new(&[PIN]), random, &cancel).unwrap();
    let mut ceremony = MakeCredential::new(credential_request());
    let credential = run(&mut ceremony, device, &mut Typist::new(&[PIN]), random, &cancel).unwrap();
    key.set_touch(Touch::Waits);
    credential
}

pub fn credential_request() -> CredentialRequest {
    CredentialRequest {
        rp: RelyingParty { id: RP_ID.to_owned(), name: Some("Bank".to_owned()) },
        user: UserAccount { id: vec![1; 16], name: Some("alice".to_owned()), display_name: None },
        client_data_hash: [7; 32],
        algorithms: vec![SignatureAlgorithm::Es256],
        exclude: Vec::new(),
    }
}

pub fn get_assertion(credential: &NewCredential) -> GetAssertion {
    GetAssertion::new(ctap_core::ceremony::AssertionRequest {
        rp_id: RP_ID.to_owned(),
        client_data_hash: [9; 32],
        credential_id: credential.credential_id.clone(),
        public_key: credential.public_key.clone(),
        algorithm: credential.algorithm,
    })
}

pub fn holder(credential: &NewCredential) -> Wanted {
    Wanted::Holder { rp_id: RP_ID.to_owned(), credential_id: credential.credential_id.clone() }
}

/// How often `key` got `command`.
pub fn count(key: &Key, command: CommandCode) -> usize {
    key.seen().commands.iter().filter(|bytes| bytes.first() == Some(&command.byte())).count()
}
