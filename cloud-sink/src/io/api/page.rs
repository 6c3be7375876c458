//! The page's files: what npm made of `dashboard/`, or the simple page where the program was built without it.

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The simple page.
static SIMPLE: [(&str, &str, &[u8], &[u8]); 3] = [
    ("/index.html", "text/html; charset=utf-8", include_bytes!("../page.html"), &[]),
    ("/page.js", "text/javascript; charset=utf-8", include_bytes!("../page.js"), &[]),
    ("/page.css", "text/css; charset=utf-8", include_bytes!("../page.css"), &[]),
];

/// The file at an address, if there is one.
pub(super) fn file(uri: &Uri, asked: &HeaderMap) -> Option<Response> {
    let path = if uri.path() == "/" { "/index.html" } else { uri.path() };
    let all = if ASSETS.is_empty() { &SIMPLE } else { ASSETS };
    let (_, kind, plain, packed) = all.iter().find(|(address, ..)| *address == path)?;
    let takes = asked.get_all(header::ACCEPT_ENCODING).iter().any(|value| {
        value.to_str().is_ok_and(|value| value.split(',').any(|coding| coding.trim().split(';').next() == Some("gzip")))
    });
    // Names below /assets hold a digest of what they name.
    let keep = if path.starts_with("/assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let about = [(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, keep), (header::VARY, "accept-encoding")];
    Some(if takes && !packed.is_empty() {
        (StatusCode::OK, about, [(header::CONTENT_ENCODING, "gzip")], *packed).into_response()
    } else {
        (StatusCode::OK, about, *plain).into_response()
    })
}
