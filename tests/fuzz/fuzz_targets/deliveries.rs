//! What a source delivers to a sink.
#![no_main]

#[path = "../checks/deliveries.rs"]
mod deliveries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| deliveries::check(data));
