//! CTAPHID: security keys over USB (CTAP 2.1 section 11.2).
#![forbid(unsafe_code)]
