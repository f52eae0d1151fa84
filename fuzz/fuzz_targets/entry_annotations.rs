#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sparrow_fuzz::entry::annotations(data);
});
