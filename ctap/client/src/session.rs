//! A key in use, as a device.

use crate::slot::{Lease, Leased, Slot, Use};
use ctap_core::messages::{ClientPinSubcommand, CommandCode, GetInfo, Request, Response};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};
use ctap_core::{Error, Status};
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

    /// Lets the slot know of what changes what the key says of itself, and of what it says.
    fn observe(&self, command: &[u8], response: &[u8]) {
        let ok = response.first() == Some(&Status::OK.0);
        match Request::decode(command) {
            Ok(Request::GetInfo) => {
                if let Ok(Ok(info)) = GetInfo::decode(response) {
                    self.lease.slot().learn(Ok(info));
                }
            }
            Ok(request) if ok && changes_info(&request) => self.lease.slot().forget(),
            _ => {}
        }
    }
}

/// Whether getInfo may answer differently after `request` has succeeded.
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
        let answer = self.device.transact(command, on_keepalive, cancel);
        let response = answer.inspect_err(|error| self.lease.slot().learn_error(error))?;
        self.observe(command, &response);
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
