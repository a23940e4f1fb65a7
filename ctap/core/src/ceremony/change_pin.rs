//! "Change PIN" (CTAP 2.1 section 6.5.5.6).

use super::exchange::{
    client_pin, current_pin_wanted, encode, expect, expect_empty, keepalive, key_agreement, new_pin_wanted,
};
use super::set_pin::{check_new_pin, new_pin_refused};
use super::{Ceremony, Event, Input, Output, PinRequest};
use crate::messages::{ClientPinSubcommand, CommandCode, GetInfo, Request};
use crate::pin_uv_auth::{KeyAgreementKey, Protocol, encapsulate};
use crate::{Error, Pin, Random, Status};

/// The ceremony. It asks for the current PIN (again while it is wrong), then once for the new one.
pub struct ChangePin {
    info: GetInfo,
    state: State,
    new: Option<Pin>,
}

enum State {
    Start,
    Info,
    Retries {
        wrong: bool,
    },
    KeyAgreement(PinRequest),
    /// The PINs are for the device that gave this key, and can be read by no other.
    CurrentPin(KeyAgreementKey),
    NewPin(KeyAgreementKey, Pin),
    Change,
    Over,
}

impl ChangePin {
    /// The ceremony.
    #[expect(clippy::new_without_default, reason = "a ceremony has no default")]
    pub fn new() -> Self {
        Self { info: GetInfo::default(), state: State::Start, new: None }
    }

    fn info(&mut self, bytes: &[u8]) -> Result<Output<()>, Error> {
        self.info = expect(GetInfo::COMMAND, bytes)?;
        match self.info.option("clientPin") {
            None => Err(Error::NoUserVerification),
            Some(false) => Err(Error::PinNotSet),
            Some(true) => self.ask_retries(false),
        }
    }

    fn ask_retries(&mut self, wrong: bool) -> Result<Output<()>, Error> {
        let bytes = encode(&client_pin(self.protocol()?, ClientPinSubcommand::GetPinRetries), &self.info)?;
        self.state = State::Retries { wrong };
        Ok(Output::Send(bytes))
    }

    fn ask_key_agreement(&mut self, request: PinRequest) -> Result<Output<()>, Error> {
        let bytes = encode(&client_pin(self.protocol()?, ClientPinSubcommand::GetKeyAgreement), &self.info)?;
        self.state = State::KeyAgreement(request);
        Ok(Output::Send(bytes))
    }

    fn current_pin(
        &mut self,
        key: KeyAgreementKey,
        current: Pin,
        random: &mut dyn Random,
    ) -> Result<Output<()>, Error> {
        match self.new.take() {
            Some(new) => self.change(&key, &current, new, random),
            None => {
                self.state = State::NewPin(key, current);
                Ok(Output::Event(new_pin_wanted(&self.info)))
            }
        }
    }

    fn change(
        &mut self,
        key: &KeyAgreementKey,
        current: &Pin,
        new: Pin,
        random: &mut dyn Random,
    ) -> Result<Output<()>, Error> {
        let protocol = self.protocol()?;
        let (key_agreement, secret) = encapsulate(protocol, key, random)?;
        let pin_hash_enc = secret.encrypt(current.hash().as_bytes(), random)?;
        let new_pin_enc = secret.encrypt(&*new.padded(), random)?;
        let pin_uv_auth_param = secret.authenticate(&[new_pin_enc.as_slice(), &pin_hash_enc].concat());
        let subcommand =
            ClientPinSubcommand::ChangePin { key_agreement, pin_hash_enc, new_pin_enc, pin_uv_auth_param };
        let bytes = encode(&client_pin(protocol, subcommand), &self.info)?;
        // Kept for when only the current PIN was wrong.
        self.new = Some(new);
        self.state = State::Change;
        Ok(Output::Send(bytes))
    }

    fn protocol(&self) -> Result<Protocol, Error> {
        self.info.protocol().ok_or(Error::PinUvAuthProtocol)
    }
}

impl Ceremony for ChangePin {
    type Outcome = ();

    fn step(&mut self, input: Input<'_>, random: &mut dyn Random) -> Result<Output<()>, Error> {
        let sent = matches!(
            &self.state,
            State::Info | State::Retries { .. } | State::KeyAgreement(_) | State::Change
        );
        if let (Input::Keepalive(status), true) = (&input, sent) {
            return Ok(Output::Event(keepalive(*status)));
        }
        match (std::mem::replace(&mut self.state, State::Over), input) {
            (State::Over, _) => Err(Error::OutOfTurn("anything: it is over")),
            (_, Input::Cancel) => Err(Error::Cancelled),
            (State::Start, Input::Start) => {
                self.state = State::Info;
                Ok(Output::Send(Request::GetInfo.encode()))
            }
            (State::Info, Input::Response(bytes)) => self.info(bytes),
            (State::Retries { wrong }, Input::Response(bytes)) => {
                self.ask_key_agreement(current_pin_wanted(bytes, wrong)?)
            }
            (State::KeyAgreement(request), Input::Response(bytes)) => {
                self.state = State::CurrentPin(key_agreement(bytes)?);
                Ok(Output::Event(Event::PinWanted(request)))
            }
            (State::CurrentPin(key), Input::Pin(current)) => self.current_pin(key, current, random),
            (State::NewPin(key, current), Input::Pin(new)) => {
                check_new_pin(&new, &self.info)?;
                self.change(&key, &current, new, random)
            }
            (State::Change, Input::Response(bytes)) => match expect_empty(CommandCode::ClientPin, bytes)? {
                Ok(()) => Ok(Output::Done(())),
                Err(Status::PIN_INVALID) => self.ask_retries(true),
                Err(status) => Err(new_pin_refused(status, &self.info)),
            },
            _ => Err(Error::OutOfTurn("this input")),
        }
    }
}
