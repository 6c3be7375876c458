//! What invokes the function. Its reader is taken as a file: with the crate it would bring the AWS SDK.
#![no_main]

#[path = "../../../cloud-sink/src/io/lambda/event.rs"]
mod event;
#[path = "../checks/events.rs"]
mod events;

// `event` looks for it in its crate.
use windward_sink::decode;

libfuzzer_sys::fuzz_target!(|data: &[u8]| events::check(data));
