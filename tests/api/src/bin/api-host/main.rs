//! A host to be loaded from another process: the operations, and beside them a bare handler on the same store, each on a port of its own.
//!
//! ```text
//! api-host memory | sqlite FOLDER [BYTES]        prints a line of JSON that says where it serves and what there is, and serves until its input ends
//! ```
//!
//! BYTES is the page cache of SQLite, where it is not to be the usual one.
//!
//! The bare handler is what somebody would write by hand for a few operations: it knows its caller, has no limits, no description, no conditions, no
//! telemetry. It loads the same aggregates with their rules checked, decides by the domain, and commits what the host commits.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a program of the tests, which stops at the first fault"
)]

mod bare;

use std::path::Path;
use std::sync::Arc;

use factory_runtime_api_tests::{OneCaller, environments, everything, services};
use runtime_api::{Access, Api};
use runtime_grpc::{GrpcApi, GrpcOptions};
use runtime_http::{HttpApi, HttpOptions, Server, ServerOptions};
use runtime_memory::MemoryStore;
use runtime_ports::store::Store;
use runtime_sqlite::{SqliteOptions, SqliteStore};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const USAGE: &str = "api-host memory | sqlite FOLDER [BYTES]";

fn store(arguments: &[String]) -> Arc<dyn Store> {
    match arguments {
        [kind] if kind == "memory" => Arc::new(MemoryStore::new()),
        [kind, folder, bytes @ ..] if kind == "sqlite" => {
            let options = SqliteOptions::default();
            let options = match bytes {
                [] => options,
                [bytes] => options.page_cache(bytes.parse().unwrap()),
                _ => panic!("{USAGE}"),
            };
            Arc::new(SqliteStore::open_with(Path::new(folder).join("store.db"), options).unwrap())
        }
        _ => panic!("{USAGE}"),
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let store = store(&arguments);
    let services = services(store.clone());
    let environments = environments(&services, 200).await;

    let (api, access) =
        (Api::new(services).admitting(&everything()), Access::Authenticated(Arc::new(OneCaller)));
    // What a rate costs is measured; that it refuses is not.
    let mut bounds = ServerOptions::default();
    bounds.connections_of_one = bounds.connections;
    let rest = HttpApi::new(api.clone(), access.clone(), HttpOptions::default());
    let grpc = GrpcApi::new(api, access, GrpcOptions::default()).unwrap();

    let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ours, calls, bare) = (listen().await, listen().await, listen().await);
    let said = json!({
        "ours": ours.local_addr().unwrap(),
        "grpc": calls.local_addr().unwrap(),
        "bare": bare.local_addr().unwrap(),
        "environments": environments,
    });
    let stop = CancellationToken::new();
    let ours = Server::new(ours, &rest, bounds.clone()).unwrap().run(stop.clone().cancelled_owned());
    let calls = Server::of_router(calls, grpc.router().clone(), bounds).run(stop.clone().cancelled_owned());
    let serving = [tokio::spawn(ours), tokio::spawn(calls)];
    tokio::spawn(bare::serve(bare, store, OneCaller::principal()));
    println!("{said}");
    // Whoever started it holds its input open.
    tokio::io::stdin().read_to_end(&mut Vec::new()).await.unwrap();
    stop.cancel();
    for served in serving {
        served.await.unwrap();
    }
}
