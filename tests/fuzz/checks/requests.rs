//! What must hold of whatever a client of the API asks.

#[cfg(test)]
#[allow(clippy::duplicate_mod, reason = "each check stands by itself, in a fuzz target and among the tests")]
#[path = "corpus.rs"]
mod corpus;

use super::{Days, Listing, MAX_LIMIT, Nothing, Readings, Stats, limit, span};
use axum::extract::Query;
use axum::http::Uri;

/// Panics when something does not hold.
pub fn check(bytes: &[u8]) {
    // As it stands, and with everything escaped that no address may hold.
    let escaped: String = bytes.iter().map(|byte| escape(*byte)).collect();
    for query in [String::from_utf8_lossy(bytes).into_owned(), escaped] {
        if let Ok(uri) = format!("/api/v1/readings?{query}").parse() {
            check_uri(&uri);
        }
    }
}

fn escape(byte: u8) -> String {
    match byte {
        b'=' | b'&' | b'%' | b'+' | b'-' | b':' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    }
}

fn check_uri(uri: &Uri) {
    if let Ok(Query(Readings { from, to, .. })) = Query::try_from_uri(uri) {
        check_span(&from, &to);
    }
    if let Ok(Query(Days { from, to })) = Query::try_from_uri(uri) {
        check_span(&from, &to);
    }
    if let Ok(Query(Stats { from, to, limit: asked, .. })) = Query::try_from_uri(uri) {
        check_span(&from, &to);
        assert!(limit(asked).is_ok_and(|limit| (1..=MAX_LIMIT).contains(&limit)) || limit(asked).is_err());
    }
    if let Ok(Query(Listing { limit: asked, .. })) = Query::try_from_uri(uri) {
        assert!(limit(asked).is_ok_and(|limit| (1..=MAX_LIMIT).contains(&limit)) || limit(asked).is_err());
    }
    if let Ok(Query(Nothing {})) = Query::try_from_uri(uri) {
        assert!(uri.query().unwrap_or_default().chars().all(|c| c == '&'), "{uri} asks for something");
    }
}

/// A span that is granted has a beginning and an end, in this order.
fn check_span(from: &Option<String>, to: &Option<String>) {
    match span(from, to) {
        Ok((from_ms, to_ms)) => assert!(from_ms <= to_ms),
        Err(refusal) => assert!(refusal.0.is_client_error() && !refusal.1.is_empty()),
    }
}

#[cfg(test)]
#[test]
fn what_the_fuzzer_knows_of_requests_holds() {
    corpus::holds("requests", check);
}
