//! Whose authenticators these are. A machine may have several seats, each with its own screen and plugs; on a seat, only its
//! active user's wallet may use the keys plugged in there. The keys in this computer are for whoever is active on any seat: who is
//! not there can't type a PIN, nor use up anyone's attempts at it. On a session's bus the kernel decides about security keys (udev's
//! `uaccess` gives hidraw nodes to the active user), and the session's user has the rest; the system's daemon may open all
//! of them and asks logind.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use fwp_dbus::{Error, ErrorName};
use zbus::message::Type;
use zbus::names::OwnedUniqueName;
use zbus::{Connection, MatchRule, Message, OwnedObjectPath, OwnedVariant};

use crate::call::Uid;
use crate::config::Seats;
use crate::context::{Bus, Context};
use crate::journal::{self, Notice};

const LOGIND: &str = "org.freedesktop.login1";
const MANAGER_PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SEAT: &str = "org.freedesktop.login1.Seat";
const SESSION: &str = "org.freedesktop.login1.Session";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const CHANGED: &str = "PropertiesChanged";

/// How long logind may take. It is on the same machine, and waits for nobody.
const DEADLINE: Duration = Duration::from_secs(3);

/// Whose plugs a user may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plugs {
    /// It isn't for this daemon to decide.
    All,
    /// Those of the seats where the user is active; never none.
    Of(Vec<String>),
}

impl Plugs {
    /// Whether those of this seat.
    pub(crate) fn has(&self, seat: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(seats) => seats.iter().any(|active| active == seat),
        }
    }
}

/// Which plugs the user may use now.
///
/// # Errors
/// `NoAuthenticator`, saying why there is none and what to do.
pub(crate) async fn plugs(context: &Context, uid: Uid) -> Result<Plugs, Error> {
    if !matter(context) {
        return Ok(Plugs::All);
    }
    let _share = context.shares.logind.take(uid).await;
    let refused = |text: String| Err(Error::new(ErrorName::NoAuthenticator, text));
    match tokio::time::timeout(DEADLINE, active_seats(&context.connection, uid)).await {
        Ok(Ok(seats)) if seats.is_empty() => refused(
            "the keys in this computer and security keys belong to whoever sits before it, and no session of yours is active on a seat: log in there (over the network it is not possible)".to_owned(),
        ),
        Ok(Ok(seats)) => Ok(Plugs::Of(seats)),
        Ok(Err(error)) => {
            journal::tell(Notice::LogindMissing, &format!("systemd-logind does not tell who sits here: {error}"));
            refused(format!(
            "nobody tells who sits before the machine, so no authenticator is used (systemd-logind: {error}); on a machine without logind, or a server, the administrator sets `seats = \"ignore\"` in the section [keys] of fwpd's configuration"
            ))
        }
        Err(_) => refused("systemd-logind does not answer: try again".to_owned()),
    }
}

/// Whether seats matter on this bus, by these settings.
pub(crate) fn matter(context: &Context) -> bool {
    context.bus == Bus::System && context.config.keys.seats == Seats::Logind
}

/// Whether the user may use the keys in this computer now: whoever is active on any seat may.
///
/// # Errors
/// `NoAuthenticator`, saying why not and what to do.
pub(crate) async fn sits_here(context: &Context, uid: Uid) -> Result<(), Error> {
    plugs(context, uid).await.map(drop)
}

/// Whether the user may use what is plugged in at `seat`, now.
///
/// # Errors
/// `NoAuthenticator`.
pub(crate) async fn may_use(context: &Context, uid: Uid, seat: &str) -> Result<(), Error> {
    if plugs(context, uid).await?.has(seat) {
        Ok(())
    } else {
        Err(Error::new(ErrorName::NoAuthenticator, "the security key is plugged in at another user's seat"))
    }
}

/// The signals that tell that a seat has another active session.
///
/// # Errors
/// Never: these are names.
pub(crate) fn changes() -> zbus::Result<MatchRule<'static>> {
    let rule = MatchRule::builder().msg_type(Type::Signal).sender(LOGIND);
    rule.interface(PROPERTIES).member(CHANGED).arg(0, SEAT).build()
}

