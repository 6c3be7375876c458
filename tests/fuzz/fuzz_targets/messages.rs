//! Orders and acks, as an agent hears them.
#![no_main]

#[path = "../checks/messages.rs"]
mod messages;

libfuzzer_sys::fuzz_target!(|data: &[u8]| messages::check(data));
