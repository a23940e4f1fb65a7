//! The messages of USB/IP between the kernel's vhci-hcd and a device (Linux: Documentation/usb/usbip_protocol.rst). Every
//! number is big-endian, but for the setup packet inside.

use std::io::{self, Read};

/// Bytes of a header.
const HEADER_LEN: usize = 48;
/// The most that a transfer to a device of this kind can bring; more is no HID traffic.
const MAX_TRANSFER_LEN: usize = 4096;
/// Bytes of a setup packet (USB 2.0 section 9.3).
pub(super) const SETUP_LEN: usize = 8;

const CMD_SUBMIT: u32 = 1;
const CMD_UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;
const DIRECTION_IN: u32 = 1;

/// Linux's EPIPE: the endpoint stalls.
const STALLED: i32 = -32;
/// Linux's ECONNRESET: the URB was taken back before it completed.
const UNLINKED: i32 = -104;

/// A transfer that the host asks for (a USB request block, URB).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Submit {
    /// Its number.
    pub(super) seqnum: u32,
    /// The endpoint, 0 for control transfers.
    pub(super) endpoint: u32,
    /// To the host or from it.
    pub(super) is_in: bool,
    /// The setup packet of a control transfer.
    pub(super) setup: [u8; SETUP_LEN],
    /// How many bytes the host takes, of a transfer to it.
    pub(super) room: usize,
    /// What the host sends, of a transfer from it.
    pub(super) data: Vec<u8>,
}

/// What the host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// A transfer.
    Submit(Submit),
    /// Take back the transfer with this number.
    Unlink {
        /// The number of this message.
        seqnum: u32,
        /// The transfer's.
        of: u32,
    },
}

impl Request {
    /// Reads one message.
    ///
    /// # Errors
    /// `UnexpectedEof` once the kernel has closed its end; `InvalidData` where it is no message of USB/IP.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut header = [0; HEADER_LEN];
        from.read_exact(&mut header)?;
        let field = |at: usize| {
            let bytes = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            u32::from_be_bytes(bytes.unwrap_or_default())
        };
        let seqnum = field(4);
        match field(0) {
            CMD_SUBMIT => {
                let is_in = field(12) == DIRECTION_IN;
                let len = field(24) as usize;
                if len > MAX_TRANSFER_LEN {
                    return Err(invalid(format!("a transfer of {len} bytes")));
                }
                let mut data = vec![0; if is_in { 0 } else { len }];
                from.read_exact(&mut data)?;
                let mut setup = [0; SETUP_LEN];
                setup.iter_mut().zip(header.iter().skip(40)).for_each(|(to, from)| *to = *from);
                let room = if is_in { len } else { 0 };
                Ok(Self::Submit(Submit { seqnum, endpoint: field(16), is_in, setup, room, data }))
            }
            CMD_UNLINK => Ok(Self::Unlink { seqnum, of: field(20) }),
            command => Err(invalid(format!("command {command}"))),
        }
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the kernel sent what is no USB/IP request: {what}"))
}

/// The answer to a transfer to the host: `data`, as much of it as the host takes.
pub(super) fn sent(submit: &Submit, data: &[u8]) -> Vec<u8> {
    let data = data.get(..submit.room).unwrap_or(data);
    let mut reply = answer(RET_SUBMIT, submit.seqnum, 0, data.len());
    reply.extend_from_slice(data);
    reply
}

/// The answer to a transfer from the host: all of it was taken.
pub(super) fn taken(submit: &Submit) -> Vec<u8> {
    answer(RET_SUBMIT, submit.seqnum, 0, submit.data.len())
}

/// The answer to a transfer that the device doesn't know.
pub(super) fn stalled(submit: &Submit) -> Vec<u8> {
    answer(RET_SUBMIT, submit.seqnum, STALLED, 0)
}

/// The answer to an unlinking: whether the transfer was still waiting, and is not any more.
pub(super) fn unlinked(seqnum: u32, was_waiting: bool) -> Vec<u8> {
    answer(RET_UNLINK, seqnum, if was_waiting { UNLINKED } else { 0 }, 0)
}

fn answer(command: u32, seqnum: u32, status: i32, actual_len: usize) -> Vec<u8> {
    let actual_len = u32::try_from(actual_len).unwrap_or_default();
    // devid, direction and endpoint are zero in answers.
    let fields = [command, seqnum, 0, 0, 0, status.cast_unsigned(), actual_len];
    let mut reply: Vec<u8> = fields.into_iter().flat_map(u32::to_be_bytes).collect();
    reply.resize(HEADER_LEN, 0);
    reply
}
