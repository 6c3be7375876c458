//! Any payload of a publish.
#![no_main]

#[path = "../checks/batches.rs"]
mod batches;

libfuzzer_sys::fuzz_target!(|data: &[u8]| batches::check(data));
