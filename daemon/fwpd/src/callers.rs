//! Which user a connection to the bus belongs to: asked once of the bus, and forgotten when the connection ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use fwp_dbus::{Error, ErrorName};
use zbus::names::OwnedUniqueName;
use zbus::{Connection, Message};

use crate::call::Uid;
use crate::interrupts::Interrupter;

/// Calls of one connection that wait for its user to be known. More are refused: nobody has reason to send so many before the
/// first is answered.
const MAX_WAITING: usize = 16;
/// Most bytes of them, the first one not counted: who it is shows within a millisecond or two.
const MAX_WAITING_BYTES: usize = 1 << 20;

/// The connections that called.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    known: RefCell<HashMap<OwnedUniqueName, State>>,
    /// How many connections of each user are known.
    users: RefCell<HashMap<Uid, usize>>,
    watches: Rc<RefCell<Vec<Watched>>>,
}

#[derive(Debug)]
struct Watched {
    number: u64,
    name: OwnedUniqueName,
    interrupter: Interrupter,
    error: Error,
}

/// Something that is interrupted when a connection ends, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    watches: Rc<RefCell<Vec<Watched>>>,
    number: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watches.borrow_mut().retain(|watched| watched.number != self.number);
    }
}

#[derive(Debug)]
enum State {
    /// The bus was asked; these calls wait, in order.
    Asked(Vec<Message>),
    Known(Uid),
    /// One too many of this user's.
    TooMany(Uid),
}

/// What to do with a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The caller is this user.
    Known(Uid),
    /// The first call of the connection: [`Callers::resolve`] it.
    Ask,
    /// It waits behind the first.
    Waits,
    /// It is refused; of this user, if that is known already.
    Refused(Option<Uid>, String),
}

impl Callers {
    /// Takes a call in; keeps the message where it has to wait. A user may have `most` connections.
    pub(crate) fn admit(&self, sender: &OwnedUniqueName, message: &Message, most: usize) -> Admission {
        let mut known = self.known.borrow_mut();
        match known.get_mut(sender) {
            Some(State::Known(uid)) => Admission::Known(*uid),
            Some(state @ State::TooMany(_)) => {
                let State::TooMany(uid) = *state else { return Admission::Waits };
                if self.count(uid, most) {
                    *state = State::Known(uid);
                    return Admission::Known(uid);
                }
                Admission::Refused(Some(uid), too_many(most))
            }
            Some(State::Asked(waiting)) => {
                let later = waiting.iter().skip(1).map(|message| message.data().len()).sum::<usize>();
                let bytes = later.saturating_add(message.data().len());
                if waiting.len() >= MAX_WAITING || bytes > MAX_WAITING_BYTES {
                    let text = "too much is sent at once by a connection that the wallet does not know yet";
                    return Admission::Refused(None, text.to_owned());
                }
                waiting.push(message.clone());
                Admission::Waits
            }
            None => {
                known.insert(sender.clone(), State::Asked(vec![message.clone()]));
                Admission::Ask
            }
        }
    }

    /// The connection's user, if that is known.
    pub(crate) fn user(&self, sender: &OwnedUniqueName) -> Option<Uid> {
        match self.known.borrow().get(sender)? {
            State::Known(uid) | State::TooMany(uid) => Some(*uid),
            State::Asked(_) => None,
        }
    }

    /// Counts one more connection of the user's, unless there are as many as there may be.
    fn count(&self, uid: Uid, most: usize) -> bool {
        let mut users = self.users.borrow_mut();
        let count = users.entry(uid).or_default();
        let is_one_more = *count < most;
        if is_one_more {
            *count = count.saturating_add(1);
        }
        is_one_more
    }

    /// Whether the user has a connection that called.
    pub(crate) fn has(&self, uid: Uid) -> bool {
        self.users.borrow().contains_key(&uid)
    }

    /// Whether another user has a connection that called.
    pub(crate) fn has_others(&self, uid: Uid) -> bool {
        self.users.borrow().keys().any(|other| *other != uid)
    }

    /// Asks the bus for the user, and gives the calls that waited; with an error where the user has `most` connections
    /// already. `None`: the connection is gone.
    pub(crate) async fn resolve(
        &self,
        connection: &Connection,
        sender: &OwnedUniqueName,
        most: usize,
    ) -> Option<(Uid, Vec<Message>, Result<(), Error>)> {
        let uid = unix_user(connection, sender).await;
        let mut known = self.known.borrow_mut();
        // It may have ended while the bus was asked; then nothing may be made for it any more.
        let Some(State::Asked(waiting)) = known.remove(sender) else { return None };
        match uid {
            Ok(uid) => {
                let is_one_more = self.count(uid, most);
                let state = if is_one_more { State::Known(uid) } else { State::TooMany(uid) };
                known.insert(sender.clone(), state);
                let refused = || Err(Error::new(ErrorName::LimitsExceeded, too_many(most)));
                Some((uid, waiting, if is_one_more { Ok(()) } else { refused() }))
            }
            Err(error) => {
                tracing::debug!(%sender, %error, "a caller's user is unknown; its calls are dropped");
                None
            }
        }
    }

    /// Whether the connection is still there, as far as the bus has told.
    pub(crate) fn is_there(&self, sender: &OwnedUniqueName) -> bool {
        self.known.borrow().contains_key(sender)
    }

    /// Interrupts with `error` when the connection ends, or now if it has ended: a caller may leave between its call and
    /// what is begun for it.
    pub(crate) fn watch(&self, name: &OwnedUniqueName, interrupter: &Interrupter, error: Error) -> Watch {
        if !self.is_there(name) {
            interrupter.interrupt(error.clone());
        }
        let mut watches = self.watches.borrow_mut();
        let number = watches.last().map_or(0, |last| last.number.wrapping_add(1));
        let (name, interrupter) = (name.clone(), interrupter.clone());
        watches.push(Watched { number, name, interrupter, error });
        Watch { watches: Rc::clone(&self.watches), number }
    }

    /// Interrupts everything that is watched: the daemon ends.
    pub(crate) fn interrupt_all(&self, reason: &Error) {
        for watched in self.watches.borrow().iter() {
            watched.interrupter.interrupt(reason.clone());
        }
    }

    /// The connection ended.
    pub(crate) fn forget(&self, sender: &OwnedUniqueName) -> Option<Uid> {
        for watched in self.watches.borrow().iter().filter(|watched| watched.name == *sender) {
            watched.interrupter.interrupt(watched.error.clone());
        }
        match self.known.borrow_mut().remove(sender)? {
            State::Known(uid) => {
                let mut users = self.users.borrow_mut();
                if let Some(count) = users.get_mut(&uid) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        users.remove(&uid);
                    }
                }
                Some(uid)
            }
            State::Asked(_) | State::TooMany(_) => None,
        }
    }
}

fn too_many(most: usize) -> String {
    format!("{most} connections of yours use the wallet already, and no more may: end some")
}

async fn unix_user(connection: &Connection, sender: &OwnedUniqueName) -> zbus::Result<Uid> {
    let reply = connection
        .call_method(
            Some("org.freedesktop.DBus"),
            "/org/freedesktop/DBus",
            Some("org.freedesktop.DBus"),
            "GetConnectionUnixUser",
            &(sender.as_str(),),
        )
        .await?;
    reply.body().deserialize()
}
