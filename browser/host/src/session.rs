//! From requests to answers and events: what runs between the browser's pipe and the wallet.

use crate::answer::{DeliveryTo, Encoded, Event, Of, answer, refusal};
use crate::failure::Failure;
use crate::frame::{Frame, MAX_MESSAGE};
use crate::message::{
    Attachment, Browser, EnrollmentCall, EnrollmentName, PROTOCOL, PaymentCall, PaymentName, Request,
    RequestId, Text, Unreadable,
};
use crate::open::{Calls, Open, Told};
use crate::wallet::{Wallet, user_agent, within_limit};
use fwp::PayeeHost;
use fwp_dbus::find::BusChoice;
use fwp_dbus::proxy::{EnrollmentProxy, PaymentProxy};
use fwp_dbus::types::EnrollmentOptions;
use fwp_dbus::{ClientError, Error, Event as Signal, Events};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes of requests at work, at most. Reading waits while there are more.
pub const ROOM: usize = 2 * MAX_MESSAGE;
/// Bytes that even the smallest request counts as: so many requests at work at most, see [`ROOM`].
const LEAST: usize = ROOM / 64;
/// Bytes of one permit.
const PERMIT: usize = 1024;

/// A browser's session with the wallet.
#[derive(Debug)]
struct Session {
    wallet: Wallet,
    browser: OnceLock<Browser>,
    open: Open,
    to_browser: mpsc::Sender<Encoded>,
}

/// Serves what comes in `frames`, until that ends or nobody takes what goes out any more. Everything that is open ends with
/// the runtime that this runs on: the tasks, and with them the connection to the bus.
pub async fn serve(mut frames: mpsc::Receiver<Frame>, to_browser: mpsc::Sender<Encoded>, bus: BusChoice) {
    let room = Arc::new(Semaphore::new(ROOM / PERMIT));
    let session = Arc::new(Session {
        wallet: Wallet::new(bus),
        browser: OnceLock::new(),
        open: Open::default(),
        to_browser: to_browser.clone(),
    });
    let all = async {
        while let Some(frame) = frames.recv().await {
            let bytes = match &frame {
                Frame::Message(message) => message.len(),
                Frame::TooLarge(_) => 0,
            };
            let permits = u32::try_from(bytes.max(LEAST).div_ceil(PERMIT)).unwrap_or(u32::MAX);
            let Ok(permit) = Arc::clone(&room).acquire_many_owned(permits).await else { return };
            session.take(frame, permit).await;
        }
    };
    tokio::select! {
        () = all => {}
        () = to_browser.closed() => {}
    }
}

impl Session {
    async fn send(&self, message: Encoded) {
        // Where it fails, the browser has gone, and so does the session.
        let _ = self.to_browser.send(message).await;
    }

    async fn answer(&self, id: RequestId, result: Result<impl Serialize, Failure>) {
        self.send(answer(id, result)).await;
    }

