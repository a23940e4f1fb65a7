//! Single exchanges that several ceremonies have: getInfo, getPINRetries, getKeyAgreement, and reading their answers.

use super::{Event, PinPurpose, PinRequest};
use crate::messages::{
    ClientPinRequest, ClientPinResponse, ClientPinSubcommand, CommandCode, EmptyResponse, GetInfo, Request,
    Response,
};
use crate::pin_uv_auth::{KeyAgreementKey, Protocol};
use crate::transport::KeepaliveStatus;
use crate::{Error, MessageError, Status};

/// The bytes of `request`, if they are not more than the device takes.
pub(super) fn encode(request: &Request, info: &GetInfo) -> Result<Vec<u8>, Error> {
    let bytes = request.encode();
    let limit = info.max_request();
    if bytes.len() > limit { Err(Error::RequestTooLarge { len: bytes.len(), limit }) } else { Ok(bytes) }
}

pub(super) fn client_pin(protocol: Protocol, subcommand: ClientPinSubcommand) -> Request {
    Request::ClientPin(ClientPinRequest { protocol: Some(protocol), subcommand })
}

/// Reads a response; a status other than 0 is the inner error.
pub(super) fn read<R: Response>(command: CommandCode, bytes: &[u8]) -> Result<Result<R, Status>, Error> {
    R::decode(bytes).map_err(|error| Error::Response { command, error })
}

/// Reads a response of which every status but 0 is an error.
pub(super) fn expect<R: Response>(command: CommandCode, bytes: &[u8]) -> Result<R, Error> {
    read(command, bytes)?.map_err(|status| Error::of_status(command, status))
}

pub(super) fn expect_empty(command: CommandCode, bytes: &[u8]) -> Result<Result<(), Status>, Error> {
    let response = EmptyResponse::decode(bytes).map_err(|error| Error::Response { command, error })?;
    Ok(response.map(|EmptyResponse| ()))
}

pub(super) fn missing(member: &'static str) -> Error {
    let error = MessageError::Member { member, problem: "missing" };
    Error::Response { command: CommandCode::ClientPin, error }
}

/// The authenticator's key in its answer to getKeyAgreement.
pub(super) fn key_agreement(bytes: &[u8]) -> Result<KeyAgreementKey, Error> {
    let response: ClientPinResponse = expect(CommandCode::ClientPin, bytes)?;
    response.key_agreement.ok_or(missing("keyAgreement"))
}

/// The question for the current PIN after the answer to getPINRetries: no attempts, no question.
pub(super) fn current_pin_wanted(bytes: &[u8], wrong: bool) -> Result<PinRequest, Error> {
    let response: ClientPinResponse = expect(CommandCode::ClientPin, bytes)?;
    let retries = response.pin_retries.ok_or(missing("pinRetries"))?;
    if retries == 0 {
        return Err(Error::PinBlocked);
    }
    if response.power_cycle_state == Some(true) {
        return Err(Error::PinAuthBlocked);
    }
    let attempts_left = Some(u32::try_from(retries).unwrap_or(u32::MAX));
    Ok(PinRequest { purpose: PinPurpose::Current, attempts_left, wrong })
}

/// The question for a new PIN.
pub(super) fn new_pin_wanted(info: &GetInfo) -> Event {
    let purpose = PinPurpose::New { min_code_points: info.min_pin_code_points() };
    Event::PinWanted(PinRequest { purpose, attempts_left: None, wrong: false })
}

/// The event that a keepalive is, while the device does not verify the user by itself.
pub(super) fn keepalive(status: KeepaliveStatus) -> Event {
    match status {
        KeepaliveStatus::Processing => Event::Processing,
        KeepaliveStatus::UserPresenceNeeded => Event::TouchWanted,
    }
}
