//! Every ceremony, against any key over any transport, with either PIN/UV auth protocol.
//!
//! A test makes a [`Subject`] (a [`Key`] is one, in-process; [`Plugged`] is one over a transport) and calls [`run`]:
//!
//! ```no_run
//! use virtual_keys::suite::{Plan, run};
//! use virtual_keys::{Finger, Touch, opensk};
//! run("opensk", "in-process", &Plan::everything(), |finger| Box::new(opensk::key_with_finger(Touch::AtOnce, finger)));
//! ```
//!
//! `run` writes a row for every ceremony and protocol to the table (see [`crate::table`]) and fails the test if one of them
//! failed. What a key or transport can't do is a row too, with its reason. Where the table's directory is out of reach, in a
//! virtual machine say, [`perform`] gives the rows: print them, read them outside by `Row::from_str`, and pass them to
//! [`crate::table::record`].

mod ceremonies;

use crate::key::{Finger, Key, Touch};
use crate::table::{Outcome, Row, record};
use crate::user::{Between, OsRandom, Typist};
use ctap_core::Error;
use ctap_core::ceremony::{
    Assertion, AssertionRequest, ChangePin, CredentialRequest, GetAssertion, MakeCredential, NewCredential,
    SetPin, get_info,
};
use ctap_core::messages::{GetInfo, RelyingParty, Request, Response, UserAccount};
use ctap_core::pin_uv_auth::Protocol;
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use fwp_cose::SignatureAlgorithm;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is tried on each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is described by its Display")]
pub enum Ceremony {
    GetInfo,
    SetPin,
    ShortPin,
    WrongPin,
    ChangePin,
    Es256,
    EdDsa,
    Rs256,
    Excluded,
    GetAssertion,
    UnknownCredential,
    Preflight,
    PinNotSet,
    NoPinGiven,
    CancelAtTouch,
    DeclinedTouch,
    SoftBlock,
    BlockedForGood,
    Selection,
    Wink,
    Reset,
    BuiltInUv,
    UvFallsBack,
}

impl Ceremony {
    /// All, in the order of the table.
    pub const ALL: [Self; 23] = [
        Self::GetInfo,
        Self::SetPin,
        Self::ShortPin,
        Self::WrongPin,
        Self::ChangePin,
        Self::Es256,
        Self::EdDsa,
        Self::Rs256,
        Self::Excluded,
        Self::GetAssertion,
        Self::UnknownCredential,
        Self::Preflight,
        Self::PinNotSet,
        Self::NoPinGiven,
        Self::CancelAtTouch,
        Self::DeclinedTouch,
        Self::SoftBlock,
        Self::BlockedForGood,
        Self::Selection,
        Self::Wink,
        Self::Reset,
        Self::BuiltInUv,
        Self::UvFallsBack,
    ];
}

impl fmt::Display for Ceremony {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::GetInfo => "getInfo",
            Self::SetPin => "set a PIN, and no second one",
            Self::ShortPin => "a new PIN that is too short",
            Self::WrongPin => "wrong PIN, then the right one; attempts counted",
            Self::ChangePin => "change the PIN",
            Self::Es256 => "new key, ES256",
            Self::EdDsa => "new key, EdDSA",
            Self::Rs256 => "new key, RS256",
            Self::Excluded => "new key refused: one of the exclude list is there",
            Self::GetAssertion => "assertion, also after a power cycle",
            Self::UnknownCredential => "assertion refused: unknown key, other site",
            Self::Preflight => "silent question: which of thirty keys",
            Self::PinNotSet => "no PIN set: said before anything is asked",
            Self::NoPinGiven => "the user gives no PIN",
            Self::CancelAtTouch => "cancelled while it waits for a touch",
            Self::DeclinedTouch => "touch declined",
            Self::SoftBlock => "three wrong PINs: blocked until a power cycle",
            Self::BlockedForGood => "eight wrong PINs: blocked for good",
            Self::Selection => "selection by touch",
            Self::Wink => "wink",
            Self::Reset => "reset: keys and PIN are gone",
            Self::BuiltInUv => "built-in verification instead of the PIN",
            Self::UvFallsBack => "built-in verification fails: PIN asked for",
        })
    }
}

/// A key under test, with the hand that holds it.
pub trait Subject {
    /// Opens the key over its transport. Called again after each power cycle; what was opened before is dropped first.
    fn open(&mut self) -> Box<dyn Device>;

    /// Takes its power away and gives it back, by unplugging and plugging in say.
    fn power_cycle(&mut self);

