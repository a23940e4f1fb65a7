//! A stand-in for systemd-logind, as far as seats go; the real one is run with the package.
#![allow(dead_code, reason = "no test program uses all of it")]

use std::sync::{Arc, Mutex};

use fwp_dbus::Error;
use fwp_dbus::types::{AuthorizeCard, AuthorizeRequest, ConsentDetails, PinRequest, StatusDetails};
use fwp_tests::{PrivateBus, ScriptedAgent};
use zbus::{Connection, OwnedObjectPath};

/// Settings under which seats matter, and nothing else does.
pub(crate) const SEATS: &str = "claim-origin = \"any\"\nauthorize = \"any\"\n[policy]\ncool-down = 0\n";

/// logind's own policy, as it is packaged.
pub(crate) const POLICY: &str = r#"
  <policy context="default">
    <allow own="org.freedesktop.login1"/>
    <allow send_destination="org.freedesktop.login1"/>
  </policy>"#;

/// Another user.
pub(crate) const OTHER: u32 = 4242;

/// Who is active on which seat.
pub(crate) type Active = Arc<Mutex<Vec<(&'static str, Option<u32>)>>>;

struct Manager(Active);

pub(crate) struct Seat(usize, Active);

struct Session(u32);

/// An object of logind's.
pub(crate) fn path(of: &str, number: impl std::fmt::Display) -> OwnedObjectPath {
    OwnedObjectPath::try_from(format!("/org/freedesktop/login1/{of}/_{number}")).unwrap()
}

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    async fn list_seats(&self) -> Vec<(String, OwnedObjectPath)> {
        let seats = self.0.lock().unwrap();
        seats.iter().enumerate().map(|(at, (name, _))| ((*name).to_owned(), path("seat", at))).collect()
    }
}

#[zbus::interface(name = "org.freedesktop.login1.Seat")]
impl Seat {
    #[zbus(property)]
    async fn active_session(&self) -> (String, OwnedObjectPath) {
        match self.1.lock().unwrap()[self.0].1 {
            Some(user) => (format!("c{user}"), path("session", user)),
            None => (String::new(), OwnedObjectPath::try_from("/").unwrap()),
        }
    }
}

#[zbus::interface(name = "org.freedesktop.login1.Session")]
impl Session {
    #[zbus(property)]
    async fn user(&self) -> (u32, OwnedObjectPath) {
        (self.0, path("user", self.0))
    }
}

/// Stands in for logind as long as the connection lives.
pub(crate) async fn logind(bus: &PrivateBus, active: &Active) -> Connection {
    let connection = bus.connect().await;
    let server = connection.object_server();
    let manager = OwnedObjectPath::try_from("/org/freedesktop/login1").unwrap();
    server.at(manager, Manager(Arc::clone(active))).await.unwrap();
    let seats = active.lock().unwrap().len();
    for seat in 0..seats {
        server.at(path("seat", seat), Seat(seat, Arc::clone(active))).await.unwrap();
    }
    for user in [me(), OTHER] {
        server.at(path("session", user), Session(user)).await.unwrap();
    }
    connection.request_name("org.freedesktop.login1").await.unwrap();
    connection
}

/// A user whose place another one takes while the PIN is typed.
pub(crate) struct Leaver(pub(crate) ScriptedAgent, pub(crate) Active);

impl fwp_dbus::Agent for Leaver {
    async fn authorize(
        &self,
        payment: OwnedObjectPath,
        request: AuthorizeRequest,
        cards: Vec<AuthorizeCard>,
    ) -> Result<Option<OwnedObjectPath>, Error> {
        self.0.authorize(payment, request, cards).await
    }

    async fn consent(&self, kind: String, details: ConsentDetails) -> Result<bool, Error> {
        self.0.consent(kind, details).await
    }

    async fn request_pin(&self, request: PinRequest) -> Result<Option<fwp_dbus::Pin>, Error> {
        self.1.lock().unwrap()[0].1 = Some(OTHER);
        self.0.request_pin(request).await
    }

    async fn status(&self, state: String, details: StatusDetails) {
        self.0.status(state, details).await;
    }
}

/// The test's own user.
pub(crate) fn me() -> u32 {
    rustix::process::getuid().as_raw()
}
