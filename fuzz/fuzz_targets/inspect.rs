#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    port502_fuzz::inspect::law::inspection(bytes);
});
