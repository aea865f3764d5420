//! HTTP/2 by frames that no client of good will sends (RFC 9113), over a connection without TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::connections::endless;
use crate::host::{MUCH, PATIENCE, Running, bounds, resident};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn text(first: u8, text: &str) -> Vec<u8> {
    [&[first, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// `GET <path>` in HPACK.
fn head(path: &str) -> Vec<u8> {
    [vec![0x82, 0x86], text(0x04, path), text(0x01, "h")].concat()
}

fn greeting() -> Vec<u8> {
    [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat()
}

/// What became of a connection to which this was sent: whether the server ended it, and how many bytes it said.
struct Outcome {
    is_ended: bool,
    said: Vec<u8>,
}

impl Outcome {
    /// The kinds of the frames that came.
    fn kinds(&self) -> Vec<u8> {
        let mut kinds = Vec::new();
        let mut rest = self.said.as_slice();
        while let [a, b, c, kind, _, _, _, _, _, after @ ..] = rest {
            kinds.push(*kind);
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            rest = after.get(length..).unwrap_or_default();
        }
        kinds
    }
}

/// Sends all of it while it reads, and goes on reading for a moment.
async fn sent(host: &Running, bytes: &[u8]) -> Outcome {
    let mut stream = host.connect().await;
    let mut said = Vec::new();
    let (mut reader, mut writer) = stream.split();
    let writing = async {
        drop(writer.write_all(bytes).await);
        // Silence ends it too; nothing here takes as long.
        std::future::pending::<()>().await;
    };
    let reading = async { reader.read_to_end(&mut said).await };
    let is_ended = tokio::select! {
        () = writing => false,
        read = timeout(PATIENCE, reading) => read.is_ok(),
    };
    Outcome { is_ended, said }
}

/// Floods, each over a connection of its own, while others ask; all end in time, and nothing grows.
async fn survives(floods: Vec<Vec<u8>>) {
    let host = Running::start(bounds()).await;
    host.is_serving().await;
    let before = resident();
    let others = async {
        for _ in 0..10 {
            host.is_serving().await;
        }
    };
    let flooding = join_all(floods.iter().map(|flood| sent(&host, flood)));
    let (outcomes, ()) = tokio::join!(flooding, others);
    assert!(outcomes.iter().all(|outcome| outcome.is_ended), "the connections are ended");
    host.is_serving().await;
    let after = resident();
    assert!(after < before + MUCH, "{before} → {after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_over_http_2_is_answered() {
    let host = Running::start(bounds()).await;
    let request = [greeting(), frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("/livez"))].concat();
    let outcome = sent(&host, &request).await;
    assert!(outcome.kinds().contains(&DATA), "{:?}", outcome.kinds());
    assert!(outcome.is_ended, "when it is idle");
}

/// CVE-2023-44487.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_opened_and_reset_at_once_end_the_connection_before_they_cost_anything() {
    const FLOOD: u32 = 20_000;
    let begun = Arc::new(AtomicU32::new(0));
    let counting = begun.clone();
    let counted = move || {
        counting.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>()
    };
    let router = Router::new().route("/counted", get(counted)).route("/livez", get(|| async { "ok" }));
    let host = Running::serving(router, bounds()).await;
    let mut flood = greeting();
    for number in 0..FLOOD {
        let stream = 2 * number + 1;
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("/counted")));
        flood.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    let (outcome, ()) = tokio::join!(sent(&host, &flood), host.is_serving());
    assert!(outcome.is_ended);
    let begun = begun.load(Ordering::SeqCst);
    assert!(begun < FLOOD / 10, "{begun} of {FLOOD} requests were begun");
    host.is_serving().await;
}

/// CVE-2025-8671: streams that the server is made to reset itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_made_to_fail_end_the_connection() {
    let mut flood = greeting();
    for number in 0..20_000 {
        let stream = 2 * number + 1;
        flood.extend(frame(HEADERS, END_HEADERS, stream, &head("/openapi.json")));
        flood.extend(frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 0]));
    }
    survives(vec![flood]).await;
}

/// CVE-2024-27316 and its like.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_continued_for_ever_ends_the_connection() {
    let mut flood = greeting();
    flood.extend(frame(HEADERS, END_STREAM, 1, &head("/livez")));
    for number in 0..20_000 {
        let field =
            [vec![0x00], text(0x00, &format!("x-{number}"))[1..].to_vec(), text(0x00, "a")[1..].to_vec()]
                .concat();
        flood.extend(frame(CONTINUATION, 0, 1, &field));
    }
    let mut empty = greeting();
    empty.extend(frame(HEADERS, END_STREAM, 1, &head("/livez")));
    empty.extend(frame(CONTINUATION, 0, 1, &[]).repeat(200_000));
    survives(vec![flood, empty]).await;
}

