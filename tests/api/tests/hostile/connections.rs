//! Connections: too many, half closed, never read, and those of a server that stops.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use runtime_domain::time::Span;
use runtime_http::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{interval, timeout};

use crate::host::{MUCH, PATIENCE, Running, bounds, resident, status};

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_place_is_taken_others_wait_until_the_idle_are_ended() {
    let mut options = bounds();
    options.connections = number(32);
    let host = Running::start(options).await;
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(host.connect().await);
    }
    // All places are taken by those who say nothing; they are ended after a while, and nobody is turned away.
    let (code, ..) = timeout(PATIENCE, host.get("/livez", None)).await.unwrap();
    assert_eq!(code, 200);
    drop(idle);
    host.is_serving().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_does_not_take_every_place() {
    let mut options = bounds();
    options.connections_of_one = number(8);
    (options.idle_for, options.head_within) = (Span::from_secs(60), Span::from_secs(60));
    let host = Running::start(options).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = host.connect().await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        streams.push(stream);
    }
    let mut more = host.connect().await;
    let mut said = Vec::new();
    // Closed at once, with an end or a reset.
    drop(more.write_all(b"GET /livez HTTP/1.1\r\nhost: h\r\n\r\n").await);
    drop(timeout(PATIENCE, more.read_to_end(&mut said)).await.unwrap());
    assert_eq!(said, b"");
    drop(streams);
    let served = async {
        while host.get("/livez", None).await.0 != 200 {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, served).await.is_ok(), "places are given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_that_come_and_go_leave_nothing() {
    let host = Running::start(bounds()).await;
    host.is_serving().await;
    let before = resident();
    for round in 0..10 {
        let mut streams = Vec::new();
        for place in 0..100 {
            let mut stream = host.connect().await;
            let request = b"GET /livez HTTP/1.1\r\nhost: h\r\n\r\n";
            stream.write_all(&request[..(place + round) % request.len()]).await.unwrap();
            streams.push(stream);
        }
        drop(streams);
        host.is_serving().await;
    }
    assert!(resident() < before + MUCH, "{before} → {}", resident());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_client_half_closes_is_ended() {
    let host = Running::start(bounds()).await;
    for request in [
        "",
        "GET /livez HTTP/1.1\r\nhost: h\r\n",
        "GET /livez HTTP/1.1\r\nhost: h\r\n\r\n",
        "POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n1",
    ] {
        let mut stream = host.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = Vec::new();
        assert!(timeout(PATIENCE, stream.read_to_end(&mut said)).await.is_ok(), "{request:?}");
    }
    host.is_serving().await;
}

/// An answer that goes on for as long as somebody reads.
pub(crate) fn endless() -> Router {
    let stream =
        || futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 16 * 1_024])));
    let handler = move || async move { Body::from_stream(stream()) };
    Router::new().route("/endless", get(handler)).route("/livez", get(|| async { "ok" }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_an_answer_is_given_up_and_what_is_kept_for_them_is_bounded() {
    let host = Running::serving(endless(), bounds()).await;
    host.is_serving().await;
    let before = resident();
    let mut streams = Vec::new();
    for _ in 0..32 {
        let mut stream = host.connect().await;
        stream.write_all(b"GET /endless HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        streams.push(stream);
    }
    for stream in &mut streams {
        let gone = async {
            let mut ticks = interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                if stream.write_all(b" ").await.is_err() {
                    return;
                }
            }
        };
        assert!(timeout(PATIENCE, gone).await.is_ok(), "a client that does not read is ended");
    }
    host.is_serving().await;
    assert!(resident() < before + MUCH, "{before} → {}", resident());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_read_goes_on_for_longer_than_any_bound() {
    let ticks = |sent: u32| async move {
        let mut ticks = interval(Duration::from_millis(200));
        ticks.tick().await;
        ticks.tick().await;
        (sent < 25).then(|| (Ok::<_, std::io::Error>(Bytes::from_static(b": still here\n\n")), sent + 1))
    };
    let handler = move || async move { Body::from_stream(futures::stream::unfold(0, ticks)) };
    let host = Running::serving(Router::new().route("/events", get(handler)), bounds()).await;
    let said = host.said_to(b"GET /events HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    let events = String::from_utf8(said).unwrap().matches("still here").count();
    assert_eq!(events, 25, "a stream of five seconds, where a connection may be idle for half of it");
}

async fn begun(address: std::net::SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_ends_what_is_in_flight_and_then_everything() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = bounds();
    options.drain_within = Span::from_millis(2_000);
    let (finish, finished) = tokio::sync::watch::channel(false);
    let slow = get(move || {
        let mut finished = finished.clone();
        async move {
            drop(finished.wait_for(|is_finished| *is_finished).await);
            "done"
        }
    });
    let server = Server::of_router(listener, endless().route("/slow", slow), options);
    let address = server.address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async { drop(stopped.await) }));
    let mut endless = begun(address, "/endless").await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut idle = begun(address, "/livez").await;
    stop.send(()).unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, idle.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody new is let in");
    finish.send_replace(true);
    let mut said = Vec::new();
    timeout(PATIENCE, slow.read_to_end(&mut said)).await.unwrap().unwrap();
    assert_eq!(status(&said), Some(200), "what was in flight is answered");
    let reading = async {
        let mut buffer = vec![0; 1 << 16];
        while matches!(endless.read(&mut buffer).await, Ok(1..)) {}
    };
    assert!(timeout(PATIENCE, reading).await.is_ok(), "what does not end by itself is ended");
    timeout(PATIENCE, running).await.unwrap().unwrap();
}
