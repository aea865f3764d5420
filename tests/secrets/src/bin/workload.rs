//! A workload with a secret: it answers `/` with the digest of what it was given, on `$PORT`, and 500 where it has nothing;
//! `/variable` with that of `$PASSWORD`, and `/configuration` with its configuration's file.
//!
//! `MODE=refuses-rotated` is never ready with a secret that begins with `rotated`; `MODE=tells` prints its secret, as no workload should.

use std::convert::Infallible;
use std::io::{Error, Write as _};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn secret() -> Option<Vec<u8>> {
    std::fs::read(std::path::Path::new(&variable("FACTORY_SECRETS")).join("password")).ok()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    if variable("MODE") == "tells" {
        let mut output = std::io::stdout();
        output.write_all(&secret().unwrap_or_default())?;
        output.flush()?;
    }
    let mut termination = signal(SignalKind::terminate())?;
    let port: u16 = variable("PORT").parse().map_err(Error::other)?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        tokio::select! {
            accepted = listener.accept() => drop(tokio::spawn(serve(accepted?.0))),
            _ = termination.recv() => return Ok(()),
        }
    }
}

async fn serve(stream: TcpStream) {
    // A client that leaves is no concern of the workload.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await);
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let secret = secret();
    let is_refused = variable("MODE") == "refuses-rotated"
        && secret.as_ref().is_some_and(|secret| secret.starts_with(b"rotated"));
    let (status, text) = match (request.uri().path(), secret) {
        ("/ready", _) if is_refused => (StatusCode::SERVICE_UNAVAILABLE, "not with this password".to_owned()),
        ("/ready", _) => (StatusCode::OK, "ready".to_owned()),
        ("/configuration", _) => {
            (StatusCode::OK, std::fs::read_to_string(variable("FACTORY_CONFIGURATION")).unwrap_or_default())
        }
        ("/variable", _) => (StatusCode::OK, digest(variable("PASSWORD").as_bytes())),
        (_, Some(secret)) => (StatusCode::OK, digest(&secret)),
        (_, None) => (StatusCode::INTERNAL_SERVER_ERROR, "no password".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}
