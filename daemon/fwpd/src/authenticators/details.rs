//! What an authenticator says of itself, asked anew.

use std::time::Duration;

use ctap_client::Keys;
use ctap_core::ceremony::get_info;
use ctap_core::messages::{
    ClientPinRequest, ClientPinResponse, ClientPinSubcommand, GetInfo, Request, Response,
};
use ctap_core::transport::{CancelToken, Device};
use fwp_dbus::types::{AuthenticatorDetails, PinStatus};
use fwp_dbus::{Error, ErrorName};

use super::keys::harmless_all;
use super::platform::Home;
use super::{Piggyback, Which, uuid};
use crate::ceremonies::refusal;
use crate::wallets::Wallet;

/// How long an authenticator may take to say what nobody has to touch it for. One that says for minutes that it still works on
/// it is given up then.
const ANSWERING: Duration = Duration::from_secs(5);

/// Opens an authenticator and asks it something, on another thread; nobody is asked to touch anything.
///
/// # Errors
/// What keeps it from being opened, and what it is asked with; `Timeout`.
pub(crate) async fn ask<T: Send + 'static>(
    which: &Which,
    wallet: &Wallet,
    question: impl FnOnce(&mut dyn Device, &CancelToken) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    if let Which::Platform(_, Err(problem)) = which {
        return Err(problem.clone());
    }
    let (which, home) = (which.clone(), Home::of(wallet));
    let cancel = CancelToken::new();
    let cancelled = cancel.clone();
    let work = move |keys: &Keys| {
        let piggyback = Piggyback::default();
        let mut device = match which {
            Which::Platform(platform, _) => platform.open_to_ask(&home, &piggyback)?,
            Which::Key(key) => keys.open(key.id).map_err(|error| refusal(&error))?,
        };
        piggyback.explain(question(&mut *device, &cancelled))
    };
    let asked = async {
        let share = wallet.context.shares.devices.take(wallet.uid).await;
        let work = move |keys: &Keys| {
            // As long as the thread waits for the device.
            let _share = share;
            work(keys)
        };
        wallet.context.keys.elsewhere(work).await
    };
    let Ok(answer) = tokio::time::timeout(ANSWERING, asked).await else {
        cancel.cancel();
        return Err(Error::new(
            ErrorName::Timeout,
            "the authenticator does not answer in time; a security key: pull it out and plug it in again",
        ));
    };
    answer.unwrap_or_else(|error| Err(Error::new(ErrorName::Internal, error.to_string())))
}

/// How it stands with the PIN.
///
/// # Errors
/// What the device fails with.
pub(crate) fn pin_status(device: &mut dyn Device, cancel: &CancelToken) -> Result<PinStatus, Error> {
    in_session(device, |device| {
        let info = get_info(device, cancel).map_err(|error| refusal(&error))?;
        pin_status_of(&info, device, cancel)
    })
}

/// Everything that it says.
///
/// # Errors
/// What the device fails with.
pub(crate) fn details(device: &mut dyn Device, cancel: &CancelToken) -> Result<AuthenticatorDetails, Error> {
    in_session(device, |device| {
        let info = get_info(device, cancel).map_err(|error| refusal(&error))?;
        let pin = pin_status_of(&info, device, cancel)?;
        Ok(AuthenticatorDetails {
            aaguid: uuid(info.aaguid),
            versions: harmless_all(&info.versions),
            extensions: harmless_all(&info.extensions),
            transports: harmless_all(&info.transports),
            options: harmless_all(&info.options.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>())
                .into_iter()
                .zip(info.options.iter().map(|(_, value)| *value))
                .collect(),
            algorithms: info.algorithms.clone(),
            pin_protocols: info.pin_uv_auth_protocols.clone(),
            pin_set: pin.set,
            pin_blocked: pin.blocked,
            pin_change_required: info.force_pin_change,
            pin_retries: pin.retries,
            pin_min_length: pin.min_length,
            remaining_slots: info.remaining_discoverable_credentials,
            firmware_version: info.firmware_version,
            max_message_size: info.max_msg_size,
        })
    })
}

fn in_session<T>(
    device: &mut dyn Device,
    work: impl FnOnce(&mut dyn Device) -> Result<T, Error>,
) -> Result<T, Error> {
    device.begin().map_err(|error| refusal(&error.into()))?;
    let done = work(device);
    device.end();
    done
}

fn pin_status_of(info: &GetInfo, device: &mut dyn Device, cancel: &CancelToken) -> Result<PinStatus, Error> {
    let min_length = info.min_pin_code_points();
    let set = info.option("clientPin") == Some(true);
    // A key without a PIN (or without any notion of one) may refuse to count attempts.
    if info.option("clientPin").is_none() {
        return Ok(PinStatus { set, retries: 0, min_length, blocked: false });
    }
    let nonsense = |error: String| Error::new(ErrorName::AuthenticatorFailed, error);
    let request =
        ClientPinRequest { protocol: info.protocol(), subcommand: ClientPinSubcommand::GetPinRetries };
    let response = device
        .transact(&Request::ClientPin(request).encode(), &mut |_| {}, cancel)
        .map_err(|error| refusal(&error.into()))?;
    let response = ClientPinResponse::decode(&response)
        .map_err(|error| nonsense(error.to_string()))?
        .map_err(|status| nonsense(status.to_string()));
    let retries = match response {
        Ok(response) => u32::try_from(response.pin_retries.unwrap_or_default()).unwrap_or(u32::MAX),
        Err(error) if set => return Err(error),
        Err(_) => 0,
    };
    Ok(PinStatus { set, retries, min_length, blocked: set && retries == 0 })
}
