//! Heads that come slowly, never end, or are larger than any is.

use std::time::{Duration, Instant};

use futures::future::join_all;
use runtime_domain::time::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{interval, timeout};

use crate::host::{MUCH, PATIENCE, Running, bounds, resident};

/// Sends byte after byte, slowly, and says how long the server let it.
async fn dribbled(host: &Running, first: &[u8], rest: &[u8]) -> Duration {
    let mut stream = host.connect().await;
    let began = Instant::now();
    stream.write_all(first).await.unwrap();
    let mut ticks = interval(Duration::from_millis(100));
    let mut buffer = [0; 4_096];
    let ended = async {
        for byte in rest.iter().cycle() {
            tokio::select! {
                _ = ticks.tick() => if stream.write_all(&[*byte]).await.is_err() { return },
                read = stream.read(&mut buffer) => if !matches!(read, Ok(1..)) { return },
            }
        }
    };
    assert!(timeout(PATIENCE, ended).await.is_ok(), "a slow client is never ended");
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_a_head_slowly_or_says_nothing_is_ended_while_others_are_served() {
    let mut options = bounds();
    // What ends them is not that nothing is in flight.
    options.idle_for = Span::from_secs(600);
    let host = Running::start(options).await;
    let beginnings: [&[u8]; 7] = [
        b"",
        b"G",
        b"GET /livez HTTP/1.1\r\nhost: h\r\nx-slow: ",
        b"POST /runtime/environments HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nS",
        b"PRI",
        b"\x16\x03\x01",
    ];
    let slow =
        join_all(beginnings.into_iter().cycle().take(140).map(|beginning| dribbled(&host, beginning, b"a")));
    let silent: [&[u8]; 4] = [b"", b"P", b"PRI * HTTP/2.0\r\n\r\nSM", b"GET /livez"];
    let silent = join_all(silent.into_iter().cycle().take(40).map(|beginning| host.said_to(beginning)));
    let others = async {
        for _ in 0..20 {
            host.is_serving().await;
        }
    };
    let (slow, _said, ()) = tokio::join!(slow, silent, others);
    let longest = slow.into_iter().max().unwrap();
    assert!(longest < Duration::from_secs(15), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_on_a_connection_that_was_served_ends_it_too() {
    let host = Running::start(bounds()).await;
    let mut stream = host.connect().await;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    assert!(timeout(PATIENCE, stream.read_to_end(&mut said)).await.is_ok());
    assert_eq!(crate::host::status(&said), Some(200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_is_refused_within_bounded_memory() {
    let host = Running::start(bounds()).await;
    let before = resident();
    let huge = "a".repeat(2 << 20);
    let many: String = (0..10_000).map(|number| format!("x-{number}: a\r\n")).collect();
    let requests = [
        format!("GET /livez HTTP/1.1\r\nhost: h\r\nx-huge: {huge}\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\nhost: h\r\n{huge}: a\r\n\r\n"),
        format!("GET /{huge} HTTP/1.1\r\nhost: h\r\n\r\n"),
        format!("{huge} / HTTP/1.1\r\nhost: h\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\nhost: h\r\n{many}\r\n"),
        format!("GET /livez HTTP/1.1\r\nhost: {huge}\r\n\r\n"),
        huge.clone(),
        "\r\n".repeat(1 << 20),
    ];
    let statuses = join_all(requests.iter().map(|request| host.status_of(request.as_bytes()))).await;
    for (request, status) in requests.iter().zip(statuses) {
        let shown = request.get(..60).unwrap_or_default();
        assert!(matches!(status, None | Some(400 | 414 | 431)), "{status:?} for {shown:?}");
    }
    host.is_serving().await;
    assert!(resident() < before + MUCH, "{} → {}", before, resident());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_none_is_refused() {
    let host = Running::start(bounds()).await;
    let requests: [&[u8]; 12] = [
        b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nhost: h\r\n\r\n      ",
        b"GET /livez\r\nhost: h\r\n\r\n                  ",
        b"GET  /livez HTTP/1.1\r\nhost: h\r\n\r\n        ",
        b"GET /livez HTTP/1.1\r\nhost : h\r\n\r\n        ",
        b"GET /livez HTTP/1.1\r\n host: h\r\n\r\n        ",
        b"GET /livez HTTP/1.1\r\nhost: h\r\nx: a\r\n b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: h\r\nx: a\x00b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: h\r\nx\xff: a\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: h\r\nno colon\r\n\r\n",
        b"GET /li vez HTTP/1.1\r\nhost: h\r\n\r\n        ",
        b"GET /\x80\xff HTTP/1.1\r\nhost: h\r\n\r\n       ",
    ];
    let statuses = join_all(requests.iter().map(|request| host.status_of(request))).await;
    for (request, status) in requests.iter().zip(statuses) {
        assert!(matches!(status, None | Some(400 | 404 | 505)), "{status:?} for {}", request.escape_ascii());
    }
    host.is_serving().await;
}
