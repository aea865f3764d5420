//! A workload with a secret: it answers `/` with the digest of what it was given, on `$PORT`, and 500 where it has nothing;
//! `/variable` with that of `$PASSWORD`, and `/configuration` with its configuration's file.
//!
//! `MODE=refuses-rotated` is never ready with a secret that begins with `rotated`; `MODE=tells` prints its secret, as no workload should;
//! `MODE=tells-and-ends…` prints all that it has, as it is and written otherwise, and exits with code 3.
//!
//! With the arguments `migrate` and a digest it is a job: it ends well where that is the digest of `$PASSWORD` and of its secret's file, and its
//! configuration leads to that file; else it prints what it has, and exits with code 3.

use std::convert::Infallible;
use std::io::{Error, Write};

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

/// Prints its secrets, on short lines as a last output would have them.
fn tell_all(output: &mut impl Write) -> std::io::Result<()> {
    for secret in [secret().unwrap_or_default(), variable("PASSWORD").into_bytes()] {
        writeln!(output, "not let in with {}", String::from_utf8_lossy(&secret))?;
        writeln!(output, "{}", secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>())?;
    }
    output.flush()
}

fn migrate(wanted: &str) -> std::io::Result<()> {
    let told = std::fs::read_to_string(variable("FACTORY_CONFIGURATION")).unwrap_or_default();
    let is_led = told.contains(&format!("{}/password", variable("FACTORY_SECRETS")));
    let found = [secret().unwrap_or_default(), variable("PASSWORD").into_bytes()];
    if is_led && found.iter().all(|secret| digest(secret) == wanted) {
        return Ok(());
    }
    tell_all(&mut std::io::stdout())?;
    std::process::exit(3);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [job, wanted] = &*arguments
        && job == "migrate"
    {
        return migrate(wanted);
    }
    if variable("MODE") == "tells" {
        std::io::stdout().write_all(&secret().unwrap_or_default())?;
        std::io::stdout().flush()?;
    }
    if variable("MODE").starts_with("tells-and-ends") {
        tell_all(&mut std::io::stdout())?;
        std::process::exit(3);
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
