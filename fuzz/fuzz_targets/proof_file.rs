//! See `bodies::proof_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::proof_file(data);
});
