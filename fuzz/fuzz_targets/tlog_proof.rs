//! See `bodies::tlog_proof`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::tlog_proof(data);
});
