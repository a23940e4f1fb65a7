//! A USB bus with one device on it and nothing but its two interrupt endpoints: packets in, packets out.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use usb_device::bus::{PollResult, UsbBus};
use usb_device::endpoint::{EndpointAddress, EndpointType};
use usb_device::{Result, UsbDirection, UsbError};
use virtual_keys::Packet;

pub(crate) struct Cable(Mutex<Ends>);

struct Ends {
    endpoints: u8,
    to_key: VecDeque<Packet>,
    to_computer: Option<Sender<Packet>>,
    written: usize,
}

impl Cable {
    /// One that goes nowhere if `to_computer` is none.
    pub(crate) fn new(to_computer: Option<Sender<Packet>>) -> Self {
        Self(Mutex::new(Ends { endpoints: 0, to_key: VecDeque::new(), to_computer, written: 0 }))
    }

    pub(crate) fn push(&self, packet: Packet) {
        self.lock().to_key.push_back(packet);
    }

    /// How many packets the key has sent.
    pub(crate) fn written(&self) -> usize {
        self.lock().written
    }

    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UsbBus for Cable {
    fn alloc_ep(
        &mut self,
        direction: UsbDirection,
        address: Option<EndpointAddress>,
        _: EndpointType,
        _: u16,
        _: u8,
    ) -> Result<EndpointAddress> {
        let mut ends = self.lock();
        ends.endpoints += 1;
        Ok(address.unwrap_or_else(|| EndpointAddress::from_parts(usize::from(ends.endpoints), direction)))
    }

    fn enable(&mut self) {}

    fn reset(&self) {}

    fn set_device_address(&self, _: u8) {}

    fn write(&self, _: EndpointAddress, packet: &[u8]) -> Result<usize> {
        let mut ends = self.lock();
        ends.written += 1;
        let packet = packet.try_into().map_err(|_| UsbError::BufferOverflow)?;
        if let Some(to_computer) = &ends.to_computer {
            // A computer that no longer listens has pulled the plug.
            let _ = to_computer.send(packet);
        }
        Ok(64)
    }

    fn read(&self, _: EndpointAddress, buffer: &mut [u8]) -> Result<usize> {
        let packet = self.lock().to_key.pop_front().ok_or(UsbError::WouldBlock)?;
        buffer.get_mut(..64).ok_or(UsbError::BufferOverflow)?.copy_from_slice(&packet);
        Ok(64)
    }

    fn set_stalled(&self, _: EndpointAddress, _: bool) {}

    fn is_stalled(&self, _: EndpointAddress) -> bool {
        false
    }

    fn suspend(&self) {}

    fn resume(&self) {}

    fn poll(&self) -> PollResult {
        PollResult::None
    }
}
