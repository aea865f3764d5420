//! HTTP/1.1 whose messages end in two places, and many messages at once.

use futures::future::join_all;

use crate::host::{Running, answers, bounds, status};

const SMUGGLED: &str = "GET /readyz HTTP/1.1\r\nhost: h\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_could_read_otherwise_is_refused_and_the_connection_ended() {
    let host = Running::start(bounds()).await;
    let length = SMUGGLED.len();
    let headers = [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        format!("content-length: {length}\r\ncontent-length: 0\r\n"),
        format!("content-length: 0, {length}\r\n"),
        format!("content-length: +{length}\r\n"),
        "content-length: -1\r\n".to_owned(),
        "content-length: 0x10\r\n".to_owned(),
        "content-length: 1 2\r\n".to_owned(),
        "content-length: 99999999999999999999999\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "transfer-encoding: identity\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "transfer-encoding: chunked, gzip\r\n".to_owned(),
        format!("transfer-encoding : chunked\r\ncontent-length: {length}\r\n"),
        format!("transfer-encoding:\x0bchunked\r\ncontent-length: {length}\r\n"),
        format!("x: a\r\n transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
    ];
    let request =
        |headers: &String, body: String| format!("POST /livez HTTP/1.1\r\nhost: h\r\n{headers}\r\n{body}");
    let requests: Vec<String> = headers
        .iter()
        .flat_map(|it| [request(it, format!("0\r\n\r\n{SMUGGLED}")), request(it, SMUGGLED.to_owned())])
        .collect();
    let all = join_all(requests.iter().map(|request| host.said_to(request.as_bytes()))).await;
    for (request, said) in requests.iter().zip(all) {
        assert!(answers(&said) <= 1, "{request:?}: {}", String::from_utf8_lossy(&said));
        let text = String::from_utf8_lossy(&said).to_lowercase();
        assert!(!matches!(status(&said), Some(200..400)), "{request:?}: {text}");
        assert!(said.is_empty() || text.contains("\r\nconnection: close\r\n"), "{request:?}: {text}");
    }
    host.is_serving().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_are_none_are_refused() {
    let host = Running::start(bounds()).await;
    let token = crate::host::token(1);
    for chunks in [
        "zz\r\nab\r\n0\r\n\r\n".to_owned(),
        "-1\r\nab\r\n0\r\n\r\n".to_owned(),
        "ffffffffffffffffff\r\nab\r\n0\r\n\r\n".to_owned(),
        "2\r\nabc\r\n0\r\n\r\n".to_owned(),
        "2;x\nab\r\n0\r\n\r\n".to_owned(),
        "2 \nab\r\n0\r\n\r\n".to_owned(),
        format!("2;{}\r\nab\r\n0\r\n\r\n", "x".repeat(1 << 20)),
        format!("2\r\n{{}}\r\n0\r\n{}\r\n", "x-trailer: a\r\n".repeat(100_000)),
    ] {
        let request = format!(
            "POST /runtime/environments HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunks}{SMUGGLED}"
        );
        let said = host.said_to(request.as_bytes()).await;
        let shown = chunks.get(..30).unwrap_or(&chunks);
        assert!(answers(&said) <= 1, "{shown:?}: {}", String::from_utf8_lossy(&said));
        assert!(matches!(status(&said), None | Some(400..500)), "{shown:?}");
    }
    host.is_serving().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_each_and_in_their_order() {
    let host = Running::start(bounds()).await;
    let many = "GET /livez HTTP/1.1\r\nhost: h\r\n\r\n".repeat(499);
    let last = "GET /no-such-path HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let said = host.said_to(format!("{many}{last}").as_bytes()).await;
    let text = String::from_utf8(said).unwrap();
    let statuses: Vec<&str> = text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
    assert_eq!(statuses.len(), 500);
    assert!(statuses[..499].iter().all(|status| *status == "200"));
    assert_eq!(statuses[499], "404");
}
