//! The Runtime Centre: one page for people, which asks and commands over the same operations as everybody else.
//!
//! Its files are part of the program: no build step made them, and they ask nobody but the host. A policy says so to the browser, which then
//! runs no script that the host did not send, and lets no other site frame the page.

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Response, StatusCode};
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Path, kind and content of each file.
const FILES: [(&str, &str, &str); 13] = [
    ("/centre", HTML, include_str!("centre/index.html")),
    ("/centre/style.css", CSS, include_str!("centre/style.css")),
    ("/centre/main.js", SCRIPT, include_str!("centre/main.js")),
    ("/centre/api.js", SCRIPT, include_str!("centre/api.js")),
    ("/centre/dom.js", SCRIPT, include_str!("centre/dom.js")),
    ("/centre/person.js", SCRIPT, include_str!("centre/person.js")),
    ("/centre/views/audit.js", SCRIPT, include_str!("centre/views/audit.js")),
    ("/centre/views/drift.js", SCRIPT, include_str!("centre/views/drift.js")),
    ("/centre/views/inventory.js", SCRIPT, include_str!("centre/views/inventory.js")),
    ("/centre/views/plan.js", SCRIPT, include_str!("centre/views/plan.js")),
    ("/centre/views/rollouts.js", SCRIPT, include_str!("centre/views/rollouts.js")),
    ("/centre/views/scaling.js", SCRIPT, include_str!("centre/views/scaling.js")),
    ("/centre/views/weights.js", SCRIPT, include_str!("centre/views/weights.js")),
];

/// The page at `/centre`, and its files below that.
pub(crate) fn router() -> Router {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, content)| {
        let handler = move |headers: HeaderMap| std::future::ready(file(&headers, kind, content));
        router.route(path, get(handler))
    })
}

fn file(asked: &HeaderMap, kind: &'static str, content: &'static str) -> Response<Body> {
    let tag = tag(content);
    let is_known = asked.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = Response::new(if is_known { Body::empty() } else { Body::from(content) });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    let fixed = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// Another content has another tag.
fn tag(content: &str) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// A page whose file is not served looks empty to whoever opens it.
    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/centre");
        let mut there = BTreeSet::new();
        for part in ["", "views"] {
            for entry in std::fs::read_dir(folder.join(part)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() && !path.ends_with("index.html") {
                    let within = path.strip_prefix(&folder).unwrap();
                    there.insert(format!("/centre/{}", within.display()));
                }
            }
        }
        let served: BTreeSet<_> = FILES.into_iter().map(|(path, ..)| path.to_owned()).collect();
        assert_eq!(served, there.into_iter().chain(["/centre".to_owned()]).collect());
    }

    #[test]
    fn the_page_asks_nobody_but_the_host() {
        for (path, _, content) in FILES {
            assert!(!content.contains("://"), "{path} names another place");
            assert!(!content.contains("innerHTML"), "{path} parses what the host answers");
        }
    }
}
