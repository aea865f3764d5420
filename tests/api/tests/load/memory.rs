//! What a host keeps does not grow with how often it was asked.

use futures::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::{Came, Conversation, request};
use crate::here::Here;
use crate::process::Process;

/// How many ask at once.
const CLIENTS: usize = 16;

/// The requests that leave nothing in a store, with what is answered: reads, previews, what is so already, and what is refused.
fn requests(environment: &str) -> Vec<(u16, String)> {
    let one = format!("/runtime/environments/{environment}");
    let protection = format!("{one}/protection");
    let preview = format!("{protection}?dryRun=true");
    let nowhere = "/runtime/environments/env_00000000000000000000000000000009";
    let known = "if-none-match: \"r1\"\r\n";
    vec![
        (200, request("GET", &one, "ada", "", "")),
        (304, request("GET", &one, "ada", known, "")),
        (200, request("GET", "/runtime/environments?limit=20", "ada", "", "")),
        (200, request("POST", &preview, "ada", "", "{\"isProtected\":true}")),
        (200, request("POST", &protection, "ada", "", "{\"isProtected\":false}")),
        (412, request("POST", &protection, "ada", "if-match: \"r999999999\"\r\n", "{\"isProtected\":true}")),
        (404, request("GET", nowhere, "ada", "", "")),
        (401, request("GET", &one, "mallory", "", "")),
        (400, request("POST", &protection, "ada", "", "{\"isProtected\":")),
        (404, request("GET", "/nowhere", "ada", "", "")),
    ]
}

/// So many requests, from clients that keep their connections; every tenth is of somebody who goes before the answer comes.
async fn asked(here: &Here, count: usize) {
    let clients = here.environments.iter().take(CLIENTS).map(async |environment| {
        let requests = requests(environment);
        let mut conversation = Conversation::begin(here.address).await.unwrap();
        for number in 0..count / CLIENTS {
            let (status, request) = &requests[number % requests.len()];
            if number % 10 == 9 {
                let mut stream = TcpStream::connect(here.address).await.unwrap();
                let sent = request.len() * (1 + number / 10 % 3) / 3;
                stream.write_all(&request.as_bytes()[..sent]).await.unwrap();
                continue;
            }
            assert_eq!(conversation.status(request).await, *status, "{request}");
        }
    });
    join_all(clients).await;
    // The host sees that they have gone while others ask.
    let mut conversation = Conversation::begin(here.address).await.unwrap();
    for _ in 0..50 {
        assert_eq!(conversation.status(&request("GET", "/livez", "ada", "", "")).await, 200);
    }
}

/// A host keeps no byte for each request: of four thousand, less than sixteen each. What it keeps is counted by the allocator, on the one thread that
/// host and clients share. A leak grows every time, so the least of three counts.
#[test]
fn thousands_of_requests_of_every_kind_leave_nothing_behind() {
    const COUNT: usize = 4_000;
    let here = Here::start(|_, _, _| {});
    here.run(asked(&here, 1_000));
    let mut kept = Vec::new();
    for _ in 0..3 {
        let counted = here.kept(asked(&here, COUNT));
        assert!(counted.bytes_total > 1_000 * COUNT as u64, "the work is counted: {counted:?}");
        kept.push(counted.bytes_current);
        if counted.bytes_current < 16 * COUNT as i64 {
            return;
        }
    }
    panic!("bytes that were kept: {kept:?}");
}

/// The same in a process of its own on SQLite, with commands that change: `RUNTIME_API_REQUESTS` says how many, as 100000. What it keeps of the
/// database is bounded by an option, so it is kept small here: what grows beside it is the host's. `RUNTIME_API_PAGE_CACHE` says how many bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_keeps_in_memory_stays_flat_over_many_requests() {
    let count: usize = std::env::var("RUNTIME_API_REQUESTS").map_or(2_000, |text| text.parse().unwrap());
    let cache: usize = std::env::var("RUNTIME_API_PAGE_CACHE").map_or(2 << 20, |text| text.parse().unwrap());
    let process = Process::on_sqlite(cache);
    let mut resident = Vec::new();
    let parts = 10;
    for _ in 0..=parts {
        let clients = process.environments.iter().take(CLIENTS).map(async |environment| {
            let mut requests = requests(environment);
            // The tag of the first revision is not that of a later one.
            requests.retain(|(status, _)| *status != 304);
            let protection = format!("/runtime/environments/{environment}/protection");
            for is_protected in [true, false] {
                let body = format!("{{\"isProtected\":{is_protected}}}");
                requests.push((200, request("POST", &protection, "ada", "", &body)));
            }
            let mut conversation = Conversation::begin(process.address).await.unwrap();
            for number in 0..count / parts / CLIENTS {
                let (status, request) = &requests[number % requests.len()];
                match conversation.ask(request).await {
                    Came::Whole(answered, ..) => assert_eq!(answered, *status, "{request}"),
                    other => panic!("{other:?}"),
                }
                if number % 10 == 9 {
                    let mut stream = TcpStream::connect(process.address).await.unwrap();
                    stream.write_all(request.as_bytes()).await.unwrap();
                }
            }
        });
        join_all(clients).await;
        resident.push(process.resident());
    }
    let (warm, last) = (resident[1], resident[parts]);
    println!(
        "resident after each part, in KiB: {:?}",
        resident.iter().map(|bytes| bytes >> 10).collect::<Vec<_>>()
    );
    assert!(last < warm + cache + (2 << 20), "{warm} → {last}: {resident:?}");
}
