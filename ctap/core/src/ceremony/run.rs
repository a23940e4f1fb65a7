//! The loop that drives a ceremony over a blocking device.

use super::exchange::{expect, expect_empty, keepalive, read};
use super::{Ceremony, Event, Input, Output, PinRequest};
use crate::messages::{
    CommandCode, GetInfo, MakeCredentialRequest, MakeCredentialResponse, PinUvAuthParam, RelyingParty,
    Request, UserAccount,
};
use crate::pin_uv_auth::Protocol;
use crate::transport::{CancelToken, Device, KeepaliveStatus};
use crate::{Error, Pin, Random, Status};
use fwp_cose::SignatureAlgorithm;

/// The user, as a ceremony needs one. Both methods are called on the thread that runs the ceremony.
pub trait User {
    /// Asks for a PIN and blocks until there is one, or `None`: the user declined, or the caller cancelled meanwhile.
    fn pin(&mut self, request: &PinRequest) -> Option<Pin>;

    /// Shows what the device waits for. Called for every keepalive, so often with the same event.
    fn status(&mut self, event: Event);
}

/// Runs `ceremony` on `device` until it is over. Blocks; `cancel` ends it from any thread, in the device too. What the
/// device has done before it saw the cancellation is the result all the same: a PIN that is set is set.
///
/// # Errors
/// [`Error`].
pub fn run<C: Ceremony>(
    ceremony: &mut C,
    device: &mut dyn Device,
    user: &mut dyn User,
    random: &mut dyn Random,
    cancel: &CancelToken,
) -> Result<C::Outcome, Error> {
    device.begin()?;
    let result = drive(ceremony, device, user, random, cancel);
    device.end();
    result
}

fn drive<C: Ceremony>(
    ceremony: &mut C,
    device: &mut dyn Device,
    user: &mut dyn User,
    random: &mut dyn Random,
    cancel: &CancelToken,
) -> Result<C::Outcome, Error> {
    let mut output = ceremony.step(Input::Start, random)?;
    loop {
        output = match output {
            Output::Done(outcome) => return Ok(outcome),
            _ if cancel.is_cancelled() => return Err(Error::Cancelled),
            Output::Send(command) => {
                let mut on_keepalive = |status| {
                    // A keepalive changes nothing in the ceremony; one out of turn is the device's business.
                    if let Ok(Output::Event(event)) = ceremony.step(Input::Keepalive(status), random) {
                        user.status(event);
                    }
                };
                let response = device.transact(&command, &mut on_keepalive, cancel)?;
                ceremony.step(Input::Response(&response), random)?
            }
            Output::Event(Event::PinWanted(request)) => {
                let input = user.pin(&request).map_or(Input::Cancel, Input::Pin);
                ceremony.step(input, random)?
            }
            Output::Event(_) => return Err(Error::OutOfTurn("an event without a keepalive")),
        };
    }
}

/// Asks `device` what it can do.
///
/// # Errors
/// [`Error`].
pub fn get_info(device: &mut dyn Device, cancel: &CancelToken) -> Result<GetInfo, Error> {
    let response = device.transact(&Request::GetInfo.encode(), &mut |_| {}, cancel)?;
    expect(CommandCode::GetInfo, &response)
}

/// Waits until the user chooses `device` by a touch (CTAP 2.1 section 6.9). One of CTAP 2.0 does not know the command; it
/// waits for a touch too when makeCredential comes with an empty pinUvAuthParam (CTAP 2.0 section 5.1).
///
/// # Errors
/// [`Error`].
pub fn select(device: &mut dyn Device, user: &mut dyn User, cancel: &CancelToken) -> Result<(), Error> {
    match touch(&Request::Selection, device, user, cancel)? {
        Ok(()) => return Ok(()),
        Err(Status::INVALID_COMMAND) => {}
        Err(status) => return Err(Error::of_status(CommandCode::Selection, status)),
    }
    match touch(&touch_only(), device, user, cancel)? {
        Ok(()) | Err(Status::PIN_NOT_SET | Status::PIN_INVALID | Status::PIN_AUTH_INVALID) => Ok(()),
        Err(status) => Err(Error::of_status(CommandCode::MakeCredential, status)),
    }
}

/// A makeCredential that makes nothing and waits for a touch only.
fn touch_only() -> Request {
    Request::MakeCredential(MakeCredentialRequest {
        client_data_hash: [0; 32],
        rp: RelyingParty { id: "touch.invalid".to_owned(), name: None },
        user: UserAccount { id: vec![0], name: Some("touch".to_owned()), display_name: None },
        algorithms: vec![SignatureAlgorithm::Es256.id()],
        exclude: Vec::new(),
        cred_protect: None,
        resident_key: None,
        user_presence: None,
        user_verification: None,
        pin_uv_auth: Some(PinUvAuthParam { protocol: Protocol::One, param: Vec::new() }),
    })
}

/// Deletes all keys and the PIN of `device` (CTAP 2.1 section 6.6). Most devices allow it for some seconds after they
/// were plugged in only.
///
/// # Errors
/// [`Error`].
pub fn reset(device: &mut dyn Device, user: &mut dyn User, cancel: &CancelToken) -> Result<(), Error> {
    touch(&Request::Reset, device, user, cancel)?
        .map_err(|status| Error::of_status(CommandCode::Reset, status))
}

fn touch(
    request: &Request,
    device: &mut dyn Device,
    user: &mut dyn User,
    cancel: &CancelToken,
) -> Result<Result<(), Status>, Error> {
    let mut on_keepalive = |status: KeepaliveStatus| user.status(keepalive(status));
    let response = device.transact(&request.encode(), &mut on_keepalive, cancel)?;
    match request {
        // A device without PINs may take no notice of the empty pinUvAuthParam and make a credential.
        Request::MakeCredential(_) => {
            let made = read::<MakeCredentialResponse>(request.code(), &response)?;
            Ok(made.map(|_| ()))
        }
        _ => expect_empty(request.code(), &response),
    }
}
