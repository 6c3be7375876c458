//! Answers that are the same as before are not sent again (RFC 9110, section 13.1.2).

use super::problem::Refusal;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ring::digest;

/// Largest answer that is looked at as a whole: larger than any the API makes.
const MOST: usize = 64 * 1024 * 1024;

/// Gives an answer of the API a name by what is in it; for who has it already the name will do.
pub(super) async fn told(request: Request, next: Next) -> Result<Response, Refusal> {
    let is_asked = *request.method() == Method::GET && request.uri().path().starts_with("/api/");
    let has = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_stream = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if !is_asked || is_stream || response.status() != StatusCode::OK {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, MOST).await.map_err(|error| Refusal::failed(format!("the answer broke off: {error}")))?;
    let digest = digest::digest(&digest::SHA256, &body);
    // Weak: the same answer may be packed or not.
    let name: String = digest.as_ref()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("W/\"{name}\"");
    let is_same = has.as_ref().and_then(|has| has.to_str().ok()).is_some_and(|has| names(has, &name));
    let value = HeaderValue::from_str(&name).unwrap_or(HeaderValue::from_static("W/\"\""));
    parts.headers.insert(header::ETAG, value.clone());
    // Kept, but asked for each time: what may be seen depends on who asks.
    let private = HeaderValue::from_static("private, no-cache");
    parts.headers.insert(header::CACHE_CONTROL, private.clone());
    if is_same {
        return Ok(
            (StatusCode::NOT_MODIFIED, [(header::ETAG, value), (header::CACHE_CONTROL, private)]).into_response()
        );
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Whether a list of names has this one; compared weakly.
fn names(list: &str, name: &str) -> bool {
    let bare = |text: &str| text.trim().trim_start_matches("W/").to_string();
    list.trim() == "*" || list.split(',').any(|other| bare(other) == bare(name))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_name_is_found_in_a_list_weak_or_strong() {
        for list in ["*", "W/\"ab\"", "\"ab\"", "\"x\", W/\"ab\""] {
            assert!(names(list, "W/\"ab\""), "{list}");
        }
        for list in ["", "\"a\"", "W/\"abc\"", "ab"] {
            assert!(!names(list, "W/\"ab\""), "{list}");
        }
    }
}
