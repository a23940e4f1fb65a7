//! mozPay end to end over HTTP: the shop's request, the user's authorization of it, the provider, the bank, and the signed notice back
//! to the shop; and every request and notice that is refused, with its code.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;
mod fixture;
mod notices;
mod payments;
mod requests;
