//! See `bodies::feed_batch`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::feed_batch(data);
});