/// Whether a signal looks like such a one. Anybody can send it to the daemon alone: [`Herald`] knows better.
pub(crate) fn is_change(message: &Message) -> bool {
    let header = message.header();
    header.interface().is_some_and(|interface| interface.as_str() == PROPERTIES)
        && header.member().is_some_and(|member| member.as_str() == CHANGED)
}

/// From whom such signals are believed: logind's connection. Any user can send the like, and each would be a reason to look.
#[derive(Debug, Default)]
pub(crate) struct Herald {
    logind: RefCell<Option<OwnedUniqueName>>,
    is_asking: Cell<bool>,
    /// Who else sent the like while the bus was asked.
    heard: RefCell<Vec<OwnedUniqueName>>,
}

/// So many of them are remembered; with more, there is a look for nothing.
const MAX_HEARD: usize = 32;

impl Herald {
    /// Whether it is known that logind sent it; `None` where the bus has to be asked, by [`Herald::ask`], and isn't being asked.
    pub(crate) fn is_believed(&self, sender: &OwnedUniqueName) -> Option<bool> {
        if self.logind.borrow().as_ref() == Some(sender) {
            return Some(true);
        }
        if !self.is_asking.get() {
            return None;
        }
        let mut heard = self.heard.borrow_mut();
        if heard.len() < MAX_HEARD && !heard.contains(sender) {
            heard.push(sender.clone());
        }
        Some(false)
    }

    /// Asks the bus who logind is now: whether it is the sender, or one who sent the like meanwhile. One question at a time, however much is sent.
    pub(crate) async fn ask(&self, connection: &Connection, sender: &OwnedUniqueName) -> bool {
        if self.is_asking.replace(true) {
            return false;
        }
        let bus = "org.freedesktop.DBus";
        let asked =
            connection.call_method(Some(bus), "/org/freedesktop/DBus", Some(bus), "GetNameOwner", &(LOGIND,));
        let owner = asked.await.ok().and_then(|reply| reply.body().deserialize::<OwnedUniqueName>().ok());
        self.is_asking.set(false);
        let heard = self.heard.take();
        let Some(owner) = owner else { return false };
        let was_it = owner == *sender || heard.contains(&owner) || heard.len() >= MAX_HEARD;
        *self.logind.borrow_mut() = Some(owner);
        was_it
    }
}

async fn active_seats(connection: &Connection, uid: Uid) -> zbus::Result<Vec<String>> {
    let reply = connection.call_method(Some(LOGIND), MANAGER_PATH, Some(MANAGER), "ListSeats", &()).await?;
    let seats: Vec<(String, OwnedObjectPath)> = reply.body().deserialize()?;
    let mut active = Vec::new();
    for (seat, path) in seats {
        let session = property(connection, &path, SEAT, "ActiveSession").await?;
        let (session, path) = <(String, OwnedObjectPath)>::try_from(session)?;
        // An empty name where there is none.
        if session.is_empty() {
            continue;
        }
        // A session may have ended between the two questions.
        let Ok(user) = property(connection, &path, SESSION, "User").await else { continue };
        let (user, _) = <(u32, OwnedObjectPath)>::try_from(user)?;
        if user == uid {
            active.push(seat);
        }
    }
    Ok(active)
}

async fn property(
    connection: &Connection,
    path: &OwnedObjectPath,
    interface: &str,
    name: &str,
) -> zbus::Result<OwnedVariant> {
    let properties = Some(PROPERTIES);
    let reply = connection.call_method(Some(LOGIND), path, properties, "Get", &(interface, name)).await?;
    reply.body().deserialize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugs_of_other_seats_are_not_there() {
        assert!(Plugs::All.has("seat7"));
        let mine = Plugs::Of(vec!["seat0".to_owned()]);
        assert!(mine.has("seat0"));
        assert!(!mine.has("seat1") && !mine.has(""));
    }
}
