//! The operations of a host over HTTP.
//!
//! A router for any axum host, derived from the catalogue of [`runtime_api`]: every operation by its method and path, problems as RFC 9457,
//! the description at `/openapi.json`. What a caller may do is judged in `runtime-api`; here is only what HTTP is.
//!
//! | to find | look in |
//! |---|---|
//! | the routes | `router.rs` |
//! | how a request becomes a call | `request.rs` |
//! | how an answer or a problem is written | `answer.rs` |
//! | progress, as server-sent events | `events.rs` |
//! | how much of a request is taken | [`options`] |
//! | a hardened server for it, with TLS | `server.rs` |
//! | the page for people | `centre.rs` |

mod access;
mod answer;
mod centre;
mod events;
pub mod options;
mod request;
mod router;
mod server;

pub use access::{Access, ClientCertificate, Peer};
pub use options::HttpOptions;
pub use router::HttpApi;
pub use server::{ClientCertificates, ServeError, Server, ServerOptions, Tls, TlsError};
