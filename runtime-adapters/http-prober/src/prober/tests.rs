use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runtime_domain::component::HttpPath;
use runtime_ports::Retry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::*;
use crate::exchange::MOST_BODY_BYTES;

const PATIENCE: Span = Span::from_secs(30);

fn loopback() -> HttpProber {
    HttpProber::new(AllowList::builder().allow_loopback().build())
}

fn request(address: impl ToString, path: &str, timeout: Span) -> ProbeRequest {
    ProbeRequest { address: address.to_string(), path: HttpPath::new(path).unwrap(), timeout }
}

/// A workload on a free loopback port that treats every connection as told; ends with the test's runtime.
async fn workload<F: Future<Output = ()> + Send>(
    treat: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = accepted.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            treat(stream).await;
        }
    });
    (address, accepted)
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        request.push(byte[0]);
    }
    String::from_utf8(request).unwrap()
}

async fn answering(answer: impl Into<Vec<u8>>) -> (SocketAddr, Arc<AtomicUsize>) {
    let answer = Arc::new(answer.into());
    workload(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await;
            // The prober may hang up in the middle of an answer that it refuses.
            let _ = stream.write_all(&answer).await;
        }
    })
    .await
}

async fn probed(answer: impl Into<Vec<u8>>) -> ProbeAnswer {
    let (address, _) = answering(answer).await;
    loopback().probe(&request(address, "/ready", PATIENCE)).await.unwrap()
}

fn status(answer: &ProbeAnswer) -> Option<u16> {
    match answer {
        ProbeAnswer::Answered { status, .. } => Some(*status),
        ProbeAnswer::Silent { .. } => None,
    }
}

fn silence(answer: ProbeAnswer) -> String {
    match answer {
        ProbeAnswer::Silent { reason } => reason,
        ProbeAnswer::Answered { status, .. } => panic!("answered with {status}"),
    }
}

