//! USB HID devices in a testbed of sysfs, /dev and uevents, by libumockdev: what a program sees through libudev, hidraw
//! and the uevents' socket is the testbed's, and a test plays the device at the far end.
//!
//! * [`test!`] makes a test that runs in a process of its own with libumockdev preloaded.
//! * [`Testbed`] has devices come ([`Testbed::plug`]) and go ([`Testbed::unplug`]); [`Testbed::plug_key`] is for virtual keys.
//! * [`FarEnd`] is the device's side: reports that the program wrote, and reports for it.
//!
//! Needs Debian's packages umockdev and libumockdev-dev.

mod far_end;
mod ffi;
mod process;
mod testbed;

pub use far_end::FarEnd;
pub use process::{in_testbed, is_inside};
pub use testbed::{FIDO_DESCRIPTOR, KEYBOARD_DESCRIPTOR, Plugged, Testbed, UsbDevice};

/// Why a testbed could not be had.
#[derive(Debug, thiserror::Error)]
pub enum MockError {
    /// libumockdev gave none, without a reason.
    #[error("libumockdev refused: is it preloaded (umockdev-wrapper)?")]
    Testbed,
    /// libumockdev's own error.
    #[error("libumockdev refused: {0}")]
    Refused(String),
    /// The node isn't there.
    #[error("there is no {0} in the testbed")]
    NoNode(String),
    /// The operating system's error.
    #[error("{0}")]
    Io(String),
}

/// Makes a test of a function, which runs in a process of its own with libumockdev preloaded:
///
/// ```text
/// mockdev::test! {
///     /// What it shows.
///     fn a_key_is_listed() { ... }
/// }
/// ```
#[macro_export]
macro_rules! test {
    ($($(#[$attribute:meta])* fn $name:ident() $body:block)+) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            $crate::in_testbed(concat!(module_path!(), "::", stringify!($name)), || $body);
        }
    )+};
}
