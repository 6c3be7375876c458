//! Any answer of a Modbus slave, to any question that a configuration may make the agent ask.
#![no_main]

#[path = "../checks/registers.rs"]
mod registers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| registers::check(data));
