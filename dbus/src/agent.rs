//! What a program implements to be the user's dialog.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use zbus::message::Header;
use zbus::names::{InterfaceName, OwnedUniqueName};
use zbus::{ObjectPath, OwnedObjectPath};

use crate::client::Client;
use crate::error::{ClientError, Error, ErrorName};
use crate::pin_box::{self, Passphrase, Pin};
use crate::types::{
    AgentOptions, AuthorizeCard, AuthorizeRequest, ConsentDetails, PassphraseRequest, PinRequest,
    StatusDetails,
};

/// The user, as the daemon sees them. The questions' futures are dropped where the daemon withdraws the prompt;
/// what they had on the screen has to go with them.
pub trait Agent: Send + Sync + 'static {
    /// Asks the user to authorize a payment with one of the cards: its path for yes, `None` for no. No cards: tells that
    /// none fits.
    ///
    /// # Errors
    /// Whatever kept the user from answering; it counts as no.
    fn authorize(
        &self,
        payment: OwnedObjectPath,
        request: AuthorizeRequest,
        cards: Vec<AuthorizeCard>,
    ) -> impl Future<Output = Result<Option<OwnedObjectPath>, Error>> + Send;

    /// Asks for consent: `enroll`, `delete`, `reset`, `replace-agent`, `slot-add`, `slot-remove`, `rotate`, `accept-copy`, `export`,
    /// `import`, `certify`. Kinds that aren't known are answered with `false`.
    ///
    /// # Errors
    /// Whatever kept the user from answering; it counts as no.
    fn consent(
        &self,
        kind: String,
        details: ConsentDetails,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Asks for a PIN; a new one is asked for twice by the agent itself. `None` for no.
    ///
    /// # Errors
    /// Whatever kept the user from answering; it counts as no.
    fn request_pin(&self, request: PinRequest) -> impl Future<Output = Result<Option<Pin>, Error>> + Send;

    /// Asks for a passphrase; a new one (`slot-new`, `export`) is asked for twice by the agent itself, which may offer
    /// [`Passphrase::suggest`]. `None` for no, which is what an agent without a way to ask says.
    ///
    /// # Errors
    /// Whatever kept the user from answering; it counts as no.
    fn request_passphrase(
        &self,
        request: PassphraseRequest,
    ) -> impl Future<Output = Result<Option<Passphrase>, Error>> + Send {
        let _ = request;
        async { Ok(None) }
    }

    /// Tells how it goes on (`insert`, `other`, `too-old`, `choose`, `touch`, `replug`, `processing`, `authorized`,
    /// `enrolled`, `reset`, `failed`, `closed`).
    fn status(&self, state: String, details: StatusDetails) -> impl Future<Output = ()> + Send;

    /// The open prompt was withdrawn: its future is dropped already. For programs that read from something blocking.
    fn cancelled(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Serves an agent at a path of the client's connection and makes it the user's agent.
///
/// # Errors
/// `Busy`, `Declined` and so on as `Wallet1.RegisterAgent` has them.
pub async fn register(
    client: &Client,
    path: &ObjectPath<'_>,
    agent: impl Agent,
    options: &AgentOptions,
) -> Result<(), ClientError> {
    let withdrawn = Arc::new(watch::Sender::new(0));
    let service = AgentService { agent, daemon: client.daemon().clone(), withdrawn: Arc::clone(&withdrawn) };
    let server = client.connection().object_server();
    server.at(path.to_owned(), service).await?;
    let registered = client.wallet().await?.register_agent(path, options).await;
    if registered.is_err() {
        server.remove_named(path.to_owned(), AGENT_NAME).await?;
    }
    let ended = client.ended();
    tokio::spawn(async move {
        // With the daemon, what it asked is over.
        ended.await;
        withdrawn.send_replace(u32::MAX);
    });
    registered
}

const AGENT_NAME: InterfaceName<'static> =
    InterfaceName::from_static_str_unchecked(crate::interfaces::AGENT.name);

/// The D-Bus side of an agent: only the daemon is served, prompts end when they are withdrawn, PINs go sealed.
struct AgentService<A> {
    agent: A,
    daemon: OwnedUniqueName,
    /// The serial number of the last Cancel: it withdraws what was asked before it, in whatever order tasks run.
    withdrawn: Arc<watch::Sender<u32>>,
}

impl<A: Agent> AgentService<A> {
    fn check_caller(&self, header: &Header<'_>) -> Result<(), Error> {
        match header.sender() {
            Some(sender) if sender.as_str() == self.daemon.as_str() => Ok(()),
            _ => Err(Error::new(ErrorName::AccessDenied, "only the wallet asks an agent")),
        }
    }

    async fn until_withdrawn<T>(
        &self,
        header: &Header<'_>,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.check_caller(header)?;
        let serial = header.primary().serial_num().get();
        let mut withdrawn = self.withdrawn.subscribe();
        let withdrawn = async {
            // The guard that wait_for gives must not live across the next await.
            withdrawn.wait_for(|&cancelled| cancelled > serial).await.map(|_| ())
        };
        tokio::select! {
            answer = answer => return answer,
            _ = withdrawn => {}
        }
        self.agent.cancelled().await;
        Err(Error::new(ErrorName::Aborted, "the prompt was withdrawn"))
    }
}

#[zbus::interface(name = "io.github.fwpd.Agent1")]
impl<A: Agent> AgentService<A> {
    async fn authorize(
        &self,
        #[zbus(header)] header: Header<'_>,
        payment: OwnedObjectPath,
        request: AuthorizeRequest,
        cards: Vec<AuthorizeCard>,
    ) -> Result<(bool, OwnedObjectPath), Error> {
        let picked = self.until_withdrawn(&header, self.agent.authorize(payment, request, cards)).await?;
        Ok((picked.is_some(), picked.unwrap_or_default()))
    }

    async fn consent(
        &self,
        #[zbus(header)] header: Header<'_>,
        kind: String,
        details: ConsentDetails,
    ) -> Result<bool, Error> {
        self.until_withdrawn(&header, self.agent.consent(kind, details)).await
    }

    async fn request_pin(
        &self,
        #[zbus(header)] header: Header<'_>,
        details: PinRequest,
        public_key: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let pin = self.until_withdrawn(&header, self.agent.request_pin(details)).await?;
        let pin = pin.ok_or_else(|| Error::new(ErrorName::Declined, "no PIN was given"))?;
        pin_box::seal(&pin, &public_key).map_err(|error| Error::new(ErrorName::Internal, error.to_string()))
    }

    async fn request_passphrase(
        &self,
        #[zbus(header)] header: Header<'_>,
        details: PassphraseRequest,
        public_key: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let passphrase = self.until_withdrawn(&header, self.agent.request_passphrase(details)).await?;
        let passphrase =
            passphrase.ok_or_else(|| Error::new(ErrorName::Declined, "no passphrase was given"))?;
        pin_box::seal_passphrase(&passphrase, &public_key)
            .map_err(|error| Error::new(ErrorName::Internal, error.to_string()))
    }

    async fn status(
        &self,
        #[zbus(header)] header: Header<'_>,
        state: String,
        details: StatusDetails,
    ) -> Result<(), Error> {
        self.check_caller(&header)?;
        self.agent.status(state, details).await;
        Ok(())
    }

    async fn cancel(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.check_caller(&header)?;
        let serial = header.primary().serial_num().get();
        self.withdrawn.send_modify(|last| *last = serial.max(*last));
        Ok(())
    }
}
