//! The suite of the [prober's port](runtime_ports::prober).
//!
//! It plays the workloads itself, on free ports of this machine's loopback, and speaks HTTP/1.1 without TLS. What names resolve to, and what
//! else is never allowed, is each prober's own to show.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::component::HttpPath;
use runtime_domain::time::Span;
use runtime_ports::prober::{HealthProber, ProbeAnswer, ProbeRequest};
use runtime_ports::{PortErrorKind, PortResult};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::Instant;

use super::adapter::{Staged, is_refused, polled_once, staged, try_staged};
use super::{Failure, Outcome, Report, ensure, equal};

/// Where a prober may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    /// To 127.0.0.1, at every port, and nowhere else.
    Loopback,
    /// Nowhere.
    Nothing,
}

/// Makes the probers that the suite tries.
#[async_trait]
pub trait ProberFactory: Send + Sync + 'static {
    /// The prober.
    type Prober: HealthProber;
    /// A prober that may go there. Called once for every trial.
    async fn prober(&self, granted: Granted) -> PortResult<Self::Prober>;
}

/// Tries every promise of the port, each with a fresh prober.
pub async fn prober<F: ProberFactory>(factory: F) -> Report {
    let stage = async || {
        let prober = Arc::new(factory.prober(Granted::Loopback).await?);
        Ok(Stage { prober, barred: factory.prober(Granted::Nothing).await? })
    };
    let trials = try_staged(stage, all::<F::Prober>()).await;
    Report { suite: "prober", trials }
}

fn all<P: HealthProber>() -> Vec<Staged<Stage<P>>> {
    vec![
        staged(a_complete_answer_is_an_answer_whatever_its_status),
        staged(it_asks_once_by_a_get_of_the_path),
        staged(each_probe_asks_anew),
        staged(a_redirect_is_an_answer_and_is_not_followed),
        staged(who_does_not_listen_is_silent),
        staged(half_an_answer_is_silence),
        staged(an_answer_that_is_late_is_silence_however_it_comes),
        staged(a_body_without_bounds_is_not_read_to_its_end),
        staged(the_latency_is_how_long_the_answer_took),
        staged(what_is_not_granted_is_denied_and_not_contacted),
        staged(an_address_that_is_none_is_invalid),
        staged(probes_at_once_are_not_taken_for_one_another),
        staged(a_probe_that_is_dropped_leaves_the_prober_usable),
    ]
}

/// A prober, and one that may go nowhere.
struct Stage<P> {
    prober: Arc<P>,
    barred: P,
}

/// Longer than any answer takes that is to come.
const PATIENCE: Span = Span::from_secs(30);
/// Shorter than any answer takes that is to be late.
const BRIEF: Span = Span::from_millis(200);
/// How long a late answer takes.
const LATE: Duration = Duration::from_millis(1_200);
/// A body that nobody needs to read to know how a workload is.
const LARGE: usize = 64 << 20;

/// How a workload answers.
#[derive(Clone)]
enum Manner {
    /// With these bytes, at its nth request with the nth of them and then with the last; then it closes.
    Says(Vec<Vec<u8>>),
    /// With these bytes, and then nothing more.
    SaysAndWaits(Vec<u8>),
    /// With these bytes, after so long.
    SaysLate(Vec<u8>, Duration),
    /// With these bytes, one after the other for so long in all.
    Trickles(Vec<u8>, Duration),
    /// With a status and a body of this length.
    Floods(usize),
}

/// A workload on a free port. It ends with this value.
struct Workload {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

fn fault(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the suite's own workload failed: {error}"))
}

impl Workload {
    async fn new(manner: Manner) -> Result<Self, Failure> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (mut serving, seen) = (JoinSet::new(), Arc::clone(&heads));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, manner.clone(), Arc::clone(&seen)));
            }
        });
        Ok(Self { address, heads, _serving: serving })
    }

    async fn says(answer: &str) -> Result<Self, Failure> {
        Self::new(Manner::Says(vec![answer.as_bytes().to_vec()])).await
    }

    /// What it was asked, request by request.
    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) == 1 {
        head.extend_from_slice(&byte);
    }
    let before = {
        let mut heads = heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.push(String::from_utf8_lossy(&head).into_owned());
        heads.len() - 1
    };
    // Whoever asked may be gone before all is written, which is the point of some of these.
    let _ = match manner {
        Manner::Says(answers) => match answers.get(before).or(answers.last()) {
            Some(answer) => stream.write_all(answer).await,
            None => Ok(()),
        },
        Manner::SaysAndWaits(answer) => {
            let _ = stream.write_all(&answer).await;
            std::future::pending().await
        }
        Manner::SaysLate(answer, after) => {
            tokio::time::sleep(after).await;
            stream.write_all(&answer).await
        }
        Manner::Trickles(answer, over) => {
            let pause = over / u32::try_from(answer.len()).unwrap_or(u32::MAX);
            for byte in answer {
                tokio::time::sleep(pause).await;
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
            Ok(())
        }
        Manner::Floods(length) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let mut written = stream.write_all(head.as_bytes()).await;
            for _ in 0..length / 65_536 {
                if written.is_ok() {
                    written = stream.write_all(&[b'x'; 65_536]).await;
                }
            }
            written
        }
    };
}

