//! See `bodies::card`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::card(data);
});
