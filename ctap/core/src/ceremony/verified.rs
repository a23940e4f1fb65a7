//! The part that makeCredential and getAssertion have in common: one command, authorized by verifying the user.
//!
//! getInfo, then silent questions, then one of: a token for built-in verification, a token for the PIN, or the `uv` option; then the command.

use super::exchange::{
    client_pin, current_pin_wanted, encode, expect, keepalive, key_agreement, missing, read,
};
use super::preflight::{Held, Question};
use super::{Event, Input, Output, PinRequest};
use crate::messages::{
    ClientPinResponse, ClientPinSubcommand, CommandCode, GetInfo, PinUvAuthParam, Request,
};
use crate::pin_uv_auth::{KeyAgreementKey, Permissions, Protocol, SharedSecret, Token, encapsulate};
use crate::transport::KeepaliveStatus;
use crate::{Error, MessageError, Pin, Random, Status};
use std::collections::VecDeque;

/// How often built-in verification is tried where the device does not say, and at most.
const DEFAULT_UV_ATTEMPTS: u64 = 3;
const MAX_UV_ATTEMPTS: u64 = 10;

/// How a command says that the user is verified.
pub(super) enum Authorization {
    /// By a token.
    Param(PinUvAuthParam),
    /// By the `uv` option: the device verifies while it works on the command.
    BuiltInUv,
}

/// A command that wants a verified user.
pub(super) trait Operation {
    type Outcome;
    const COMMAND: CommandCode;
    /// The permission that its token needs.
    const PERMISSION: Permissions;

    fn rp_id(&self) -> &str;
    fn client_data_hash(&self) -> &[u8; 32];
    /// Whether the device can do it at all.
    fn check(&self, info: &GetInfo) -> Result<(), Error>;
    /// What the device is to be asked silently before the user is asked for anything.
    fn questions(&mut self, _info: &GetInfo) -> Vec<Question> {
        Vec::new()
    }
    /// Takes what the device said to one of the questions; whether the others are still of interest.
    fn answered(&mut self, _info: &GetInfo, _question: &Question, _held: Held) -> bool {
        false
    }
    fn request(&self, info: &GetInfo, authorization: Authorization) -> Request;
    /// Reads and verifies the answer, whose status is 0.
    fn conclude(&self, response: &[u8]) -> Result<Self::Outcome, Error>;
}

pub(super) struct Verified<O> {
    operation: O,
    info: GetInfo,
    state: State,
    uv_attempts: u64,
}

/// What the ceremony waits for.
enum State {
    Start,
    Info,
    /// The first question has been asked.
    Preflight(VecDeque<Question>),
    PinRetries {
        wrong: bool,
    },
    KeyAgreement(Method),
    /// The PIN is for the device that gave this key, and can be read by no other.
    Pin(KeyAgreementKey),
    Token {
        built_in_uv: bool,
        secret: SharedSecret,
    },
    Command {
        built_in_uv: bool,
    },
    Over,
}

/// How a token is got.
enum Method {
    /// By the PIN, once this has been asked.
    Pin(PinRequest),
    BuiltInUv,
}

impl<O: Operation> Verified<O> {
    pub(super) fn new(operation: O) -> Self {
        Self { operation, info: GetInfo::default(), state: State::Start, uv_attempts: 0 }
    }

    pub(super) fn step(
        &mut self,
        input: Input<'_>,
        random: &mut dyn Random,
    ) -> Result<Output<O::Outcome>, Error> {
        if let Input::Keepalive(status) = input {
            return self.keepalive(status).map(Output::Event);
        }
        // Whatever goes wrong from here on ends the ceremony.
        match (std::mem::replace(&mut self.state, State::Over), input) {
            (State::Over, _) => Err(Error::OutOfTurn("anything: it is over")),
            (_, Input::Cancel) => Err(Error::Cancelled),
            (State::Start, Input::Start) => {
                self.state = State::Info;
                Ok(Output::Send(Request::GetInfo.encode()))
            }
            (State::Info, Input::Response(bytes)) => {
                self.info = expect(GetInfo::COMMAND, bytes)?;
                self.operation.check(&self.info)?;
                let questions = self.operation.questions(&self.info).into();
                self.preflight(questions)
            }
            (State::Preflight(mut questions), Input::Response(bytes)) => {
                let more = questions.pop_front().is_some_and(|question| {
                    let held = question.answer(bytes);
                    self.operation.answered(&self.info, &question, held)
                });
                self.preflight(if more { questions } else { VecDeque::new() })
            }
            (State::PinRetries { wrong }, Input::Response(bytes)) => {
                self.ask_key_agreement(Method::Pin(current_pin_wanted(bytes, wrong)?))
            }
            (State::KeyAgreement(Method::Pin(request)), Input::Response(bytes)) => {
                self.state = State::Pin(key_agreement(bytes)?);
                Ok(Output::Event(Event::PinWanted(request)))
            }
            (State::KeyAgreement(Method::BuiltInUv), Input::Response(bytes)) => {
                self.ask_token_by_uv(&key_agreement(bytes)?, random)
            }
            (State::Pin(key), Input::Pin(pin)) => self.ask_token_by_pin(&pin, &key, random),
            (State::Token { built_in_uv, secret }, Input::Response(bytes)) => {
                self.token(built_in_uv, &secret, bytes)
            }
            (State::Command { built_in_uv }, Input::Response(bytes)) => self.answer(built_in_uv, bytes),
            (_, Input::Start) => Err(Error::OutOfTurn("a start")),
            (_, Input::Response(_)) => Err(Error::OutOfTurn("a response")),
            (_, Input::Pin(_)) => Err(Error::OutOfTurn("a PIN")),
            (_, Input::Keepalive(_)) => Err(Error::OutOfTurn("a keepalive")),
        }
    }

