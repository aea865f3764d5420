//! The demo workload: an HTTP server that tells its version, and fails where its image says so.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::Failure;

/// Serves on `$PORT` until it is told to stop.
pub async fn serve() -> Result<(), Failure> {
    let port: u16 = std::env::var("PORT")?.parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                tokio::spawn(async move {
                    // A client that leaves is no concern of the workload.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await);
                });
            }
            _ = stop.recv() => return Ok(()),
        }
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let is_broken = variable("BROKEN") == "yes";
    let (status, text) = match request.uri().path() {
        "/ready" => (StatusCode::OK, "ready".to_owned()),
        "/pid" => (StatusCode::OK, std::process::id().to_string()),
        _ if is_broken => (StatusCode::INTERNAL_SERVER_ERROR, "this release is broken".to_owned()),
        _ => (
            StatusCode::OK,
            format!("{} from version {}{}", greeting(), variable("VERSION"), with_password()),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}

/// Its configuration says how it greets.
fn greeting() -> String {
    std::env::var("GREETING").unwrap_or_else(|_| "hello".to_owned())
}

/// Whether it was given a secret. What the secret is, it keeps to itself.
fn with_password() -> &'static str {
    let folder = std::env::var("FACTORY_SECRETS").unwrap_or_default();
    match std::fs::read(std::path::Path::new(&folder).join("password")) {
        Ok(password) if !password.is_empty() => ", which knows its password",
        _ => "",
    }
}
