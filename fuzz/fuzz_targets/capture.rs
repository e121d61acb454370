#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| port502_fuzz::capture::capture(bytes));
