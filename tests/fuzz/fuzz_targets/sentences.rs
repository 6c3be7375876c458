//! Any bytes on a serial line.
#![no_main]

#[path = "../checks/sentences.rs"]
mod sentences;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sentences::check(data));
