//! See `bodies::journal_entry`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::journal_entry(data);
});
