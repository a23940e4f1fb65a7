//! The payment wallet daemon.
