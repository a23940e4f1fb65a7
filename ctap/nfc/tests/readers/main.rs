//! Security keys as smart cards, through a real pcscd: one of its own for each test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ceremonies;
mod common;
mod every_ceremony;
mod hostile;
mod hot_plug;
