//! See `bodies::slot`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::slot(data);
});
