//! All security keys of a machine.
#![forbid(unsafe_code)]
