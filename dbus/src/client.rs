//! A connection to the daemon, which gives each object's signals as events.
//!
//! The daemon's signals are unicast, so no match rule has to be set up for each object: one task sorts what arrives by
//! object path. Ask for [`Client::events`] before the call whose outcome is awaited.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use zbus::message::Type;
use zbus::names::{OwnedUniqueName, WellKnownName};
use zbus::{Connection, MatchRule, Message, MessageStream, ObjectPath, OwnedObjectPath};

use crate::error::{ClientError, Error, ErrorName};
use crate::interfaces::BUS_NAME;
use crate::proxy::{
    AuthenticatorProxy, CredentialProxy, EnrollmentProxy, PaymentProxy, StoreProxy, WalletProxy,
};
use crate::types::AuthenticatorInfo;

/// Something that an object of the daemon told its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// `Payment1.Response`: the FWP assertion, JSON.
    Response(String),
    /// `Enrollment1.Attestation`: for the issuer, JSON.
    Attestation(String),
    /// `Closed`, `PinFinished`, `ResetFinished` or `DeleteFinished`: how it ended.
    Finished(Result<(), Error>),
    /// `Wallet1.AuthenticatorAdded`: a security key came.
    AuthenticatorAdded(OwnedObjectPath, AuthenticatorInfo),
    /// `Wallet1.AuthenticatorRemoved`: a security key went.
    AuthenticatorRemoved(OwnedObjectPath),
}

/// The events of one object, in order.
#[derive(Debug)]
pub struct Events {
    path: OwnedObjectPath,
    receiver: mpsc::UnboundedReceiver<Event>,
    routes: Arc<Routes>,
}

impl Events {
    /// Waits for the next event.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when the daemon went away.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        self.receiver.recv().await.ok_or(ClientError::NotRunning)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.routes.lock().remove(&self.path);
    }
}

#[derive(Debug, Default)]
struct Routes(Mutex<HashMap<OwnedObjectPath, mpsc::UnboundedSender<Event>>>);

impl Routes {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<OwnedObjectPath, mpsc::UnboundedSender<Event>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    daemon: OwnedUniqueName,
    routes: Arc<Routes>,
    router: tokio::task::JoinHandle<()>,
    /// Its sender is the router's, and goes with it.
    ended: watch::Receiver<()>,
}

impl Client {
    /// Finds the daemon on a bus; D-Bus activation starts it where it is set up. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`], [`ClientError::Bus`].
    pub async fn connect(connection: &Connection) -> Result<Self, ClientError> {
        let bus = zbus::fdo::DBusProxy::new(connection).await?;
        let name = WellKnownName::from_static_str(BUS_NAME)?;
        // A bus starts only what has a service file, and says ServiceUnknown of a daemon that was started by hand.
        let daemon = match bus.get_name_owner(name.clone().into()).await {
            Ok(daemon) => daemon,
            Err(_) => {
                bus.start_service_by_name(name.clone(), 0).await.map_err(zbus::Error::from)?;
                bus.get_name_owner(name.into()).await.map_err(zbus::Error::from)?
            }
        };
        let from_daemon = MatchRule::builder().msg_type(Type::Signal).sender(daemon.as_str()).build()?;
        let gone = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(0, daemon.as_str())
            .build()?;
        let signals = MessageStream::for_match_rule(from_daemon, connection, None).await?;
        let gone = MessageStream::for_match_rule(gone, connection, None).await?;
        let routes = Arc::new(Routes::default());
        let (running, ended) = watch::channel(());
        let router = tokio::spawn({
            let routes = Arc::clone(&routes);
            async move {
                route(signals, gone, routes).await;
                drop(running);
            }
        });
        Ok(Self { connection: connection.clone(), daemon, routes, router, ended })
    }

    /// The connection that this client calls through.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The daemon's unique name on the bus.
    pub fn daemon(&self) -> &OwnedUniqueName {
        &self.daemon
    }

