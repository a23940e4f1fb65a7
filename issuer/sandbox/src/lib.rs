//! A shop, a PSP and a bank on loopback to try the wallet against.
#![forbid(unsafe_code)]

pub mod cases;
