//! See `bodies::content_frame`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::content_frame(data);
});
