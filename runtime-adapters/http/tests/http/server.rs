//! The server holds out: slow clients, endless heads, and the mode that lets everybody in.

use std::sync::Arc;

use runtime_domain::scope::Actor;
use runtime_domain::time::Span;
use runtime_http::{Access, HttpApi, HttpOptions, ServeError, Server, ServerOptions};
use runtime_memory::MemoryStore;
use runtime_ports::authenticator::{Principal, Role};
use runtime_testkit::sample;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{PATIENCE, ask, raw};
use crate::world::{Served, World, authenticated};

async fn with(change: impl FnOnce(&mut ServerOptions)) -> Served {
    let mut server = ServerOptions::default();
    change(&mut server);
    Served::with(Arc::new(MemoryStore::new()), authenticated(), HttpOptions::default(), server).await
}

#[tokio::test]
async fn whoever_says_nothing_or_a_head_drop_by_drop_is_let_go() {
    let served = with(|options| options.head_within = Span::from_millis(200)).await;
    for begun in ["", "PRI * HTTP", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{begun:?} is waited for without end");
    }
    assert_eq!(ask(served.address, "GET", "/livez", &[], None).await.status, 200);
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let served = with(|_| {}).await;
    let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(64 << 10));
    for headers in [many, long] {
        let text = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        let answer = String::from_utf8_lossy(&raw(served.address, text.as_bytes()).await).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert_eq!(ask(served.address, "GET", "/livez", &[], None).await.status, 200);
}

fn insecure() -> Access {
    let actor = Actor::new("developer").unwrap();
    Access::Insecure(Principal::verified(sample::tenant(1), actor, Role::ALL, None))
}

async fn insecure_server() -> Served {
    let store = Arc::new(MemoryStore::new());
    Served::with(store, insecure(), HttpOptions::default(), ServerOptions::default()).await
}

#[tokio::test]
async fn the_mode_that_lets_everybody_in_says_so_and_takes_no_foreign_name() {
    let served = insecure_server().await;
    let listed = ask(served.address, "GET", "/runtime/environments", &[], None).await;
    assert_eq!(listed.status, 200);
    assert!(!listed.header("x-factory-runtime-insecure").is_empty());
    let text = "GET /runtime/environments HTTP/1.1\r\nhost: rebound.example\r\nconnection: close\r\n\r\n";
    let answer = String::from_utf8_lossy(&raw(served.address, text.as_bytes()).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn the_mode_that_lets_everybody_in_does_not_listen_to_the_outside() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let http =
        HttpApi::new(World::of(Arc::new(MemoryStore::new())).api(), insecure(), HttpOptions::default());
    let served = Server::new(listener, &http, ServerOptions::default());
    assert!(matches!(served, Err(ServeError::InsecureOutside { .. })));
}
