//! Security keys that others made, in software.
#![forbid(unsafe_code)]
