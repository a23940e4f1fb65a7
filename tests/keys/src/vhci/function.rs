//! A security key as a USB function of class HID (USB 2.0 chapter 9, HID 1.11, CTAP 2.1 section 11.2): its descriptors,
//! and what it answers to transfers. No I/O.

use std::collections::VecDeque;

use super::usbip::{self, Request, SETUP_LEN, Submit};

/// Bytes of a packet, in both directions.
const PACKET_LEN: u8 = 64;
/// How many packets wait for a host that doesn't read, before the oldest is lost.
const MAX_WAITING: usize = 256;
/// The endpoint of packets, both ways.
const ENDPOINT: u32 = 1;

const DEVICE: u8 = 1;
const CONFIGURATION: u8 = 2;
const STRING: u8 = 3;
const INTERFACE: u8 = 4;
const ENDPOINT_DESCRIPTOR: u8 = 5;
const HID: u8 = 0x21;
const REPORT: u8 = 0x22;

/// The report descriptor: usage page 0xF1D0 (FIDO), 64 bytes in and 64 bytes out (CTAP 2.1 section 11.2.8.2).
const REPORT_DESCRIPTOR: [u8; 34] = [
    0x06, 0xD0, 0xF1, // usage page: FIDO alliance
    0x09, 0x01, // usage: CTAPHID
    0xA1, 0x01, // collection: application
    0x09, 0x20, // usage: data in
    0x15, 0x00, // logical minimum
    0x26, 0xFF, 0x00, // logical maximum
    0x75, 0x08, // report size, bits
    0x95, PACKET_LEN, // report count
    0x81, 0x02, // input
    0x09, 0x21, // usage: data out
    0x15, 0x00, //
    0x26, 0xFF, 0x00, //
    0x75, 0x08, //
    0x95, PACKET_LEN, //
    0x91, 0x02, // output
    0xC0, // end of collection
];
const REPORT_DESCRIPTOR_LEN: [u8; 2] = (REPORT_DESCRIPTOR.len() as u16).to_le_bytes();

/// The HID descriptor (HID 1.11 section 6.2.1).
const HID_DESCRIPTOR: [u8; 9] =
    [9, HID, 0x11, 0x01, 0, 1, REPORT, REPORT_DESCRIPTOR_LEN[0], REPORT_DESCRIPTOR_LEN[1]];

/// How a device names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// idVendor.
    pub vendor: u16,
    /// idProduct.
    pub product: u16,
    /// iManufacturer.
    pub maker: String,
    /// iProduct.
    pub name: String,
    /// iSerialNumber.
    pub serial: String,
}

impl Identity {
    /// OpenSK's, with this serial number.
    pub fn opensk(serial: &str) -> Self {
        Self {
            vendor: 0x1915,
            product: 0x521F,
            maker: "Nordic Semiconductor ASA".to_owned(),
            name: "OpenSK".to_owned(),
            serial: serial.to_owned(),
        }
    }
}

/// What follows from a request of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// This goes to the kernel.
    Reply(Vec<u8>),
    /// This is a packet to the key.
    Packet([u8; PACKET_LEN as usize]),
}

/// The state of the function.
#[derive(Debug)]
pub(super) struct Function {
    identity: Identity,
    /// Reads of the host that no packet has answered yet.
    reads: VecDeque<Submit>,
    /// Packets that no read of the host has taken yet.
    packets: VecDeque<[u8; PACKET_LEN as usize]>,
}

