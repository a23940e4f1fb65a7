//! "Set PIN": the first PIN of an authenticator (CTAP 2.1 section 6.5.5.5).

use super::exchange::{client_pin, encode, expect, expect_empty, keepalive, key_agreement, new_pin_wanted};
use super::{Ceremony, Input, Output};
use crate::messages::{ClientPinSubcommand, CommandCode, GetInfo, Request};
use crate::pin_uv_auth::{KeyAgreementKey, encapsulate};
use crate::{Error, Pin, Random, Status};

/// The ceremony. It asks for the new PIN once: whether to have it typed twice is up to the user interface.
pub struct SetPin {
    info: GetInfo,
    state: State,
}

enum State {
    Start,
    Info,
    KeyAgreement,
    /// The PIN is for the device that gave this key, and can be read by no other.
    NewPin(KeyAgreementKey),
    Set,
    Over,
}

impl SetPin {
    /// The ceremony.
    #[expect(clippy::new_without_default, reason = "a ceremony has no default")]
    pub fn new() -> Self {
        Self { info: GetInfo::default(), state: State::Start }
    }

    fn info(&mut self, bytes: &[u8]) -> Result<Output<()>, Error> {
        self.info = expect(GetInfo::COMMAND, bytes)?;
        match self.info.option("clientPin") {
            None => Err(Error::NoUserVerification),
            Some(true) => Err(Error::PinAlreadySet),
            Some(false) => self.ask_key_agreement(),
        }
    }

    fn ask_key_agreement(&mut self) -> Result<Output<()>, Error> {
        let protocol = self.info.protocol().ok_or(Error::PinUvAuthProtocol)?;
        let bytes = encode(&client_pin(protocol, ClientPinSubcommand::GetKeyAgreement), &self.info)?;
        self.state = State::KeyAgreement;
        Ok(Output::Send(bytes))
    }

    fn set(
        &mut self,
        key: &KeyAgreementKey,
        pin: &Pin,
        random: &mut dyn Random,
    ) -> Result<Output<()>, Error> {
        check_new_pin(pin, &self.info)?;
        let protocol = self.info.protocol().ok_or(Error::PinUvAuthProtocol)?;
        let (key_agreement, secret) = encapsulate(protocol, key, random)?;
        let new_pin_enc = secret.encrypt(&*pin.padded(), random)?;
        let pin_uv_auth_param = secret.authenticate(&new_pin_enc);
        let subcommand = ClientPinSubcommand::SetPin { key_agreement, new_pin_enc, pin_uv_auth_param };
        let bytes = encode(&client_pin(protocol, subcommand), &self.info)?;
        self.state = State::Set;
        Ok(Output::Send(bytes))
    }
}

impl Ceremony for SetPin {
    type Outcome = ();

    fn step(&mut self, input: Input<'_>, random: &mut dyn Random) -> Result<Output<()>, Error> {
        if let (Input::Keepalive(status), State::Info | State::KeyAgreement | State::Set) =
            (&input, &self.state)
        {
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
            (State::KeyAgreement, Input::Response(bytes)) => {
                self.state = State::NewPin(key_agreement(bytes)?);
                Ok(Output::Event(new_pin_wanted(&self.info)))
            }
            (State::NewPin(key), Input::Pin(pin)) => self.set(&key, &pin, random),
            (State::Set, Input::Response(bytes)) => match expect_empty(CommandCode::ClientPin, bytes)? {
                Ok(()) => Ok(Output::Done(())),
                Err(status) => Err(new_pin_refused(status, &self.info)),
            },
            _ => Err(Error::OutOfTurn("this input")),
        }
    }
}

/// What can be said of a new PIN before it is sent.
pub(super) fn check_new_pin(pin: &Pin, info: &GetInfo) -> Result<(), Error> {
    // At most 63, so that it fits.
    let code_points = u32::try_from(pin.code_points()).unwrap_or(u32::MAX);
    let min_code_points = info.min_pin_code_points();
    if code_points < min_code_points {
        return Err(Error::PinPolicy { min_code_points });
    }
    match info.max_pin_code_points() {
        Some(max_code_points) if code_points > max_code_points => Err(Error::PinTooLong { max_code_points }),
        _ => Ok(()),
    }
}

/// What `status` means as an answer to setPIN and changePIN.
pub(super) fn new_pin_refused(status: Status, info: &GetInfo) -> Error {
    match status {
        Status::PIN_POLICY_VIOLATION => Error::PinPolicy { min_code_points: info.min_pin_code_points() },
        status => Error::of_status(CommandCode::ClientPin, status),
    }
}
