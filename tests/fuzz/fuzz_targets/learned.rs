//! What an agent has learned, as it stands on disk.
#![no_main]

#[path = "../checks/learned.rs"]
mod learned;

libfuzzer_sys::fuzz_target!(|data: &[u8]| learned::check(data));