    /// What the user does from now on when it waits for a touch.
    fn set_touch(&mut self, touch: Touch);

    /// Whose finger it is from now on, on a key with a sensor.
    fn set_finger(&mut self, finger: Finger);
}

/// In-process, without a transport's framing.
impl Subject for Key {
    fn open(&mut self) -> Box<dyn Device> {
        Box::new(self.device())
    }

    fn power_cycle(&mut self) {
        Key::power_cycle(self);
    }

    fn set_touch(&mut self, touch: Touch) {
        Key::set_touch(self, touch);
    }

    fn set_finger(&mut self, finger: Finger) {
        Key::set_finger(self, finger);
    }
}

/// A [`Key`] behind a transport: `plug` is whatever plugs it in there, `unplug` what pulls it out, `open` opens it.
pub struct Plugged<P> {
    /// The key.
    pub key: Key,
    /// What the three functions below work on: a test bed, a reader.
    pub place: P,
    /// Opens the key that is plugged in.
    pub open: fn(&mut P, &Key) -> Box<dyn Device>,
    /// Pulls it out, and plugs it in again: back only when it is there.
    pub replug: fn(&mut P, &Key),
}

impl<P> Subject for Plugged<P> {
    fn open(&mut self) -> Box<dyn Device> {
        (self.open)(&mut self.place, &self.key)
    }

    fn power_cycle(&mut self) {
        (self.replug)(&mut self.place, &self.key);
    }

    fn set_touch(&mut self, touch: Touch) {
        self.key.set_touch(touch);
    }

    fn set_finger(&mut self, finger: Finger) {
        self.key.set_finger(finger);
    }
}

/// What is run, and why the rest is not.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    skipped: Vec<(Ceremony, &'static str)>,
}

impl Plan {
    /// Everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Without `ceremonies`, for `reason`: that this key or transport has no such thing, or that it is slow and the case is
    /// shown elsewhere.
    #[must_use]
    pub fn without(mut self, ceremonies: &[Ceremony], reason: &'static str) -> Self {
        self.skipped.extend(ceremonies.iter().map(|ceremony| (*ceremony, reason)));
        self
    }

    /// `ceremonies` alone, for `reason`.
    #[must_use]
    pub fn only(ceremonies: &[Ceremony], reason: &'static str) -> Self {
        let others: Vec<_> =
            Ceremony::ALL.into_iter().filter(|ceremony| !ceremonies.contains(ceremony)).collect();
        Self::everything().without(&others, reason)
    }

    fn reason_against(&self, ceremony: Ceremony) -> Option<&'static str> {
        self.skipped.iter().find(|(skipped, _)| *skipped == ceremony).map(|(_, reason)| *reason)
    }
}

/// Runs `plan` with both PIN/UV auth protocols, records the rows, and panics if a ceremony failed. `fresh` makes a key as it
/// comes from the maker (with a sensor and an enrolled finger unless `Finger::None`), one for each ceremony.
pub fn run(key: &str, transport: &str, plan: &Plan, fresh: impl FnMut(Finger) -> Box<dyn Subject>) {
    let rows = perform(key, transport, plan, fresh);
    record(&rows).expect("the table of ceremonies can be written");
    let failed: Vec<_> = rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed(_))).collect();
    let text = failed.iter().map(|row| row.to_string()).collect::<Vec<_>>().join("\n");
    assert!(failed.is_empty(), "{} of {} ceremonies failed:\n{text}", failed.len(), rows.len());
}

/// As [`run`], but gives the rows to the caller, failures among them.
pub fn perform(
    key: &str,
    transport: &str,
    plan: &Plan,
    mut fresh: impl FnMut(Finger) -> Box<dyn Subject>,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for protocol in [Protocol::One, Protocol::Two] {
        for ceremony in Ceremony::ALL {
            let outcome = match plan.reason_against(ceremony) {
                Some(reason) => Outcome::NotApplicable(reason.to_owned()),
                None => outcome(ceremony, protocol, &mut fresh),
            };
            rows.push(Row {
                ceremony: ceremony.to_string(),
                key: key.to_owned(),
                transport: transport.to_owned(),
                protocol: protocol.id(),
                outcome,
            });
        }
    }
    rows
}

fn outcome(
    ceremony: Ceremony,
    protocol: Protocol,
    fresh: &mut dyn FnMut(Finger) -> Box<dyn Subject>,
) -> Outcome {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let finger = match ceremony {
            Ceremony::BuiltInUv => Finger::Right,
            Ceremony::UvFallsBack => Finger::Wrong,
            _ => Finger::None,
        };
        ceremonies::run(ceremony, &mut Case::new(fresh(finger), protocol))
    }));
    match tried {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(NotApplicable(reason))) => Outcome::NotApplicable(reason),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Outcome::Failed(text.unwrap_or_else(|| "panicked".to_owned()))
        }
    }
}

