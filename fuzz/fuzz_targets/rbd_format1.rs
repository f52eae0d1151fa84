#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sparrow_fuzz::rbd::format1(data);
});
