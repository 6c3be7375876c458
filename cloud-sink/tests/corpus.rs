//! What must hold of any bytes from outside, of every input that the fuzzer began from or found.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../tests/fuzz/checks/corpus.rs"]
mod corpus;
#[path = "../../tests/fuzz/checks/credentials.rs"]
mod credentials;
#[path = "../../tests/fuzz/checks/deliveries.rs"]
mod deliveries;
#[path = "../../tests/fuzz/checks/settings.rs"]
mod settings;
#[path = "../../tests/fuzz/checks/stored.rs"]
mod stored;

use corpus::holds;

#[test]
fn what_the_fuzzer_knows_of_deliveries_holds() {
    holds("deliveries", deliveries::check);
}

#[test]
fn what_the_fuzzer_knows_of_credentials_holds() {
    holds("credentials", credentials::check);
}

#[test]
fn what_the_fuzzer_knows_of_configurations_holds() {
    holds("settings", settings::check);
}

#[test]
fn what_the_fuzzer_knows_of_stored_rows_holds() {
    holds("stored", stored::check);
}