    /// Takes one frame, and has it worked on.
    async fn take(self: &Arc<Self>, frame: Frame, permit: OwnedSemaphorePermit) {
        let message = match frame {
            Frame::Message(message) => message,
            Frame::TooLarge(bytes) => {
                let failure = Failure::too_large(format_args!(
                    "a message has {bytes} bytes; this host takes {MAX_MESSAGE}"
                ));
                return self.send(refusal(None, &failure)).await;
            }
        };
        let (id, request) = match Request::parse(&message) {
            Ok(read) => read,
            Err(Unreadable { id, failure }) => return self.send(refusal(id, &failure)).await,
        };
        drop(message);
        // What is in order of arrival happens here; what waits for the wallet, in tasks.
        match request {
            Request::Hello(browser) => {
                if self.browser.set(browser).is_err() {
                    let failure = Failure::invalid_message("hello was said before");
                    return self.answer(id, Err::<(), _>(failure)).await;
                }
            }
            _ if self.browser.get().is_none() => {
                let failure = Failure::invalid_message("hello comes first");
                return self.answer(id, Err::<(), _>(failure)).await;
            }
            Request::OfPayment(name, call) => {
                if let Err(failure) = self.open.tell_payment(name, Told::Call(id, call, permit)) {
                    self.answer(id, Err::<(), _>(failure)).await;
                }
                return;
            }
            Request::OfEnrollment(name, call) => {
                if let Err(failure) = self.open.tell_enrollment(name, Told::Call(id, call, permit)) {
                    self.answer(id, Err::<(), _>(failure)).await;
                }
                return;
            }
            Request::Forget(payments, enrollments) => {
                let ended = self.open.forget(&payments, &enrollments);
                let session = Arc::clone(self);
                tokio::spawn(async move {
                    for one in ended {
                        // A task that ended by itself meanwhile says nothing.
                        let _ = one.await;
                    }
                    session.answer(id, Ok(())).await;
                    drop(permit);
                });
                return;
            }
            request => {
                let session = Arc::clone(self);
                tokio::spawn(async move { session.work(id, request, permit).await });
                return;
            }
        }
        let session = Arc::clone(self);
        tokio::spawn(async move {
            let wallet = session.wallet.version().await.ok();
            let hello = json!({"host": env!("CARGO_PKG_VERSION"), "protocol": PROTOCOL, "wallet": wallet});
            session.answer(id, Ok(hello)).await;
            drop(permit);
        });
    }

    /// What a task of its own works on.
    async fn work(self: Arc<Self>, id: RequestId, request: Request, permit: OwnedSemaphorePermit) {
        match request {
            Request::CanMakePayment => self.answer(id, self.wallet.can_make_payment().await).await,
            Request::Status => self.answer(id, self.wallet.status().await).await,
            Request::ListCards => self.answer(id, self.wallet.cards().await).await,
            Request::CardImage(card) => self.answer(id, self.wallet.card_image(&card).await).await,
            Request::CreatePayment { payee_host, method_data, details } => {
                let created = self.create_payment(&payee_host, &method_data, &details).await;
                self.serve_payment(id, created, permit).await;
            }
            Request::CreateMozPayment { payee_host, requests } => {
                let created = self.create_moz_payment(&payee_host, &requests).await;
                self.serve_payment(id, created, permit).await;
            }
            Request::BeginEnrollment { host, offer, attachment, replace } => {
                let begun = self.begin_enrollment(&host, &offer, attachment, replace).await;
                self.serve_enrollment(id, begun, permit).await;
            }
            // Taken where they came in.
            Request::Hello(_) | Request::OfPayment(..) | Request::OfEnrollment(..) | Request::Forget(..) => {}
        }
    }

    async fn create_payment(
        &self,
        host: &PayeeHost,
        method_data: &Text,
        details: &Text,
    ) -> Result<Payment, Failure> {
        let options = self.browser.get().map(user_agent).unwrap_or_default();
        let client = self.wallet.client().await?;
        within_limit(async {
            let wallet = client.wallet().await?;
            let path = wallet
                .create_payment(host.as_str(), method_data.as_str(), details.as_str(), &options)
                .await?;
            let events = client.events(&path);
            Ok(Payment {
                proxy: client.payment(&path).await?,
                events,
                is_moz: false,
                _client: Arc::clone(&client),
            })
        })
        .await
    }

    async fn create_moz_payment(&self, host: &PayeeHost, requests: &[Text]) -> Result<Payment, Failure> {
        let options = self.browser.get().map(user_agent).unwrap_or_default();
        let requests: Vec<_> = requests.iter().map(Text::as_str).collect();
        let client = self.wallet.client().await?;
        within_limit(async {
            let wallet = client.wallet().await?;
            let path = wallet.create_moz_payment(host.as_str(), &requests, &options).await?;
            let events = client.events(&path);
            Ok(Payment {
                proxy: client.payment(&path).await?,
                events,
                is_moz: true,
                _client: Arc::clone(&client),
            })
        })
        .await
    }

