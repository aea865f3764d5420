//! Probers that break one promise each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::time::Span;
use runtime_ports::prober::{HealthProber, ProbeAnswer, ProbeRequest};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_testkit::conformance::prober::Granted;
use runtime_testkit::conformance::{ProberFactory, Report, prober};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    OnlyGoodIsAnAnswer,
    AsksTwice,
    AsksByHead,
    Remembers,
    FollowsRedirects,
    RefusedIsAnError,
    BelievesHalfABody,
    WaitsForEachByte,
    ReadsWithoutEnd,
    TellsNoLatency,
    GoesAnywhere,
    PanicsWithoutAPort,
    AnswersTheOneBefore,
    KeepsItsPlace,
}

struct Prober {
    bug: Bug,
    granted: Granted,
    known: Mutex<BTreeMap<String, u16>>,
    /// Who asks now.
    asking: Mutex<Vec<String>>,
}

const MOST_BYTES: usize = 1 << 20;

/// The status of a whole answer, and where it leads.
fn parsed(answer: &[u8], believes_half: bool) -> Option<(u16, Option<String>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let body = &answer[end + 4..];
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.clone().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let is_whole = match (header("content-length"), header("transfer-encoding")) {
        (Some(length), _) => body.len() >= length.parse().ok()?,
        (None, Some(_)) => body.ends_with(b"0\r\n\r\n"),
        (None, None) => true,
    };
    (is_whole || believes_half).then(|| (status, header("location")))
}

impl Prober {
    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    async fn exchange(&self, address: SocketAddr, path: &str, limit: Duration) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address).await?;
        let method = if self.is(Bug::AsksByHead) { "HEAD" } else { "GET" };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let (mut answer, mut buffer) = (Vec::new(), vec![0; 65_536]);
        loop {
            let read = if self.is(Bug::WaitsForEachByte) {
                timeout(limit, stream.read(&mut buffer)).await?
            } else {
                stream.read(&mut buffer).await
            };
            // Who hangs up hard has said nothing more.
            match read.unwrap_or(0) {
                0 => return Ok(answer),
                count => answer.extend_from_slice(&buffer[..count]),
            }
            let is_done = matches!(parsed(&answer, false), Some((status, _)) if status != 0)
                && answer.windows(15).any(|it| it.eq_ignore_ascii_case(b"content-length:"));
            if is_done {
                return Ok(answer);
            }
            if answer.len() > MOST_BYTES && !self.is(Bug::ReadsWithoutEnd) {
                return Ok(Vec::new());
            }
        }
    }

    async fn asked(&self, request: &ProbeRequest, address: SocketAddr) -> PortResult<ProbeAnswer> {
        let (began, limit) = (Instant::now(), request.timeout.to_std());
        let silent = |reason: &str| Ok(ProbeAnswer::Silent { reason: reason.to_owned() });
        let whole = if self.is(Bug::WaitsForEachByte) { Duration::from_secs(20) } else { limit };
        let mut exchanged = timeout(whole, self.exchange(address, request.path.as_str(), limit)).await;
        if self.is(Bug::AsksTwice) {
            exchanged = timeout(limit, self.exchange(address, request.path.as_str(), limit)).await;
        }
        let answer = match exchanged {
            Err(_) => return silent("out of time"),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return match self.bug {
                    Bug::RefusedIsAnError => {
                        Err(PortError::new(PortErrorKind::Unavailable, "prober.probe", "refused"))
                    }
                    _ => silent("refused"),
                };
            }
            Ok(Err(_)) => return silent("the connection failed"),
            Ok(Ok(answer)) => answer,
        };
        let Some((mut status, location)) = parsed(&answer, self.is(Bug::BelievesHalfABody)) else {
            return silent("no whole answer");
        };
        if let Some(location) = location.filter(|_| self.is(Bug::FollowsRedirects)) {
            let next = location.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap();
            let answer = self.exchange(next, "/", limit).await.unwrap();
            status = parsed(&answer, false).unwrap().0;
        }
        if status >= 500 && self.is(Bug::OnlyGoodIsAnAnswer) {
            return silent("it is not well");
        }
        let took = Span::from_millis(u64::try_from(began.elapsed().as_millis()).unwrap());
        let latency = if self.is(Bug::TellsNoLatency) { Span::ZERO } else { took };
        Ok(ProbeAnswer::Answered { status, latency })
    }
}

