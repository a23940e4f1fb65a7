//! The second maker's security key.
#![forbid(unsafe_code)]
