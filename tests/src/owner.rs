//! What an owner of payments and enrollments does, in short.

use fwp_dbus::proxy::PaymentProxy;
use fwp_dbus::types::{EnrollmentOptions, PaymentOptions};
use fwp_dbus::{Client, ClientError, Error, ErrorName, Event, Events};
use zbus::OwnedObjectPath;

use crate::bank::Bank;
use crate::requests::{BANKNET, SPACE_SHOP, details, method_data};
use crate::soon;

/// The rpId that [`enroll`] and most tests use.
pub const MY_BANK: &str = "mybank.fr";

/// Enrolls with a bank and has it issue a card for each (network, account).
///
/// # Errors
/// How the enrollment ended, if not with cards.
///
/// # Panics
/// If the daemon answers against its contract.
pub async fn enroll(
    client: &Client,
    bank: &Bank,
    cards: &[(&str, &str)],
) -> Result<Vec<OwnedObjectPath>, ClientError> {
    enroll_with(client, bank, cards, &EnrollmentOptions::default()).await
}

/// As [`enroll`], with these options: where the key is made.
///
/// # Errors
/// As [`enroll`].
///
/// # Panics
/// As [`enroll`].
pub async fn enroll_with(
    client: &Client,
    bank: &Bank,
    cards: &[(&str, &str)],
    options: &EnrollmentOptions,
) -> Result<Vec<OwnedObjectPath>, ClientError> {
    let offer = bank.offer();
    let wallet = client.wallet().await?;
    let path = wallet.begin_enrollment(&offer.to_json().to_string(), offer.rp_id.as_str(), options).await?;
    let mut events = client.events(&path);
    let enrollment = client.enrollment(&path).await?;
    enrollment.start().await?;
    let attestation = match soon("the attestation", events.next()).await? {
        Event::Attestation(attestation) => attestation,
        Event::Finished(end) => return Err(end.expect_err("an end without cards").into()),
        event => panic!("{event:?}"),
    };
    let stored = enrollment.store_cards(&bank.issue(&attestation, cards)).await?;
    assert_eq!(soon("the end", events.next()).await?, Event::Finished(Ok(())));
    Ok(stored)
}

/// A payment and its events.
#[derive(Debug)]
pub struct Checkout {
    /// The object.
    pub payment: PaymentProxy<'static>,
    /// Its path.
    pub path: OwnedObjectPath,
    /// What it tells.
    pub events: Events,
}

impl Checkout {
    /// The Space Shop asks for 435.00 EUR, through [`BANKNET`].
    ///
    /// # Errors
    /// What the daemon says.
    pub async fn new(client: &Client, id: &str) -> Result<Self, ClientError> {
        Self::of(client, SPACE_SHOP, &[BANKNET], id, "435.00").await
    }

    /// A payment of anything, not shown yet.
    ///
    /// # Errors
    /// What the daemon says.
    pub async fn of(
        client: &Client,
        host: &str,
        networks: &[&str],
        id: &str,
        value: &str,
    ) -> Result<Self, ClientError> {
        let wallet = client.wallet().await?;
        let options = PaymentOptions {
            user_agent_name: Some("Chrome".to_owned()),
            user_agent_version: Some("108".to_owned()),
        };
        let path = wallet.create_payment(host, &method_data(networks), &details(id, value), &options).await?;
        let payment = client.payment(&path).await?;
        Ok(Self { payment, events: client.events(&path), path })
    }

    /// The next event.
    ///
    /// # Panics
    /// If none comes.
    pub async fn next(&mut self) -> Event {
        soon("an event of the payment", self.events.next()).await.expect("the daemon runs")
    }

    /// The assertion that comes next.
    ///
    /// # Panics
    /// If something else comes.
    pub async fn response(&mut self) -> String {
        match self.next().await {
            Event::Response(assertion) => assertion,
            event => panic!("no response: {event:?}"),
        }
    }

    /// The error that the payment ends with next.
    ///
    /// # Panics
    /// If something else comes.
    pub async fn failure(&mut self) -> Error {
        match self.next().await {
            Event::Finished(Err(error)) => error,
            event => panic!("no failure: {event:?}"),
        }
    }

    /// Shows it and gives the assertion.
    ///
    /// # Panics
    /// If something else comes.
    pub async fn pay(&mut self) -> String {
        self.payment.show().await.expect("shown");
        self.response().await
    }
}

/// The name of the error that the daemon refused with.
///
/// # Panics
/// If it did not refuse.
pub fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ErrorName {
    match result {
        Err(ClientError::Refused(error)) => error.name,
        other => panic!("not refused by the wallet: {other:?}"),
    }
}