    fn keepalive(&mut self, status: KeepaliveStatus) -> Result<Event, Error> {
        let verifies = match &self.state {
            State::Token { built_in_uv: true, .. } | State::Command { built_in_uv: true } => true,
            State::Start | State::Pin(_) | State::Over => {
                self.state = State::Over;
                return Err(Error::OutOfTurn("a keepalive"));
            }
            _ => false,
        };
        Ok(match status {
            KeepaliveStatus::UserPresenceNeeded if verifies => Event::VerificationWanted,
            status => keepalive(status),
        })
    }

    fn preflight(&mut self, questions: VecDeque<Question>) -> Result<Output<O::Outcome>, Error> {
        match questions.front().map(Question::encode) {
            None => self.authorize(),
            Some(bytes) => {
                self.state = State::Preflight(questions);
                Ok(Output::Send(bytes))
            }
        }
    }

    /// Chooses how the user is verified (CTAP 2.1 section 6.1.1 and 6.2.1, platform's part).
    fn authorize(&mut self) -> Result<Output<O::Outcome>, Error> {
        if self.info.option("uv") != Some(true) {
            return self.authorize_by_pin();
        }
        // Not every key that verifies by itself has tokens: CTAP 2.0 knows the uv option only.
        if self.info.option("pinUvAuthToken") == Some(true) {
            self.ask_key_agreement(Method::BuiltInUv)
        } else {
            self.command(Authorization::BuiltInUv)
        }
    }

    fn pin_usable(&self) -> bool {
        self.info.option("clientPin") == Some(true)
            && self.info.option("noMcGaPermissionsWithClientPin") != Some(true)
    }

    /// Why there is no way to verify the user.
    fn what_is_missing(&self) -> Error {
        let pin_would_do = self.info.option("noMcGaPermissionsWithClientPin") != Some(true);
        if pin_would_do && self.info.option("clientPin") == Some(false) {
            Error::PinNotSet
        } else if self.info.option("uv") == Some(false) {
            Error::UvNotSetUp
        } else {
            Error::NoUserVerification
        }
    }

    fn authorize_by_pin(&mut self) -> Result<Output<O::Outcome>, Error> {
        if !self.pin_usable() {
            return Err(self.what_is_missing());
        }
        if self.info.force_pin_change {
            return Err(Error::PinChangeRequired);
        }
        self.ask_retries(false)
    }

    fn ask_retries(&mut self, wrong: bool) -> Result<Output<O::Outcome>, Error> {
        self.state = State::PinRetries { wrong };
        self.send(&client_pin(self.protocol()?, ClientPinSubcommand::GetPinRetries))
    }

    fn ask_key_agreement(&mut self, method: Method) -> Result<Output<O::Outcome>, Error> {
        self.state = State::KeyAgreement(method);
        self.send(&client_pin(self.protocol()?, ClientPinSubcommand::GetKeyAgreement))
    }

    fn ask_token_by_uv(
        &mut self,
        key: &KeyAgreementKey,
        random: &mut dyn Random,
    ) -> Result<Output<O::Outcome>, Error> {
        let protocol = self.protocol()?;
        let (key_agreement, secret) = encapsulate(protocol, key, random)?;
        let subcommand = ClientPinSubcommand::GetPinUvAuthTokenUsingUvWithPermissions {
            key_agreement,
            permissions: O::PERMISSION,
            rp_id: Some(self.operation.rp_id().to_owned()),
        };
        self.uv_attempts += 1;
        self.state = State::Token { built_in_uv: true, secret };
        self.send(&client_pin(protocol, subcommand))
    }

