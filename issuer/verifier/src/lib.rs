//! The bank's library: verifies FIDO Web Pay authorizations and books each at most once.
