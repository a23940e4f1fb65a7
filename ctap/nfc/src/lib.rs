//! CTAP over NFC (CTAP 2.1 section 11.3).
#![forbid(unsafe_code)]
