//! The D-Bus contract of fwpd: interface XML, proxies, types and error names; the client library of native apps.
//!
//! The XML in `interfaces/` is the contract, and says what each method, signal and property does. Here it is in Rust:
//!
//! * [`interfaces`]: the shipped XML, bus and interface names, object paths.
//! * [`error`]: the error names, mapped both ways.
//! * [`types`]: the `a{sv}` dictionaries as structs.
//! * [`proxy`]: zbus proxies of the daemon's objects and of the agent.
//! * [`client`]: a connection to the daemon that gives each object's signals as events.
//! * [`find`]: on which bus the wallet is.
//! * [`agent`]: what a program implements to be the user's dialog.
//! * [`pin_box`]: how a PIN or passphrase travels, so that a monitor on the bus sees nothing of it.
//!
//! It knows no other crate of the workspace.

pub mod agent;
pub mod client;
pub mod error;
pub mod find;
pub mod interfaces;
pub mod pin_box;
pub mod proxy;
pub mod types;

pub use agent::Agent;
pub use client::{Client, Event, Events};
pub use error::{ClientError, Error, ErrorName};
pub use pin_box::{Passphrase, Pin};
