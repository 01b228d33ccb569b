//! See `bodies::consent`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::consent(data);
});
