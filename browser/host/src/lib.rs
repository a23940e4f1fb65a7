//! The native-messaging host: the program that the browser starts for the extension, and that speaks D-Bus to the wallet.

pub mod frame;
