//! What a request shows of who sends it.

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use runtime_api::Problem;
use runtime_api::access::Shown;
pub use runtime_api::access::{Access, ClientCertificate, Peer};
use runtime_ports::authenticator::Principal;

/// Who asks.
pub(crate) async fn caller(access: &Access, parts: &Parts) -> Result<Principal, Problem> {
    let named = parts.uri.authority().cloned().or_else(|| {
        let text = parts.headers.get(HOST)?.to_str().ok()?;
        text.parse::<Authority>().ok()
    });
    let shown = Shown {
        authorization: parts.headers.get_all(AUTHORIZATION).iter().map(|value| value.as_bytes()).collect(),
        certificate: parts.extensions.get(),
        peer: parts.extensions.get().copied(),
        host: named.as_ref().map(Authority::host),
    };
    access.caller(&shown).await
}