#[tokio::test]
async fn any_complete_answer_is_an_answer_whatever_its_status() {
    for code in [200, 204, 404, 500, 503] {
        let answer = probed(format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(status(&answer), Some(code));
    }
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    assert_eq!(status(&probed(chunked).await), Some(200));
    assert_eq!(status(&probed("HTTP/1.0 200 OK\r\n\r\nuntil the end").await), Some(200));
}

#[tokio::test]
async fn the_request_is_one_get_of_the_path_with_the_address_as_host() {
    let (sent, mut received) = tokio::sync::mpsc::unbounded_channel();
    let (address, _) = workload(move |mut stream| {
        let sent = sent.clone();
        async move {
            sent.send(read_request(&mut stream).await).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    loopback().probe(&request(address, "/ready?deep=1", PATIENCE)).await.unwrap();
    let text = received.recv().await.unwrap().to_ascii_lowercase();
    assert!(text.starts_with("get /ready?deep=1 http/1.1\r\n"), "{text}");
    assert!(text.contains(&format!("\r\nhost: {address}\r\n")), "{text}");
    assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
}

/// Buried: health probe as SSRF.
#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (elsewhere, visits) = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let redirect =
        format!("HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&probed(redirect).await), Some(302));
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

/// Buried: health probe as SSRF. Theirs: a health probe could be pointed at what only the server reaches, such as a cloud's metadata. Ours: a probe
/// goes to what was granted, and a metadata address never is; what is denied is not contacted.
#[tokio::test]
async fn a_destination_that_is_not_granted_is_denied_and_not_contacted() {
    let (address, visits) = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let prober = HttpProber::new(AllowList::builder().allow_network("10.0.0.0/8").unwrap().build());
    let port = address.port();
    for destination in [
        address.to_string(),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("localhost:{port}"),
        format!("metadata.internal:{port}"),
        "169.254.169.254:80".to_owned(),
    ] {
        let error = prober.probe(&request(&destination, "/", PATIENCE)).await.unwrap_err();
        assert_eq!(error.kind(), PortErrorKind::Denied, "{destination}");
        assert_eq!(error.retry(), Retry::Never);
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_address_that_does_not_parse_is_invalid() {
    for destination in ["cart", "http://127.0.0.1:80", "127.0.0.1:80/path", "127.0.0.1:0", "a\r\nb:80", ""] {
        let error = loopback().probe(&request(destination, "/", PATIENCE)).await.unwrap_err();
        assert_eq!(error.kind(), PortErrorKind::Invalid, "{destination:?}");
    }
    let error = loopback().probe(&request("127.0.0.1:1", "/", Span::ZERO)).await.unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Invalid);
}

/// Gives other answers each time it is asked.
struct Scripted(Mutex<VecDeque<Vec<SocketAddr>>>);

#[async_trait]
impl Resolver for Scripted {
    async fn resolve(&self, _name: &str, _port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let next = self.0.lock().unwrap().pop_front();
        next.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
    }
}

fn scripted(answers: Vec<Vec<SocketAddr>>) -> HttpProber {
    let list = AllowList::builder().allow_loopback().allow_host("cart.shop").unwrap().build();
    HttpProber::with_resolver(list, Scripted(Mutex::new(answers.into())))
}

/// Buried: health probe as SSRF.
#[tokio::test]
async fn a_name_is_resolved_once_and_the_checked_address_is_connected_to() {
    let (address, visits) = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let metadata = SocketAddr::from(([169, 254, 169, 254], address.port()));
    // A second resolution would see the forbidden address.
    let prober = scripted(vec![vec![address], vec![metadata]]);
    let asked = request(format!("Cart.Shop:{}", address.port()), "/", PATIENCE);
    assert_eq!(status(&prober.probe(&asked).await.unwrap()), Some(200));
    assert_eq!(visits.load(Ordering::SeqCst), 1);
    assert_eq!(prober.probe(&asked).await.unwrap_err().kind(), PortErrorKind::Denied);
}

/// Buried: health probe as SSRF.
#[tokio::test]
async fn one_forbidden_address_of_a_name_denies_them_all() {
    let (address, visits) = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let metadata = SocketAddr::from(([169, 254, 169, 254], address.port()));
    let prober = scripted(vec![vec![address, metadata]]);
    let asked = request(format!("cart.shop:{}", address.port()), "/", PATIENCE);
    assert_eq!(prober.probe(&asked).await.unwrap_err().kind(), PortErrorKind::Denied);
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_without_an_address_is_silent() {
    let asked = request("cart.shop:80", "/", PATIENCE);
    assert_eq!(silence(scripted(vec![]).probe(&asked).await.unwrap()), "the name cannot be resolved");
    assert_eq!(silence(scripted(vec![vec![]]).probe(&asked).await.unwrap()), "the name has no address");
}

#[tokio::test]
async fn the_next_address_of_a_name_is_tried_where_one_refuses() {
    let (address, _) = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    // The same port of another loopback address, where nobody listens.
    let refusing = SocketAddr::from(([127, 0, 0, 9], address.port()));
    let prober = scripted(vec![vec![refusing, address]]);
    let asked = request(format!("cart.shop:{}", address.port()), "/", PATIENCE);
    assert_eq!(status(&prober.probe(&asked).await.unwrap()), Some(200));
}

#[tokio::test]
async fn nobody_listening_is_silence_and_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let answer = loopback().probe(&request(address, "/", PATIENCE)).await.unwrap();
    assert_eq!(silence(answer), "connection refused");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_silence() {
    for part in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"] {
        let reason = silence(probed(part).await);
        let expected = ["the connection was closed before the answer was complete", "connection reset"];
        assert!(expected.contains(&reason.as_str()), "{part:?}: {reason}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_silence_and_is_not_repeated() {
    let reason = silence(probed("SSH-2.0-OpenSSH secret\r\n\r\n").await);
    assert_eq!(reason, "the answer is not HTTP/1.1");
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let mut long = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    long.extend(vec![b'x'; 200_000]);
    let reason = silence(probed(long).await);
    assert!(reason.contains("headers are longer") || reason == "connection reset", "{reason}");
    let mut many = String::from("HTTP/1.1 200 OK\r\n");
    for number in 0..150 {
        many.push_str(&format!("X-{number}: y\r\n"));
    }
    assert!(silence(probed(many + "\r\n").await).contains("more than 100"));
}

#[tokio::test]
async fn a_body_is_read_to_its_bound_and_no_further() {
    let body = |length: usize| {
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        answer.extend(vec![b'x'; length]);
        answer
    };
    assert_eq!(status(&probed(body(MOST_BODY_BYTES)).await), Some(200));
    assert_eq!(silence(probed(body(MOST_BODY_BYTES + 1)).await), "the answer's body is longer than 64 KiB");
}

/// Answers byte by byte and never ends; each byte moves the driven clock.
async fn dripping() -> SocketAddr {
    let (address, _) = workload(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    address
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_drips_is_silent_once_the_whole_time_is_up() {
    let address = dripping().await;
    let started = Instant::now();
    let answer = loopback().probe(&request(address, "/", Span::from_secs(5))).await.unwrap();
    assert_eq!(silence(answer), "no complete answer within 5s");
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_latency_is_the_time_until_the_answer_is_complete() {
    let (address, _) = workload(|mut stream| async move {
        read_request(&mut stream).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        stream.write_all(b"ok").await.unwrap();
    })
    .await;
    let answer = loopback().probe(&request(address, "/", PATIENCE)).await.unwrap();
    let ProbeAnswer::Answered { latency, .. } = answer else { panic!("{answer:?}") };
    assert!((1_000..2_000).contains(&latency.as_millis()), "{latency}");
}

#[tokio::test]
async fn a_probe_without_a_free_place_is_exhausted_and_says_nothing_about_the_workload() {
    let (reached, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (address, _) = workload({
        let (reached, release) = (reached.clone(), release.clone());
        move |mut stream| {
            let (reached, release) = (reached.clone(), release.clone());
            async move {
                read_request(&mut stream).await;
                reached.notify_one();
                release.notified().await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let prober = loopback().with_most_in_flight(NonZeroU32::MIN);
    let first = tokio::spawn({
        let prober = prober.clone();
        async move { prober.probe(&request(address, "/", PATIENCE)).await }
    });
    reached.notified().await;
    let error = prober.probe(&request(address, "/", Span::from_millis(1))).await.unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Exhausted);
    release.notify_one();
    assert_eq!(status(&first.await.unwrap().unwrap()), Some(200));
    release.notify_one();
    let later = prober.probe(&request(address, "/", PATIENCE)).await.unwrap();
    assert_eq!(status(&later), Some(200), "the place is free again");
}

#[tokio::test]
async fn a_dropped_probe_closes_its_connection() {
    let (reached, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (address, _) = workload({
        let (reached, closed) = (reached.clone(), closed.clone());
        move |mut stream| {
            let (reached, closed) = (reached.clone(), closed.clone());
            async move {
                read_request(&mut stream).await;
                reached.notify_one();
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                closed.notify_one();
            }
        }
    })
    .await;
    let probe = tokio::spawn(async move { loopback().probe(&request(address, "/", PATIENCE)).await });
    reached.notified().await;
    probe.abort();
    timeout(Duration::from_secs(30), closed.notified()).await.unwrap();
}
