//! The payments and enrollments that are open, by name, and the way to each.
//!
//! Each is served by a task of its own, which takes calls and the wallet's signals one after another: so an event that a call
//! caused is never told before the call's answer.

use crate::failure::Failure;
use crate::message::{EnrollmentCall, EnrollmentName, Name, PaymentCall, PaymentName, RequestId};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// What a payment or enrollment is told.
#[derive(Debug)]
pub enum Told<C> {
    /// A request, with the room that it takes until it is answered.
    Call(RequestId, C, OwnedSemaphorePermit),
    /// To end without a word, and to say when that is done.
    Forget(oneshot::Sender<()>),
}

/// The way to one.
pub type Way<C> = mpsc::UnboundedSender<Told<C>>;
/// Its end. Not bounded by itself: each call holds a permit, of which there are so many only.
pub type Calls<C> = mpsc::UnboundedReceiver<Told<C>>;

/// All of them.
#[derive(Debug, Default)]
pub struct Open(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    payments: Table<'p', PaymentCall>,
    enrollments: Table<'e', EnrollmentCall>,
}

#[derive(Debug)]
struct Table<const KIND: char, C> {
    last: u64,
    ways: HashMap<Name<KIND>, Way<C>>,
}

impl<const KIND: char, C> Default for Table<KIND, C> {
    fn default() -> Self {
        Self { last: 0, ways: HashMap::new() }
    }
}

impl<const KIND: char, C> Table<KIND, C> {
    fn add(&mut self) -> (Name<KIND>, Calls<C>) {
        self.last += 1;
        let (way, calls) = mpsc::unbounded_channel();
        self.ways.insert(Name(self.last), way);
        (Name(self.last), calls)
    }

    fn tell(&self, name: Name<KIND>, told: Told<C>) -> Result<(), Told<C>> {
        match self.ways.get(&name) {
            Some(way) => way.send(told).map_err(|mpsc::error::SendError(told)| told),
            None => Err(told),
        }
    }

    fn forget(&mut self, names: &[Name<KIND>]) -> Vec<oneshot::Receiver<()>> {
        let ways = names.iter().filter_map(|name| self.ways.remove(name));
        ways.filter_map(|way| {
            let (done, ended) = oneshot::channel();
            way.send(Told::Forget(done)).ok().map(|()| ended)
        })
        .collect()
    }
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new payment.
    pub fn add_payment(&self) -> (PaymentName, Calls<PaymentCall>) {
        self.lock().payments.add()
    }

    /// A new enrollment.
    pub fn add_enrollment(&self) -> (EnrollmentName, Calls<EnrollmentCall>) {
        self.lock().enrollments.add()
    }

    /// A payment has ended.
    pub fn remove_payment(&self, name: PaymentName) {
        self.lock().payments.ways.remove(&name);
    }

    /// An enrollment has ended.
    pub fn remove_enrollment(&self, name: EnrollmentName) {
        self.lock().enrollments.ways.remove(&name);
    }

    /// Hands a call on.
    ///
    /// # Errors
    /// `fwp-host.Unknown`, if there is no such payment.
    pub fn tell_payment(&self, name: PaymentName, told: Told<PaymentCall>) -> Result<(), Failure> {
        self.lock().payments.tell(name, told).map_err(|_| Failure::unknown("payment"))
    }

    /// Hands a call on.
    ///
    /// # Errors
    /// `fwp-host.Unknown`, if there is no such enrollment.
    pub fn tell_enrollment(&self, name: EnrollmentName, told: Told<EnrollmentCall>) -> Result<(), Failure> {
        self.lock().enrollments.tell(name, told).map_err(|_| Failure::unknown("enrollment"))
    }

    /// Has those end that are open of these, without a word; each receiver waits until one has.
    pub fn forget(
        &self,
        payments: &[PaymentName],
        enrollments: &[EnrollmentName],
    ) -> Vec<oneshot::Receiver<()>> {
        let mut tables = self.lock();
        let mut ended = tables.payments.forget(payments);
        ended.append(&mut tables.enrollments.forget(enrollments));
        ended
    }
}
