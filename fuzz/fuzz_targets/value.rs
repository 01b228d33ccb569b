//! See `bodies::value`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::value(data);
});
