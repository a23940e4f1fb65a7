//! A key in use, as a device.

use crate::slot::{Lease, Leased, Slot, Use};
use ctap_core::Error;
use ctap_core::messages::{ClientPinSubcommand, CommandCode, GetInfo, Request, Response};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use std::sync::Arc;

/// A key in use: one session from when it is opened until it is dropped, however many ceremonies begin and end in it, so
/// that a card on a reader is selected once for choosing it, setting its PIN and making a key.
pub(crate) struct Session {
    device: Box<dyn Device>,
    // After the device: it is closed before another one may open it.
    lease: Lease,
}

impl Session {
    /// Opens the key of `slot` for `used`.
    pub(crate) fn open(slot: &Arc<Slot>, used: Use) -> Result<Self, Error> {
        match slot.lease(used)? {
            Leased::Lease(lease) => Self::with(lease),
            Leased::Known(_) => Err(TransportError::Busy.into()),
        }
    }

    /// Opens the key of `lease`.
    pub(crate) fn with(lease: Lease) -> Result<Self, Error> {
        Ok(Self { device: lease.slot().open()?, lease })
    }
}

/// Whether getInfo may answer differently after `request`.
fn changes_info(request: &Request) -> bool {
    match request {
        Request::ClientPin(request) => matches!(
            request.subcommand,
            ClientPinSubcommand::SetPin { .. } | ClientPinSubcommand::ChangePin { .. }
        ),
        request => matches!(request.code(), CommandCode::Reset | CommandCode::MakeCredential),
    }
}

impl Device for Session {
    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        let request = Request::decode(command);
        if request.as_ref().is_ok_and(changes_info) {
            // Whatever comes of it: an answer that is lost does not say that nothing was done.
            self.lease.slot().forget();
        }
        let answer = self.device.transact(command, on_keepalive, cancel);
        let response = answer.inspect_err(|error| self.lease.slot().learn_error(error))?;
        if request == Ok(Request::GetInfo)
            && let Ok(Ok(info)) = GetInfo::decode(&response)
        {
            self.lease.slot().learn(Ok(info));
        }
        Ok(response)
    }

    fn wink(&mut self) -> Result<(), TransportError> {
        self.device.wink()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.device.end();
    }
}