/// A small head that says the same large field again and again, from the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_unpacks_into_much_is_refused() {
    let large = "a".repeat(100);
    let mut fields = head("/livez");
    fields.extend([vec![0x40], text(0, "x-large")[1..].to_vec(), text(0, &large)[1..].to_vec()].concat());
    fields.extend(vec![0xbe; 16_000]);
    let mut flood = greeting();
    for number in 0..200 {
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &fields));
    }
    survives(vec![flood]).await;
}

/// CVE-2019-9512, 9515 and 9518.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_settings_and_empty_frames_in_any_number_cost_others_nothing() {
    let open =
        frame(HEADERS, END_HEADERS, 1, &[vec![0x83, 0x86], text(0x04, "/livez"), text(0x01, "h")].concat());
    let floods = [
        frame(PING, 0, 0, &[0; 8]).repeat(200_000),
        frame(PING, ACK, 0, &[0; 8]).repeat(200_000),
        frame(SETTINGS, 0, 0, &[]).repeat(200_000),
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(100_000),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]).repeat(200_000),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(200_000),
        [open, frame(DATA, 0, 1, &[]).repeat(200_000)].concat(),
        frame(0xee, 0xff, 0, &[0; 64]).repeat(50_000),
    ];
    survives(floods.into_iter().map(|flood| [greeting(), flood].concat()).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_streams_are_open_than_one_connection_may_have() {
    let mut flood = greeting();
    for number in 0..5_000 {
        // None of them ends.
        let fields = [vec![0x83, 0x86], text(0x04, "/runtime/environments"), text(0x01, "h")].concat();
        flood.extend(frame(HEADERS, END_HEADERS, 2 * number + 1, &fields));
    }
    survives(vec![flood]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_no_client_sends_end_the_connection() {
    let host = Running::start(bounds()).await;
    let cases = [
        frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
        frame(HEADERS, END_HEADERS | END_STREAM, 0, &head("/livez")),
        frame(HEADERS, END_HEADERS | END_STREAM, 2, &head("/livez")),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 64]),
        frame(CONTINUATION, END_HEADERS, 1, &head("/livez")),
        frame(DATA, 0, 7, &[0; 16]),
        frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        frame(SETTINGS, 0, 0, &[0; 5]),
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2),
        frame(PING, 0, 0, &[0; 7]),
        vec![0xff; 64],
        [&[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1], [0_u8; 64].as_slice()].concat(),
    ];
    let greeted: Vec<Vec<u8>> = cases.iter().map(|bytes| [greeting(), bytes.clone()].concat()).collect();
    let outcomes = join_all(greeted.iter().map(|bytes| sent(&host, bytes))).await;
    for (bytes, outcome) in cases.iter().zip(outcomes) {
        assert!(outcome.is_ended, "{}", bytes.escape_ascii());
        assert!(!outcome.kinds().contains(&DATA), "nothing is answered to {}", bytes.escape_ascii());
    }
    host.is_serving().await;
}

/// A client that opens its window wide, asks for much and reads nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_over_http_2_and_does_not_read_is_given_up() {
    let host = Running::serving(endless(), bounds()).await;
    host.is_serving().await;
    let before = resident();
    let mut streams: Vec<TcpStream> = Vec::new();
    for _ in 0..8 {
        let mut stream = host.connect().await;
        let mut asked = PREFACE.to_vec();
        asked.extend(frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
        asked.extend(frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]));
        for number in 0..100 {
            asked.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &head("/endless")));
        }
        stream.write_all(&asked).await.unwrap();
        streams.push(stream);
    }
    let deadline = Instant::now() + PATIENCE;
    for stream in &mut streams {
        // A write fails once the server has gone away.
        let gone = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                if stream.write_all(&frame(PING, 0, 0, &[0; 8])).await.is_err() {
                    return;
                }
            }
        };
        assert!(
            tokio::time::timeout_at(deadline, gone).await.is_ok(),
            "a client that does not read is ended"
        );
    }
    host.is_serving().await;
    assert!(resident() < before + MUCH, "{before} → {}", resident());
}
