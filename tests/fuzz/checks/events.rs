//! What must hold of whatever invokes the function.

#[cfg(test)]
#[allow(clippy::duplicate_mod, reason = "each check stands by itself, in a fuzz target and among the tests")]
#[path = "corpus.rs"]
mod corpus;

use super::event::Event;
use serde_json::Value as Json;

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Json>(bytes) else { return };
    let said = event.get("Records").and_then(Json::as_array).map_or(0, Vec::len);
    match Event::read(event) {
        Ok(Event::Records(records)) => assert_eq!(records.len(), said, "a record is neither taken nor refused"),
        Ok(Event::Publish(_) | Event::Scheduled) => {}
        Err(reason) => assert!(!reason.is_empty()),
    }
}

#[cfg(test)]
#[test]
fn what_the_fuzzer_knows_of_events_holds() {
    corpus::holds("events", check);
}