    /// BeginEnrollment and Start. What was begun and does not start ends again.
    async fn begin_enrollment(
        &self,
        host: &PayeeHost,
        offer: &Text,
        attachment: Option<Attachment>,
        replace: Option<bool>,
    ) -> Result<Enrollment, Failure> {
        let options = EnrollmentOptions {
            authenticator: None,
            attachment: attachment.map(|attachment| attachment.as_str().to_owned()),
            replace,
        };
        let client = self.wallet.client().await?;
        let begun = within_limit(async {
            let path =
                client.wallet().await?.begin_enrollment(offer.as_str(), host.as_str(), &options).await?;
            let events = client.events(&path);
            Ok(Enrollment { proxy: client.enrollment(&path).await?, events, _client: Arc::clone(&client) })
        })
        .await?;
        if let Err(failure) = within_limit(begun.proxy.start()).await {
            // It may have ended by itself.
            let _ = within_limit(begun.proxy.cancel()).await;
            return Err(failure);
        }
        Ok(begun)
    }

    /// Answers with the name of a payment that was made, and serves it until it ends.
    async fn serve_payment(
        &self,
        id: RequestId,
        made: Result<Payment, Failure>,
        permit: OwnedSemaphorePermit,
    ) {
        let mut payment = match made {
            Ok(payment) => payment,
            Err(failure) => return self.answer(id, Err::<(), _>(failure)).await,
        };
        let (name, mut calls) = self.open.add_payment();
        self.answer(id, Ok(json!({"payment": name}))).await;
        drop(permit);
        let end = loop {
            tokio::select! {
                biased;
                signal = payment.events.next() => match payment.event(name, signal).await {
                    Ok(event) => self.send(event).await,
                    Err(end) => break end,
                },
                told = calls.recv() => match told {
                    Some(Told::Call(id, call, _permit)) => self.answer(id, payment.call(&call).await).await,
                    Some(Told::Forget(done)) => {
                        // It may have ended by itself.
                        let _ = within_limit(payment.proxy.abort()).await;
                        let _ = done.send(());
                        return;
                    }
                    // Never: the way is there until it is taken away below or by what forgets.
                    None => return,
                },
            }
        };
        self.open.remove_payment(name);
        self.closed(Of::Payment(name), end).await;
        self.turn_away(calls, "payment").await;
    }

