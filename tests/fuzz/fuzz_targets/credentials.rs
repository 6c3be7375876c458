//! What somebody shows to be let in.
#![no_main]

#[path = "../checks/credentials.rs"]
mod credentials;

libfuzzer_sys::fuzz_target!(|data: &[u8]| credentials::check(data));
