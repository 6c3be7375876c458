//! What stands beside the lanes of a spool.
#![no_main]

#[path = "../checks/found.rs"]
mod found;

libfuzzer_sys::fuzz_target!(|data: &[u8]| found::check(data));
