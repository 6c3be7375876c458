//! farm
fn main() {}
