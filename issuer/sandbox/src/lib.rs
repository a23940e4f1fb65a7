//! Shops, a PSP and a bank on loopback to try the wallet against, in one process but separate parties: they know of each
//! other what their messages say, and these go over HTTP.
//!
//! | module | what |
//! |---|---|
//! | [`merchants`] | who is registered at the PSP |
//! | [`shop`] | a shop: pages, orders, PSPRequest |
//! | [`moon`] | the one that cheats |
//! | [`psp`] | checks of the merchants' requests, IssuerRequest; the provider of mozPay |
//! | [`moz_pay`] | mozPay's JWTs |
//! | [`bank`] | keys, books, cards, enrollment, payments, the staff's pages |
//! | [`ca`] | the bank's certification authority for TPMs' attestation keys |
//! | [`serve`], [`tls`], [`http`], [`page`] | the server around them |
//! | [`guard`] | who may talk to it, under which name |
//! | [`record`] | deliveries and verdicts as JSON lines |
//! | [`cases`] | `fwp-sandbox verify` |
//! | [`cli`], [`client`] | the command line, and the shop's page without a browser |
//! | [`error`] | what can go wrong |
#![forbid(unsafe_code)]

pub mod bank;
pub mod ca;
pub mod cases;
pub mod cli;
pub mod client;
pub mod error;
pub mod guard;
pub mod http;
pub mod merchants;
pub mod moon;
pub mod moz_pay;
pub mod page;
pub mod psp;
pub mod record;
pub mod serve;
pub mod shop;
pub mod tls;