    /// As [`Session::serve_payment`].
    async fn serve_enrollment(
        &self,
        id: RequestId,
        begun: Result<Enrollment, Failure>,
        permit: OwnedSemaphorePermit,
    ) {
        let mut enrollment = match begun {
            Ok(enrollment) => enrollment,
            Err(failure) => return self.answer(id, Err::<(), _>(failure)).await,
        };
        let (name, mut calls) = self.open.add_enrollment();
        self.answer(id, Ok(json!({"enrollment": name}))).await;
        drop(permit);
        let end = loop {
            tokio::select! {
                biased;
                signal = enrollment.events.next() => match enrollment.event(name, signal).await {
                    Ok(event) => self.send(event).await,
                    Err(end) => break end,
                },
                told = calls.recv() => match told {
                    Some(Told::Call(id, EnrollmentCall::StoreCards(cards), _permit)) => {
                        let stored = within_limit(enrollment.proxy.store_cards(cards.as_str())).await;
                        self.answer(id, stored.map(|cards| json!({"stored": cards.len()}))).await;
                    }
                    Some(Told::Call(id, EnrollmentCall::Cancel, _permit)) => {
                        self.answer(id, within_limit(enrollment.proxy.cancel()).await).await;
                    }
                    Some(Told::Forget(done)) => {
                        let _ = within_limit(enrollment.proxy.cancel()).await;
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
            }
        };
        self.open.remove_enrollment(name);
        self.closed(Of::Enrollment(name), end).await;
        self.turn_away(calls, "enrollment").await;
    }

    async fn closed(&self, of: Of, end: Result<(), Failure>) {
        // An end is short, and always fits.
        if let Ok(event) = Event::closed(of, end).encode() {
            self.send(event).await;
        }
    }

    /// Answers the calls that came too late.
    async fn turn_away<C>(&self, mut calls: Calls<C>, what: &str) {
        while let Some(told) = calls.recv().await {
            match told {
                Told::Call(id, _, _permit) => self.answer(id, Err::<(), _>(Failure::unknown(what))).await,
                Told::Forget(done) => drop(done.send(())),
            }
        }
    }
}

/// A payment, and the connection that it belongs to.
struct Payment {
    proxy: PaymentProxy<'static>,
    events: Events,
    is_moz: bool,
    _client: Arc<fwp_dbus::Client>,
}

impl Payment {
    async fn call(&self, call: &PaymentCall) -> Result<(), Failure> {
        within_limit(async {
            match call {
                PaymentCall::Show => self.proxy.show().await,
                PaymentCall::Abort => self.proxy.abort().await,
                PaymentCall::Update(details) => self.proxy.update(details.as_str()).await,
                PaymentCall::Retry(fields) => self.proxy.retry(fields.as_str()).await,
                PaymentCall::Complete(result) => self.proxy.complete(result.as_str()).await,
            }
        })
        .await
    }

    /// The event for the browser, or how the payment ended. What can't be told ends it.
    async fn event(
        &self,
        name: PaymentName,
        signal: Result<Signal, ClientError>,
    ) -> Result<Encoded, Result<(), Failure>> {
        let told = match signal {
            Ok(Signal::Response(assertion)) => self.response(name, assertion).await,
            other => return Err(end(other)),
        };
        if told.is_err() {
            // It may have ended by itself.
            let _ = within_limit(self.proxy.abort()).await;
        }
        told.map_err(Err)
    }

    async fn response(&self, name: PaymentName, assertion: String) -> Result<Encoded, Failure> {
        let details = object(assertion, "an assertion that is no JSON object")?;
        let delivery = if self.is_moz { Some(self.delivery().await?) } else { None };
        Event::Response { payment: name, details, delivery }.encode()
    }

    async fn delivery(&self) -> Result<DeliveryTo, Failure> {
        let delivery = within_limit(self.proxy.delivery()).await?;
        let whole = delivery.url.zip(delivery.typ).zip(delivery.request);
        let ((url, typ), request) =
            whole.ok_or_else(|| Failure::nonsense("an authorization without its delivery"))?;
        Ok(DeliveryTo { url, typ, request })
    }
}

/// An enrollment, and the connection that it belongs to.
struct Enrollment {
    proxy: EnrollmentProxy<'static>,
    events: Events,
    _client: Arc<fwp_dbus::Client>,
}

impl Enrollment {
    /// As [`Payment::event`].
    async fn event(
        &self,
        name: EnrollmentName,
        signal: Result<Signal, ClientError>,
    ) -> Result<Encoded, Result<(), Failure>> {
        let told = match signal {
            Ok(Signal::Attestation(attestation)) => {
                object(attestation, "an attestation that is no JSON object")
                    .and_then(|attestation| Event::Attestation { enrollment: name, attestation }.encode())
            }
            other => return Err(end(other)),
        };
        if told.is_err() {
            let _ = within_limit(self.proxy.cancel()).await;
        }
        told.map_err(Err)
    }
}

/// How something ended, by the last signal of it.
fn end(signal: Result<Signal, ClientError>) -> Result<(), Failure> {
    match signal {
        Ok(Signal::Finished(end)) => end.map_err(|error: Error| error.into()),
        Ok(_) => Err(Failure::nonsense("a signal that does not belong here")),
        Err(error) => Err(error.into()),
    }
}

/// JSON of the wallet's, which goes on as it is.
fn object(json: String, otherwise: &str) -> Result<Box<RawValue>, Failure> {
    let value = RawValue::from_string(json).map_err(|_| Failure::nonsense(otherwise))?;
    if value.get().starts_with('{') { Ok(value) } else { Err(Failure::nonsense(otherwise)) }
}
