//! What a client of the API asks.
#![no_main]

use windward_sink::io::requests;

libfuzzer_sys::fuzz_target!(|data: &[u8]| requests::check(data));
