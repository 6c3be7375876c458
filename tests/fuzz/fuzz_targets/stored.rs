//! Rows of a store.
#![no_main]

#[path = "../checks/stored.rs"]
mod stored;

libfuzzer_sys::fuzz_target!(|data: &[u8]| stored::check(data));
