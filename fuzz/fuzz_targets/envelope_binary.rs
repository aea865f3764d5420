#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    factory_runtime_fuzz::envelope_binary(data);
});
