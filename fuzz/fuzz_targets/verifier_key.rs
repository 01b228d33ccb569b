//! See `bodies::verifier_key`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::verifier_key(data);
});
