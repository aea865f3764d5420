//! The workload of the system's tests: answers `/` with `$VERSION`, `/pid` with its process and `/variable/NAME` with `$NAME`, on `$PORT`. Once
//! `/fail` was asked for, `/ready` answers 503, until `/mend` is.
//!
//! It reads its configuration when it starts and on `SIGHUP`: `/tuple` answers with `$VERSION` and the configuration that it has read, and
//! `/configuration?checksum=CHECKSUM` with 200 where that is what it has read, else 409.
//!
//! `MODE` makes it misbehave: `never-ready` answers `/ready` with 503, `exits` ends at once with code 3, `stubborn` ignores `SIGTERM`, `deaf` ignores
//! `SIGHUP`; several are separated by commas.

use std::convert::Infallible;
use std::io::{Error, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

/// Whether it was asked to fail.
static FAILING: AtomicBool = AtomicBool::new(false);

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// The configuration as it was read last.
static READ: Mutex<String> = Mutex::new(String::new());

fn read_configuration() {
    let read = std::fs::read_to_string(variable("FACTORY_CONFIGURATION")).unwrap_or_default();
    *READ.lock().unwrap_or_else(PoisonError::into_inner) = read;
}

fn configuration() -> String {
    READ.lock().unwrap_or_else(PoisonError::into_inner).trim_end().to_owned()
}

fn is(mode: &str) -> bool {
    variable("MODE").split(',').any(|one| one == mode)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    if is("exits") {
        writeln!(std::io::stderr(), "no licence was found")?;
        std::process::exit(3);
    }
    let mut termination = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    read_configuration();
    let port: u16 = variable("PORT").parse().map_err(Error::other)?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        tokio::select! {
            accepted = listener.accept() => drop(tokio::spawn(serve(accepted?.0))),
            _ = hang_up.recv() => {
                if !is("deaf") {
                    read_configuration();
                }
            }
            _ = termination.recv(), if !is("stubborn") => return Ok(()),
        }
    }
}

async fn serve(stream: TcpStream) {
    // A client that leaves is no concern of the workload.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await);
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match request.uri().path() {
        "/fail" => {
            FAILING.store(true, Ordering::SeqCst);
            (StatusCode::OK, "failing".to_owned())
        }
        "/mend" => {
            FAILING.store(false, Ordering::SeqCst);
            (StatusCode::OK, "mended".to_owned())
        }
        "/ready" if is("never-ready") || FAILING.load(Ordering::SeqCst) => {
            (StatusCode::SERVICE_UNAVAILABLE, "not yet".to_owned())
        }
        "/ready" => (StatusCode::OK, "ready".to_owned()),
        "/tuple" => (StatusCode::OK, format!("{} {}", variable("VERSION"), configuration())),
        "/configuration" => {
            let asked = request.uri().query().and_then(|query| query.strip_prefix("checksum="));
            let has_it = asked.is_some_and(|asked| configuration().contains(&format!("\"{asked}\"")));
            (if has_it { StatusCode::OK } else { StatusCode::CONFLICT }, String::new())
        }
        path if path.starts_with("/variable/") => {
            (StatusCode::OK, variable(path.trim_start_matches("/variable/")))
        }
        "/pid" => (StatusCode::OK, std::process::id().to_string()),
        _ => (StatusCode::OK, variable("VERSION")),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}
