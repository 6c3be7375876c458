//! The API's documentation for people: its document as a page without a script.

use serde_json::Value as Json;
use std::fmt::Write as _;
use utoipa::openapi::OpenApi;

/// Its looks.
pub(super) const STYLE: &str = include_str!("docs.css");

/// The page.
pub(super) fn page(document: &OpenApi) -> String {
    let document = serde_json::to_value(document).unwrap_or_default();
    let mut html = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>Windward's API</title>\n<link rel=\"icon\" href=\"/icon.svg\">\n<link rel=\"stylesheet\" \
         href=\"/api/docs.css\">\n<main>\n<h1>Windward's API</h1>\n<p>The same for programs: <a \
         href=\"/api/v1/openapi.json\">openapi.json</a> (OpenAPI 3.1). Programs send a token, <code>Authorization: Bearer \
         …</code>; a browser signs in at <a href=\"/\">the page</a>. Times are milliseconds since 1970 in UTC, or ISO 8601 \
         where they are asked for. Refusals are <code>application/problem+json</code> (RFC 9457). Answers have an ETag, and \
         are packed for who accepts gzip.</p>\n",
    );
    for tag in document["tags"].as_array().into_iter().flatten() {
        let (name, says) = (tag["name"].as_str().unwrap_or_default(), tag["description"].as_str().unwrap_or_default());
        push(&mut html, format_args!("<h2>{}</h2>\n", words(says)));
        for (path, operations) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in operations.as_object().into_iter().flatten() {
                if operation["tags"].as_array().is_some_and(|tags| tags.contains(&Json::from(name))) {
                    describe(&mut html, method, path, operation);
                }
            }
        }
    }
    html.push_str("<h2>What is sent</h2>\n");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let says = words(schema["description"].as_str().unwrap_or_default());
        push(&mut html, format_args!("<section id=\"{name}\">\n<h3>{name}</h3>\n<p>{says}</p>\n"));
        if let Some(words) = schema["enum"].as_array() {
            let words: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
            push(&mut html, format_args!("<p><code>{}</code></p>\n", words.join("</code>, <code>")));
        }
        let fields = schema["properties"].as_object().into_iter().flatten();
        table(&mut html, fields.map(|(field, of)| (field.as_str(), of, of["description"].as_str())));
        html.push_str("</section>\n");
    }
    html.push_str("</main>\n");
    html
}

/// One address and method.
fn describe(html: &mut String, method: &str, path: &str, operation: &Json) {
    let says = operation["description"].as_str().or(operation["summary"].as_str()).unwrap_or_default();
    let title = format!("<b>{}</b> {}", method.to_uppercase(), escaped(path));
    push(html, format_args!("<section>\n<h3><code>{title}</code></h3>\n<p>{}</p>\n", words(says)));
    let asked = operation["parameters"].as_array().into_iter().flatten();
    table(html, asked.map(|of| (of["name"].as_str().unwrap_or_default(), &of["schema"], of["description"].as_str())));
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        push(html, format_args!("<p>It is sent: {}.</p>\n", kind(body)));
    }
    let answers = operation["responses"].as_object().into_iter().flatten().map(|(status, answer)| {
        let content = answer["content"].as_object().and_then(|content| content.iter().next());
        match content {
            Some((media, of)) if media == "application/json" => format!("{status}: {}", kind(&of["schema"])),
            Some((media, _)) => format!("{status}: <code>{}</code>", escaped(media)),
            None => status.clone(),
        }
    });
    let answers: Vec<String> = answers.collect();
    push(html, format_args!("<p>It answers {}.</p>\n</section>\n", answers.join("; ")));
}

/// Names, what they are, what they say.
fn table<'a>(html: &mut String, rows: impl Iterator<Item = (&'a str, &'a Json, Option<&'a str>)>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    html.push_str("<table>\n");
    for (name, of, says) in rows {
        let says = words(says.unwrap_or_default());
        push(html, format_args!("<tr><th>{}</th><td>{}</td><td>{says}</td></tr>\n", escaped(name), kind(of)));
    }
    html.push_str("</table>\n");
}

/// What something is, in a word or a link.
fn kind(schema: &Json) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|link| link.rsplit('/').next()) {
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    for of in ["oneOf", "anyOf", "allOf"] {
        if let Some(kinds) = schema[of].as_array() {
            let kinds: Vec<String> = kinds.iter().map(kind).collect();
            return kinds.join(" or ");
        }
    }
    match &schema["type"] {
        Json::String(word) if word == "array" => format!("list of {}", kind(&schema["items"])),
        Json::String(word) => word.clone(),
        Json::Array(words) => words
            .iter()
            .filter_map(Json::as_str)
            .map(|word| if word == "array" { format!("list of {}", kind(&schema["items"])) } else { word.into() })
            .collect::<Vec<String>>()
            .join(" or "),
        _ => "any".into(),
    }
}

/// Text in which what stands in backticks is code.
fn words(text: &str) -> String {
    let parts = escaped(text);
    let parts = parts.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { format!("<code>{part}</code>") } else { part.to_string() }).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn push(html: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    html.write_fmt(text).ok();
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn what_stands_in_backticks_is_code_and_nothing_is_markup() {
        assert_eq!(words("`a` <b> & `c`"), "<code>a</code> &lt;b&gt; &amp; <code>c</code>");
    }
}
