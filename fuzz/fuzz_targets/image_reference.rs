#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    factory_runtime_fuzz::image_reference(data);
});