#[async_trait]
impl HealthProber for Prober {
    async fn probe(&self, request: &ProbeRequest) -> PortResult<ProbeAnswer> {
        assert!(request.address.contains(':') || !self.is(Bug::PanicsWithoutAPort), "there is a port");
        let refused = |kind| PortError::new(kind, "prober.probe", "it is not asked");
        let address: SocketAddr = request.address.parse().map_err(|_| refused(PortErrorKind::Invalid))?;
        let is_granted = self.granted == Granted::Loopback && address.ip().is_loopback();
        if !is_granted && !self.is(Bug::GoesAnywhere) {
            return Err(refused(PortErrorKind::Denied));
        }
        let before = {
            let mut asking = self.asking.lock().unwrap();
            if self.is(Bug::KeepsItsPlace) && asking.contains(&"hung".to_owned()) {
                return Err(refused(PortErrorKind::Exhausted));
            }
            asking.push(if request.timeout > Span::from_secs(1) { "hung" } else { "brief" }.to_owned());
            asking.len()
        };
        let answer = self.asked(request, address).await;
        let mut asking = self.asking.lock().unwrap();
        let others = asking.len() > 1 && before > 0;
        asking.pop();
        let mut known = self.known.lock().unwrap();
        let remembered = match self.bug {
            Bug::Remembers => known.get(&request.address).copied(),
            Bug::AnswersTheOneBefore if others => known.get("before").copied(),
            _ => None,
        };
        if let Ok(ProbeAnswer::Answered { status, latency }) = answer {
            known.insert(request.address.clone(), status);
            known.insert("before".to_owned(), status);
            return Ok(ProbeAnswer::Answered { status: remembered.unwrap_or(status), latency });
        }
        answer
    }
}

struct Factory(Bug);

#[async_trait]
impl ProberFactory for Factory {
    type Prober = Prober;

    async fn prober(&self, granted: Granted) -> PortResult<Prober> {
        Ok(Prober { bug: self.0, granted, known: Mutex::default(), asking: Mutex::default() })
    }
}

async fn of(bug: Bug) -> Report {
    prober(Factory(bug)).await
}

#[tokio::test]
async fn every_trial_is_failed_by_a_prober_that_breaks_its_promise() {
    let sound = vec![of(Bug::None).await];
    let status = "a complete answer is an answer whatever its status";
    let (asks, anew) = ("it asks once by a get of the path", "each probe asks anew");
    let (half, late) = ("half an answer is silence", "an answer that is late is silence however it comes");
    let flood = "a body without bounds is not read to its end";
    let at_once = "probes at once are not taken for one another";
    let dropped = "a probe that is dropped leaves the prober usable";
    let bugs: &[(Bug, &[&str])] = &[
        (Bug::OnlyGoodIsAnAnswer, &[status, anew, at_once]),
        (Bug::AsksTwice, &[asks, anew]),
        (Bug::AsksByHead, &[asks]),
        (Bug::Remembers, &[anew]),
        (Bug::FollowsRedirects, &["a redirect is an answer and is not followed"]),
        (Bug::RefusedIsAnError, &["who does not listen is silent"]),
        (Bug::BelievesHalfABody, &[half]),
        (Bug::WaitsForEachByte, &[late]),
        (Bug::ReadsWithoutEnd, &[flood]),
        (Bug::TellsNoLatency, &["the latency is how long the answer took"]),
        (Bug::GoesAnywhere, &["what is not granted is denied and not contacted"]),
        (Bug::PanicsWithoutAPort, &["an address that is none is invalid"]),
        (Bug::AnswersTheOneBefore, &[at_once]),
        (Bug::KeepsItsPlace, &[at_once, dropped]),
    ];
    crate::tried(sound, bugs, of).await;
}
