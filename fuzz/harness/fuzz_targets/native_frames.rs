#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fwp_fuzz::native_frames(data));
