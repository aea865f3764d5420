//! A workload for this crate's tests: an HTTP server on `$PORT` that misbehaves as `MODE` says.
//!
//! | mode | what it does |
//! |---|---|
//! | unset | is ready at once, answers with who it is, ends on `SIGTERM` |
//! | `never-ready` | answers `/ready` with 503 |
//! | `exits` | prints a line and exits with code 3 |
//! | `stubborn` | ignores `SIGTERM` |
//! | `fails` | answers every request but probes with 500 |
//! | `slow` | prints a line for every request but probes, and takes 300 ms for it |
//! | `deaf` | never listens |
//! | `late` | listens half a second after it started, the first time |
//! | `forks` | starts a process of its own that outlives it |
//! | `busy` | keeps a processor busy, and 64 MiB of memory |
//! | `chatty` | prints ten lines of 1,000 characters for every request |
//!
//! With a first argument `job` it is a task: it appends a line to the file `$RUNS`, prints its next argument, waits for `$MILLIS`
//! milliseconds, and exits with `$CODE`, or with 9 where the variable that `$NEEDS` names is not there. It reads its configuration when it starts and on `SIGHUP`. Requests: `/configuration?checksum=…` is answered with 200 where that is what it
//! has read, else with 409; `/env` lists its environment, `/pid` its process, `/headers` what it was sent, `/answer?status=…&millis=…` is answered so, `/die` ends it with code 7, `/unwell`
//! makes `/alive` fail from then on, `/echo` answers with the body.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::signal::unix::{SignalKind, signal};

/// The configuration as it was read last, at the start or on `SIGHUP`.
static READ: Mutex<String> = Mutex::new(String::new());

fn read_configuration() {
    let read = std::fs::read_to_string(variable("FACTORY_CONFIGURATION")).unwrap_or_default();
    *READ.lock().unwrap_or_else(PoisonError::into_inner) = read;
}

static UNWELL: AtomicBool = AtomicBool::new(false);

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("job") {
        return job().await;
    }
    let mode = variable("MODE");
    match mode.as_str() {
        "exits" => {
            say("this workload cannot find its configuration");
            std::process::exit(3);
        }
        "deaf" => {
            signal(SignalKind::terminate())?.recv().await;
            return Ok(());
        }
        "late" if variable("FACTORY_START") == "1" => tokio::time::sleep(Duration::from_millis(500)).await,
        "busy" => {
            drop(std::thread::spawn(|| {
                let held = vec![1_u8; 64 * 1024 * 1024];
                loop {
                    std::hint::black_box(&held);
                }
            }));
        }
        "forks" => {
            std::process::Command::new("/bin/sleep").arg("600").spawn()?;
        }
        _ => {}
    }
    let mut hang_up = signal(SignalKind::hangup())?;
    read_configuration();
    let port: u16 = variable("PORT").parse().map_err(std::io::Error::other)?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let mut told = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let mode = mode.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(mode.clone(), request));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            _ = hang_up.recv() => read_configuration(),
            _ = told.recv() => {
                if mode != "stubborn" {
                    return Ok(());
                }
            }
        }
    }
}

async fn job() -> std::io::Result<()> {
    let runs = variable("RUNS");
    if !runs.is_empty() {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(runs)?;
        // Whole at once, since others may append to it.
        let line = format!("ran {:?}\n", std::env::args().skip(2).collect::<Vec<_>>());
        file.write_all(line.as_bytes())?;
    }
    say("the job did what it could");
    if let Some(said) = std::env::args().nth(2) {
        say(&said);
    }
    tokio::time::sleep(Duration::from_millis(variable("MILLIS").parse().unwrap_or(0))).await;
    let needs = variable("NEEDS");
    if !needs.is_empty() && variable(&needs).is_empty() {
        std::process::exit(9);
    }
    std::process::exit(variable("CODE").parse().unwrap_or(0));
}

async fn answer(mode: String, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let (status, body) = match path.as_str() {
        "/ready" if mode == "never-ready" => (503, "not yet".to_owned()),
        "/alive" if UNWELL.load(Ordering::SeqCst) => (500, "unwell".to_owned()),
        "/ready" | "/alive" => (200, "well".to_owned()),
        "/env" => {
            let lines: Vec<_> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
            (200, lines.join("\n"))
        }
        "/pid" => (200, std::process::id().to_string()),
        "/headers" => {
            let lines: Vec<_> =
                request.headers().iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
            (200, lines.join("\n"))
        }
        "/configuration" => {
            let asked = request.uri().query().and_then(|query| query.strip_prefix("checksum="));
            let read = READ.lock().unwrap_or_else(PoisonError::into_inner);
            let has_it = asked.is_some_and(|asked| read.contains(&format!("\"{asked}\"")));
            (if has_it { 200 } else { 409 }, String::new())
        }
        "/answer" => {
            let query = request.uri().query().unwrap_or_default();
            let number = |name: &str| {
                query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
            };
            tokio::time::sleep(Duration::from_millis(number("millis").unwrap_or(0))).await;
            let status = number("status").and_then(|status| u16::try_from(status).ok());
            (status.unwrap_or(200), String::new())
        }
        "/die" => std::process::exit(7),
        "/unwell" => {
            UNWELL.store(true, Ordering::SeqCst);
            (200, "unwell from now on".to_owned())
        }
        "/echo" => {
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            return Ok(Response::new(Full::new(body)));
        }
        _ => usual(&mode).await,
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}

async fn usual(mode: &str) -> (u16, String) {
    match mode {
        "fails" => return (500, "it failed".to_owned()),
        "slow" => {
            say("a request has come");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        "chatty" => (0..10).for_each(|_| say(&"x".repeat(1_000))),
        _ => {}
    }
    (200, variable("FACTORY_REVISION"))
}