    fn ask_token_by_pin(
        &mut self,
        pin: &Pin,
        key: &KeyAgreementKey,
        random: &mut dyn Random,
    ) -> Result<Output<O::Outcome>, Error> {
        let protocol = self.protocol()?;
        let (key_agreement, secret) = encapsulate(protocol, key, random)?;
        let pin_hash_enc = secret.encrypt(pin.hash().as_bytes(), random)?;
        let subcommand = if self.info.option("pinUvAuthToken") == Some(true) {
            ClientPinSubcommand::GetPinUvAuthTokenUsingPinWithPermissions {
                key_agreement,
                pin_hash_enc,
                permissions: O::PERMISSION,
                rp_id: Some(self.operation.rp_id().to_owned()),
            }
        } else {
            ClientPinSubcommand::GetPinToken { key_agreement, pin_hash_enc }
        };
        self.state = State::Token { built_in_uv: false, secret };
        self.send(&client_pin(protocol, subcommand))
    }

    fn token(
        &mut self,
        built_in: bool,
        secret: &SharedSecret,
        bytes: &[u8],
    ) -> Result<Output<O::Outcome>, Error> {
        let response: ClientPinResponse = match read(CommandCode::ClientPin, bytes)? {
            Ok(response) => response,
            Err(Status::PIN_INVALID) if !built_in => return self.ask_retries(true),
            Err(Status::UV_INVALID) if built_in && self.uv_attempts < self.uv_attempts_allowed() => {
                return self.ask_key_agreement(Method::BuiltInUv);
            }
            Err(Status::UV_INVALID | Status::UV_BLOCKED) if built_in && self.pin_usable() => {
                return self.authorize_by_pin();
            }
            // The device wants another PIN before it gives tokens for this one (CTAP 2.1 section 6.5.5.7).
            Err(Status::PIN_POLICY_VIOLATION) => return Err(Error::PinChangeRequired),
            Err(status) => return Err(Error::of_status(CommandCode::ClientPin, status)),
        };
        let encrypted = response.pin_uv_auth_token.ok_or(missing("pinUvAuthToken"))?;
        let token = Token::decrypt(secret, &encrypted).map_err(|_| Error::Response {
            command: CommandCode::ClientPin,
            error: MessageError::Member { member: "pinUvAuthToken", problem: "of a wrong length" },
        })?;
        let param = token.authenticate(self.operation.client_data_hash());
        self.command(Authorization::Param(PinUvAuthParam { protocol: token.protocol(), param }))
    }

    fn command(&mut self, authorization: Authorization) -> Result<Output<O::Outcome>, Error> {
        let built_in_uv = matches!(authorization, Authorization::BuiltInUv);
        self.uv_attempts += u64::from(built_in_uv);
        self.state = State::Command { built_in_uv };
        self.send(&self.operation.request(&self.info, authorization))
    }

    fn answer(&mut self, built_in_uv: bool, bytes: &[u8]) -> Result<Output<O::Outcome>, Error> {
        let status = match bytes.first() {
            Some(0) | None => return self.operation.conclude(bytes).map(Output::Done),
            Some(status) => Status(*status),
        };
        match status {
            Status::UV_INVALID if built_in_uv && self.uv_attempts < self.uv_attempts_allowed() => {
                self.command(Authorization::BuiltInUv)
            }
            // CTAP 2.0 keys say PIN_BLOCKED or PIN_REQUIRED when only the PIN is left.
            Status::UV_INVALID | Status::UV_BLOCKED | Status::PIN_BLOCKED | Status::PUAT_REQUIRED
                if built_in_uv && self.pin_usable() =>
            {
                self.authorize_by_pin()
            }
            status => Err(Error::of_status(O::COMMAND, status)),
        }
    }

    fn uv_attempts_allowed(&self) -> u64 {
        self.info.preferred_platform_uv_attempts.unwrap_or(DEFAULT_UV_ATTEMPTS).clamp(1, MAX_UV_ATTEMPTS)
    }

    fn protocol(&self) -> Result<Protocol, Error> {
        self.info.protocol().ok_or(Error::PinUvAuthProtocol)
    }

    fn send(&mut self, request: &Request) -> Result<Output<O::Outcome>, Error> {
        encode(request, &self.info).map(Output::Send).inspect_err(|_| self.state = State::Over)
    }
}
