//! The payment wallet on the command line.
