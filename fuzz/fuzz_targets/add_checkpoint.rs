//! See `bodies::add_checkpoint`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::add_checkpoint(data);
});
