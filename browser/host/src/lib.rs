//! The native-messaging host: the program that the browser starts for the extension, and that speaks D-Bus to the wallet.
//!
//! It keeps nothing: it ends when the browser closes its pipe, and with it the connection to the bus, which the wallet's
//! payments and enrollments of this browser belong to. `docs/browsers.md` says what the extension does with it.
//!
//! | module | what |
//! |---|---|
//! | [`frame`] | bytes to messages and back, bounded, without I/O |
//! | [`message`], [`answer`], [`failure`] | requests, read once; answers, events and errors |
//! | [`origin`] | a page's origin to the payee host |
//! | [`caller`], [`manifest`] | which extension is served; what registers this program with browsers |
//! | [`wallet`], [`open`], [`session`] | the way to the daemon; what is open; from requests to answers and events |
//! | [`pipe`] | standard input and output |

pub mod answer;
pub mod caller;
pub mod failure;
pub mod frame;
pub mod manifest;
pub mod message;
pub mod open;
pub mod origin;
pub mod pipe;
pub mod session;
pub mod wallet;