impl Function {
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity, reads: VecDeque::new(), packets: VecDeque::new() }
    }

    /// What the host asks for.
    pub(super) fn request(&mut self, request: Request) -> Vec<Effect> {
        match request {
            Request::Unlink { seqnum, of } => {
                let before = self.reads.len();
                self.reads.retain(|read| read.seqnum != of);
                vec![Effect::Reply(usbip::unlinked(seqnum, self.reads.len() < before))]
            }
            Request::Submit(submit) if submit.endpoint == 0 => {
                let reply = match self.control(&submit.setup) {
                    Some(data) if submit.is_in => usbip::sent(&submit, &data),
                    Some(_) => usbip::taken(&submit),
                    None => usbip::stalled(&submit),
                };
                vec![Effect::Reply(reply)]
            }
            Request::Submit(submit) if submit.endpoint == ENDPOINT && submit.is_in => {
                self.reads.push_back(submit);
                self.deliver().into_iter().map(Effect::Reply).collect()
            }
            Request::Submit(submit) if submit.endpoint == ENDPOINT => {
                let reply = Effect::Reply(usbip::taken(&submit));
                // A short packet is filled up with zeros, as the endpoint's buffer would be.
                let mut packet = [0; PACKET_LEN as usize];
                packet.iter_mut().zip(&submit.data).for_each(|(to, from)| *to = *from);
                vec![reply, Effect::Packet(packet)]
            }
            Request::Submit(submit) => vec![Effect::Reply(usbip::stalled(&submit))],
        }
    }

    /// A packet of the key to the host; gives what goes to the kernel for it, if the host is reading.
    pub(super) fn packet(&mut self, packet: [u8; PACKET_LEN as usize]) -> Option<Vec<u8>> {
        self.packets.push_back(packet);
        if self.packets.len() > MAX_WAITING {
            self.packets.pop_front();
        }
        self.deliver()
    }

    /// A packet meets a read.
    fn deliver(&mut self) -> Option<Vec<u8>> {
        let read = self.reads.pop_front()?;
        match self.packets.pop_front() {
            Some(packet) => Some(usbip::sent(&read, &packet)),
            None => {
                self.reads.push_front(read);
                None
            }
        }
    }

    /// Answers a request on the control endpoint; `None` where the function knows no such request.
    fn control(&self, setup: &[u8; SETUP_LEN]) -> Option<Vec<u8>> {
        let [request_type, request, value_low, value_high, _, _, _, _] = *setup;
        match (request_type, request) {
            // GET_DESCRIPTOR, of the device and of the interface.
            (0x80, 0x06) => match value_high {
                DEVICE => Some(self.device_descriptor()),
                CONFIGURATION => Some(configuration_descriptor()),
                STRING => self.string_descriptor(value_low),
                _ => None,
            },
            (0x81, 0x06) => match value_high {
                HID => Some(HID_DESCRIPTOR.to_vec()),
                REPORT => Some(REPORT_DESCRIPTOR.to_vec()),
                _ => None,
            },
            // GET_STATUS: bus-powered, nothing halted.
            (0x80..=0x82, 0x00) => Some(vec![0, 0]),
            // GET_CONFIGURATION, GET_INTERFACE.
            (0x80, 0x08) => Some(vec![1]),
            (0x81, 0x0A) => Some(vec![0]),
            // CLEAR_FEATURE and SET_FEATURE, SET_CONFIGURATION, SET_INTERFACE, and HID's SET_IDLE: nothing to do.
            (0x00..=0x02, 0x01 | 0x03) | (0x00, 0x09) | (0x01, 0x0B) | (0x21, 0x0A) => Some(Vec::new()),
            _ => None,
        }
    }

    fn device_descriptor(&self) -> Vec<u8> {
        let mut descriptor = vec![18, DEVICE, 0x00, 0x02, 0, 0, 0, PACKET_LEN];
        descriptor.extend(self.identity.vendor.to_le_bytes());
        descriptor.extend(self.identity.product.to_le_bytes());
        // Release 1.00; the strings below; one configuration.
        descriptor.extend([0x00, 0x01, 1, 2, 3, 1]);
        descriptor
    }

    fn string_descriptor(&self, index: u8) -> Option<Vec<u8>> {
        let text = match index {
            // Which languages there are: US English.
            0 => return Some(vec![4, STRING, 0x09, 0x04]),
            1 => &self.identity.maker,
            2 => &self.identity.name,
            3 => &self.identity.serial,
            _ => return None,
        };
        // The length is a byte.
        let units: Vec<u8> = text.encode_utf16().take(126).flat_map(u16::to_le_bytes).collect();
        let mut descriptor = vec![u8::try_from(units.len() + 2).ok()?, STRING];
        descriptor.extend(units);
        Some(descriptor)
    }
}

fn configuration_descriptor() -> Vec<u8> {
    const TOTAL_LEN: u8 = 9 + 9 + 9 + 7 + 7;
    let endpoint = |address: u8| {
        // An interrupt endpoint, polled every 5 ms.
        [7, ENDPOINT_DESCRIPTOR, address, 0x03, PACKET_LEN, 0, 5]
    };
    let mut descriptor = vec![9, CONFIGURATION, TOTAL_LEN, 0, 1, 1, 0, 0x80, 50];
    descriptor.extend([9, INTERFACE, 0, 0, 2, 0x03, 0, 0, 0]);
    descriptor.extend(HID_DESCRIPTOR);
    descriptor.extend(endpoint(0x81));
    descriptor.extend(endpoint(0x01));
    descriptor
}
