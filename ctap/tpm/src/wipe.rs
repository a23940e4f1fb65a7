//! Secrets that calls leave behind.

/// How deep libtss2's and tss-esapi's functions go, generously, in bytes.
const STACK: usize = 1 << 16;

/// Overwrites what the functions that were called left on the stack: libtss2 and tss-esapi pass secrets by value.
#[inline(never)]
pub(crate) fn stack() {
    std::hint::black_box(&mut [0_u8; STACK]);
}
