//! CTAP over NFC (CTAP 2.1 section 11.3), by PC/SC.
//!
//! Without I/O:
//! * [`apdu`]: command and response APDUs (ISO 7816-4).
//! * [`exchange`]: SELECT and NFCCTAP_MSG with chaining, GET RESPONSE, keepalives and cancel, as state machines.
//! * [`atr`]: what the answer to reset says.
//!
//! With it:
//! * [`NfcTransport`]: readers and the cards on them. `reader` knows PC/SC's readers and errors, `session` a connected card
//!   and its thread, `device` drives an exchange over it, `watcher` sees cards come and go.
//!
//! Short APDUs and chains are what every authenticator takes (CTAP 2.1 section 11.3.6). Where a command is longer than one
//! carries, an extended APDU is sent instead if the card's answer to reset says that it takes such and the reader does not
//! say otherwise; a card that refuses it with 6700 gets a chain from then on. With T=0 there is no extended length and no
//! Le on a command with data.
#![forbid(unsafe_code)]

pub mod apdu;
pub mod atr;
mod device;
pub mod exchange;
mod reader;
mod session;
mod transport;
mod watcher;

pub use device::Limits;
pub use transport::NfcTransport;
