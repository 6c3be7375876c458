//! The files of a spool.
#![no_main]

use windward_agent::io::bytes_on_disk;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bytes_on_disk::check(data));
