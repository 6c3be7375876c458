//! What must hold of any bytes from outside, of every input that the fuzzer began from or found.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../tests/fuzz/checks/config.rs"]
mod config;
#[path = "../../tests/fuzz/checks/corpus.rs"]
mod corpus;
#[path = "../../tests/fuzz/checks/found.rs"]
mod found;
#[path = "../../tests/fuzz/checks/learned.rs"]
mod learned;
#[path = "../../tests/fuzz/checks/messages.rs"]
mod messages;
#[path = "../../tests/fuzz/checks/registers.rs"]
mod registers;
#[path = "../../tests/fuzz/checks/sentences.rs"]
mod sentences;
#[path = "../../tests/fuzz/checks/tables.rs"]
mod tables;

use corpus::holds;

#[test]
fn what_the_fuzzer_knows_of_serial_lines_holds() {
    holds("sentences", sentences::check);
}

#[test]
fn what_the_fuzzer_knows_of_registers_holds() {
    holds("registers", registers::check);
}

#[test]
fn what_the_fuzzer_knows_of_configurations_holds() {
    holds("config", config::check);
}

#[test]
fn what_the_fuzzer_knows_of_orders_and_acks_holds() {
    holds("messages", messages::check);
}

#[test]
fn what_the_fuzzer_knows_of_tables_holds() {
    holds("tables", tables::check);
}

#[test]
fn what_the_fuzzer_knows_of_a_spools_notes_holds() {
    holds("found", found::check);
}

#[test]
fn what_the_fuzzer_knows_of_learned_states_holds() {
    holds("learned", learned::check);
}