fn answer(status: u16) -> String {
    format!("HTTP/1.1 {status} Said\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

fn request(address: impl ToString, timeout: Span) -> Result<ProbeRequest, Failure> {
    let path = HttpPath::new("/ready?deep=1").map_err(|error| Failure::new(error.to_string()))?;
    Ok(ProbeRequest { address: address.to_string(), path, timeout })
}

fn is_answered(seen: &ProbeAnswer, wanted: u16, what: &str) -> Outcome {
    match seen {
        ProbeAnswer::Answered { status, .. } => equal(&format!("the status of {what}"), *status, wanted),
        ProbeAnswer::Silent { reason } => {
            Err(Failure::new(format!("{what} was answered with {wanted}, and is silent: {reason}")))
        }
    }
}

fn is_silent(seen: &ProbeAnswer, what: &str) -> Outcome {
    match seen {
        ProbeAnswer::Silent { reason } => {
            ensure(!reason.trim().is_empty(), format!("{what} is silent and no reason is told"))
        }
        ProbeAnswer::Answered { status, .. } => {
            Err(Failure::new(format!("{what} was taken for an answer with {status}")))
        }
    }
}

impl<P: HealthProber> Stage<P> {
    async fn probe(&self, workload: &Workload, timeout: Span) -> Result<ProbeAnswer, Failure> {
        Ok(self.prober.probe(&request(workload.address, timeout)?).await?)
    }
}

async fn a_complete_answer_is_an_answer_whatever_its_status<P: HealthProber>(stage: Stage<P>) -> Outcome {
    for status in [200, 204, 301, 404, 418, 500, 503] {
        let body = if status == 204 { "\r\n".to_owned() } else { "Content-Length: 2\r\n\r\nok".to_owned() };
        let workload = Workload::says(&format!("HTTP/1.1 {status} Said\r\n{body}")).await?;
        is_answered(&stage.probe(&workload, PATIENCE).await?, status, "a workload")?;
    }
    for (what, said) in [
        ("a body in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("a body that ends with the connection", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"),
    ] {
        let workload = Workload::says(said).await?;
        is_answered(&stage.probe(&workload, PATIENCE).await?, 200, what)?;
    }
    Ok(())
}

async fn it_asks_once_by_a_get_of_the_path<P: HealthProber>(stage: Stage<P>) -> Outcome {
    let workload = Workload::says(&answer(200)).await?;
    is_answered(&stage.probe(&workload, PATIENCE).await?, 200, "a workload")?;
    let heads = workload.heads();
    equal("how often it was asked", heads.len(), 1)?;
    let head = heads.concat();
    ensure(head.starts_with("GET /ready?deep=1 HTTP/1."), format!("it was asked {head:?}"))?;
    let host = format!("\r\nhost: {}\r\n", workload.address);
    ensure(head.to_ascii_lowercase().contains(&host), format!("it was asked for another host: {head:?}"))
}

async fn each_probe_asks_anew<P: HealthProber>(stage: Stage<P>) -> Outcome {
    let said = [200, 503, 200].map(|status| answer(status).into_bytes());
    let workload = Workload::new(Manner::Says(said.to_vec())).await?;
    for status in [200, 503, 200] {
        is_answered(&stage.probe(&workload, PATIENCE).await?, status, "a workload that changes")?;
    }
    Ok(())
}

async fn a_redirect_is_an_answer_and_is_not_followed<P: HealthProber>(stage: Stage<P>) -> Outcome {
    let elsewhere = Workload::says(&answer(200)).await?;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("http://{}/ready", elsewhere.address);
        let said = format!("HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let workload = Workload::says(&said).await?;
        is_answered(&stage.probe(&workload, PATIENCE).await?, status, "a redirect")?;
    }
    equal("who was asked beside", elsewhere.heads(), Vec::new())
}

async fn who_does_not_listen_is_silent<P: HealthProber>(stage: Stage<P>) -> Outcome {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    drop(listener);
    is_silent(&stage.prober.probe(&request(address, PATIENCE)?).await?, "a port where nobody listens")
}

async fn half_an_answer_is_silence<P: HealthProber>(stage: Stage<P>) -> Outcome {
    for (what, said) in [
        ("a connection that is closed at once", ""),
        ("half a status line", "HTTP/1.1 20"),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"),
        ("half a body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"),
        ("half the chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"),
        ("another protocol", "SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    ] {
        let workload = Workload::says(said).await?;
        is_silent(&stage.probe(&workload, PATIENCE).await?, what)?;
    }
    Ok(())
}

async fn an_answer_that_is_late_is_silence_however_it_comes<P: HealthProber>(stage: Stage<P>) -> Outcome {
    let good = answer(200).into_bytes();
    for (what, manner) in [
        ("no answer at all", Manner::SaysAndWaits(Vec::new())),
        (
            "a head without its body",
            Manner::SaysAndWaits(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n".to_vec()),
        ),
        ("an answer that comes late", Manner::SaysLate(good.clone(), LATE)),
        ("an answer that comes byte by byte", Manner::Trickles(good, LATE)),
    ] {
        let workload = Workload::new(manner).await?;
        let answer = tokio::time::timeout(PATIENCE.to_std(), stage.probe(&workload, BRIEF)).await;
        let answer = answer.map_err(|_| Failure::new(format!("{what} is waited for beyond its time")))?;
        is_silent(&answer?, what)?;
    }
    Ok(())
}

async fn a_body_without_bounds_is_not_read_to_its_end<P: HealthProber>(stage: Stage<P>) -> Outcome {
    let workload = Workload::new(Manner::Floods(LARGE)).await?;
    is_silent(&stage.probe(&workload, PATIENCE).await?, "a body of 64 MiB")
}

async fn the_latency_is_how_long_the_answer_took<P: HealthProber>(stage: Stage<P>) -> Outcome {
    let after = Duration::from_millis(120);
    let workload = Workload::new(Manner::SaysLate(answer(200).into_bytes(), after)).await?;
    let began = Instant::now();
    let seen = stage.probe(&workload, PATIENCE).await?;
    let most = began.elapsed();
    is_answered(&seen, 200, "a workload that takes its time")?;
    let ProbeAnswer::Answered { latency, .. } = seen else { return Ok(()) };
    // A clock of whole milliseconds may be one off.
    let (least, latency) = (after - Duration::from_millis(5), latency.to_std());
    ensure(
        latency >= least && latency <= most + Duration::from_millis(5),
        format!("it took between {after:?} and {most:?}, and {latency:?} is told"),
    )
}

async fn what_is_not_granted_is_denied_and_not_contacted<P: HealthProber>(stage: Stage<P>) -> Outcome {
    let workload = Workload::says(&answer(200)).await?;
    let answer = stage.barred.probe(&request(workload.address, PATIENCE)?).await;
    is_refused(answer, PortErrorKind::Denied, "a destination that is not granted")?;
    equal("who was asked", workload.heads(), Vec::new())?;
    for address in ["169.254.169.254:80", "192.0.2.1:80", "[fe80::1]:80", "0.0.0.0:80"] {
        let answer = stage.prober.probe(&request(address, BRIEF)?).await;
        is_refused(answer, PortErrorKind::Denied, address)?;
    }
    Ok(())
}

async fn an_address_that_is_none_is_invalid<P: HealthProber>(stage: Stage<P>) -> Outcome {
    for address in [
        "",
        ":80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:80:80",
        "127.0.0.1:80/path",
        "http://127.0.0.1:80",
        "user@127.0.0.1:80",
        "127.0.0.1:80\r\nX: y",
        "[::1",
        "a b:80",
    ] {
        let answer = stage.prober.probe(&request(address, BRIEF)?).await;
        is_refused(answer, PortErrorKind::Invalid, &format!("the address {address:?}"))?;
    }
    Ok(())
}

async fn probes_at_once_are_not_taken_for_one_another<P: HealthProber>(stage: Stage<P>) -> Outcome {
    let mut workloads = Vec::new();
    for status in [200, 404, 500, 503] {
        workloads.push((status, Workload::says(&answer(status)).await?));
    }
    let mut probes = JoinSet::new();
    for number in 0..24 {
        let (status, workload) = &workloads[number % workloads.len()];
        let (status, asked) = (*status, request(workload.address, PATIENCE)?);
        let prober = Arc::clone(&stage.prober);
        probes.spawn(async move { is_answered(&prober.probe(&asked).await?, status, "one of many") });
    }
    while let Some(ended) = probes.join_next().await {
        ended.map_err(|panicked| Failure::new(format!("the adapter panicked: {panicked}")))??;
    }
    Ok(())
}

async fn a_probe_that_is_dropped_leaves_the_prober_usable<P: HealthProber>(stage: Stage<P>) -> Outcome {
    let hangs = Workload::new(Manner::SaysAndWaits(Vec::new())).await?;
    let workload = Workload::says(&answer(200)).await?;
    for polls in 1..6 {
        let asked = request(hangs.address, PATIENCE)?;
        let mut probing = Box::pin(stage.prober.probe(&asked));
        for _ in 0..polls {
            if polled_once(probing.as_mut()).await.is_some() {
                return Err(Failure::new("a workload that says nothing was answered for"));
            }
            yield_now().await;
        }
        drop(probing);
        is_answered(&stage.probe(&workload, PATIENCE).await?, 200, "whoever is asked next")?;
    }
    Ok(())
}
