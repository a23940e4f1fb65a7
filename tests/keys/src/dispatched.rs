//! A key behind an APDU layer that others made: `apdu-dispatch`, as it runs in the keys of Nitrokey and SoloKeys, with any
//! [`Device`] as the applet's inside. It knows chains, extended APDUs and GET RESPONSE, and no keepalives: the reader waits.

use crate::applet::{ApduLog, Card, Power, Reply, contactless_atr};
use apdu_dispatch::app::{App, CommandView, Interface, Result as AppResult, VecView};
use apdu_dispatch::dispatch::ApduDispatch;
use apdu_dispatch::interchanges::{Channel, Data, Requester};
use apdu_dispatch::iso7816::{self, Aid, Status};
use ctap_core::transport::{CancelToken, Device};

/// The card.
pub struct DispatchedCard<D> {
    applet: Fido<D>,
    reader: Requester<'static>,
    dispatch: ApduDispatch<'static>,
    extended: bool,
    log: ApduLog,
}

impl<D: Device> DispatchedCard<D> {
    /// A card with `device` inside, whose answer to reset says whether it takes extended APDUs (it does).
    pub fn new(device: D, extended: bool) -> Self {
        // One of each for a card, and a test has few cards: that they stay is no matter.
        let contact: &'static Channel = Box::leak(Box::new(Channel::new()));
        let contactless: &'static Channel = Box::leak(Box::new(Channel::new()));
        let (_, unused) = contact.split().expect("a new channel");
        let (reader, served) = contactless.split().expect("a new channel");
        let dispatch = ApduDispatch::new(unused, served);
        Self { applet: Fido(device), reader, dispatch, extended, log: ApduLog::default() }
    }

    /// The list that it writes every APDU to.
    pub fn log(&self) -> ApduLog {
        self.log.clone()
    }
}

impl<D: Device> Card for DispatchedCard<D> {
    fn atr(&self) -> Vec<u8> {
        contactless_atr(self.extended)
    }

    fn power(&mut self, _: Power) {}

    fn apdu(&mut self, apdu: &[u8]) -> Reply {
        self.log.add(apdu);
        let request = Data::from_slice(apdu).expect("an APDU that this layer has room for");
        self.reader.request(request).expect("the last one was answered");
        self.dispatch.poll(&mut [&mut self.applet]);
        Reply::Apdu(self.reader.take_response().expect("an answer").to_vec())
    }
}

struct Fido<D>(D);

impl<D> iso7816::App for Fido<D> {
    fn aid(&self) -> Aid {
        Aid::new(&[0xa0, 0x00, 0x00, 0x06, 0x47, 0x2f, 0x00, 0x01])
    }
}

/// As fido-authenticator does it: `U2F_V2` to SELECT, for it knows both, and CTAP2 by the instruction 0x10.
impl<D: Device> App for Fido<D> {
    fn select(&mut self, _: Interface, _: CommandView<'_>, reply: &mut VecView<u8>) -> AppResult {
        reply.extend_from_slice(b"U2F_V2").map_err(|_| Status::NotEnoughMemory)
    }

    fn deselect(&mut self) {}

    fn call(&mut self, _: Interface, apdu: CommandView<'_>, reply: &mut VecView<u8>) -> AppResult {
        if u8::from(apdu.instruction()) != 0x10 {
            return Err(Status::InstructionNotSupportedOrInvalid);
        }
        let response = self.0.transact(apdu.data(), &mut |_| {}, &CancelToken::new());
        let response = response.map_err(|_| Status::UnspecifiedNonpersistentExecutionError)?;
        reply.extend_from_slice(&response).map_err(|_| Status::NotEnoughMemory)
    }
}
