//! A shop, a PSP and a bank on loopback to try the wallet against.
