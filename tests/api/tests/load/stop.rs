//! A host that stops while it is asked: what is in flight ends, and what is not taken can be asked of another host.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use factory_runtime_api_tests::{OneCaller, environments, everything, services};
use futures::future::join_all;
use runtime_api::{Access, Api};
use runtime_domain::time::Span;
use runtime_http::{HttpApi, HttpOptions, Server, ServerOptions};
use runtime_memory::MemoryStore;
use runtime_ports::store::Store;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{Came, Conversation, Follower, PATIENCE, Told, request};

const DRAIN: Span = Span::from_secs(20);

struct Host {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Host {
    async fn start(store: Arc<dyn Store>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut bounds = ServerOptions::default();
        bounds.drain_within = DRAIN;
        let api = Api::new(services(store)).admitting(&everything());
        let api = HttpApi::new(api, Access::Authenticated(Arc::new(OneCaller)), HttpOptions::default());
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(Server::new(listener, &api, bounds).unwrap().run(stopped));
        Self { address, stop, serving }
    }
}

/// A command of its own key; asked again under it, it is the same command.
fn command(name: &str) -> String {
    let body = format!(
        "{{\"projectId\":\"prj_00000000000000000000000000000002\",\"name\":\"{name}\",\"stage\":\"dev\",\
         \"region\":\"local\",\"isolationModel\":\"silo\",\"surfaces\":[\"process\"]}}"
    );
    request("POST", "/runtime/environments", "ada", &format!("idempotency-key: {name}\r\n"), &body)
}

/// Sixteen clients ask for one thing after another, on connections that stay open, while their host stops: each command is answered whole or not at
/// all, and the other host answers it under the same key. Everything is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_of_a_host_that_stops_are_done_once_by_it_or_by_another() {
    const CLIENTS: usize = 16;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    environments(&services(store.clone()), 1).await;
    let (first, second) = (Host::start(store.clone()).await, Host::start(store).await);
    let mut follower = Follower::begin(first.address, None).await.unwrap();
    let (is_stopping, done, again) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let clients = (0..CLIENTS).map(async |client| {
        let mut conversation = Conversation::begin(first.address).await.unwrap();
        let mut left_after_stop = 5;
        for number in 0.. {
            let command = command(&format!("c{client}-{number}"));
            let asked_before = !is_stopping.load(Ordering::SeqCst);
            loop {
                match conversation.ask(&command).await {
                    Came::Whole(201, ..) => break,
                    // Done by the host that did not come to say so, where it was asked again.
                    Came::Whole(200, head, _) if head.contains("idempotency-replayed: true") => break,
                    Came::Nothing => {}
                    other => panic!("{other:?}"),
                }
                again.fetch_add(1, Ordering::SeqCst);
                conversation = match Conversation::begin(first.address).await {
                    Some(conversation) if !is_stopping.load(Ordering::SeqCst) => conversation,
                    _ => Conversation::begin(second.address).await.unwrap(),
                };
            }
            done.fetch_add(1, Ordering::SeqCst);
            if !asked_before {
                left_after_stop -= 1;
                if left_after_stop == 0 {
                    return number + 1;
                }
            }
        }
        0
    });
    let stopping = async {
        while done.load(Ordering::SeqCst) < 200 {
            tokio::task::yield_now().await;
        }
        is_stopping.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        first.stop.cancel();
        // Ended by the host, and well: not cut off.
        let end = async {
            loop {
                match follower.next().await {
                    Told::Event(_) | Told::Reset => {}
                    Told::End(is_well) => return is_well,
                }
            }
        };
        let is_well = tokio::time::timeout(PATIENCE, end).await.unwrap();
        first.serving.await.unwrap();
        (is_well, begun.elapsed())
    };
    let (asked, (is_well, took)) = futures::join!(join_all(clients), stopping);
    assert!(is_well, "a stream says that it has ended");
    assert!(took < DRAIN.to_std(), "nothing held it: {took:?}");
    assert!(again.into_inner() >= CLIENTS, "every client had to turn to the other host");

    let mut conversation = Conversation::begin(second.address).await.unwrap();
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let path =
            format!("/runtime/environments?projectId=prj_00000000000000000000000000000002&limit=500{cursor}");
        let Came::Whole(200, _, body) = conversation.ask(&request("GET", &path, "ada", "", "")).await else {
            panic!("it is listed")
        };
        let page: Value = serde_json::from_str(&body).unwrap();
        let items = page["items"].as_array().unwrap().iter();
        names.extend(items.map(|item| item["name"].as_str().unwrap().to_owned()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut expected: Vec<String> = asked
        .iter()
        .enumerate()
        .flat_map(|(client, count)| (0..*count).map(move |number| format!("c{client}-{number}")))
        .collect();
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
    second.stop.cancel();
    tokio::time::timeout(Duration::from_secs(60), second.serving).await.unwrap().unwrap();
}
