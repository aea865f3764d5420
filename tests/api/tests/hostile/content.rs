//! Bodies that come slowly, never end, or are what no body is.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{interval, timeout};

use crate::host::{MUCH, PATIENCE, Running, bounds, resident, status, token};

fn post(token: &str, headers: &str) -> String {
    format!(
        "POST /runtime/environments HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n{headers}\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_comes_slowly_is_given_up() {
    let host = Running::start(bounds()).await;
    let token = token(1);
    for headers in ["content-length: 100000\r\n", "transfer-encoding: chunked\r\n"] {
        let mut stream = host.connect().await;
        stream.write_all(post(&token, headers).as_bytes()).await.unwrap();
        let began = Instant::now();
        let mut ticks = interval(Duration::from_millis(100));
        let (mut said, mut buffer) = (Vec::new(), [0; 4_096]);
        let ended = async {
            loop {
                tokio::select! {
                    _ = ticks.tick() => drop(stream.write_all(b"1\r\n \r\n").await),
                    read = stream.read(&mut buffer) => match read {
                        Ok(length @ 1..) => said.extend_from_slice(&buffer[..length]),
                        _ => return,
                    },
                }
            }
        };
        assert!(timeout(PATIENCE, ended).await.is_ok(), "{headers}");
        assert!(matches!(status(&said), None | Some(400 | 408)), "{}", String::from_utf8_lossy(&said));
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        host.is_serving().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_refused_without_being_kept() {
    let host = Running::start(bounds()).await;
    let token = token(1);
    let before = resident();
    for length in ["1048577", "10000000000", "18446744073709551615"] {
        let status = host.status_of(post(&token, &format!("content-length: {length}\r\n")).as_bytes()).await;
        assert!(matches!(status, Some(400 | 413 | 431)), "{length}: {status:?}");
    }
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16));
    let endless = post(&token, "transfer-encoding: chunked\r\n") + &chunk.repeat(256);
    let status = host.status_of(endless.as_bytes()).await;
    assert!(matches!(status, None | Some(413)), "{status:?}");
    drop(endless);
    host.is_serving().await;
    assert!(resident() < before + MUCH, "{before} → {}", resident());
}

async fn refusal(host: &Running, token: &str, body: &[u8]) -> u16 {
    let head = post(token, &format!("content-length: {}\r\nconnection: close\r\n", body.len()));
    let said = host.said_to(&[head.as_bytes(), body].concat()).await;
    let code = status(&said).unwrap_or_else(|| panic!("no answer to {}", body.escape_ascii()));
    let text = String::from_utf8(said).unwrap();
    let (_, document) = text.split_once("\r\n\r\n").unwrap();
    let problem: Value = serde_json::from_str(document).unwrap();
    assert_eq!(problem["status"], code, "a problem document: {problem}");
    code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_a_problem_of_the_callers() {
    let host = Running::start(bounds()).await;
    let token = token(1);
    let nested = |text: &str, levels: usize| text.repeat(levels).into_bytes();
    for body in [
        nested("[", 100_000),
        nested("{\"a\":", 100_000),
        [nested("[", 500_000), nested("]", 500_000)].concat(),
        [nested("{\"name\":[", 200), nested("]}", 200)].concat(),
        b"\xff\xfe\xfd".to_vec(),
        b"{\"name\":\"\xff\"}".to_vec(),
        b"{\"name\":\"\xc0\xaf\"}".to_vec(),
        b"{\"name\":\"\\ud800\"}".to_vec(),
        b"{\"name\":\"a\0b\"}".to_vec(),
        b"{\"name\":1e999999}".to_vec(),
        format!("{{\"name\":{}}}", "9".repeat(100_000)).into_bytes(),
        b"\"text\"".to_vec(),
        b"null".to_vec(),
        b"{}{}".to_vec(),
        b"{".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"{\"__proto__\":{\"roles\":[\"administrator\"]}}".to_vec(),
        b"{\"tenantId\":\"tenant_00000000000000000000000000000002\"}".to_vec(),
        format!("{{\"{}\":1}}", "x".repeat(500_000)).into_bytes(),
    ] {
        let code = refusal(&host, &token, &body).await;
        let shown = body.get(..40).unwrap_or(&body).escape_ascii();
        assert!(matches!(code, 400 | 413 | 422), "{code} for {shown}");
    }
    host.is_serving().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_path_or_query_is_a_problem_of_the_callers() {
    let host = Running::start(bounds()).await;
    let token = token(1);
    for path in [
        "/runtime/environments/%ff%fe",
        "/runtime/environments/%00",
        "/runtime/environments/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/runtime/environments/../../etc/passwd",
        "/runtime/environments/%",
        "/runtime/environments/%zz",
        "/runtime/environments/env_%31%31",
        "/runtime/environments/'%20OR%201=1",
        "/runtime/environments?dryRun=%ff",
        "/runtime/environments?dryRun=true&dryRun=true",
        "//runtime/environments/",
        "/runtime/environments/env_00000000000000000000000000000001/x/y/z",
        "*",
        "http://elsewhere.example.com/runtime/environments/x",
    ] {
        let (code, _, body) = host.get(path, Some(&token)).await;
        assert!((400..500).contains(&code), "{code} for {path}: {body}");
    }
    host.is_serving().await;
}