/// Why a ceremony is not one of this key.
struct NotApplicable(String);

const RP_ID: &str = "bank.example";
const PIN: &str = "4711-pin";

/// One ceremony on one key.
struct Case {
    subject: Box<dyn Subject>,
    protocol: Protocol,
    device: Option<Box<dyn Device>>,
}

impl Case {
    fn new(subject: Box<dyn Subject>, protocol: Protocol) -> Self {
        Self { subject, protocol, device: None }
    }

    /// The key, with this case's PIN/UV auth protocol only.
    fn device(&mut self) -> Between<'_, Borrowed<'_>> {
        let device = self.device.get_or_insert_with(|| self.subject.open());
        let protocol = self.protocol;
        Between::new(Borrowed(device.as_mut()), move |command, response| match Request::decode(command) {
            Ok(Request::GetInfo) => narrowed(response, protocol),
            Ok(Request::ClientPin(request)) => {
                assert_eq!(request.protocol, Some(protocol), "the protocol that was chosen");
                response
            }
            _ => response,
        })
    }

    fn power_cycle(&mut self) {
        self.device = None;
        self.subject.power_cycle();
    }

    fn info(&mut self) -> GetInfo {
        get_info(&mut self.device(), &CancelToken::new()).expect("getInfo")
    }

    fn set_pin(&mut self, pin: &str) -> Result<(), Error> {
        self.drive(&mut SetPin::new(), &mut Typist::new(&[pin]))
    }

    fn change_pin(&mut self, user: &mut Typist) -> Result<(), Error> {
        self.drive(&mut ChangePin::new(), user)
    }

    fn make(&mut self, user: &mut Typist, request: CredentialRequest) -> Result<NewCredential, Error> {
        self.drive(&mut MakeCredential::new(request), user)
    }

    fn assert(&mut self, user: &mut Typist, request: AssertionRequest) -> Result<Assertion, Error> {
        self.drive(&mut GetAssertion::new(request), user)
    }

    fn drive<C: ctap_core::ceremony::Ceremony>(
        &mut self,
        ceremony: &mut C,
        user: &mut Typist,
    ) -> Result<C::Outcome, Error> {
        let cancel = user.cancel_at_touch.clone().unwrap_or_default();
        ctap_core::ceremony::run(ceremony, &mut self.device(), user, &mut OsRandom, &cancel)
    }

    /// The key with a PIN and a credential.
    fn enrolled(&mut self) -> NewCredential {
        self.set_pin(PIN).expect("a PIN is set");
        self.make(&mut Typist::new(&[PIN]), credential_request()).expect("a key is made")
    }
}

struct Borrowed<'a>(&'a mut dyn Device);

impl Device for Borrowed<'_> {
    fn begin(&mut self) -> Result<(), TransportError> {
        self.0.begin()
    }

    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        self.0.transact(command, on_keepalive, cancel)
    }

    fn end(&mut self) {
        self.0.end();
    }

    fn wink(&mut self) -> Result<(), TransportError> {
        self.0.wink()
    }
}

fn narrowed(response: Vec<u8>, protocol: Protocol) -> Vec<u8> {
    match GetInfo::decode(&response) {
        Ok(Ok(mut info)) => {
            info.pin_uv_auth_protocols.retain(|id| *id == protocol.id());
            assert!(!info.pin_uv_auth_protocols.is_empty(), "{protocol:?} is not one of this key's");
            info.encode()
        }
        _ => response,
    }
}

fn credential_request() -> CredentialRequest {
    CredentialRequest {
        rp: RelyingParty { id: RP_ID.to_owned(), name: Some("Bank".to_owned()) },
        user: UserAccount {
            id: vec![1; 16],
            name: Some("alice".to_owned()),
            display_name: Some("Alice".to_owned()),
        },
        client_data_hash: [7; 32],
        algorithms: vec![SignatureAlgorithm::Es256],
        exclude: Vec::new(),
    }
}

fn assertion_request(credential: &NewCredential) -> AssertionRequest {
    AssertionRequest {
        rp_id: RP_ID.to_owned(),
        client_data_hash: [9; 32],
        credential_id: credential.credential_id.clone(),
        public_key: credential.public_key.clone(),
        algorithm: credential.algorithm,
    }
}
