//! See `bodies::note`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::note(data);
});