    /// Waits until the daemon, or the connection to the bus, is gone; whoever is an agent registers anew with the next one.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.ended.clone();
        async move { while ended.changed().await.is_ok() {} }
    }

    /// The events of an object from now on. A second call for the same object takes over from the first.
    pub fn events(&self, path: &ObjectPath<'_>) -> Events {
        let (sender, receiver) = mpsc::unbounded_channel();
        let path = OwnedObjectPath::from(path.to_owned());
        if !self.router.is_finished() {
            self.routes.lock().insert(path.clone(), sender);
        }
        Events { path, receiver, routes: Arc::clone(&self.routes) }
    }

    /// The wallet.
    ///
    /// # Errors
    /// [`ClientError::Bus`].
    pub async fn wallet(&self) -> Result<WalletProxy<'static>, ClientError> {
        Ok(WalletProxy::builder(&self.connection).destination(self.daemon.clone()).build().await?)
    }

    /// The wallet's store.
    ///
    /// # Errors
    /// [`ClientError::Bus`].
    pub async fn store(&self) -> Result<StoreProxy<'static>, ClientError> {
        Ok(StoreProxy::builder(&self.connection).destination(self.daemon.clone()).build().await?)
    }

    /// A payment.
    ///
    /// # Errors
    /// [`ClientError::Bus`].
    pub async fn payment(&self, path: &OwnedObjectPath) -> Result<PaymentProxy<'static>, ClientError> {
        let builder = PaymentProxy::builder(&self.connection).destination(self.daemon.clone());
        Ok(builder.path(path.clone()).build().await?)
    }

    /// An enrollment.
    ///
    /// # Errors
    /// [`ClientError::Bus`].
    pub async fn enrollment(&self, path: &OwnedObjectPath) -> Result<EnrollmentProxy<'static>, ClientError> {
        let builder = EnrollmentProxy::builder(&self.connection).destination(self.daemon.clone());
        Ok(builder.path(path.clone()).build().await?)
    }

    /// A card.
    ///
    /// # Errors
    /// [`ClientError::Bus`].
    pub async fn credential(&self, path: &OwnedObjectPath) -> Result<CredentialProxy<'static>, ClientError> {
        let builder = CredentialProxy::builder(&self.connection).destination(self.daemon.clone());
        Ok(builder.path(path.clone()).build().await?)
    }

    /// An authenticator.
    ///
    /// # Errors
    /// [`ClientError::Bus`].
    pub async fn authenticator(
        &self,
        path: &OwnedObjectPath,
    ) -> Result<AuthenticatorProxy<'static>, ClientError> {
        let builder = AuthenticatorProxy::builder(&self.connection).destination(self.daemon.clone());
        Ok(builder.path(path.clone()).build().await?)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.router.abort();
    }
}

/// Sorts the daemon's signals by object until the daemon or the bus goes; then every waiting [`Events`] ends.
async fn route(mut signals: MessageStream, mut gone: MessageStream, routes: Arc<Routes>) {
    loop {
        let message = tokio::select! {
            // What the daemon said before it went comes first.
            biased;
            message = signals.next() => message,
            _ = gone.next() => None,
        };
        let Some(Ok(message)) = message else { break };
        let Some((path, event)) = event(&message) else { continue };
        if let Some(sender) = routes.lock().get(&path) {
            // A receiver that was dropped meanwhile takes its route away itself.
            let _ = sender.send(event);
        }
    }
    routes.lock().clear();
}

fn event(message: &Message) -> Option<(OwnedObjectPath, Event)> {
    let header = message.header();
    let body = message.body();
    let event = match header.member()?.as_str() {
        "Response" => Event::Response(body.deserialize().ok()?),
        "Attestation" => Event::Attestation(body.deserialize().ok()?),
        "AuthenticatorAdded" => {
            let (path, info) = body.deserialize().ok()?;
            Event::AuthenticatorAdded(path, info)
        }
        "AuthenticatorRemoved" => Event::AuthenticatorRemoved(body.deserialize().ok()?),
        "Closed" | "PinFinished" | "ResetFinished" | "DeleteFinished" => {
            let (reason, text): (String, String) = body.deserialize().ok()?;
            Event::Finished(finished(&reason, text))
        }
        _ => return None,
    };
    Some((header.path()?.to_owned().into(), event))
}

/// A reason that this version doesn't know is a failure all the same.
fn finished(reason: &str, text: String) -> Result<(), Error> {
    match (reason, Error::from_dbus(reason, &text)) {
        ("completed", _) => Ok(()),
        (_, Some(error)) => Err(error),
        (_, None) => Err(Error::new(ErrorName::Internal, format!("{reason}: {text}"))),
    }
}
