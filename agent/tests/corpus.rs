//! Every input that the fuzzer began from or found, through the same checks.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../tests/fuzz/checks/registers.rs"]
mod registers;
#[path = "../../tests/fuzz/checks/sentences.rs"]
mod sentences;

use std::fs;
use std::path::Path;

#[test]
fn what_the_fuzzer_knows_of_serial_lines_holds() {
    replay("sentences", sentences::check);
}

#[test]
fn what_the_fuzzer_knows_of_registers_holds() {
    replay("registers", registers::check);
}

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        check(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0, "no inputs in {}", folder.display());
}
