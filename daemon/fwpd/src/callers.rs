//! Which user a connection to the bus belongs to: asked once of the bus, and forgotten when the connection ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use fwp_dbus::Error;
use zbus::names::OwnedUniqueName;
use zbus::{Connection, Message};

use crate::call::Uid;
use crate::interrupts::Interrupter;

/// Calls of one connection that wait for its user to be known. More are dropped: nobody has reason to send so many
/// before the first is answered.
const MAX_WAITING: usize = 64;

/// The connections that called.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    known: RefCell<HashMap<OwnedUniqueName, State>>,
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
}

impl Callers {
    /// Takes a call in; keeps the message where it has to wait.
    pub(crate) fn admit(&self, sender: &OwnedUniqueName, message: &Message) -> Admission {
        let mut known = self.known.borrow_mut();
        match known.get_mut(sender) {
            Some(State::Known(uid)) => Admission::Known(*uid),
            Some(State::Asked(waiting)) => {
                if waiting.len() < MAX_WAITING {
                    waiting.push(message.clone());
                }
                Admission::Waits
            }
            None => {
                known.insert(sender.clone(), State::Asked(vec![message.clone()]));
                Admission::Ask
            }
        }
    }

    /// Asks the bus for the user, and gives the calls that waited. `None`: the connection is gone.
    pub(crate) async fn resolve(
        &self,
        connection: &Connection,
        sender: &OwnedUniqueName,
    ) -> Option<(Uid, Vec<Message>)> {
        let uid = unix_user(connection, sender).await;
        let mut known = self.known.borrow_mut();
        // It may have ended while the bus was asked; then nothing may be made for it any more.
        let Some(State::Asked(waiting)) = known.remove(sender) else { return None };
        match uid {
            Ok(uid) => {
                known.insert(sender.clone(), State::Known(uid));
                Some((uid, waiting))
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
            State::Known(uid) => Some(uid),
            State::Asked(_) => None,
        }
    }
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
