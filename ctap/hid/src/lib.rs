//! CTAPHID: security keys over USB (CTAP 2.1 section 11.2).
//!
//! Without I/O:
//! * [`frame`]: messages as 64-byte reports and back.
//! * [`channel`]: a channel to a device, its allocation, one command at a time, and what can go wrong; the clock and
//!   random numbers come from the caller.
//!
//! With I/O:
//! * [`UsbKey`] moves the reports over a hidraw node.
//! * [`UsbTransport`] finds keys by their usage page (hidapi), and sees them come and go by udev's events.
#![forbid(unsafe_code)]

pub mod channel;
mod device;
mod error;
pub mod frame;
mod transport;
mod wake;

pub use device::UsbKey;
pub use error::{DeviceError, HidError};
pub use transport::UsbTransport;
